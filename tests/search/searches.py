"""Searches of a made-up function, for tests: real Optuna storage, no training."""

import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage

from greensweep.energy import ComponentEnergy, EnergyReading, Meter
from greensweep.record.reporting import report
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import OWNER, Outcome, keep, outcome_of
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.trial import run_trial
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

RATE = FloatDistribution(1e-5, 1e-1, log=True)
SPACE: dict[str, BaseDistribution] = {"rate": RATE, "width": IntDistribution(1, 8)}
TPE = ("optuna.samplers.TPESampler", {"n_startup_trials": 4})
RANDOM = ("optuna.samplers.RandomSampler", {})

Task = Callable[[Mapping[str, Any]], Any]


def spec(folder: Path, n_trials: int = 12, **changes: Any) -> SearchSpec:
    """A search for one objective, to maximize, in a file below `folder`."""
    values: dict[str, Any] = {
        "directory": folder,
        "study_name": "study",
        "storage": f"sqlite:///{folder / 'optuna.db'}",
        "directions": ("maximize",),
        "distributions": SPACE,
        "n_trials": n_trials,
        "sampler": TPE,
        "pruner": "none",
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "optuna.db").exists():
        (folder / "optuna.db").write_bytes(_empty_storage())
    return SearchSpec(**values)


@cache
def _empty_storage() -> bytes:
    """Return a SQLite file with Optuna's tables: to make them takes longer than a search here."""
    with TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{folder}/optuna.db")
        getattr(storage, "_backend", storage).engine.dispose()
        return (Path(folder) / "optuna.db").read_bytes()


def accuracy_of(params: Mapping[str, Any]) -> float:
    """Best at a rate of 0.001; wider is a little better."""
    return 0.9 * math.exp(-((math.log10(params["rate"]) + 3.0) ** 2)) + 0.01 * params["width"]


def joules_of(params: Mapping[str, Any]) -> float:
    """Of all epochs: 10 J for each of the width."""
    return 10.0 * params["width"]


def task_of_epochs(epochs: int = 5, objectives: int = 1) -> Task:
    """A task that reports its epochs: accuracy and energy rise in equal steps."""

    def task(params: Mapping[str, Any]) -> Any:
        for epoch in range(1, epochs + 1):
            done = epoch / epochs
            report(
                epoch=epoch,
                accuracy=done * accuracy_of(params),
                joules=done * joules_of(params),
                epochs=epochs,
            )
        values = accuracy_of(params), joules_of(params)
        return values if objectives == 2 else values[0]

    return task


class Purse:
    """A meter that reads what the test spends."""

    def __init__(self) -> None:
        self.spent, self._read = 0.0, 0.0
        self.lost: frozenset[str] = frozenset()

    def spend(self, joules: float) -> None:
        self.spent += joules

    def start(self) -> None:
        self._read = self.spent

    def lap(self, computes: bool = True) -> EnergyReading:
        joules, self._read = self.spent - self._read, self.spent
        energy = ComponentEnergy(joules, "script", "measured")
        return EnergyReading(1.0, {"cpu": energy}, lost=self.lost)

    def stop(self) -> None:
        pass


class Search:
    """A search under way in this process."""

    def __init__(
        self,
        asked: SearchSpec,
        task: Task,
        storage: BaseStorage | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.spec, self.task, self.meter = asked, task, meter
        self.study: optuna.Study = open_study(asked, storage or open_storage(asked.storage))
        self.queue = TrialQueue(asked, self.study, lambda trial: self.folder(trial.number))
        self.queue.prepare()

    def folder(self, number: int) -> Path:
        return self.spec.directory / str(number)

    def take(self) -> ReservedTrial:
        reserved = self.queue.reserve()
        assert reserved is not None, self.queue.ended()
        return reserved

    def run_one(self, reserved: ReservedTrial, search_joules: float | None = None) -> None:
        self.folder(reserved.number).mkdir(exist_ok=True)
        run_trial(
            self.spec,
            self.study,
            reserved.number,
            lambda: self.task(reserved.params),
            self.folder(reserved.number),
            meter=self.meter,
            search_joules=search_joules,
        )

    def run(self, most: int = 1000) -> str | None:
        """Run trials until there are no more, or so many are done; return why before the total."""
        for _ in range(most):
            reserved = self.queue.reserve()
            if reserved is None:
                return self.queue.ended()
            self.run_one(reserved)
        return None

    @property
    def trials(self) -> Sequence[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.trials]

    def points(self) -> list[dict[str, Any]]:
        return [dict(trial.params) for trial in self.trials]


def kill(search: Search, reserved: ReservedTrial) -> None:
    """Let a trial look as if its process had died: nobody of its birth has the number any more."""
    owner = {"host": platform.node(), "pid": os.getpid(), "born": "before"}
    set_attribute(search, reserved.number, OWNER, owner)


def set_attribute(search: Search, number: int, name: str, value: Any) -> None:
    """Set what the search keeps with a trial, whoever runs it."""
    keep(search.study, trial_of(search.study, number), name, value)
    search.study.get_trials(deepcopy=False)  # as a command that goes on reads it


def outcomes(search: Search) -> list[Outcome | None]:
    """How each trial ended."""
    return [outcome_of(trial) for trial in search.trials]
