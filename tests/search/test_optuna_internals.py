"""Optuna as it is installed still has the private names that the search rests on."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import CmaEsSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from greensweep.search import optuna_internals
from greensweep.search.optuna_internals import (
    AdaptableTPESampler,
    contains,
    packages_of,
    trial_of,
    trials_at_draw,
)

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-5, 1e-1),
    "width": IntDistribution(1, 8),
    "name": CategoricalDistribution(["adam", "sgd"]),
}


@pytest.fixture(params=[InMemoryStorage, lambda: RDBStorage("sqlite://")], ids=["memory", "rdb"])
def storage(request: pytest.FixtureRequest) -> BaseStorage:
    storage: BaseStorage = request.param()
    return storage


def study_in(storage: BaseStorage, **further: object) -> Study:
    return optuna.create_study(
        storage=storage, study_name="study", load_if_exists=True, **further  # type: ignore[arg-type]
    )  # fmt: skip


def test_what_is_written_of_another_workers_trial_is_stored(storage: BaseStorage) -> None:
    study = study_in(storage)
    number = study.ask().number
    trial = trial_of(study, number)
    optuna_internals.set_system_attribute(study, trial, "ours:way", 1)
    optuna_internals.set_attributes(study, trial, {"spent": 3.0}, {"ours:way": 2})
    optuna_internals.report_value(study, trial, 4, 0.5)
    optuna_internals.set_study_attribute(study, "ours:folder", True)
    found = trial_of(study_in(storage), number)
    assert found.number == number
    assert (found.user_attrs, found.system_attrs) == ({"spent": 3.0}, {"ours:way": 2})
    assert found.intermediate_values == {4: 0.5}
    assert optuna_internals.study_attributes(study_in(storage))["ours:folder"] is True


@pytest.mark.filterwarnings("ignore:Argument ``heartbeat_interval``", "ignore:Heartbeat of storage")
def test_a_heartbeat_is_stale_once_it_has_long_been_silent(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path}/s.db", heartbeat_interval=60, grace_period=120)
    study = study_in(storage)
    trial = trial_of(study, study.ask().number)
    assert optuna_internals.has_heartbeats(study)
    optuna_internals.record_heartbeat(study, trial)
    assert optuna_internals.stale_trials(study, [trial]) == []
    with storage.engine.begin() as connection:
        ago = "datetime('now', '-300 seconds')"
        assert connection.exec_driver_sql(f"update trial_heartbeats set heartbeat={ago}").rowcount
    assert optuna_internals.stale_trials(study, [trial]) == [trial]


@pytest.mark.parametrize("url", [None, "sqlite://"])
def test_a_storage_without_heartbeats_has_no_stale_ones(url: str | None) -> None:
    study = study_in(InMemoryStorage() if url is None else RDBStorage(url))
    trial = trial_of(study, study.ask().number)
    assert not optuna_internals.has_heartbeats(study)
    assert optuna_internals.stale_trials(study, [trial]) == []


def test_a_draw_sees_the_trials_that_there_were_when_it_began(storage: BaseStorage) -> None:
    seen: list[int] = []

    class Counting(RandomSampler):
        def sample_independent(
            self, study: Study, trial: FrozenTrial, name: str, ranges: BaseDistribution
        ) -> object:
            seen.append(len(trials_at_draw(study)))
            return super().sample_independent(study, trial, name, ranges)

    study = study_in(storage, sampler=Counting(seed=1))
    trial = study.ask()
    trial.suggest_int("width", 1, 8)
    study_in(storage).ask()  # another worker
    trial.suggest_float("rate", 0.0, 1.0)
    study.ask().suggest_int("width", 1, 8)
    assert seen == [1, 1, 3]


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(0.1, 0.5, step=0.1), 0.3, 0.35),
        (FloatDistribution(0.1, 0.5), 0.35, 0.6),
        (IntDistribution(1, 9, step=2), 3.0, 4.0),
        (CategoricalDistribution(["adam", "sgd"]), 1.0, 2.0),
    ],
)
def test_a_range_knows_its_values(
    distribution: BaseDistribution, inside: float, outside: float
) -> None:
    assert contains(distribution, inside)
    assert not contains(distribution, outside)


def test_the_packages_that_a_sampler_imports_late_are_known() -> None:
    assert packages_of(CmaEsSampler()) == ["cmaes"]
    assert packages_of(RandomSampler()) == []


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("group", [False, True])
def test_tpe_seeded_anew_draws_as_one_made_with_the_seed(group: bool) -> None:
    further = {"n_startup_trials": 3, "multivariate": True, "group": group}
    adaptable = AdaptableTPESampler(seed=1, **further)  # type: ignore[arg-type]
    draws = []
    for sampler in (adaptable, TPESampler(seed=7, **further)):  # type: ignore[arg-type]
        study = optuna.create_study(sampler=RandomSampler(seed=0))
        for number in range(8):
            study.tell(study.ask(SPACE), float(number % 3))
        adaptable.reseed(7)
        study.sampler = sampler
        draws.append(study.ask(SPACE).params)
    assert draws[0] == draws[1]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("group", [False, True])
def test_tpe_draws_from_the_ranges_that_it_is_given(group: bool) -> None:
    class Narrow(AdaptableTPESampler):
        def drawn_from(self, space: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
            return {name: FloatDistribution(0.25, 0.26) for name in space}

    study = optuna.create_study(
        sampler=Narrow(seed=1, n_startup_trials=2, multivariate=True, group=group)
    )
    for _ in range(5):
        study.tell(trial := study.ask(), trial.suggest_float("share", 0.0, 1.0))
    assert all(0.25 <= trial.params["share"] <= 0.26 for trial in study.trials[2:])
