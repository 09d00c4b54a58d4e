"""Structured configs: what can be set, and the check at the door."""
