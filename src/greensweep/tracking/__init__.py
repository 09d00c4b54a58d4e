"""Where runs are recorded: MLflow, or files only."""
