"""The trials of a study so far, and what they come to: read on, instead of all of them each time.

A trial that has ended does not change any more, so each is looked at once in every process,
whatever asks: only new and open trials are read again.
"""

import heapq
import threading
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.best import best_trials, keeps_constraints
from greensweep.search.budget import Spending, Spent
from greensweep.search.optuna_internals import read_trials
from greensweep.search.records import retry_history, runs_again

_BEST_KNOWN = 500


class TrialsSoFar:
    """All trials of a study as they were read last.

    Attributes:
        trials: by number.
        ended: in the order in which they were found to have ended, which only grows.
        repeated: numbers of trials that another trial repeats, likewise.
        best: the best trial that keeps all constraints, or the Pareto-optimal ones.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study, self._lock = study, threading.RLock()
        self.trials: Sequence[FrozenTrial] = []
        self.ended: list[FrozenTrial] = []
        self.repeated: list[int] = []
        self.best: list[FrozenTrial] = []
        self._open: list[int] = []  # numbers
        self._repeated_by: dict[int, int] = {}
        self._counting: list[int] = []  # numbers of those that ended and count, in order
        self._again: dict[int, FrozenTrial] = {}  # those that run again, until another repeats them
        self._states: Counter[TrialState] = Counter()  # of those that ended and count
        self._spending = Spending()
        self._highest: list[tuple[float, int]] = []  # a heap: the best scores, less the numbers
        is_max = study.directions[0] == StudyDirection.MAXIMIZE
        self._sign = 1.0 if is_max else -1.0

    def read(self, *, reports: bool = True) -> "TrialsSoFar":
        """Read on, also what running trials have reported, or not."""
        with self._lock:
            trials = read_trials(self._study, reports=reports)
            looked = [*(trials[number] for number in self._open), *trials[len(self.trials) :]]
            self.trials, self._open = trials, []
            finished = []
            for trial in looked:
                for number in retry_history(trial):
                    if number not in self._repeated_by:
                        self._repeat(number, trial.number)
                if not trial.state.is_finished():
                    self._open.append(trial.number)
                    continue
                self._end(trial)
                if trial.state == TrialState.COMPLETE:
                    finished.append(trial)
            if finished:
                self.best = best_trials([*self.best, *finished], self._study)
        return self

    def _repeat(self, number: int, by: int) -> None:
        self._repeated_by[number] = by
        self.repeated.append(number)
        self._again.pop(number, None)
        place = bisect_left(self._counting, number)
        if self._counting[place : place + 1] == [number]:
            del self._counting[place]
            self._states[self.trials[number].state] -= 1

    def _end(self, trial: FrozenTrial) -> None:
        self.ended.append(trial)
        self._spending.add(trial)
        if runs_again(trial):
            if not self.is_repeated(trial):
                self._again[trial.number] = trial
        elif not self.is_repeated(trial):
            insort(self._counting, trial.number)
            self._states[trial.state] += 1
        if trial.state == TrialState.COMPLETE and keeps_constraints(trial):
            known = self._sign * (trial.values or [0.0])[0], -trial.number
            put = heapq.heappush if len(self._highest) < _BEST_KNOWN else heapq.heappushpop
            put(self._highest, known)

    @property
    def running(self) -> list[FrozenTrial]:
        """Those that run."""
        return [each for each in self._opened if each.state == TrialState.RUNNING]

    @property
    def are_waiting(self) -> bool:
        """Some are in the queue."""
        return any(each.state == TrialState.WAITING for each in self._opened)

    @property
    def _opened(self) -> list[FrozenTrial]:
        return [self.trials[number] for number in self._open]

    def is_repeated(self, trial: FrozenTrial) -> bool:
        """Tell whether another trial repeats this one."""
        return trial.number in self._repeated_by

    def counts(self, trial: FrozenTrial) -> bool:
        """Tell whether a trial counts towards the total, as `records.counted` says."""
        waits = trial.state == TrialState.WAITING
        return not (waits or runs_again(trial) or self.is_repeated(trial))

    @property
    def states(self) -> Mapping[TrialState, int]:
        """How many trials that count are in each state."""
        running = Counter(each.state for each in self.running if self.counts(each))
        return self._states + running

    @property
    def counted(self) -> int:
        """How many trials count towards the total."""
        return sum(self.states.values())

    def counted_before(self, number: int) -> int:
        """Return how many of the trials that were drawn before another count."""
        return self.counted - sum(map(self.counts, self.trials[number:]))

    def left_to_repeat(self) -> list[FrozenTrial]:
        """Return the trials that run again, and that no other repeats yet."""
        open_ = [each for each in self._opened if runs_again(each) and not self.is_repeated(each)]
        return sorted([*self._again.values(), *open_], key=lambda trial: trial.number)

    def spent(self) -> Spent:
        """Return what all trials have cost, running ones by their last report."""
        return self._spending.with_running(self._study, self.running)

    @property
    def drawing_joules(self) -> float:
        """What it will take, in joules, to draw one more trial."""
        return self._spending.drawing_joules

    def window(self, most: int, best: int | None = None, *, latest: bool = False) -> "Window":
        """Return so many of the trials that ended and count, and the open ones; all of fewer.

        They are the best (half of them, or as many as `best` says), and of the rest every so
        many-th one, or the latest.
        """
        with self._lock:
            ended = self._counting
            if len(ended) <= most:
                return Window(self.trials, 0)
            top = self._top(most // 2 if best is None else best)
            rest = most - len(top)
            others = ended[-rest:] if latest else [ended[k] for k in _spread(len(ended), rest)]
            shown = [self.trials[number] for number in sorted({*top, *others, *self._open})]
            return Window(shown, self.counted - sum(map(self.counts, shown)))

    def _top(self, most: int) -> list[int]:
        """Return the numbers of the best ones; of a larger front some that are spread over it."""
        if len(self._study.directions) == 1:
            return [-number for _, number in heapq.nlargest(most, self._highest)]
        front = [each.number for each in self.best]
        return [front[k] for k in _spread(len(front), most)] if len(front) > most else front


class Window(NamedTuple):
    """Some of the trials, by number, and how many that count are left out."""

    trials: Sequence[FrozenTrial]
    hidden: int


def _spread(count: int, some: int) -> NDArray[numpy.intp]:
    return numpy.unique(numpy.linspace(0, count - 1, some).round().astype(numpy.intp))


_known: WeakKeyDictionary[optuna.Study, TrialsSoFar] = WeakKeyDictionary()


def trials_so_far(study: optuna.Study, *, reports: bool = True) -> TrialsSoFar:
    """Return the trials of a study as they are now; with what running ones have reported, or not.

    Without, a database is asked for no more than has begun or ended since.
    """
    if study not in _known:
        _known[study] = TrialsSoFar(study)
    return _known[study].read(reports=reports)
