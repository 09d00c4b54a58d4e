"""A run as a trial of a search: it reports while it trains, and the search may end it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from greensweep.config.metrics import Direction
from greensweep.energy import Window
from greensweep.energy.reading import Quality
from greensweep.record.measuring import open_windows
from greensweep.record.reported import as_number, as_numbers, by_split


@dataclass(frozen=True)
class Progress:
    """What a run has come to after an epoch.

    Attributes:
        epoch: from 1; 0 once the run is set up, before its first epoch.
        accuracy: accuracy after it on the split that selects, 0 to 1; None of a task without it.
        joules: training energy so far.
        spent_joules: energy of everything so far, set-up and earlier repeats included.
        epochs: how many are planned; None when the run does not know.
        value: the objective as it stands, or the first of two, where that is no accuracy.
        repeat: which training of this configuration, from 0, of `repeats`.
        seconds: of training so far; None where the run does not measure them apart.
        quality: of the joules.
        lost: components whose meter failed, so that no joules of theirs are counted any more.
        metric: name of the metric that the run is selected by; None of a program that leaves it to
            who searches, of its `metrics`.
        direction: in which that is better, where the run knows it.
        metric_value: that metric, where it is another one than accuracy.
        metrics: all that a loop of one's own reports, by name: of the validation split, or with
            another split before it, as in `train_loss`.
        window: which measures the training of a loop that says no joules, and holds all of it in
            the end.
        known: figures of the run's result that nothing will change; None where it will lack one.
    """

    epoch: int
    accuracy: float | None = None
    joules: float | None = None
    spent_joules: float | None = None
    epochs: int | None = None
    value: float | None = None
    repeat: int = 0
    repeats: int = 1
    seconds: float | None = None
    quality: Quality = "unmeasured"
    lost: frozenset[str] = frozenset()
    metric: str | None = "accuracy"
    direction: Direction | None = None
    metric_value: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    window: Window | None = field(default=None, repr=False, compare=False)
    known: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def objective_value(self) -> float | None:
        """The metric that the run is selected by, as it stands."""
        return self.figure(self.metric or "accuracy")

    def figure(self, name: str) -> float | None:
        """A metric as it stands; None where it was not reported."""
        if name == "accuracy":
            return self.accuracy
        return self.metric_value if name == self.metric else self.metrics.get(name)


class Monitor(Protocol):
    """What decides, report by report, whether a run goes on."""

    def on_epoch(self, progress: Progress) -> None:
        """Take a report.

        Raises:
            TrialEnded: the run should end here.
        """

    def on_repeat(self, progress: Progress) -> None:
        """Take what one of several trainings of a configuration came to.

        Raises:
            TrialEnded: the others are not needed.
        """


_monitor: ContextVar[Monitor | None] = ContextVar("_monitor", default=None)


@contextmanager
def monitored_by(monitor: Monitor) -> Iterator[None]:
    """Hand every report of the block to `monitor`."""
    before = _monitor.set(monitor)
    try:
        yield
    finally:
        _monitor.reset(before)


def report_progress(progress: Progress) -> None:
    """Hand a report to whatever searches; outside of a search it goes nowhere.

    Raises:
        TrialEnded: the search wants no more of this run.
    """
    if (monitor := _monitor.get()) is not None:
        monitor.on_epoch(progress)


def report_repeat(progress: Progress) -> None:
    """Report one of several trainings of a configuration at its end.

    Raises:
        TrialEnded: the search wants no more of them.
    """
    if (monitor := _monitor.get()) is not None:
        monitor.on_repeat(progress)


def report(
    *,
    epoch: int,
    accuracy: float | None = None,
    value: float | None = None,
    joules: float | None = None,
    epochs: int | None = None,
    **metrics: float | None,
) -> None:
    """Report an epoch of a training loop to the search that it is part of.

    >>> for epoch in range(1, 4):
    ...     report(epoch=epoch, epochs=3, accuracy=1 - 0.5**epoch, loss=1 / epoch)

    Outside of `hydra/sweeper=greensweep` it does nothing, so a program may always call it. A thread
    of the program's own is outside, unless it runs in a copy of the trial's context:
    `Thread(target=contextvars.copy_context().run, args=(train,))`.

    Args:
        epoch: how many epochs are done. 0 without metrics reports the set-up, so that a budget
            which it used up ends the trial before its first epoch; with metrics the loop counts
            from 0.
        accuracy: validation accuracy now, 0 to 1.
        value: the objective now, or the first of two, where that is none of the metrics.
        joules: energy so far; left out, what the surrounding `measure()` has read. A budget counts
            what the trial has used since its start, whatever of it was measured so.
        epochs: how many there will be, from which the cost to the end is forecast.
        metrics: any others, by name, of the validation split: `macro_f1=0.8`, or with it in the
            name, `val_loss=0.3`; `train_…` is of training and `test_…` of the test split. Trials
            are pruned by `hydra.sweeper.metric`, by accuracy, or by the first of these.

    Raises:
        TrialEnded: the search prunes or stops the trial: let it through.
        StudyError: in a search, `epoch` is no whole number.
    """
    if (monitor := _monitor.get()) is not None:
        windows = open_windows()
        window = windows[-1] if joules is None and windows else None
        if window is not None:
            joules = window.joules
        trial = windows[0] if windows else Window()
        spent = max((each for each in (joules, trial.joules) if each is not None), default=None)
        given = {**({} if accuracy is None else {"accuracy": accuracy}), **metrics}
        own, others = by_split(as_numbers(given))
        monitor.on_epoch(
            Progress(
                epoch,
                own.get("accuracy"),
                joules,
                spent,
                epochs,
                None if value is None else as_number("value", value),
                quality=trial.quality,
                lost=trial.reading.lost,
                metric=None,
                metrics=own | others,
                window=window,
            )
        )
