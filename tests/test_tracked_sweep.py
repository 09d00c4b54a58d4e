"""What the end of a sweep leaves in MLflow: the answer, what each trial is, and their view."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from greensweep.record.result import RunResult
from greensweep.record.summaries import HistoryPoint
from greensweep.record.tracked_names import tracked_history, tracked_metrics
from greensweep.study.summary import summarise
from greensweep.study.tracked_sweep import finish_tracked_sweep
from greensweep.study.trials import Trial
from greensweep.tracking.mlflow_store import MlflowStore


@dataclass(frozen=True)
class Swept:
    """A sweep in a store, after its end."""

    store: MlflowStore
    sweep: str
    answer: str | None
    runs: tuple[str, ...]

    @property
    def description(self) -> str:
        return str(self.store.client.get_run(self.sweep).data.tags["mlflow.note.content"])

    @property
    def view(self) -> dict[str, Any]:
        tags = self.store.client.get_experiment(self.store.experiment_id).tags
        found: dict[str, Any] = json.loads(tags[f"mlflow.sharedViewState.{self.sweep}"])
        return found

    def tag(self, name: str) -> list[str | None]:
        return [self.store.client.get_run(run).data.tags.get(name) for run in self.runs]

    def metric(self, name: str) -> list[float | None]:
        return [self.store.client.get_run(run).data.metrics.get(name) for run in self.runs]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MlflowStore:
    folder = tmp_path_factory.mktemp("store")
    return MlflowStore(f"sqlite:///{folder}/mlflow.db", "sweeps", str(folder / "artifacts"))


def swept(
    store: MlflowStore,
    results: list[RunResult],
    params: Mapping[str, str] | None = None,
    searched: tuple[str, ...] = ("optimizer.learning_rate",),
    elsewhere: tuple[str, ...] = (),
) -> Swept:
    sweep = store.create_run("sweep", {}, None)
    trials = []
    for number, result in enumerate(results):
        run = store.create_run(f"trial {number}", {}, sweep)
        store.log_params(run, params or {"optimizer.learning_rate": f"{number + 1}e-3"})
        store.log_now(run, tracked_metrics(result))
        if number < len(elsewhere):
            store.client.delete_run(run)
            run = elsewhere[number] or run
        kept = RunResult(**{**vars(result), "mlflow_run_id": run, "trial": number})
        chosen = dict.fromkeys(searched, f"0.{number + 1}")
        trials.append(Trial(number, Path(), kept, chosen))
    summary = summarise(trials, mlflow_run_id=sweep)
    finish_tracked_sweep(store, sweep, summary, trials, [])
    ids = tuple(str(trial.result.mlflow_run_id) for trial in trials)
    return Swept(store, sweep, summary.answer, ids)


def result(value: float | None, joules: float | None = None, **figures: Any) -> RunResult:
    metric = figures.get("objective_metric", "accuracy")
    status = figures.pop("status", "finished")
    return RunResult(
        *(status, None, "net", "data", 0),
        validation_accuracy=value if metric == "accuracy" else None,
        metrics={"validation": {metric: value}},
        energy_joules=joules,
        **figures,
    )


def test_the_description_begins_with_the_answer_and_leads_to_each_run_of_the_front(
    store: MlflowStore,
) -> None:
    found = swept(store, [result(0.9, 100.0), result(0.895, 40.0), result(0.5, 90.0)])
    answer, table, everything = found.description.split("\n\n")
    assert answer == found.answer
    _, _, best, chosen = table.splitlines()
    page = f"#/experiments/{store.experiment_id}/runs"
    assert f"[trial 0]({page}/{found.runs[0]}?workflowType=machine_learning)" in best
    assert best.endswith("| the best | 0.9000 | 100 J |  | 0.1 |")
    assert f"[trial 1]({page}/{found.runs[1]}?workflowType=machine_learning)" in chosen
    assert chosen.endswith("| chosen | 0.8950 | 40 J | 60 % less energy | 0.2 |")
    view = f"{page}?viewStateShareKey={found.sweep}&workflowType=machine_learning"
    assert everything == f"[All trials, side by side]({view})"


def test_of_a_sweep_without_a_finished_trial_the_description_says_why(store: MlflowStore) -> None:
    found = swept(store, [result(None, status="failed")])
    why, everything = found.description.split("\n\n")
    assert why and found.answer is None
    assert everything.startswith("[All trials, side by side](")
    assert found.tag("verdict") == ["failed"]


def test_each_trial_says_what_it_is_and_what_it_saves(store: MlflowStore) -> None:
    found = swept(
        store,
        [
            result(0.9, 100.0),
            result(0.895, 40.0),
            result(0.5, 20.0),
            result(0.4, 200.0),
            result(0.3, 10.0, energy_comparable=False),
            result(0.2, 1.0, status="pruned"),
        ],
    )
    assert found.tag("verdict") == [
        *("the best", "chosen", "Pareto-optimal", "dominated"),
        *("energy does not compare", "pruned"),
    ]
    assert found.metric("energy/saved_percent_of_best") == [0.0, 60.0, 80.0, -100.0, None, None]


@pytest.mark.parametrize(
    ("figures", "column", "ascending"),
    [
        ({}, "validation/accuracy", False),
        ({"objective_metric": "macro_f1"}, "validation/macro_f1", False),
        (
            {"objective_metric": "rmse", "objective_direction": "minimize"},
            "validation/rmse",
            True,
        ),
        ({"objective_metric": "objective"}, "validation/objective", False),
    ],
)
def test_the_view_shows_the_metric_that_selects_energy_saving_and_options_and_no_empty_column(
    store: MlflowStore, figures: dict[str, Any], column: str, ascending: bool
) -> None:
    found = swept(store, [result(0.9, 100.0, **figures), result(0.895, 40.0, **figures)])
    view = found.view
    assert view["searchFilter"] == f"tags.mlflow.parentRunId = '{found.sweep}'"
    assert (view["orderByKey"], view["orderByAsc"]) == (f"metrics.`{column}`", ascending)
    rounded = column.replace("/", " ")
    assert view["selectedColumns"] == [
        f"tags.`{rounded}`",
        "tags.`training energy`",
        "metrics.`energy/saved_percent_of_best`",
        "tags.`verdict`",
        "params.`optimizer.learning_rate`",
        f"metrics.`{column}`",
        "metrics.`energy/training_joules`",
    ]
    assert found.tag("training energy") == ["100 J", "40 J"]
    assert [float(text) for text in found.tag(rounded)] == [0.9, 0.895]
    for name in view["selectedColumns"]:
        kind, _, key = name.partition(".")
        for run in found.runs:
            assert key.strip("`") in getattr(store.client.get_run(run).data, kind)


def test_the_view_of_runs_without_a_meter_has_no_column_of_energy(store: MlflowStore) -> None:
    found = swept(store, [result(0.9), result(0.8)])
    assert found.view["selectedColumns"] == [
        *("tags.`validation accuracy`", "tags.`verdict`", "params.`optimizer.learning_rate`"),
        "metrics.`validation/accuracy`",
    ]


def test_the_view_shows_what_a_group_chose_and_of_very_many_options_the_first(
    store: MlflowStore,
) -> None:
    many = {f"option_{number}_{'x' * 100}": "1" for number in range(90)}
    params = {"model.name": "mlp", **many}
    found = swept(store, [result(0.9, 1.0)], params, ("model", *many))
    options = [name for name in found.view["selectedColumns"] if name.startswith("params.")]
    assert options[0] == "params.`model.name`"
    assert 5 < len(options) < 91
    tags = store.client.get_experiment(store.experiment_id).tags
    assert len(tags[f"mlflow.sharedViewState.{found.sweep}"]) <= 5000


@pytest.mark.parametrize("elsewhere", ["", "0f" * 16])
def test_a_trial_whose_run_was_deleted_or_is_another_stores_does_not_keep_the_sweep_open(
    store: MlflowStore, elsewhere: str
) -> None:
    results = [result(0.9, 100.0), result(0.8, 120.0)]
    found = swept(store, results, elsewhere=(elsewhere,))
    assert store.client.get_run(found.sweep).info.status == "FINISHED"
    assert store.client.get_run(found.runs[1]).data.tags["verdict"] == "dominated"
    assert "params.`optimizer.learning_rate`" in found.view["selectedColumns"]


def test_energy_adds_up_by_epoch_as_far_as_it_is_known() -> None:
    points = [HistoryPoint(at, energy_joules=joules) for at, joules in enumerate((1.0, 2.0, 4.0))]
    name = "energy/cumulative_joules"
    assert [each.get(name) for each in tracked_history(points)] == [1.0, 3.0, 7.0]
    gap = [points[0], HistoryPoint(2), points[2]]
    assert [each.get(name) for each in tracked_history(gap)] == [1.0, None, None]
    assert tracked_history([]) == []
