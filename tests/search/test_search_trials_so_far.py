"""Long searches: trials are read on, not anew, and what is known is what all of them come to."""

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial
from searches import RANDOM, SPACE, Search, accuracy_of, joules_of, spec, task_of_epochs
from sqlalchemy import event

from greensweep.config.sweeper import BudgetConfig
from greensweep.search.best import best_trials
from greensweep.search.budget import spent
from greensweep.search.records import OUTCOME, Outcome, counted, retried_numbers, runs_again
from greensweep.search.samplers.deduplicating import TakenPoints
from greensweep.search.space import Space
from greensweep.search.storage import open_storage
from greensweep.search.trial import finish_trial
from greensweep.search.trials_so_far import TrialsSoFar


def fill(search: Search, trials: int, seed: int = 0) -> None:
    """Let a study have so many trials that finished."""
    draw = random.Random(seed)
    known = []
    for number in range(trials):
        point = {"rate": 10 ** draw.uniform(-5.0, -1.0), "width": draw.randint(1, 8)}
        values = [accuracy_of(point), joules_of(point)][: len(search.spec.directions)]
        outcome = Outcome("finished", spent_joules=joules_of(point), seconds=1.0, epochs=1)
        known.append(
            create_trial(
                values=values,
                params=point,
                distributions=SPACE,
                system_attrs={f"greensweep:{OUTCOME}": outcome.to_json(), "at": number},
            )
        )
    search.study.add_trials(known)


def calls(of: Callable[[], Any]) -> int:
    """How many calls of Python functions something takes, in our code and Optuna's samplers."""
    found = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        name = frame.f_code.co_filename
        found += event == "call" and ("greensweep" in name or "samplers" in name)

    sys.setprofile(count)
    try:
        of()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_what_is_known_is_what_all_trials_come_to(tmp_path: Path, seed: int) -> None:
    """Whatever happens to trials, and however seldom they are looked at."""
    draw = random.Random(seed)
    objectives = 1 + seed % 2
    search = Search(
        spec(tmp_path, 500, sampler=RANDOM, directions=("maximize", "minimize")[:objectives]),
        task_of_epochs(1),
        InMemoryStorage(),
    )
    study, so_far = search.study, TrialsSoFar(search.study)
    space = Space(SPACE)
    taken = TakenPoints(space)
    for _ in range(60):
        for _ in range(draw.randint(1, 5)):
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if not running or draw.random() < 0.4:
                study.ask(SPACE)
                continue
            trial = draw.choice(running)
            status = draw.choice(
                ["finished", "pruned", "failed", "stopped", "died", "lost", "withdrawn"]
            )
            is_interrupted = status == "stopped" and draw.random() < 0.7
            outcome = Outcome(
                status,  # type: ignore[arg-type]
                spent_joules=draw.random(),
                search_joules=draw.random() if draw.random() < 0.5 else None,
                seconds=draw.uniform(0.0, 0.01),
                interrupted=is_interrupted,
            )
            if status in ("died", "lost") or (
                (is_interrupted or runs_again(trial)) and draw.random() < 0.5
            ):
                search.queue.run_again(trial)
            values = [draw.randint(0, 3), draw.randint(0, 3)][:objectives]
            broken = {"joules<=1": draw.choice([-1.0, 1.0])}
            is_finished = status == "finished"
            finish_trial(study, trial, outcome, values if is_finished else None, tmp_path, broken)
            if is_interrupted and draw.random() < 0.5:
                search.queue.run_again(study.trials[trial.number])
        so_far.read()
        trials = study.get_trials(deepcopy=False)
        count = counted(trials)
        assert so_far.counted == len(count)
        assert so_far.states == Counter(each.state for each in count)
        assert [each for each in trials if so_far.counts(each)] == count
        left = [each for each in trials if runs_again(each)]
        repeated = retried_numbers(trials)
        assert so_far.left_to_repeat() == [each for each in left if each.number not in repeated]
        assert so_far.best == best_trials(trials, study)
        assert so_far.spent().joules == pytest.approx(spent(study, trials).joules)
        assert so_far.spent().hours == pytest.approx(spent(study, trials).hours)
        assert sorted(taken.read(so_far).in_fidelity(0)) == sorted(
            {space.key(each.params) for each in count}  # type: ignore[type-var]
        )
        number = draw.randrange(len(trials))
        assert so_far.counted_before(number) == sum(each.number < number for each in count)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        RANDOM,
        ("optuna.samplers.TPESampler", {}),
        ("optuna.samplers.NSGAIISampler", {"population_size": 10}),
        ("greensweep.search.samplers.ScaledTPESampler", {}),
    ],
    ids=lambda each: each.rpartition(".")[2] if isinstance(each, str) else "",
)
def test_a_draw_late_in_a_search_takes_no_more_work(
    tmp_path: Path, name: str, arguments: dict[str, Any]
) -> None:
    work = []
    for trials in (1200, 3600):
        search = Search(
            spec(tmp_path / str(trials), 10_000, sampler=(name, arguments)),
            task_of_epochs(1),
            InMemoryStorage(),
        )
        fill(search, trials)
        search.run_one(search.take())
        work.append(calls(search.queue.reserve))
    assert work[1] < 1.3 * work[0]


