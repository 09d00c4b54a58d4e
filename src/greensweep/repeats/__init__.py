"""Repeats of one configuration: trained as one run, told as a mean with its spread."""

from greensweep.repeats.mean import with_test_accuracies
from greensweep.repeats.train import run_repeats

__all__ = ["run_repeats", "with_test_accuracies"]
