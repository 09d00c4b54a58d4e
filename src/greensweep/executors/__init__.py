"""Where a sweep's trials run: processes of this machine, tasks of Ray, jobs of Slurm."""
