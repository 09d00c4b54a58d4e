"""Heartbeats of trials, by which other machines know that they live: Optuna's, or our own."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import optuna
from optuna.trial import FrozenTrial

from greensweep.search.optuna_internals import (
    has_heartbeats,
    is_journal,
    record_heartbeat,
    stale_trials,
)
from greensweep.search.patience import hurried
from greensweep.search.records import BEAT, keep, kept, owner_of

HEARTBEAT_SECONDS = 30
GRACE_SECONDS = 120  # of silence, after which a trial is taken for dead
_AGAIN_SECONDS = 1  # after a beat that was not heard


@contextmanager
def beating(study: optuna.Study, trial: FrozenTrial) -> Iterator[None]:
    """Let a trial be heard while the block runs, wherever other machines may run trials too."""
    own = is_journal(study)
    if not own and not has_heartbeats(study):
        yield
        return
    over = threading.Event()

    def beat() -> None:
        pause = HEARTBEAT_SECONDS if own else 0  # only Optuna's first one tells that it has begun
        for number in count(1):
            if over.wait(pause):
                return
            pause = _AGAIN_SECONDS
            with suppress(Exception), hurried():
                if own:
                    keep(study, trial, BEAT, number)
                else:
                    record_heartbeat(study, trial)
                pause = HEARTBEAT_SECONDS

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Listener:
    """Hears the trials of other machines, and times their silence with its own clock alone."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[object, float]] = {}  # the last of each, and when

    def silent(self, study: optuna.Study, trials: Iterable[FrozenTrial]) -> set[int]:
        """Return which running trials have not been heard of for too long, or never had an owner.

        None in a storage that no other machine shares.
        """
        by_optuna: list[FrozenTrial] = []
        by_us: list[FrozenTrial] = []
        for trial in trials:
            is_heard_by_us = is_journal(study) or owner_of(trial) is None
            (by_us if is_heard_by_us else by_optuna).append(trial)
        # One look for all of them: it takes all that run.
        stale = stale_trials(study, by_optuna) if by_optuna else []
        return {trial.number for trial in [*stale, *filter(self._is_silent, by_us)]}

    def _is_silent(self, trial: FrozenTrial) -> bool:
        is_owned = owner_of(trial) is not None
        beat, now = (is_owned, kept(trial, BEAT)), time.monotonic()
        heard, since = self._heard.get(trial.number, (None, now))
        if heard != beat:
            self._heard[trial.number] = beat, now
            return False
        return now - since > GRACE_SECONDS
