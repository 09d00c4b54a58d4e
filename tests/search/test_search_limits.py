"""Budgets and constraints bind while a trial runs, or the search is refused."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from optuna.storages import InMemoryStorage
from searches import RANDOM, Purse, Search, spec
from test_search_failures import run_all

from greensweep.config.schema import TrainConfig
from greensweep.config.sweeper import BudgetConfig
from greensweep.energy import Meter, ScriptedMeter, UnmeteredMeter
from greensweep.errors import ConstraintError, TrialEnded
from greensweep.record.measuring import measured_by
from greensweep.record.reporting import Progress, report, report_progress, report_repeat
from greensweep.record.result import read_result
from greensweep.runs.repeats import run_repeats
from greensweep.search.constraints import broken_by
from greensweep.search.cost import search_cost
from greensweep.search.monitor import TrialMonitor
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import PROGRESS, Outcome, kept, outcome_of
from greensweep.tracking.tracker import MemoryTracker

SPACE = {"width": IntDistribution(1, 64, log=True)}


def search(
    folder: Path, task: Any, n_trials: int = 3, meter: Meter | None = None, **changes: Any
) -> Search:
    asked = spec(folder, n_trials, sampler=RANDOM, distributions=SPACE, **changes)
    return Search(asked, task, InMemoryStorage(), meter)


def ended(found: Search, number: int = 0) -> Outcome:
    outcome = outcome_of(found.trials[number])
    assert outcome is not None
    return outcome


# A program of one's own: what its set-up spends


def own_loop(purse: Purse, set_up: float, epochs: int = 10, an_epoch: float = 50.0) -> Any:
    """A program that loads its data, then measures and reports its epochs."""

    def task(_: Any) -> float:
        purse.spend(set_up)
        with measured_by(UnmeteredMeter()):
            for epoch in range(1, epochs + 1):
                purse.spend(an_epoch)
                report(epoch=epoch, accuracy=0.5, epochs=epochs)
        return 0.5

    return task


def test_a_budget_counts_what_a_program_spent_before_it_measured(tmp_path: Path) -> None:
    purse = Purse()
    asked = BudgetConfig(joules=400.0)
    found = search(tmp_path, own_loop(purse, set_up=100.0), meter=purse, budget=asked)
    ended_by = found.run()
    assert purse.spent == 400.0
    assert (
        ended_by == "the budget of 400 J is spent, before a trial finished: one takes about 600 J"
    )
    assert (ended(found).status, ended(found).epochs) == ("stopped", 6)
    assert (ended(found).joules, ended(found).spent_joules) == (300.0, 400.0)
    assert search_cost(found.spec, found.study).left_joules == 0.0


def test_a_constraint_on_all_joules_counts_the_set_up_and_one_on_training_does_not(
    tmp_path: Path,
) -> None:
    for name, bound, epochs in (("spent", "max_joules_per_run", 5), ("trained", "max_joules", 7)):
        purse = Purse()
        found = search(
            tmp_path / name, own_loop(purse, 100.0), 1, purse, constraints={bound: 325.0}
        )
        found.run()
        assert (ended(found).status, ended(found).epochs) == ("pruned", epochs)
        assert ended(found).error == (f"pruned after epoch {epochs}: 350 J are above {bound}=325")


@pytest.mark.parametrize("tells", [True, False], ids=["told", "not told"])
def test_own_loops_overshoot_by_one_epoch_at_most(tmp_path: Path, tells: bool) -> None:
    """A set-up that is told by `report(epoch=0)` counts as an epoch, else as part of the first."""
    for seed in range(12):
        draw, purse = random.Random(seed), Purse()
        budget = draw.uniform(20.0, 900.0)
        task, begun = program_with_set_up(draw, purse, tells)
        found = search(tmp_path, task, 30, purse, budget=BudgetConfig(joules=budget), seed=seed)
        found.run()
        assert max(begun) <= budget, seed
        assert search_cost(found.spec, found.study).spent_joules == pytest.approx(purse.spent)


def program_with_set_up(draw: random.Random, purse: Purse, tells: bool) -> tuple[Any, list[float]]:
    """A program that measures its epochs alone, and what was spent when it began each of them."""
    begun: list[float] = []

    def task(params: Any) -> float:
        begun.append(purse.spent)
        purse.spend(draw.uniform(0.0, 120.0))
        if tells:
            report(epoch=0)
        with measured_by(UnmeteredMeter()):
            for epoch in range(1, 6):
                if tells or epoch > 1:
                    begun.append(purse.spent)
                purse.spend(params["width"] * draw.uniform(0.7, 1.4))
                report(epoch=epoch, accuracy=0.5, epochs=5)
        return 0.5

    return task, begun


def test_a_set_up_that_uses_the_budget_up_ends_the_trial_before_its_first_epoch(
    tmp_path: Path,
) -> None:
    purse = Purse()

    def task(_: Any) -> float:
        purse.spend(500.0)
        report(epoch=0)
        raise AssertionError("it trains")

    found = search(tmp_path, task, meter=purse, budget=BudgetConfig(joules=400.0))
    assert found.run() == "the budget of 400 J is spent"
    assert found.states() == ["PRUNED"]
    assert ended(found).error == "stopped before its first epoch: the budget of 400 J is spent"
    assert (ended(found).epochs, ended(found).curve) == (0, ())


def test_an_epoch_is_forecast_without_the_set_up(tmp_path: Path) -> None:
    """At the second report it is known that an epoch costs 10 J and not 110 J."""
    purse = Purse()

    def task(_: Any) -> float:
        purse.spend(100.0)
        for epoch in range(1, 31):
            purse.spend(10.0)
            report(epoch=epoch, accuracy=0.5, epochs=30)
        return 0.5

    found = search(tmp_path, task, meter=purse, budget=BudgetConfig(joules=300.0))
    found.run(1)
    assert purse.spent == 300.0


def test_another_workers_set_up_counts_as_soon_as_it_is_told(tmp_path: Path) -> None:
    found = search(tmp_path, lambda _: 0.5, budget=BudgetConfig(joules=400.0))
    one, other = found.take(), found.take()
    monitor = TrialMonitor(found.spec, found.study, trial_of(found.study, one.number))
    monitor.on_epoch(Progress(0, spent_joules=395.0, epochs=9))
    second = TrialMonitor(found.spec, found.study, trial_of(found.study, other.number))
    with pytest.raises(TrialEnded, match="before its first epoch: the budget of 400 J is spent"):
        second.on_epoch(Progress(0, spent_joules=20.0, epochs=9))


def test_joules_that_a_program_tells_itself_are_not_forgotten_at_its_end(tmp_path: Path) -> None:
    def task(_: Any) -> float:
        for epoch in range(1, 4):
            report(epoch=epoch, accuracy=0.5, joules=40.0 * epoch, epochs=3)
        return 0.5

    found = search(tmp_path, task, meter=UnmeteredMeter(), budget=BudgetConfig(joules=200.0))
    found.run()
    assert ended(found).spent_joules == 120.0
    assert search_cost(found.spec, found.study).spent_joules <= 240.0


# Repeats

Compose = Callable[..., TrainConfig]


def repeated(found: list[Search], config: TrainConfig, meter: Meter) -> Any:
    def task(_: Any) -> float:
        number = len(found[0].trials) - 1
        result = run_repeats(
            config, found[0].folder(number), meter=meter, tracker=MemoryTracker(), test=False
        )
        assert result.accuracy is not None
        return result.accuracy

    return task


QUICK = (
    "training.epochs=1", "dataset.train_limit=100", "dataset.evaluation_limit=50",
    "model=dense_linear", "inference.seconds=0", "tracking=local",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"budget": BudgetConfig(joules=30.0)}, "stopped"),
        ({"constraints": {"max_joules_per_run": 29.0}}, "pruned"),
        ({"constraints": {"max_energy_joules": 0.7}}, "pruned"),
        ({"constraints": {"max_time": 0.7}}, "pruned"),
    ],
    ids=["budget", "spent joules", "mean joules", "mean seconds"],
)
def test_repeats_of_one_epoch_are_ended_too(
    config: Compose, tmp_path: Path, changes: dict[str, Any], status: str
) -> None:
    """Each lap is of a second and a joule: a repeat trains for one of each, and spends 10."""
    cell: list[Search] = []
    task = repeated(cell, config(*QUICK, "repeats=4"), ScriptedMeter([(1.0, 1.0)]))
    cell.append(search(tmp_path, task, 1, **changes))
    cell[0].run()
    result = read_result(tmp_path / "0")
    assert (result.status, ended(cell[0]).status) == (status, status)
    assert [run.status for run in result.repeat_runs] == ["finished"] * 3


def test_the_time_of_earlier_repeats_is_no_part_of_what_an_epoch_takes(
    tmp_path: Path, clock: list[float]
) -> None:
    """Two repeats of two epochs of 100 s: 400 s, of a budget of 410 s."""

    def task(_: Any) -> float:
        for repeat in (0, 1):
            for epoch in (1, 2):
                clock[0] += 100.0
                report_progress(Progress(epoch, 0.5, None, None, 2, repeat=repeat, repeats=2))
            report_repeat(Progress(2, 0.5, None, None, 2, repeat=repeat, repeats=2))
        return 0.5

    found = search(tmp_path, task, 1, budget=BudgetConfig(hours=410.0 / 3600.0))
    found.run()
    assert ended(found).status == "finished"


@pytest.mark.parametrize(
    ("bound", "looks"), [(0.6, 1), (1.0, 3), (1.3, 3), (2.5, 6), (2.8, 7), (2.9, 9), (3.0, 9)]
)
def test_repeats_end_once_their_mean_cannot_keep_the_bound(
    tmp_path: Path, bound: float, looks: int
) -> None:
    """Of 4, 4 and 1 s the mean is 3 s; a bound that it keeps ends none of them."""
    looked = []

    def task(_: Any) -> float:
        for repeat, length in enumerate([4.0, 4.0, 1.0]):
            for epoch in (1, 2):
                seconds = length * epoch / 2
                looked.append(seconds)
                report_progress(
                    Progress(epoch, 0.5, None, None, 2, repeat=repeat, repeats=3, seconds=seconds)
                )
            looked.append(length)
            report_repeat(Progress(2, 0.5, None, None, 2, repeat=repeat, repeats=3, seconds=length))
        return 0.5

    found = search(tmp_path, task, 1, constraints={"max_seconds": bound})
    found.run()
    assert len(looked) == looks
    finished = Outcome("finished", seconds=3.0)
    if found.states() == ["PRUNED"]:
        assert broken_by({"max_seconds": bound}, finished, None)["max_seconds"] > 0


def test_ctrl_c_is_heard_between_repeats_of_one_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def task(_: Any) -> float:
        for repeat in range(5):
            ran.append(repeat)
            report_progress(Progress(1, 0.5, epochs=1, repeat=repeat, repeats=5))
            monkeypatch.setattr("greensweep.search.interrupt._asked", True)
            report_repeat(Progress(1, 0.5, epochs=1, repeat=repeat, repeats=5))
        return 0.5

    found = search(tmp_path, task, 1)
    found.run(1)
    assert ran == [0]
    assert (ended(found).status, ended(found).interrupted) == ("stopped", True)


# Figures that only grow, and figures that are fixed


@pytest.mark.parametrize(
    ("constraint", "bound", "said"),
    [
        ("max_seconds", 25.0, "pruned after epoch 3: 30 s are above max_seconds=25"),
        ("max_time", 25.0, "pruned after epoch 3: 30 s are above max_time=25"),
        ("max_epochs", 2, "pruned after epoch 3: 3 epochs are above max_epochs=2"),
        ("max_joules", 250.0, "pruned after epoch 3: 300 J are above max_joules=250"),
        ("max_energy", 250.0, "pruned after epoch 3: 300 J are above max_energy=250"),
        ("max_spent_joules", 250.0, "pruned after epoch 3: 300 J are above max_spent_joules=250"),
        ("max_energy_kwh", 7e-5, "after epoch 3: 8.333e-05 kWh are above max_energy_kwh=7e-05"),
        ("max_emissions", 0.25, "pruned after epoch 3: 0.3 kg CO2e are above max_emissions=0.25"),
    ],
)
def test_a_figure_that_only_grows_ends_the_trial_once_above_its_bound(
    tmp_path: Path, clock: list[float], constraint: str, bound: float, said: str
) -> None:
    def task(_: Any) -> float:
        for epoch in range(1, 10):
            clock[0] += 10.0
            report(epoch=epoch, accuracy=0.1, joules=100.0 * epoch, epochs=9)
        return 0.1

    found = search(tmp_path, task, 1, constraints={constraint: bound}, kg_per_joule=1e-3)
    found.run()
    assert found.states() == ["PRUNED"]
    assert said in str(ended(found).error)


@pytest.mark.parametrize("constraint", ["min_seconds", "min_joules", "max_accuracy", "min_epochs"])
def test_what_may_still_change_ends_no_trial(tmp_path: Path, constraint: str) -> None:
    def task(_: Any) -> float:
        for epoch in range(1, 4):
            report(epoch=epoch, accuracy=0.9 / epoch, joules=1.0 * epoch, epochs=3)
        return 0.3

    bound = {"max_accuracy": 0.5}.get(constraint, 2.5)
    found = search(tmp_path, task, 1, constraints={constraint: bound})
    found.run()
    assert found.states() == ["COMPLETE"]


@pytest.mark.parametrize(
    ("constraint", "bound", "epochs"),
    [("max_size", 700, 1), ("max_size", 600, 0), ("min_parameters", 700, 0), ("max_flops", 9, 0)],
)
def test_a_network_that_is_too_large_is_not_trained(
    config: Compose, tmp_path: Path, constraint: str, bound: float, epochs: int
) -> None:
    cell: list[Search] = []
    chosen = (*QUICK, "model.linear_layers=1", "energy=unmetered")  # of 64 pixels to 10 classes
    task = repeated(cell, config(*chosen), UnmeteredMeter())
    cell.append(search(tmp_path, task, 1, constraints={constraint: bound}))
    cell[0].run()
    result = read_result(tmp_path / "0")
    assert (result.epochs, result.parameters) == (epochs, 650)
    assert cell[0].states() == ["COMPLETE" if epochs else "PRUNED"]
    if not epochs:
        assert "pruned before its first epoch" in str(ended(cell[0]).error)


# Where nothing tells the figure


def unmetered_loop(_: Any) -> float:
    for epoch in range(1, 4):
        report(epoch=epoch, accuracy=0.5, epochs=3)
    return 0.5


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"budget": BudgetConfig(joules=400.0)}, "hydra.sweeper.budget.joules=400"),
        ({"budget": BudgetConfig(kwh=1.0, hours=1.0)}, "hydra.sweeper.budget.kwh=1"),
        ({"constraints": {"max_joules_per_run": 5}}, "constraints.max_joules_per_run=5"),
        ({"price_per_kilojoule": 0.1}, "hydra.sweeper.price_per_kilojoule=0.1"),
    ],
)
def test_a_search_ends_at_the_first_report_that_tells_no_joules(
    tmp_path: Path, changes: dict[str, Any], option: str
) -> None:
    found = search(tmp_path, unmetered_loop, **changes)
    said = "nothing reported its joules after epoch 1"
    with pytest.raises(ConstraintError, match=said) as refused:
        run_all(found)
    assert option in str(refused.value)
    assert found.states() == ["FAIL"]


def test_a_program_that_reports_nothing_is_refused_after_its_first_trial(tmp_path: Path) -> None:
    found = search(tmp_path, lambda _: 0.5, budget=BudgetConfig(joules=400.0))
    with pytest.raises(ConstraintError, match="nothing reported its joules in a whole trial"):
        run_all(found)
    assert found.states() == ["FAIL"]


def test_a_figure_that_no_trial_has_ends_the_search_after_the_first(tmp_path: Path) -> None:
    found = search(tmp_path, lambda _: 0.5, constraints={"min_accuracy": 0.5})
    with pytest.raises(ConstraintError, match="min_accuracy bounds accuracy"):
        run_all(found)
    assert found.states() == ["FAIL"]


def test_a_figure_that_one_trial_lacks_fails_that_trial_alone(tmp_path: Path) -> None:
    told = iter([0.9, None, 0.9])

    def task(_: Any) -> float:
        report(epoch=1, accuracy=next(told), epochs=1)
        return 0.5

    found = search(tmp_path, task, constraints={"min_accuracy": 0.5})
    run_all(found)
    assert found.states() == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_network_whose_bounded_figure_cannot_be_told_is_not_trained(tmp_path: Path) -> None:
    ran = []

    def task(_: Any) -> float:
        report_progress(Progress(0, epochs=2, known={"flops": None}))
        ran.append(1)
        return 0.5

    found = search(tmp_path, task, constraints={"max_flops": 100.0})
    with pytest.raises(ConstraintError, match="max_flops bounds flops, which cannot be computed"):
        run_all(found)
    assert not ran


def test_a_program_that_wraps_the_refusal_is_refused_all_the_same(tmp_path: Path) -> None:
    def task(_: Any) -> float:
        try:
            return unmetered_loop(_)
        except Exception as error:
            raise RuntimeError("the trainer failed") from error

    found = search(tmp_path, task, budget=BudgetConfig(joules=400.0))
    with pytest.raises(ConstraintError):
        run_all(found)


@pytest.mark.parametrize(
    "changes",
    [{"budget": BudgetConfig(joules=400.0)}, {"constraints": {"max_joules_per_run": 400.0}}],
    ids=["budget", "constraint"],
)
def test_a_meter_that_fails_midway_is_told_and_ends_the_search(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """What flows after that is not counted, and would be taken for nothing."""
    purse = Purse()

    def task(_: Any) -> float:
        for epoch in range(1, 100):
            purse.spend(10.0 if epoch < 3 else 0.0)
            purse.lost = frozenset({"cpu", "ram"} if epoch >= 3 else ())
            report(epoch=epoch, accuracy=0.5, epochs=100)
        return 0.5

    found = search(tmp_path, task, meter=purse, **changes)
    with pytest.raises(ConstraintError, match="the meter of cpu and ram failed after epoch 3"):
        run_all(found)
    assert ended(found).spent_joules == 20.0
    assert search(tmp_path, task, 1, purse).run() is None, "without a bound it goes on"


def test_what_a_dead_trial_had_told_of_its_set_up_counts(tmp_path: Path) -> None:
    found = search(tmp_path, lambda _: 0.5, budget=BudgetConfig(joules=400.0))
    reserved = found.take()
    TrialMonitor(found.spec, found.study, trial_of(found.study, reserved.number)).on_epoch(
        Progress(0, spent_joules=395.0, epochs=3)
    )
    assert kept(trial_of(found.study, reserved.number), PROGRESS)["spent_joules"] == 395.0


@pytest.fixture(autouse=True)
def no_open_block() -> Iterator[None]:
    """See that no test leaves a meter open."""
    from greensweep.record.measuring import open_windows

    yield
    assert open_windows() == ()
