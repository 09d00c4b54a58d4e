"""All that greensweep uses of Optuna's private interface, each with the reason.

`tests/search/test_optuna_internals.py` holds each of them to the Optuna that is installed.
"""

import copy
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

import optuna
from optuna._imports import _LazyImport
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.storage_internals import TrialStorage


# A trial's attributes and reports are written by its own `Trial` alone, and to make one draws. A
# worker settles trials of others, too, so it goes by the storage, whose methods are public.
def _storage(study: optuna.Study) -> BaseStorage:
    return study._storage


def trial_of(study: optuna.Study, number: int) -> FrozenTrial:
    """Return a trial by its number, as it is stored now."""
    storage = _storage(study)
    return storage.get_trial(
        storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    )


def set_attributes(
    study: optuna.Study, trial: FrozenTrial, user: Mapping[str, Any], system: Mapping[str, Any]
) -> None:
    """Keep user and system attributes of a running trial."""
    storage = _storage(study)
    for name, value in user.items():
        storage.set_trial_user_attr(trial._trial_id, name, value)
    for name, value in system.items():
        storage.set_trial_system_attr(trial._trial_id, name, value)


def set_system_attribute(
    study: optuna.Study, trial: FrozenTrial | optuna.Trial, name: str, value: Any
) -> None:
    """Keep a system attribute of a running trial, which dashboards do not show."""
    _storage(study).set_trial_system_attr(trial._trial_id, name, value)


def report_value(study: optuna.Study, trial: FrozenTrial, step: int, value: float) -> None:
    """Keep an intermediate value of a running trial."""
    _storage(study).set_trial_intermediate_value(trial._trial_id, step, value)


def study_attributes(study: optuna.Study) -> Mapping[str, Any]:
    """Return a study's system attributes, which dashboards do not show."""
    return _storage(study).get_study_system_attrs(study._study_id)


def set_study_attribute(study: optuna.Study, name: str, value: Any) -> None:
    """Keep a system attribute of a study."""
    _storage(study).set_study_system_attr(study._study_id, name, value)


def has_heartbeats(study: optuna.Study) -> bool:
    """Tell whether Optuna lets workers of other machines know who lives: it does on servers."""
    return is_heartbeat_enabled(_storage(study))


def record_heartbeat(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let workers of other machines know that this one lives, where there are heartbeats."""
    storage = _storage(study)
    assert isinstance(storage, BaseHeartbeat)
    storage.record_heartbeat(trial._trial_id)


def stale_trials(study: optuna.Study, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return those of some trials whose workers have not been heard of for too long.

    The public `fail_stale_trials` does not ask: it fails such trials, of whatever sweeper.
    """
    storage = _storage(study)
    if not has_heartbeats(study):
        return []
    assert isinstance(storage, BaseHeartbeat)
    stale = {*storage._get_stale_trial_ids(study._study_id)}
    return [trial for trial in trials if trial._trial_id in stale]


def is_journal(study: optuna.Study) -> bool:
    """Tell whether a study is kept in a journal, for which Optuna has no heartbeats."""
    return isinstance(_storage(study), JournalStorage)


def trials_at_draw(study: optuna.Study) -> list[FrozenTrial]:
    """Return all trials as they were when the present one was drawn.

    A draw asks for them several times, once for each option, and `get_trials` reads each time.
    """
    return study._get_trials(deepcopy=False, use_cache=True)


def read_trials(study: optuna.Study, *, reports: bool) -> list[FrozenTrial]:
    """Return all trials as they are now.

    Args:
        reports: also what those that run have reported lately, which in a database costs a look at
            each of them.
    """
    storage = _storage(study)
    if isinstance(storage, TrialStorage):
        return storage.read_on(study._study_id, reports=reports)
    return study.get_trials(deepcopy=False)


@contextmanager
def one_transaction(
    study: optuna.Study, attributes: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[None]:
    """Let a database write what is written of trials meanwhile at the end, and read no others.

    `Study.ask` reads all that run, however many they are, once for its queue and once for its
    sampler, and writes each option by a transaction of its own, which waits for a disk.

    Args:
        attributes: system attributes that a trial which is made meanwhile has at once.
    """
    storage = _storage(study)
    with storage.transaction(attributes) if isinstance(storage, TrialStorage) else nullcontext():
        yield


class StudyWindow(optuna.Study):
    """A study that shows some of its trials; what is written is written to the whole one.

    As `HyperbandPruner` shows its brackets; samplers ask for trials by `_get_trials`.

    Args:
        trials: that are shown, by number.
        hidden: how many of the others count towards the search.
    """

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial], hidden: int) -> None:
        self._study_id, self.study_name = study._study_id, study.study_name
        self._storage, self._directions = study._storage, study._directions
        self.sampler, self.pruner = study.sampler, study.pruner
        self._thread_local = study._thread_local
        self._shown, self._hidden = trials, hidden

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        shown = [each for each in self._shown if states is None or each.state in states]
        return copy.deepcopy(shown) if deepcopy else shown


def hidden_trials(study: optuna.Study) -> int:
    """Return how many trials a study does not show."""
    return study._hidden if isinstance(study, StudyWindow) else 0


def contains(distribution: BaseDistribution, internal: float) -> bool:
    """Tell whether a range has a value, given as Optuna stores it; of a choice, its index."""
    return distribution._contains(internal)


def packages_of(sampler: BaseSampler) -> list[str]:
    """Return the packages that a sampler's module imports only when it draws."""
    found = vars(sys.modules[type(sampler).__module__]).values()
    lazy = [each.__name__ for each in found if isinstance(each, _LazyImport)]
    return [*dict.fromkeys(name.partition(".")[0] for name in lazy)]


class AdaptableTPESampler(TPESampler):
    """TPE that can be seeded anew, and draws from ranges other than those of the space."""

    def reseed(self, seed: int) -> None:
        """Draw from here on as if made with this seed; `reseed_rng` takes none."""
        self._rng = LazyRandomState(seed)
        self._random_sampler = RandomSampler(seed=seed)

    def drawn_from(self, space: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """Return the ranges to draw options together from; to be overridden."""
        return space

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        # The public `sample_relative` takes its groups of options from the study, not from its
        # argument: here each of them passes.
        return super()._sample_relative(study, trial, self.drawn_from(search_space))
