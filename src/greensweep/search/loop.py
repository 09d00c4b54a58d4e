"""The loop of a worker: it reserves trials and runs them until there are no more."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

import optuna
from optuna.trial import TrialState

from greensweep.energy import Meter, Phases, shared_quality
from greensweep.energy.reading import Quality
from greensweep.errors import ConstraintError, MissingFigure, ProcessLost
from greensweep.messages import message_of
from greensweep.search.interrupt import interrupted
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import (
    SEARCH_ENERGY,
    SEARCH_QUALITY,
    Outcome,
    keep_of_study,
    kept_of_study,
    this_process,
)
from greensweep.search.trial import finish_trial
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5  # after which an interrupt is seen at the latest


# Runs trials and returns, for each, what broke it outside of its task, or None.
RunReserved = Callable[[list[ReservedTrial]], list[BaseException | None]]


class Elsewhere(Protocol):
    """Trials that run in other processes, wherever an engine places them."""

    def start(self, trial: ReservedTrial) -> None:
        """Let a trial run, as soon as there is room for it."""

    def ended(self, seconds: float) -> list[tuple[ReservedTrial, BaseException | None]]:
        """Wait until trials end, for so long at most; with what broke each outside of its task."""

    def interrupt(self) -> None:
        """Ask all that run to end after their epoch."""


class SearchMeter:
    """Measures the search itself: what a worker does between the trials that it runs."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._qualities: set[Quality] = set()
        self._phases: Phases | None = None

    def start(self) -> None:
        """Go on measuring."""
        if self._meter is not None and self._phases is None:
            self._phases = Phases(self._meter)
            self._phases.start()

    def take(self) -> float | None:
        """Stop measuring, and return the joules since the last take; None where unmetered."""
        phases, self._phases = self._phases, None
        if phases is None:
            return None
        phases.stop()
        total = phases.total
        if total.joules is not None:
            self._qualities.add(total.quality)
        return total.joules

    @property
    def quality(self) -> Quality | None:
        """Of what it has measured; None where that is nothing."""
        return shared_quality(self._qualities) if self._qualities else None


def run_trials(
    queue: TrialQueue,
    run: RunReserved,
    meter: SearchMeter,
    batch: int = 1,
    on_end: Callable[[], None] = lambda: None,
    seconds: float = math.inf,
) -> None:
    """Run trials until there are no more, or the sweep is interrupted.

    Args:
        run: runs reserved trials, each of which records its own end.
        meter: of the search; whoever runs a trial takes from it what the trial's drawing cost.
        batch: trials to take before running them.
        on_end: called when trials have ended.
        seconds: that this process has. It begins with a trial in any case, and then with none that
            is known to take longer than what is left.

    Raises:
        StudyError: the search cannot go on, as where no trial has what a bound is on.
    """
    until = time.monotonic() + seconds
    has_begun = False
    while not interrupted():
        if has_begun and not queue.fits(until - time.monotonic()):
            break
        has_begun = True
        meter.start()
        taken = [*islice(iter(queue.reserve, None), batch)]
        if not taken:
            break
        _finish_all(queue, [*zip(taken, run(taken), strict=True)])
        on_end()
    keep_search_energy(queue.study, meter)


def run_trials_elsewhere(
    queue: TrialQueue,
    elsewhere: Elsewhere,
    workers: int,
    meter: SearchMeter,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Keep so many trials running in other processes until there are no more: no batches.

    Args:
        meter: of the search: its joules are kept while trials run, since a budget knows of them.
        on_end: called when trials have ended.

    Raises:
        StudyError: as `run_trials`.
        KeyboardInterrupt: a second interrupt.
    """
    running, is_asked = 0, False
    while True:
        meter.start()
        while running < workers and not interrupted() and (taken := queue.reserve()) is not None:
            elsewhere.start(taken)
            running += 1
        keep_search_energy(queue.study, meter)
        if not running:
            return
        ended: list[tuple[ReservedTrial, BaseException | None]] = []
        while not ended:
            if interrupted() and not is_asked:
                elsewhere.interrupt()
                is_asked = True
            ended = elsewhere.ended(_POLL_SECONDS)
        running -= len(ended)
        _finish_all(queue, ended)
        on_end()


def _finish_all(
    queue: TrialQueue, ended: Sequence[tuple[ReservedTrial, BaseException | None]]
) -> None:
    for reserved, fault in ended:
        _finish(queue, reserved, fault)
    for _, fault in ended:
        if isinstance(fault, ConstraintError) and not _another_has_it(queue.study, fault):
            raise fault


def _finish(queue: TrialQueue, reserved: ReservedTrial, fault: BaseException | None) -> None:
    """Record the end of a trial whose task never ran."""
    trial = trial_of(queue.study, reserved.number)
    if trial.state != TrialState.RUNNING:
        return
    if isinstance(fault, ProcessLost):
        log.warning("Trial %d: %s.", trial.number, fault)
        queue.finish_dead(trial)
    elif queue.recover(trial):
        log.warning("Trial %d was recovered from its folder: the storage had failed.", trial.number)
    else:
        outcome = Outcome("failed", "it never ran" if fault is None else message_of(fault))
        if interrupted():  # a launcher's process that was still starting
            outcome = Outcome("stopped", "interrupted before it began", interrupted=True)
        finish_trial(queue.study, trial, outcome, None, queue.folder(trial))


def _another_has_it(study: optuna.Study, fault: ConstraintError) -> bool:
    """Tell whether a figure that a trial lacks was there in another: it is of its network alone."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return isinstance(fault, MissingFigure) and TrialState.COMPLETE in states


def keep_search_energy(study: optuna.Study, meter: SearchMeter) -> None:
    """Keep what was searched and no trial is charged: at the end, and for trials elsewhere."""
    joules = meter.take()
    if meter.quality is not None:
        keep_of_study(study, SEARCH_QUALITY, meter.quality)
    if joules:
        process = this_process()
        name = f"{SEARCH_ENERGY}{process.host}:{process.pid}:{process.born}"
        keep_of_study(study, name, kept_of_study(study).get(name, 0.0) + joules)
