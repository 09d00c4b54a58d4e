"""Report by report, a trial goes on, is pruned or is stopped; what it came to is kept."""

import hashlib
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.storages import InMemoryStorage
from searches import RANDOM, Search, spec, task_of_epochs

from greensweep.config.sweeper import BudgetConfig, PruningConfig
from greensweep.errors import ConstraintError, StudyError
from greensweep.nested import from_json
from greensweep.record.reporting import Progress, report, report_progress
from greensweep.search.best import best_trials
from greensweep.search.monitor import is_mark
from greensweep.search.pruning import Finished, dominated_by, gain_since
from greensweep.search.records import CURVE_POINTS, PROGRESS, CurvePoint, Outcome, kept, outcome_of

BEST, WORST = 1e-3, 1e-5  # rates


def search(folder: Path, task: Any, points: Any = (), **changes: Any) -> Search:
    asked = spec(folder, max(len(points), 1), sampler=RANDOM, enqueue=points, **changes)
    return Search(asked, task, InMemoryStorage())


def ended(found: Search, number: int = -1) -> Outcome:
    outcome = outcome_of(found.trials[number])
    assert outcome is not None
    return outcome


# The Pareto rule


def scores(*values: float | None) -> dict[int, float]:
    """A report of each value, one per epoch."""
    return {epoch: value for epoch, value in enumerate(values, start=1) if value is not None}


def finished(*ends: tuple[float, float]) -> list[Finished]:
    """Trials of these ends, each at 0.2 after two epochs of four."""
    return [
        Finished(accuracy, joules, scores(0.1, 0.2, 0.2, accuracy)) for accuracy, joules in ends
    ]


FIVE = finished((0.3, 90.0), (0.4, 90.0), (0.5, 90.0), (0.6, 90.0), (0.7, 20.0))
# They gained 0.1 to 0.5; the 0.9 quantile of that is 0.46.


@pytest.mark.parametrize(("accuracy", "is_beaten"), [(0.2399, True), (0.2401, False)])
def test_a_trial_is_beaten_that_would_not_reach_a_cheaper_one(
    accuracy: float, is_beaten: bool
) -> None:
    beaten = dominated_by(FIVE, PruningConfig(), epoch=2, score=accuracy, joules=10.0, epochs=4)
    assert (beaten is FIVE[4]) == is_beaten


@pytest.mark.parametrize(("joules", "is_beaten"), [(10.0, True), (9.99, False)])
def test_energy_is_projected_to_all_epochs(joules: float, is_beaten: bool) -> None:
    beaten = dominated_by(FIVE, PruningConfig(), epoch=2, score=0.1, joules=joules, epochs=4)
    assert (beaten is not None) == is_beaten


@pytest.mark.parametrize(("joules", "is_beaten"), [(20.0, True), (19.99, False)])
def test_without_planned_epochs_the_energy_so_far_is_compared(
    joules: float, is_beaten: bool
) -> None:
    beaten = dominated_by(FIVE, PruningConfig(), epoch=2, score=0.1, joules=joules, epochs=None)
    assert (beaten is not None) == is_beaten


@pytest.mark.parametrize(("quantile", "gain"), [(0.0, 0.1), (0.5, 0.3), (1.0, 0.5)])
def test_the_quantile_says_how_much_gain_is_credited(quantile: float, gain: float) -> None:
    rule = PruningConfig(quantile=quantile)
    for accuracy, is_beaten in ((0.699 - gain, True), (0.701 - gain, False)):
        beaten = dominated_by(FIVE, rule, epoch=2, score=accuracy, joules=90.0, epochs=4)
        assert (beaten is not None) == is_beaten


def test_grace_and_a_minimum_of_finished_trials_spare_a_trial() -> None:
    hopeless = {"score": 0.0, "joules": 1000.0, "epochs": 4}
    assert dominated_by(FIVE, PruningConfig(), epoch=2, **hopeless) is FIVE[4]
    assert dominated_by(FIVE, PruningConfig(), epoch=1, **hopeless) is None
    assert dominated_by(FIVE, PruningConfig(grace_epochs=2), epoch=2, **hopeless) is None
    assert dominated_by(FIVE, PruningConfig(grace_epochs=2), epoch=3, **hopeless) is FIVE[4]
    assert dominated_by(FIVE[1:], PruningConfig(), epoch=2, **hopeless) is None
    assert dominated_by(FIVE[1:], PruningConfig(min_finished=4), epoch=2, **hopeless) is FIVE[4]
    # Those that ended before this epoch tell nothing of it.
    assert dominated_by(FIVE, PruningConfig(), epoch=5, **hopeless) is None


