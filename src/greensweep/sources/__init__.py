"""Tables of runs: from files, MLflow, and the folders of sweeps and studies."""
