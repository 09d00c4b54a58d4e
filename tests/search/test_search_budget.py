"""A search keeps to its budget, and knows what everything cost."""

import random
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from searches import RANDOM, Search, kill, set_attribute, spec

from greensweep.config.sweeper import BudgetConfig
from greensweep.errors import TrialEnded
from greensweep.record.reporting import Progress, report
from greensweep.search.budget import Spending, Spent, over_budget, spent
from greensweep.search.cost import search_cost
from greensweep.search.cost_model import CostModel, whole_seconds
from greensweep.search.monitor import TrialMonitor
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import (
    FLOPS,
    OUTCOME,
    OWNER,
    PROGRESS,
    SEARCH_ENERGY,
    Outcome,
    Owner,
    counted,
    kept,
    outcome_of,
)
from greensweep.search.sentences import cost_sentences
from greensweep.search.space import Space
from greensweep.search.trial import finish_trial
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

SPACE = {"width": IntDistribution(1, 64, log=True), "epochs": IntDistribution(1, 6)}


class Truth:
    """What trials really cost, epoch by epoch: more or less the width, whatever they report."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.spent = 0.0
        self.dearest = 0.0  # of all epochs

    def epoch(self, width: int) -> float:
        joules = width * self.random.uniform(0.7, 1.4)
        self.spent += joules
        self.dearest = max(self.dearest, joules)
        return joules

    def task(self, params: Any) -> float:
        joules = 0.0
        for epoch in range(1, params["epochs"] + 1):
            joules += self.epoch(params["width"])
            report(epoch=epoch, accuracy=0.5, joules=joules, epochs=params["epochs"])
        return 0.5


def budgeted(folder: Path, seed: int, joules: float | None = None, **changes: Any) -> Any:
    return spec(
        folder,
        40,
        sampler=RANDOM,
        seed=seed,
        distributions=SPACE,
        budget=BudgetConfig(joules=joules),
        **changes,
    )


@pytest.mark.parametrize("block", range(5))
def test_fifty_searches_overshoot_by_an_epoch_at_most(tmp_path: Path, block: int) -> None:
    ends = set()
    for seed in range(10 * block, 10 * block + 10):
        budget = random.Random(seed).uniform(5.0, 600.0)
        truth = Truth(seed)
        found = Search(budgeted(tmp_path, seed, budget), truth.task, InMemoryStorage())
        ended = found.run()
        ends |= {outcome.status for trial in found.trials if (outcome := outcome_of(trial))}
        assert truth.spent <= budget + truth.dearest, seed
        assert (ended is None) == (len(counted(found.trials)) == 40)
        told = search_cost(found.spec, found.study)
        assert told.spent_joules == pytest.approx(truth.spent)
        assert told.left_joules == pytest.approx(max(budget - truth.spent, 0.0))
    assert {"finished", "stopped", "withdrawn"} >= ends > {"finished"}


def test_a_budget_is_nearly_used_up(tmp_path: Path) -> None:
    shares = []
    for seed in range(10):
        truth = Truth(seed)
        Search(budgeted(tmp_path, seed, 400.0), truth.task, InMemoryStorage()).run()
        shares.append(truth.spent / 400.0)
    assert sorted(shares)[5] > 0.6


def test_two_workers_overshoot_by_an_epoch_each_at_most(tmp_path: Path) -> None:
    for seed in range(15):
        turn, truth = random.Random(seed), Truth(seed)
        budget = turn.uniform(20.0, 600.0)
        found = Search(budgeted(tmp_path, seed, budget), truth.task, InMemoryStorage())
        workers: dict[int, Any] = {0: None, 1: None}  # what each is at
        while workers:
            worker = turn.choice(list(workers))
            if workers[worker] is None:
                reserved = found.queue.reserve()
                if reserved is None:
                    del workers[worker]
                    continue
                monitor = TrialMonitor(
                    found.spec, found.study, trial_of(found.study, reserved.number)
                )
                workers[worker] = reserved, monitor, 0, 0.0
                continue
            reserved, monitor, epoch, joules = workers[worker]
            joules += truth.epoch(reserved.params["width"])
            epoch += 1
            workers[worker] = reserved, monitor, epoch, joules
            last = reserved.params["epochs"]
            outcome = None
            try:
                monitor.on_epoch(Progress(epoch, 0.5, joules, joules, last))
                if epoch == last:
                    outcome = Outcome("finished", spent_joules=joules, epochs=epoch)
            except TrialEnded as ended:
                outcome = Outcome(ended.status, str(ended), spent_joules=joules, epochs=epoch)
            if outcome is not None:
                values = [0.5] if outcome.status == "finished" else None
                trial = trial_of(found.study, reserved.number)
                finish_trial(found.study, trial, outcome, values, tmp_path / "none")
                workers[worker] = None
        assert truth.spent <= budget + 2 * truth.dearest, seed


def test_a_trial_is_stopped_at_the_epoch_that_would_break_the_budget(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 11):
            report(epoch=epoch, accuracy=0.1 * epoch, joules=10.0 * epoch, epochs=10)
        return 1.0

    found = Search(budgeted(tmp_path, 0, 45.0), task)
    found.run(1)
    assert found.states() == ["PRUNED"]
    outcome = outcome_of(found.trials[0])
    assert outcome is not None
    assert (outcome.status, outcome.epochs, outcome.spent_joules) == ("stopped", 4, 40.0)
    assert outcome.error == (
        "stopped after epoch 4: 10 J more, as forecast, would exceed the budget of 45 J"
    )
    assert outcome.accuracy == pytest.approx(0.4)
    told = search_cost(found.spec, found.study)
    assert (told.stopped_joules, told.left_joules) == (40.0, 5.0)
    assert "Left of the budget of 45 J: 5 J." in cost_sentences(told)


def test_an_epoch_that_just_fits_is_run(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 5):
            report(epoch=epoch, joules=10.0 * epoch, epochs=4)
        return 1.0

    found = Search(budgeted(tmp_path, 0, 40.0), task)
    assert found.run() == "the budget of 40 J is spent"
    assert found.states() == ["COMPLETE"]


# Units


@pytest.mark.parametrize(
    ("budget", "joules"),
    [
        ({"joules": 100.0}, 100.0),
        ({"kwh": 0.001}, 3600.0),
        ({"emissions_kg": 0.002}, 2e-3 / 1e-7),
        ({"joules": 5000.0, "kwh": 0.001}, 3600.0),
        ({"emissions_kg": 1e-6, "kwh": 0.001}, 10.0),
        ({"hours": 1.0}, None),
        ({}, None),
    ],
)
def test_every_budget_of_energy_is_one_of_joules(
    tmp_path: Path, budget: dict[str, float], joules: float | None
) -> None:
    asked = spec(tmp_path, budget=BudgetConfig(**budget), kg_per_joule=1e-7)
    assert asked.budget_joules == (None if joules is None else pytest.approx(joules))
    assert asked.has_budget == bool(budget)


def test_a_budget_ends_when_it_is_used_up(tmp_path: Path) -> None:
    asked = spec(tmp_path, budget=BudgetConfig(joules=100.0, hours=2.0))
    assert over_budget(asked, Spent(99.0, 1.9)) is None
    assert over_budget(asked, Spent(100.0, 0.0)) == "the budget of 100 J is spent"
    assert over_budget(asked, Spent(0.0, 2.0)) == "the budget of 2 h is spent"
    assert over_budget(asked, Spent(90.0, 0.0), 10.0) is None
    assert over_budget(asked, Spent(90.0, 0.0), 10.1) == (
        "10.1 J more, as forecast, would exceed the budget of 100 J"
    )


# What was spent


def known(state: TrialState = TrialState.COMPLETE, **attributes: Any) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=state, values=[1.0] if state == TrialState.COMPLETE else None, user_attrs=attributes
    )


def test_every_kind_of_trial_costs(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.set_user_attr(f"{SEARCH_ENERGY}here:1:2", 1000.0)
    study.set_user_attr(f"{SEARCH_ENERGY}there:1:2", 2000.0)
    kinds = ["finished", "pruned", "stopped", "failed", "died"]
    trials = [
        known(**{OUTCOME: Outcome(kind, spent_joules=2.0**n, search_joules=0.1).to_json()})
        for n, kind in enumerate(kinds)
    ]
    trials.append(known(TrialState.RUNNING, **{PROGRESS: {"spent_joules": 32.0}}))
    trials.append(known(TrialState.RUNNING))
    trials.append(known(**{OUTCOME: Outcome("failed").to_json()}))
    for number, trial in enumerate(trials):
        trial.number = number
    assert spent(study, trials).joules == pytest.approx(3000.0 + 63.0 + 0.5)


def test_a_dead_trial_and_its_repeat_both_cost(tmp_path: Path) -> None:
    truth = Truth(0)
    found = Search(budgeted(tmp_path, 0, 500.0), truth.task)
    reserved = found.take()
    set_attribute(found, reserved.number, PROGRESS, {"epoch": 1, "spent_joules": 300.0})
    kill(found, reserved)
    found.queue.recover_dead()
    assert spent(found.study, found.trials).joules == 300.0
    again = found.take()
    assert isinstance(again, ReservedTrial)
    set_attribute(found, again.number, PROGRESS, {"epoch": 1, "spent_joules": 200.0})
    assert spent(found.study, found.trials).joules == 500.0
    assert found.queue.reserve() is None
    assert found.queue.ended() == "the budget of 500 J is spent"


def test_hours_are_those_in_which_any_trial_ran() -> None:
    noon = datetime(2026, 1, 1, 12)
    spans = [(0, 60), (30, 60), (200, 30), (205, 10), (225, 15)]  # minutes: start, length
    trials = []
    for start, length in spans:
        trial = known(**{OUTCOME: Outcome("finished", seconds=60.0 * length).to_json()})
        trial.datetime_start = noon + timedelta(minutes=start)
        trials.append(trial)
    running = known(TrialState.RUNNING, **{PROGRESS: {"seconds": 1200.0}})
    running.datetime_start = noon + timedelta(minutes=300)
    waiting = known(TrialState.WAITING)
    waiting.datetime_start = None
    found = spent(optuna.create_study(), [*reversed(trials), running, waiting])
    assert found.hours == pytest.approx((90 + 40 + 20) / 60)


@pytest.mark.parametrize("set_by", [-86400.0, -90.0, 60.0, 7200.0])
def test_hours_are_the_same_when_the_clock_is_set(set_by: float) -> None:
    """Minutes from the boot of a machine: two trials side by side, then, after a pause, a third."""
    noon = datetime(2026, 1, 1, 12)
    trials = []
    for number, (start, length) in enumerate([(100, 30), (110, 40), (200, 20)]):
        owner = Owner("here", 7 + number, f"boot/{number}", since=60.0 * start)
        ended = Outcome("finished", seconds=60.0 * length)
        trial = known(**{OUTCOME: ended.to_json(), OWNER: asdict(owner)})
        trial.datetime_start = noon + timedelta(minutes=start, seconds=set_by if number else 0)
        trials.append(trial)
    assert spent(optuna.create_study(), trials).hours == pytest.approx((50 + 20) / 60)


def test_hours_of_two_machines_are_compared_by_their_dates() -> None:
    noon = datetime(2026, 1, 1, 12)
    trials = []
    for host, booted, start in [("one", 1000, 0), ("other", 5, 30), ("other", 5, 60)]:
        owner = Owner(host, 7, "boot/1", since=60.0 * (booted + start))
        ended = Outcome("finished", seconds=3600.0)
        trial = known(**{OUTCOME: ended.to_json(), OWNER: asdict(owner)})
        trial.datetime_start = noon + timedelta(minutes=start)
        trials.append(trial)
    assert spent(optuna.create_study(), trials).hours == pytest.approx(2.0)


def test_a_budget_of_hours_stops_a_trial_and_the_search(tmp_path: Path, clock: list[float]) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 10):
            clock[0] += 900.0
            report(epoch=epoch, epochs=9)
        return 1.0

    asked = spec(tmp_path, 9, sampler=RANDOM, budget=BudgetConfig(hours=1.0))
    found = Search(asked, task)
    assert (
        found.run() == "the budget of 1 h is spent, before a trial finished: one takes about 2.2 h"
    )
    outcome = outcome_of(found.trials[0])
    assert outcome is not None
    assert (outcome.status, outcome.epochs, outcome.seconds) == ("stopped", 4, 3600.0)
    told = search_cost(asked, found.study)
    assert (told.hours, told.left_hours, told.spent_joules) == (1.0, 0.0, None)


# Forecasts


def test_a_cost_that_is_a_product_of_powers_is_forecast_to_a_few_percent() -> None:
    space = {
        "epochs": IntDistribution(1, 50, log=True),
        "width": FloatDistribution(1.0, 64.0, log=True),
        "kind": CategoricalDistribution(["cpu", "gpu", "tpu"]),
    }
    factors = {"cpu": 1.0, "gpu": 3.0, "tpu": 0.5}

    def cost(params: dict[str, Any]) -> float:
        return 2.0 * params["epochs"] * params["width"] ** 1.7 * factors[params["kind"]]

    draw = random.Random(1)

    def point() -> dict[str, Any]:
        return {
            "epochs": draw.randint(1, 50),
            "width": draw.uniform(1.0, 64.0),
            "kind": draw.choice(list(factors)),
        }

    trials = []
    for params in (point() for _ in range(20)):
        outcome = Outcome("finished", spent_joules=cost(params))
        trials.append(
            create_trial(
                params=params,
                distributions=space,
                value=1.0,
                user_attrs={OUTCOME: outcome.to_json()},
            )
        )
    model = CostModel(Space(space), trials)
    for params in (point() for _ in range(20)):
        forecast = model.of_trial(params)
        assert forecast == pytest.approx(cost(params), rel=0.05)


@pytest.mark.parametrize(("budget", "fits"), [(52.0, True), (48.0, False)])
def test_of_a_running_trial_a_budget_keeps_back_what_that_still_needs(
    tmp_path: Path, budget: float, fits: bool
) -> None:
    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=10.0, epochs=1)
        return 0.5

    asked = spec(
        tmp_path,
        9,
        sampler=RANDOM,
        distributions={"x": FloatDistribution(0.0, 1.0)},
        budget=BudgetConfig(joules=budget),
    )
    search = Search(asked, task, InMemoryStorage())
    search.run(3)
    running = search.take().number
    set_attribute(search, running, PROGRESS, {"epoch": 4, "epochs": 5, "spent_joules": 8.0})
    # 38 J are spent, 2 J are needed to its end, and 10 J by the next.
    assert isinstance(search.queue.reserve(), ReservedTrial) == fits


def test_what_it_takes_to_draw_a_trial_is_told_by_the_latest() -> None:
    trials = [
        create_trial(
            value=1.0,
            user_attrs={OUTCOME: Outcome("finished", search_joules=joules).to_json()},
        )
        for joules in (9.0, 1.0, 2.0, 1.0)
    ]
    spending = Spending()
    assert spending.drawing_joules == 0.0
    for trial in trials:
        spending.add(trial)
    assert spending.drawing_joules == 2.0


def test_a_cheaper_run_is_forecast_by_runs_of_its_own_kind() -> None:
    space = {"width": IntDistribution(1, 8)}

    def ran(width: int, fidelity: int, joules: float) -> FrozenTrial:
        outcome = Outcome("finished", spent_joules=joules).to_json()
        return create_trial(
            params={"width": width},
            distributions=space,
            value=1.0,
            user_attrs={OUTCOME: outcome},
            system_attrs={"greensweep:fidelity": fidelity},
        )

    trials = [ran(width, way, 100.0 * width / 10**way) for width in (1, 2, 4, 8) for way in (0, 1)]
    model = CostModel(Space(space), trials)
    costs = [forecast for way in (0, 1) if (forecast := model.of_trial({"width": 4}, way))]
    assert costs == pytest.approx([400.0, 40.0], rel=0.1)


def computing(params: dict[str, Any], flops: float, joules: float) -> FrozenTrial:
    """A finished trial that was forecast to compute so much."""
    outcome = Outcome("finished", spent_joules=joules).to_json()
    attributes = {OUTCOME: outcome, FLOPS: flops}
    return create_trial(params=params, distributions=KINDS, value=1.0, user_attrs=attributes)


KINDS = {"kind": CategoricalDistribution(["small", "large", "huge"])}


def test_one_trial_tells_what_others_cost_by_their_flops() -> None:
    model = CostModel(Space(KINDS), [computing({"kind": "small"}, 1e9, 5.0)])
    forecast = model.of_trial({"kind": "huge"}, flops=8e9)
    assert forecast == pytest.approx(40.0)
    blind = model.of_trial({"kind": "huge"})
    assert blind == pytest.approx(5.0), "what is not known is believed to be as before"


def test_a_choice_that_was_never_tried_is_forecast_by_its_flops() -> None:
    known = [("small", 1e9), ("large", 4e9), ("small", 2e9), ("large", 8e9)]
    trials = [computing({"kind": kind}, flops, 3.0 * (flops / 1e9) ** 0.9) for kind, flops in known]
    forecast = CostModel(Space(KINDS), trials).of_trial({"kind": "huge"}, flops=1.6e10)
    assert forecast == pytest.approx(3.0 * 16**0.9, rel=0.15)


def test_flops_that_only_some_trials_have_are_left_out() -> None:
    without = create_trial(
        params={"kind": "small"},
        distributions=KINDS,
        value=1.0,
        user_attrs={OUTCOME: Outcome("finished", spent_joules=5.0).to_json()},
    )
    model = CostModel(Space(KINDS), [without, computing({"kind": "small"}, 1e9, 5.0)])
    forecast = model.of_trial({"kind": "huge"}, flops=8e9)
    assert forecast == pytest.approx(5.0)


def test_a_trial_too_large_for_the_budget_is_not_started_though_none_like_it_has_run(
    tmp_path: Path,
) -> None:
    asked = spec(
        tmp_path,
        9,
        sampler=RANDOM,
        distributions=KINDS,
        budget=BudgetConfig(joules=100.0),
        enqueue=[{"kind": "small"}, {"kind": "huge"}],
    )
    flops = {"small": 1e9, "large": 4e9, "huge": 2e10}

    def task(_: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=5.0, epochs=1)
        return 0.5

    found = Search(asked, task)
    found.queue = TrialQueue(
        asked,
        found.study,
        lambda trial: found.folder(trial.number),
        flops_of=lambda reserved: flops[reserved.params["kind"]],
    )
    ended = found.run()
    assert found.states() == ["COMPLETE", "FAIL"]
    assert ended == "100 J more, as forecast, would exceed the budget of 100 J"
    assert [kept(trial, FLOPS) for trial in found.trials] == [1e9, 2e10]


def test_few_trials_are_forecast_by_their_geometric_mean() -> None:
    assert CostModel(Space(SPACE), []).of_trial({"width": 1, "epochs": 1}) is None
    trials = [
        create_trial(
            params={"width": 1, "epochs": 1},
            distributions=SPACE,
            value=1.0,
            user_attrs={OUTCOME: Outcome(status, spent_joules=joules).to_json()},
            state=state,
        )
        for state, status, joules in (
            (TrialState.COMPLETE, "finished", 10.0),
            (TrialState.COMPLETE, "finished", 40.0),
            (TrialState.COMPLETE, "finished", None),
        )
    ]
    forecast = CostModel(Space(SPACE), trials).of_trial({"width": 64, "epochs": 6})
    assert forecast == pytest.approx(20.0)


def test_trials_that_ended_early_teach_what_their_whole_would_have_cost() -> None:
    params = {"width": 1, "epochs": 1}

    def trial(status: Any, state: TrialState, **figures: Any) -> FrozenTrial:
        outcome = Outcome(status, **figures).to_json()
        value = 1.0 if state == TrialState.COMPLETE else None
        return create_trial(
            params=params,
            distributions=SPACE,
            value=value,
            user_attrs={OUTCOME: outcome},
            state=state,
        )

    early = {"epochs": 2, "epochs_planned": 10, "seconds": 3.0}
    trials = [
        trial("pruned", TrialState.PRUNED, spent_joules=4.0, **early),
        trial("stopped", TrialState.PRUNED, spent_joules=4.0, **early),
        trial("failed", TrialState.FAIL, spent_joules=900.0, **early),
    ]
    forecast = CostModel(Space(SPACE), trials).of_trial(params)
    assert forecast == pytest.approx(20.0)
    forecast = CostModel(Space(SPACE), trials, whole_seconds).of_trial(params)
    assert forecast == pytest.approx(15.0)


def test_a_step_that_would_take_longer_than_is_left_is_over_the_budget(tmp_path: Path) -> None:
    asked = spec(tmp_path, budget=BudgetConfig(hours=1.0))
    used = Spent(joules=0.0, hours=0.5)
    assert over_budget(asked, used, next_seconds=1800.0) is None
    said = over_budget(asked, used, next_seconds=2000.0)
    assert said == "33.3 min more, as forecast, would exceed the budget of 1 h"


def test_a_trial_whose_forecast_seconds_are_not_left_is_not_started(tmp_path: Path) -> None:
    asked = spec(tmp_path, 9, sampler=RANDOM, distributions=SPACE, budget=BudgetConfig(hours=1.0))
    found = Search(asked, lambda _: 1.0)
    known = create_trial(
        params={"width": 1, "epochs": 1},
        distributions=SPACE,
        value=1.0,
        user_attrs={OUTCOME: Outcome("finished", seconds=4000.0).to_json()},
    )
    known.datetime_start = datetime.now() + timedelta(hours=-0.5)
    found.study.add_trial(known)
    # Its hour is over, whatever it was: with a longer budget the next trial is what is too long.
    longer = Search(replace(asked, extend=True, budget=BudgetConfig(hours=1.5)), lambda _: 1.0)
    assert longer.queue.reserve() is None
    assert longer.queue.ended() == "66.7 min more, as forecast, would exceed the budget of 1.5 h"
    assert longer.states() == ["COMPLETE", "FAIL"]


def test_the_search_itself_fits_into_the_budget_too(tmp_path: Path) -> None:
    """Drawing is charged when a trial starts, and once more to find that nothing is left."""

    def task(params: Any) -> float:
        for epoch in range(1, 5):
            report(epoch=epoch, accuracy=0.5, joules=10.0 * epoch, epochs=4)
        return 1.0

    for budget in range(30, 300, 7):
        folder = tmp_path / str(budget)
        found = Search(budgeted(folder, 0, float(budget)), task, InMemoryStorage())
        while isinstance(reserved := found.queue.reserve(), ReservedTrial):
            found.run_one(reserved, search_joules=9.0)
        used = spent(found.study, found.trials).joules
        assert budget - 60.0 < used <= budget - 9.0, budget


def test_a_trial_is_stopped_at_the_epoch_that_would_break_the_hours(
    tmp_path: Path, clock: list[float]
) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 10):
            clock[0] += 1000.0
            report(epoch=epoch, epochs=9)
        return 1.0

    found = Search(spec(tmp_path, 9, sampler=RANDOM, budget=BudgetConfig(hours=1.0)), task)
    found.run(1)
    outcome = outcome_of(found.trials[0])
    assert outcome is not None
    assert (outcome.status, outcome.epochs) == ("stopped", 3)
    assert "16.7 min more, as forecast, would exceed the budget of 1 h" in str(outcome.error)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"joules": 10.0, "kwh": 1.0}, "10 J"),
        ({"kwh": 0.001}, "0.001 kWh (3.6 kJ)"),
        ({"emissions_kg": 1e-5}, "1e-05 kg CO2e (100 J)"),
    ],
)
def test_a_budget_is_told_in_the_unit_that_it_was_given_in(
    tmp_path: Path, budget: dict[str, float], said: str
) -> None:
    asked = spec(tmp_path, budget=BudgetConfig(**budget), kg_per_joule=1e-7)
    assert over_budget(asked, Spent(1e6, 0.0)) == f"the budget of {said} is spent"