def test_a_gain_is_told_from_the_best_epochs() -> None:
    rising = scores(0.3, 0.1, None, 0.4, 0.2)
    assert gain_since(rising, 1) == pytest.approx(0.1)
    assert gain_since(rising, 2) == pytest.approx(0.1)
    assert gain_since(rising, 4) == 0.0
    assert gain_since(rising, 6) is None
    assert gain_since({4: 0.4, 5: 0.2}, 2) is None
    assert gain_since({}, 1) is None


def test_the_pareto_rule_prunes_in_a_search_of_two_objectives(tmp_path: Path) -> None:
    points = [{"rate": BEST * (1 + n / 10), "width": 1} for n in range(5)]
    points.append({"rate": WORST, "width": 8})
    found = search(
        tmp_path,
        task_of_epochs(5, objectives=2),
        points,
        directions=("maximize", "minimize"),
        pruner="auto",
    )
    found.run()
    assert found.states() == ["COMPLETE"] * 5 + ["PRUNED"]
    last = ended(found)
    assert (last.status, last.epochs, last.epochs_planned) == ("pruned", 2, 5)
    assert last.error == "pruned after epoch 2: a finished trial reached 0.91 for 10 J"
    assert last.spent_joules == last.joules == pytest.approx(32.0)
    assert last.accuracy == pytest.approx(0.4 * found.task(points[5])[0])
    assert [point[:3] for point in last.curve] == [
        (1, pytest.approx(last.accuracy / 2), 16.0),
        (2, last.accuracy, 32.0),
    ]


def test_a_trial_is_compared_by_its_best_epoch_so_far(tmp_path: Path) -> None:
    """As the weights of that epoch are what it keeps."""
    steady = task_of_epochs(5, objectives=2)

    def task(params: Any) -> Any:
        if params["width"] == 1:
            return steady(params)
        for epoch, accuracy in enumerate((0.95, 0.1, 0.1, 0.1, 0.1), start=1):
            report(epoch=epoch, accuracy=accuracy, joules=16.0 * epoch, epochs=5)
        return 0.95, 80.0

    points = [{"rate": BEST * (1 + n / 10), "width": 1} for n in range(5)]
    points.append({"rate": BEST, "width": 8})
    found = search(tmp_path, task, points, directions=("maximize", "minimize"), pruner="auto")
    found.run()
    assert found.states() == ["COMPLETE"] * 6


@pytest.mark.parametrize("is_own", [False, True])
@pytest.mark.parametrize(("then", "epochs"), [(67.0, 3), (69.0, 2)])
def test_the_pareto_rule_gives_an_error_the_credit_of_what_others_fell_by(
    tmp_path: Path, then: float, epochs: int, is_own: bool
) -> None:
    def task(params: Any) -> Any:
        width = params["width"]
        for epoch in range(1, 6):
            # Those that finish fall from 68 in the second epoch to 8.
            error, joules = 108.0 - 20.0 * epoch if width == 1 else then, 2.0 * width * epoch
            if is_own:  # a program's, which has no metric's name
                report(epoch=epoch, value=error, joules=joules, epochs=5)
                continue
            report_progress(
                Progress(epoch, None, joules, joules, 5, metric="rmse", metric_value=error)
            )
        return error, joules

    points = [{"rate": BEST * (1 + n / 10), "width": 1} for n in range(5)]
    points.append({"rate": BEST, "width": 8})
    pruning = PruningConfig(grace_epochs=1)
    options = {"directions": ("minimize", "minimize"), "pruner": "auto", "pruning": pruning}
    found = search(tmp_path, task, points, **options)
    found.run()
    assert found.states()[:5] == ["COMPLETE"] * 5
    last = ended(found)
    assert last.error == f"pruned after epoch {epochs}: a finished trial reached 8 for 10 J"
    assert (last.accuracy, last.metric_value) == (None, None if is_own else then)
    assert last.curve[1].value == then


# Optuna's pruners


