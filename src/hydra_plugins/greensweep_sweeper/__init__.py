"""Greensweep's sweeper, as Hydra finds plugins."""
