"""A run as a trial of a search: it reports while it trains, and is told when to end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from greensweep.errors import TrialEnded
from greensweep.measuring import joules_so_far

__all__ = [
    "Judge",
    "Progress",
    "TrialEnded",
    "judged_by",
    "report",
    "report_progress",
    "report_repeat",
]


@dataclass(frozen=True)
class Progress:
    """What a run has come to after an epoch.

    Attributes:
        epoch: from 1.
        accuracy: accuracy after it on the split that selects, 0 to 1.
        joules: training energy so far.
        spent_joules: energy of everything so far, earlier repeats included.
        epochs: how many are planned; None when the run does not know.
        value: the objective as it stands, for a search of one objective that is no accuracy.
        repeat: which training of this configuration, from 0.
    """

    epoch: int
    accuracy: float | None = None
    joules: float | None = None
    spent_joules: float | None = None
    epochs: int | None = None
    value: float | None = None
    repeat: int = 0


class Judge(Protocol):
    """What decides, report by report, whether a run goes on."""

    def judge(self, progress: Progress) -> None:
        """Take a report.

        Raises:
            TrialEnded: the run should end here.
        """

    def judge_repeat(self, accuracy: float | None, joules: float | None, *, last: bool) -> None:
        """Take the result of one of several trainings of a configuration.

        Raises:
            TrialEnded: the others are not needed.
        """


_judge: Judge | None = None


@contextmanager
def judged_by(judge: Judge) -> Iterator[None]:
    """Hand every report of the block to `judge`."""
    global _judge
    before, _judge = _judge, judge
    try:
        yield
    finally:
        _judge = before


def report_progress(progress: Progress) -> None:
    """Hand a report to whatever searches; outside of a search it goes nowhere.

    Raises:
        TrialEnded: the search wants no more of this run.
    """
    if _judge is not None:
        _judge.judge(progress)


def report_repeat(accuracy: float | None, joules: float | None, *, last: bool) -> None:
    """Report one of several trainings of a configuration, with its training energy.

    Raises:
        TrialEnded: the search wants no more of them.
    """
    if _judge is not None:
        _judge.judge_repeat(accuracy, joules, last=last)


def report(
    *,
    epoch: int,
    accuracy: float | None = None,
    value: float | None = None,
    joules: float | None = None,
    epochs: int | None = None,
) -> None:
    """Report an epoch of a training loop to the search that it is part of.

    Outside of `hydra/sweeper=greensweep` it does nothing, so a program may always call it.

    Args:
        epoch: how many epochs are done.
        accuracy: validation accuracy now, 0 to 1.
        value: the objective now, where one objective is searched that is no accuracy.
        joules: energy so far; left out, what the surrounding `measure()` has read.
        epochs: how many there will be, so that the cost to the end can be told.

    Raises:
        TrialEnded: the search prunes or stops the trial: let it through.
    """
    if _judge is not None:
        spent = joules_so_far() if joules is None else joules
        _judge.judge(Progress(epoch, accuracy, spent, spent, epochs, value))
