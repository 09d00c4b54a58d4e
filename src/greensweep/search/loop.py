"""The loop of a worker: it reserves trials and runs them until there are no more."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal, NamedTuple, Protocol

import optuna
from optuna.trial import TrialState

from greensweep.energy import Meter, Phases, shared_quality
from greensweep.energy.reading import Quality
from greensweep.errors import (
    ConstraintError,
    MachineLost,
    MissingFigure,
    ProcessLost,
    StorageLost,
    StudyError,
)
from greensweep.messages import message_of
from greensweep.search.interrupt import interrupted
from greensweep.search.optuna_internals import trial_of
from greensweep.search.patience import is_full
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
_PATIENCE_SECONDS = 10.0  # with trials that are to end at once


# Runs trials and returns, for each, what broke it outside of its task, or None.
RunReserved = Callable[[list[ReservedTrial]], list[BaseException | None]]


class TrialEnd(NamedTuple):
    """A trial that no longer runs.

    Attributes:
        fault: what broke it outside of its task; a KeyboardInterrupt ended it before it began.
        came_home: its folder was sent here, and says how it ended: the storage does not know yet.
    """

    trial: ReservedTrial
    fault: BaseException | None = None
    came_home: bool = False


class Elsewhere(Protocol):
    """Trials that run in other processes, wherever an engine places them."""

    def places(self) -> int:
        """Return how many trials may run at a time, as things stand; 0 while none can.

        Raises:
            StudyError: no trial can run any more.
        """

    def start(self, trial: ReservedTrial) -> None:
        """Let a trial run, as soon as there is room for it."""

    def ended(self, seconds: float) -> Sequence[TrialEnd]:
        """Wait until trials end, for so long at most."""

    def interrupt(self) -> None:
        """Ask all that run to end after their epoch; the second time, at once."""


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
        _finish_all(queue, [*map(TrialEnd, taken, run(taken))])
        on_end()
    keep_search_energy(queue.study, meter)


def run_trials_elsewhere(
    queue: TrialQueue,
    elsewhere: Elsewhere,
    meter: SearchMeter,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Keep trials running in other processes until there are no more: no batches.

    Where the search cannot go on, those that run end after their epoch, and run again some day.

    Args:
        meter: of the search: its joules are kept while trials run, since a budget knows of them.
        on_end: called when trials have ended.

    Raises:
        StudyError: as `run_trials`.
        KeyboardInterrupt: a second interrupt, after which nothing runs any more.
    """
    running: dict[int, ReservedTrial] = {}
    fault: StudyError | None = None
    is_asked, has_more = False, True

    def goes_on() -> bool:
        return has_more and not interrupted() and fault is None

    def has_room() -> bool:
        nonlocal fault
        try:
            return goes_on() and len(running) < elsewhere.places()
        except StudyError as raised:
            fault = raised
            return False

    def settle(ended: Sequence[TrialEnd]) -> None:
        for each in ended:
            del running[each.trial.number]
        _finish_all(queue, ended)

    try:
        while True:
            meter.start()
            has_more = True
            while has_room():
                taken = queue.reserve()
                has_more = taken is not None
                if taken is not None:
                    running[taken.number] = taken
                    elsewhere.start(taken)
            keep_search_energy(queue.study, meter)
            if not running and not goes_on():
                break
            ended: Sequence[TrialEnd] = ()
            while not ended and not has_room() and (running or goes_on()):
                if (interrupted() or fault) and not is_asked:
                    is_asked = True
                    elsewhere.interrupt()
                ended = elsewhere.ended(_POLL_SECONDS)
            try:
                settle(ended)
            except ConstraintError as raised:
                fault = fault or raised
            on_end()
    except KeyboardInterrupt:
        for _ in range(2 - is_asked):
            elsewhere.interrupt()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while running and time.monotonic() < deadline:
            settle(elsewhere.ended(_POLL_SECONDS))
        for reserved in running.values():
            queue.finish_interrupted(trial_of(queue.study, reserved.number))
        raise
    if fault is not None:
        raise fault


def _finish_all(queue: TrialQueue, ended: Sequence[TrialEnd]) -> None:
    for each in ended:
        _finish(queue, each)
    for each in ended:
        if isinstance(each.fault, ConstraintError) and not _another_has_it(queue.study, each.fault):
            raise each.fault


def _finish(queue: TrialQueue, ended: TrialEnd) -> None:
    """Record the end of a trial that could not itself."""
    trial, fault = trial_of(queue.study, ended.trial.number), ended.fault
    if trial.state != TrialState.RUNNING:
        return
    if isinstance(fault, ProcessLost):
        queue.folder(trial).mkdir(parents=True, exist_ok=True)  # it began somewhere
        status: Literal["died", "lost"] = "lost" if isinstance(fault, MachineLost) else "died"
        queue.finish_dead(trial, str(fault), status)
    elif queue.recover(trial):
        if not ended.came_home:
            log.warning("Trial %d was recovered from its folder: the storage failed.", trial.number)
    else:
        outcome = Outcome("failed", "it never ran" if fault is None else message_of(fault))
        # A launcher's process that was still starting, or a task that waited for room.
        if interrupted() or isinstance(fault, KeyboardInterrupt):
            outcome = Outcome("stopped", "interrupted before it began", interrupted=True)
        elif isinstance(fault, StorageLost) or is_full(fault):
            outcome = replace(outcome, status="stopped", interrupted=True)
        finish_trial(queue.study, trial, outcome, None, queue.folder(trial))


def _another_has_it(study: optuna.Study, fault: ConstraintError) -> bool:
    """Tell whether a figure that a trial lacks was there in another: it is of its network alone."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return isinstance(fault, MissingFigure) and TrialState.COMPLETE in states


def keep_search_energy(study: optuna.Study, meter: SearchMeter) -> None:
    """Keep what was searched and no trial is charged: at the end, and for trials elsewhere."""
    joules, quality = meter.take(), meter.quality
    known = {} if quality is None else kept_of_study(study)
    if quality is not None and quality != known.get(SEARCH_QUALITY):
        keep_of_study(study, SEARCH_QUALITY, quality)
    if joules:
        process = this_process()
        name = f"{SEARCH_ENERGY}{process.host}:{process.pid}:{process.born}"
        keep_of_study(study, name, known.get(name, 0.0) + joules)
