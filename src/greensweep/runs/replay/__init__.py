"""Runs answered from a recorded table instead of training, so that searches can be compared."""
