"""Train and sweep models with energy as a metric of equal rank to accuracy."""

__version__ = "0.1.0"