@pytest.mark.parametrize(
    ("pruner", "after"),
    [("median", 3), ("percentile", 3), ("successive_halving", 3), ("auto", 3)],
)
def test_a_pruner_of_one_objective_ends_a_poor_trial(
    tmp_path: Path, pruner: str, after: int
) -> None:
    points = [{"rate": BEST * (1 + n / 10), "width": 2} for n in range(5)]
    points.append({"rate": WORST, "width": 8})
    found = search(
        tmp_path,
        task_of_epochs(5),
        points,
        pruner=pruner,
        pruning=PruningConfig(min_finished=1, grace_epochs=2, percentile=75.0, reduction_factor=6),
    )
    found.run()
    name = {"auto": "median"}.get(pruner, pruner).replace("_", " ")
    assert found.states()[-1] == "PRUNED"
    last = ended(found)
    assert (last.status, last.epochs) == ("pruned", after)
    assert last.error == f"pruned after epoch {after} by {name}"
    assert last.spent_joules == pytest.approx(16.0 * after)
    assert last.accuracy == pytest.approx(after / 5 * found.task(points[-1]))
    assert found.trials[-1].intermediate_values.keys() == set(range(1, after + 1))


def accuracy_at(number: int, epoch: int) -> float:
    digest = hashlib.sha256(f"{number}-{epoch // 3}".encode()).digest()
    return digest[0] / 255 * 0.5 + 0.05 * epoch


