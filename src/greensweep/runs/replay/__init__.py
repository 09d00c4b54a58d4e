"""Runs answered from a recorded table instead of training, so that searches can be compared."""

from greensweep.runs.replay.run import replay_once

__all__ = ["replay_once"]
