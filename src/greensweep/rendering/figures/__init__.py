"""Figures of finished analyses. Nothing is computed here but where things stand."""
