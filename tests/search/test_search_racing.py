"""Repeats of a trial that is surely worse than the best are not run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from searches import Search, spec

from greensweep.record.reporting import Progress, report_repeat
from greensweep.search.pruning import falls_short
from greensweep.search.records import OUTCOME, kept


def repeats_of(values: Mapping[int, list[float]], search: list[Search]) -> Any:
    def task(params: Mapping[str, Any]) -> float:
        mine = values[len(search[0].trials) - 1]
        for number, value in enumerate(mine):
            is_max = search[0].spec.directions == ("maximize",)
            told = {"accuracy" if is_max else "value": value}
            report_repeat(Progress(1, joules=10.0, repeat=number, repeats=len(mine), **told))
        return sum(mine) / len(mine)

    return task


def race(folder: Path, values: Mapping[int, list[float]], **changes: Any) -> Search:
    cell: list[Search] = []
    search = Search(spec(folder, len(values), racing=True, **changes), repeats_of(values, cell))
    cell.append(search)
    search.run()
    return search


def test_a_trial_that_falls_short_runs_no_more_repeats(tmp_path: Path) -> None:
    values = {0: [0.90, 0.91, 0.92], 1: [0.80, 0.83, 0.7, 0.7], 2: [0.91, 0.9, 0.92]}
    search = race(tmp_path, values)
    assert search.states() == ["COMPLETE", "PRUNED", "COMPLETE"]
    outcome = kept(search.trials[1], OUTCOME)
    assert outcome["status"] == "pruned"
    assert outcome["repeats"] == [0.80, 0.83]
    # Welch: t = -5.91 with 1.30 degrees of freedom.
    assert outcome["error"] == (
        "pruned after 2 repeats, which fall short of trial 0's (Welch's test, p = 0.034)"
    )


def test_near_repeats_all_run(tmp_path: Path) -> None:
    search = race(tmp_path, {0: [0.90, 0.92, 0.88], 1: [0.89, 0.90, 0.87]})
    assert search.states() == ["COMPLETE", "COMPLETE"]
    assert kept(search.trials[1], OUTCOME)["repeats"] == [0.89, 0.90, 0.87]


def test_less_is_better_where_the_search_minimizes(tmp_path: Path) -> None:
    values = {0: [0.50, 0.51, 0.52], 1: [0.90, 0.91, 0.92], 2: [0.10, 0.11, 0.12]}
    search = race(tmp_path, values, directions=("minimize",))
    assert search.states() == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert kept(search.trials[1], OUTCOME)["repeats"] == [0.90, 0.91]
    # The rival is the lowest of those that finished.
    rival = falls_short(search.study, [0.30, 0.31])
    assert rival is not None
    assert rival[0] == 2


@pytest.mark.parametrize("repeats", [[0.1], [0.1, 0.1]])
def test_the_last_repeat_is_not_ended(tmp_path: Path, repeats: list[float]) -> None:
    search = race(tmp_path, {0: [0.9, 0.91], 1: repeats})
    assert search.states() == ["COMPLETE", "COMPLETE"]
