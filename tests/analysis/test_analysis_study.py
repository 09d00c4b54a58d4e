"""The runs of a study as one table: what is asked of each search, and only of those that ended."""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from greensweep.errors import AnalysisError
from greensweep.record.ending import Status
from greensweep.record.result import RunResult, write_result
from greensweep.search.cost import SearchCost
from greensweep.sources.study import read_study, write_study
from greensweep.study.summary import summarise, write_summary
from greensweep.study.trials import read_trials

ACCURACIES = (0.5, 0.9, 0.6, 0.95)


def ran(
    sweep: Path, statuses: tuple[Status, ...] = ("finished",) * 4, *, interrupted: bool = False
) -> None:
    """Leave what a search of these trials leaves, each of 10 J more than the one before."""
    for number, status in enumerate(statuses):
        folder = sweep / str(number)
        (folder / ".hydra").mkdir(parents=True)
        (folder / "config.yaml").write_text("model:\n  conv_layers: 2\n")
        choices = "{dataset: digits, model: mine, space: paper, hydra/sweeper/sampler: random}"
        (folder / ".hydra" / "hydra.yaml").write_text(
            f"hydra:\n  runtime:\n    choices: {choices}\n"
        )
        accuracy = ACCURACIES[number] if status == "finished" else None
        joules = 10.0 * (number + 1)
        result = RunResult(
            status=status, error=None, model="custom", dataset="d", seed=0, trial=number,
            validation_accuracy=accuracy, energy_joules=joules, energy_spent_joules=joules,
            energy_quality="estimated", seconds=1.0,
        )  # fmt: skip
        write_result(result, folder)
    close(sweep, interrupted=interrupted)


def close(sweep: Path, *, interrupted: bool = False) -> None:
    trials = read_trials(sweep)
    counted = sum(each.result.status != "stopped" for each in trials)
    cost = SearchCost(counted, counted, {})
    summary = summarise(trials, interrupted=interrupted, search_cost=cost)
    write_summary(summary, trials, sweep)
    assert (summary.search or {})["trials_total"] == asdict(cost)["trials_total"]


def test_a_search_that_has_more_trials_than_are_asked_for_counts_by_its_first(
    tmp_path: Path,
) -> None:
    ran(tmp_path / "cell")
    runs, figures = read_study(tmp_path, {"cell": 3})
    assert runs["trial"].tolist() == [0, 1, 2]
    assert runs["pareto_optimal"].tolist() == [True, True, False]
    assert figures["cell"]["validation_accuracy"] == 0.9
    assert figures["cell"]["search_energy_joules"] == 60.0
    runs, figures = read_study(tmp_path, {"cell": 4})
    assert runs["pareto_optimal"].tolist() == [True, True, False, True]
    assert figures["cell"]["validation_accuracy"] == 0.95


def test_a_stopped_trial_that_ran_again_is_none_of_the_trials_asked_for(tmp_path: Path) -> None:
    ran(tmp_path / "cell", ("finished", "stopped", "finished", "pruned"))
    runs, _ = read_study(tmp_path, {"cell": 2})
    assert runs["status"].tolist() == ["finished", "stopped", "finished"]


def test_the_columns_of_a_cell_are_what_its_runs_chose(tmp_path: Path) -> None:
    ran(tmp_path / "cell")
    runs, figures = read_study(tmp_path, {"cell": 4})
    names = ["cell", "dataset", "model", "strategy_in_space", "model.conv_layers"]
    assert runs[names].drop_duplicates().values.tolist() == [
        ["cell", "digits", "mine", "random@paper", 2]
    ]
    write_study(runs, figures, tmp_path / "out")
    for read in (
        pd.read_csv(tmp_path / "out/runs.csv"),
        pd.read_parquet(tmp_path / "out/runs.parquet"),
    ):
        assert read["validation_accuracy"].tolist() == list(ACCURACIES)
    assert [path.name for path in (tmp_path / "out" / "metrics").iterdir()] == ["cell.json"]


def test_a_search_that_did_not_end_makes_no_table(tmp_path: Path) -> None:
    refused = pytest.raises(AnalysisError, match="holds no finished sweep: run dvc repro")
    ran(tmp_path / "interrupted", interrupted=True)
    with refused:
        read_study(tmp_path, {"interrupted": 4})
    ran(tmp_path / "earlier", ("finished", "finished"))
    with refused:
        read_study(tmp_path, {"earlier": 3})
    assert len(read_study(tmp_path, {"earlier": 2})[0]) == 2
    # A third trial ran, and the process died before it could close the search.
    third = read_trials(tmp_path / "earlier")[1].result
    (tmp_path / "earlier" / "2").mkdir()
    write_result(replace(third, trial=2), tmp_path / "earlier" / "2")
    summary = summarise(read_trials(tmp_path / "earlier"), search_cost=SearchCost(3, 3, {}))
    (tmp_path / "earlier" / "trials.csv").rename(tmp_path / "kept.csv")
    write_summary(summary, read_trials(tmp_path / "earlier"), tmp_path / "earlier")
    (tmp_path / "kept.csv").replace(tmp_path / "earlier" / "trials.csv")
    with refused:
        read_study(tmp_path, {"earlier": 3})
    (tmp_path / "empty").mkdir()
    with refused:
        read_study(tmp_path, {"empty": 1})


def test_a_study_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no cell of a study in .* is asked for"):
        read_study(tmp_path, {})