@pytest.mark.parametrize("pruner", ["median", "percentile", "successive_halving", "hyperband"])
def test_a_pruner_ends_the_trials_that_it_ends_in_optuna(tmp_path: Path, pruner: str) -> None:
    epochs, trials = 10, 25
    pruning = PruningConfig(min_finished=3, grace_epochs=1, percentile=50.0, reduction_factor=2)
    numbers = IntDistribution(0, trials - 1)

    def task(params: Any) -> float:
        for epoch in range(1, epochs + 1):
            report(epoch=epoch, accuracy=accuracy_at(params["n"], epoch), epochs=epochs)
        return accuracy_at(params["n"], epochs)

    found = search(
        tmp_path,
        task,
        [{"n": n} for n in range(trials)],
        pruner=pruner,
        pruning=pruning,
        distributions={"n": numbers},
    )
    found.run()

    def objective(trial: optuna.Trial) -> float:
        for epoch in range(1, epochs + 1):
            trial.report(accuracy_at(trial.number, epoch), epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned
        return accuracy_at(trial.number, epochs)

    known = optuna.create_study(
        study_name="study",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(0),
        pruner=found.spec.build_pruner(),
    )
    known.optimize(objective, trials)
    expected = [(trial.state.name, trial.last_step) for trial in known.trials]
    assert [(trial.state.name, trial.last_step) for trial in found.trials] == expected
    assert 0 < [state for state, _ in expected].count("PRUNED") < trials


def test_the_last_epoch_is_never_pruned(tmp_path: Path) -> None:
    points = [{"rate": BEST, "width": 2}, {"rate": WORST, "width": 8}]
    found = search(
        tmp_path,
        task_of_epochs(3),
        points,
        pruner="median",
        pruning=PruningConfig(min_finished=1, grace_epochs=2),
    )
    found.run()
    assert found.states() == ["COMPLETE", "COMPLETE"]
    # The same trial of one more epoch is.
    longer = search(
        tmp_path, task_of_epochs(4), points, pruner="median", pruning=found.spec.pruning
    )
    longer.run()
    assert longer.states() == ["COMPLETE", "PRUNED"]


def test_an_app_that_reports_nothing_is_searched_without_pruning(tmp_path: Path) -> None:
    points = [{"rate": BEST, "width": width} for width in range(1, 8)]
    found = search(tmp_path, lambda params: params["width"], points, pruner="median")
    found.run()
    assert found.states() == ["COMPLETE"] * 7
    assert [trial.intermediate_values for trial in found.trials] == [{}] * 7


# Reports


@pytest.mark.parametrize(
    ("epochs", "marks"),
    [
        (1, [1]),
        (7, [1, 2, 3, 4, 5, 6, 7]),
        (10, list(range(1, 11))),
        (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
        (1000, list(range(100, 1001, 100))),
    ],
)
def test_a_trial_writes_ten_reports_at_most(tmp_path: Path, epochs: int, marks: list[int]) -> None:
    found = search(tmp_path, task_of_epochs(epochs))
    found.run()
    assert list(found.trials[0].intermediate_values) == marks
    assert found.trials[0].intermediate_values[epochs] == pytest.approx(found.trials[0].value)
    kept = ended(found).curve
    assert len(kept) == min(epochs, CURVE_POINTS)
    assert kept[-1].epoch == epochs


def test_a_report_that_is_no_number_is_compared_with_none(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        for epoch, accuracy in enumerate((0.1, float("nan"), 0.3), start=1):
            report(epoch=epoch, accuracy=accuracy, epochs=3)
        return 0.3

    found = search(tmp_path, task)
    found.run()
    assert found.trials[0].intermediate_values == {1: 0.1, 3: 0.3}


def test_a_loop_counts_its_epochs_as_it_likes(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        report(epoch=0)  # its set-up
        for epoch in range(2):
            report(epoch=epoch, train_loss=0.5, epochs=2)
            report(epoch=epoch, macro_f1=epoch / 10)
        report(epoch=0, macro_f1=0.7)
        return 0.7

    found = search(tmp_path, task)
    found.run()
    assert [(each.epoch, each.value) for each in ended(found).curve] == [
        (1, 0.0),
        (2, 0.1),
        (3, 0.7),
    ]
    assert (ended(found).epochs, ended(found).metrics) == (3, {"train_loss": 0.5, "macro_f1": 0.7})


def test_an_epoch_that_is_no_whole_number_fails_its_trial(tmp_path: Path) -> None:
    found = search(tmp_path, lambda _: report(epoch="one", accuracy=0.5))  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="must be a whole number, got 'one'"):
        found.run()
    assert ended(found).status == "failed"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("joules", "known"), [(1000.0, [1, 2, 3]), (None, [])])
def test_where_there_is_a_budget_every_report_is_kept_for_the_other_workers(
    tmp_path: Path, joules: float | None, known: list[int]
) -> None:
    """Without one, what they know may be a second old."""
    seen = []

    def task(params: Any) -> float:
        for epoch in (1, 2, 3):
            report(epoch=epoch, accuracy=0.5, joules=1.0 * epoch, epochs=3)
            if progress := kept(found.trials[0], PROGRESS):
                seen.append(progress["epoch"])
        return 0.5

    found = search(tmp_path, task, budget=BudgetConfig(joules=joules))
    found.run(1)
    assert seen == known


def test_ten_reports_at_most_where_the_epochs_are_not_known() -> None:
    marks = [epoch for epoch in range(1, 10_000) if is_mark(Progress(epoch))]
    assert marks == [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]


def test_a_curve_is_read_as_earlier_and_later_versions_kept_it() -> None:
    kept = {"status": "finished", "curve": [[1, 0.5, 3.0], [2, None, None, None, 1.5, "more"]]}
    assert from_json(Outcome, kept).curve == (
        CurvePoint(1, value=0.5, joules=3.0),
        CurvePoint(2, seconds=1.5),
    )
    before = CurvePoint(3, value=0.5, joules=2.0, spent_joules=4.0, seconds=1.0)
    kept = Outcome("finished", curve=(before,)).to_json()
    assert kept["curve"] == [[3, 0.5, 2.0, 4.0, 1.0]]  # what storages and trial.json hold
    assert from_json(Outcome, json.loads(json.dumps(kept))).curve == (before,)


@pytest.mark.parametrize("epochs", [51, 99, 149])
def test_a_curve_is_kept_with_its_end(epochs: int) -> None:
    curve = tuple(CurvePoint(epoch, 0.1) for epoch in range(1, epochs + 1))
    kept = Outcome("finished", curve=curve).to_json()["curve"]
    assert kept[-1][0] == epochs
    assert len(kept) <= CURVE_POINTS


def test_a_price_is_taken_off_what_is_reported(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        for epoch in (1, 2):
            report(epoch=epoch, accuracy=0.4 * epoch, joules=300.0 * epoch, epochs=2)
        return 0.8 - 0.5 * 0.6

    found = search(tmp_path, task, price_per_kilojoule=0.5)
    found.run()
    assert found.trials[0].intermediate_values == {
        1: pytest.approx(0.4 - 0.15),
        2: pytest.approx(0.8 - 0.3),
    }


def test_a_price_makes_an_error_larger(tmp_path: Path) -> None:
    def task(_: Any) -> float:
        progress = Progress(1, None, 500.0, 500.0, 2, metric="rmse", metric_value=3.0)
        report_progress(progress)
        return 4.0

    options = {"directions": ("minimize",), "price_per_kilojoule": 2.0}
    found = search(tmp_path, task, [{"rate": BEST, "width": 1}], **options)
    found.run()
    assert found.trials[0].intermediate_values == {1: 4.0}


def test_a_minimized_value_is_reported_as_it_stands(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, epochs=2)  # an accuracy says nothing of a loss
        report(epoch=2, accuracy=0.5, value=0.25, epochs=2)
        return 0.25

    found = search(tmp_path, task, directions=("minimize",))
    found.run()
    assert found.trials[0].intermediate_values == {2: 0.25}


@pytest.mark.parametrize(
    ("reported", "metric", "direction", "compared"),
    [
        (["val_loss"], None, "minimize", "loss"),
        (["macro_f1", "val_loss"], None, "minimize", "loss"),
        (["macro_f1", "accuracy"], None, "maximize", "accuracy"),
        (["macro_f1", "accuracy"], "macro_f1", "maximize", "macro_f1"),
        (["margin", "accuracy"], "validation_margin", "minimize", "margin"),
        (["train_loss", "auroc"], None, "maximize", "auroc"),
    ],
)
def test_any_named_metric_prunes_in_the_direction_of_the_study(
    tmp_path: Path, reported: list[str], metric: str | None, direction: str, compared: str
) -> None:
    def task(params: Any) -> float:
        value = params["width"] if direction == "minimize" else 1 / params["width"]
        for epoch in range(1, 6):
            figures = dict.fromkeys(reported, 0.5)
            named = next(name for name in reported if name.endswith(compared))
            report(epoch=epoch, epochs=5, **{**figures, named: value})
        return float(value)

    points = [{"rate": BEST, "width": width} for width in (1, 2, 3, 8)]
    options = {"directions": (direction,), "metric": metric and metric.removeprefix("validation_")}
    pruning = PruningConfig(min_finished=2, grace_epochs=1)
    found = search(tmp_path, task, points, pruner="median", pruning=pruning, **options)
    found.run()
    assert found.states() == ["COMPLETE"] * 2 + ["PRUNED"] * 2
    assert ended(found).metrics.keys() == {name.removeprefix("val_") for name in reported}


def test_a_program_that_returns_nothing_is_searched_by_what_it_reports(tmp_path: Path) -> None:
    def task(params: Any) -> None:
        report(epoch=1, epochs=1, val_loss=params["rate"], joules=params["width"])

    options = {"directions": ("minimize", "minimize"), "metric": "loss"}
    found = search(tmp_path, task, [{"rate": BEST, "width": 2}], **options)
    found.run()
    assert found.trials[0].values == [BEST, 2]


def test_a_metric_that_is_better_the_other_way_prunes_nothing_and_one_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 6):
            report(epoch=epoch, epochs=5, macro_f1=params["width"] / 10)
        return 0.5

    points = [{"rate": BEST, "width": width} for width in (1, 2, 3, 8)]
    pruning = PruningConfig(min_finished=1, grace_epochs=1)
    found = search(tmp_path, task, points, directions=("minimize",), pruning=pruning)
    found.run()
    assert found.states() == ["COMPLETE"] * 4
    (warning,) = [each for each in caplog.messages if "macro_f1" in each]
    assert "is better the higher it is, which contradicts hydra.sweeper.direction" in warning


def test_a_metric_that_is_missing_or_a_text_at_an_epoch_is_left_out_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def task(_: Any) -> float:
        report(epoch=1, epochs=4, macro_f1=0.1)
        report(epoch=2, epochs=4, macro_f1="0.2 or so")  # type: ignore[arg-type]
        report(epoch=3, epochs=4)
        report(epoch=4, epochs=4, macro_f1=0.4)
        return 0.4

    found = search(tmp_path, task)
    found.run()
    assert found.trials[0].intermediate_values == {1: 0.1, 4: 0.4}
    assert "macro_f1 is no number but of type str" in caplog.text


# Constraints


def test_a_reported_metric_is_bound_by_its_name(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        report(epoch=1, epochs=1, macro_f1=params["width"] / 10, val_loss=0.5)
        return float(params["width"])

    points = [{"rate": BEST, "width": width} for width in (2, 8)]
    bounds = {"min_macro_f1": 0.5, "max_validation_loss": 1.0}
    found = search(tmp_path, task, points, constraints=bounds)
    found.run()
    assert [trial.constraints["min_macro_f1"] > 0 for trial in found.trials] == [True, False]
    unknown = search(tmp_path / "2", task, points, constraints={"min_f1": 0.5})
    with pytest.raises(ConstraintError, match=r"no such figure \(its metrics are macro_f1, loss\)"):
        unknown.run()


def test_a_run_over_its_joules_is_ended(tmp_path: Path) -> None:
    found = search(
        tmp_path,
        task_of_epochs(5),
        [{"rate": BEST, "width": 8}, {"rate": BEST, "width": 1}],
        constraints={"max_joules_per_run": 25.0},
    )
    found.run()
    assert found.states() == ["PRUNED", "COMPLETE"]
    assert ended(found, 0).error == "pruned after epoch 2: 32 J are above max_joules_per_run=25"
    assert ended(found, 0).spent_joules == 32.0
    assert found.trials[1].constraints == {"max_joules_per_run": -15.0}


@pytest.mark.parametrize("objectives", [1, 2])
def test_a_trial_that_breaks_a_constraint_is_never_the_best(
    tmp_path: Path, objectives: int
) -> None:
    # Of one epoch, so that nothing ends them before they are done.
    found = search(
        tmp_path,
        task_of_epochs(1, objectives),
        [{"rate": BEST, "width": 8}, {"rate": 1e-2, "width": 2}, {"rate": 1e-4, "width": 2}],
        directions=("maximize", "minimize")[:objectives],
        constraints={"max_joules_per_run": 25.0, "min_accuracy": 0.3},
    )
    found.run()
    assert found.states() == ["COMPLETE"] * 3
    assert found.trials[0].constraints == {
        "max_joules_per_run": 55.0,
        "min_accuracy": pytest.approx(0.3 - 0.98),
    }
    best = {trial.number for trial in best_trials(found.trials, found.study)}
    assert best <= {1, 2}
    assert best
    told = [found.study.best_trial] if objectives == 1 else found.study.best_trials
    assert {trial.number for trial in told} >= best
    assert all(trial.number != 0 for trial in told)


def test_where_all_break_a_constraint_none_is_best(tmp_path: Path) -> None:
    found = search(tmp_path, task_of_epochs(1), constraints={"min_accuracy": 2.0})
    found.run()
    assert found.states() == ["COMPLETE"]
    assert best_trials(found.trials, found.study) == []


@pytest.mark.parametrize("sampler", ["TPESampler", "GPSampler"])
def test_a_sampler_sees_the_constraints(tmp_path: Path, sampler: str) -> None:
    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=params["width"], epochs=1)
        return float(params["width"])

    widths = []
    for name, constraints in (("free", {}), ("bound", {"max_joules_per_run": 30.0})):
        asked = spec(
            tmp_path / name,
            14,
            sampler=(f"optuna.samplers.{sampler}", {"n_startup_trials": 6}),
            distributions={"width": IntDistribution(1, 200)},
            constraints=constraints,
        )
        found = Search(asked, task, InMemoryStorage())
        found.run()
        widths.append([trial.params["width"] for trial in found.trials[6:]])
    free, bound = widths
    assert sum(width > 100 for width in free) > 4
    assert sum(width <= 30 for width in bound) > 3 > sum(width <= 30 for width in free)


def test_a_constraint_on_time_needs_no_result_file(tmp_path: Path) -> None:
    found = search(tmp_path, task_of_epochs(1), constraints={"max_seconds": 1000.0})
    found.run()
    assert found.states() == ["COMPLETE"]
    (seconds,) = found.trials[0].constraints.values()
    assert -1000.0 < seconds < -990.0


def test_a_constraint_on_what_no_run_has_fails_with_a_sentence(tmp_path: Path) -> None:
    found = search(tmp_path, task_of_epochs(1), constraints={"max_acuracy": 1.0})
    with pytest.raises(ConstraintError, match="max_acuracy bounds acuracy, and the trial came to"):
        found.run()
    assert found.states() == ["FAIL"]
    assert ended(found).status == "failed"
    assert ended(found).spent_joules is not None
