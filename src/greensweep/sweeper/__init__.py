"""The Hydra sweeper: searches any program, in this process, in workers or through a launcher."""
