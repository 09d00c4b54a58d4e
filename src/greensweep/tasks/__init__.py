"""What is learnt: the loss, what outputs mean, and the metrics that judge them."""

from greensweep.tasks.build import build_task, targets_of
from greensweep.tasks.classification import imbalance
from greensweep.tasks.scores import Scores
from greensweep.tasks.task import Task

__all__ = ["Scores", "Task", "build_task", "imbalance", "targets_of"]