def test_a_grid_late_in_its_order_takes_no_more_work(tmp_path: Path) -> None:
    ranges = {"width": optuna.distributions.IntDistribution(1, 300)}
    sampler = ("optuna.samplers.GridSampler", {})
    search = Search(
        spec(tmp_path, 300, sampler=sampler, distributions=ranges),
        lambda params: float(params["width"]),
        InMemoryStorage(),
    )
    work = []
    for late in (50, 150):
        while len(search.trials) < late:
            search.run_one(search.take())
        work.append(calls(lambda: search.run_one(search.take())))
    assert work[1] < 1.3 * work[0]
    assert len({each["width"] for each in search.points()}) == len(search.trials)


def test_the_epochs_of_a_trial_take_no_more_work_late_in_a_budget(tmp_path: Path) -> None:
    work = []
    for trials in (300, 1500):
        asked = spec(tmp_path / str(trials), 9000, sampler=RANDOM, budget=BudgetConfig(joules=1e9))
        search = Search(asked, task_of_epochs(10), InMemoryStorage())
        fill(search, trials)
        search.run_one(search.take())
        reserved = search.take()
        work.append(calls(lambda search=search, it=reserved: search.run_one(it)))  # type: ignore[misc]
    assert work[1] < 1.3 * work[0]


@pytest.mark.parametrize(
    ("pruner", "objectives", "reports", "most"),
    [
        pytest.param("none", 1, 0, 45, marks=pytest.mark.slow),
        pytest.param("none", 1, 10, 60, marks=pytest.mark.slow),
        pytest.param("median", 1, 10, 110, marks=pytest.mark.slow),
        ("pareto", 2, 10, 90),
    ],
)
def test_a_trial_late_in_a_study_costs_no_more_statements(
    tmp_path: Path, pruner: str, objectives: int, reports: int, most: int
) -> None:
    statements = []
    for trials in (10, 600):
        asked = spec(
            tmp_path / str(trials),
            9000,
            sampler=RANDOM,
            pruner=pruner,
            directions=("maximize", "minimize")[:objectives],
        )
        storage = open_storage(asked.storage)
        search = Search(asked, task_of_epochs(reports, objectives), storage)
        fill(search, trials)
        search.run_one(search.take())
        said: list[str] = []

        def hear(
            _connection: Any, _cursor: Any, text: str, *_: Any, said: list[str] = said
        ) -> None:
            said.append(text)

        event.listen(storage.engine, "before_cursor_execute", hear)  # type: ignore[attr-defined]
        search.run_one(search.take())
        statements.append(len(said))
    assert statements[1] <= statements[0] + 2 <= most
