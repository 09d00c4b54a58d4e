"""A search by Optuna's ask and tell, in memory, of trials that are recorded.

The files and the SQLite storage of whole searches would take most of the time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from greensweep.search.records import OUTCOME, Outcome
from greensweep.search.spec import Direction, SearchSpec

TRIALS = 64
_REDRAWS = 20
OURS = "greensweep.search.samplers."
OPTUNA = "optuna.samplers."

MakeSampler = Callable[[SearchSpec], Callable[[int], BaseSampler]]


@dataclass(frozen=True)
class Answer:
    """What a trial came to: a value per objective, and its joules."""

    values: tuple[float, ...]
    joules: float


def from_spec(target: str, **arguments: Any) -> MakeSampler:
    """A strategy as the sweeper makes it."""

    def make(spec: SearchSpec) -> Callable[[int], BaseSampler]:
        return replace(spec, sampler=(target, arguments)).build_sampler

    return make


def kept(make: Callable[[int], BaseSampler]) -> MakeSampler:
    """A strategy that is one object for the whole search, made from the seed."""

    def of_spec(spec: SearchSpec) -> Callable[[int], BaseSampler]:
        sampler = make(spec.seed)
        return lambda _: sampler

    return of_spec


RANDOM = from_spec(f"{OPTUNA}RandomSampler")
_OTHER_SEED = 500_000


def other_random(spec: SearchSpec) -> Callable[[int], BaseSampler]:
    """Random search, with other draws than those that it is compared with."""
    return RANDOM(replace(spec, seed=spec.seed + _OTHER_SEED))


def search(
    make: MakeSampler,
    distributions: Mapping[str, BaseDistribution],
    answer: Callable[[Mapping[str, Any]], Answer | None],
    seed: int,
    *,
    directions: tuple[Direction, ...] = ("maximize",),
    first: Mapping[str, Any] | None = None,
) -> Iterator[Answer]:
    """Yield the answers of 64 trials, each before the next is drawn.

    Args:
        answer: of a trial's parameters; None where they are invalid: such a trial is told as
            failed, costs nothing, and another one is drawn in its place; after 20 in a row at
            random, since some strategies draw the same again.
        first: the values of the first trial; None leaves them to the strategy.
    """
    spec = SearchSpec(
        directory=Path(__file__).resolve().parent,
        study_name="study",
        storage="",
        directions=directions,
        distributions=distributions,
        n_trials=TRIALS,
        sampler=("", {}),
        seed=seed,
    )
    sampler_of, random = make(spec), RANDOM(spec)
    study = optuna.create_study(directions=directions)
    if first is not None:
        study.enqueue_trial({name: first[name] for name in spec.distributions})
    drawn = valid = invalid = 0  # invalid ones in a row
    while valid < TRIALS:
        study.sampler = (sampler_of if invalid < _REDRAWS else random)(drawn)
        drawn += 1
        trial = study.ask(dict(spec.distributions))
        found = answer(trial.params)
        if found is None:
            study.tell(trial, state=TrialState.FAIL)
            invalid += 1
            continue
        outcome = Outcome("finished", joules=found.joules, spent_joules=found.joules)
        trial.set_user_attr(OUTCOME, outcome.to_json())
        study.tell(trial, found.values)
        valid, invalid = valid + 1, 0
        yield found
