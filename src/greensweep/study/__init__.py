"""Sweeps: what is searched, for what, and what came of it."""
