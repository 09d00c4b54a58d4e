"""The glossary names fields that are there."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROJECT

from greensweep.analysis import analyse_tradeoff, compare_strategies, standard_table
from greensweep.config.schema_analysis import ColumnsConfig, StrategiesConfig, TradeoffConfig
from greensweep.config.sweeper import SweeperConfig
from greensweep.record.result import RunResult
from greensweep.record.summaries import Spread
from greensweep.search.cost import SearchCost
from greensweep.study.summary import summarise, write_summary
from greensweep.study.trials import Trial

GLOSSARY = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([a-z ]+) \| (.+) \| (`.+`) \|$", GLOSSARY, re.M)
RUNS = pd.DataFrame(
    {
        "strategy": ["random", "random", "tpe", "tpe"],
        "dataset": "digits",
        "search": 0,
        "trial": [0, 1, 0, 1],
        "accuracy": [0.8, 0.9, 0.7, 0.9],
        "energy_joules": [1.0, 2.0, 3.0, 5.0],
    }
)


@cache
def of_analysis(table: str) -> set[str]:
    runs = standard_table(RUNS, ColumnsConfig(), "runs.csv")
    results = (
        analyse_tradeoff(runs, TradeoffConfig()),
        compare_strategies(runs, StrategiesConfig()),
    )
    return {name for each in results if table in each.tables for name in each.tables[table]}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    result = RunResult("finished", None, "mlp", "digits", 0, validation_accuracy=0.9)
    spread = {"energy_joules": Spread(1.0, 0.0, 2.0)}
    trials = [Trial(0, folder, replace(result, energy_joules=1.0, spread=spread), {})]
    write_summary(summarise(trials), trials, folder)
    return folder


@pytest.fixture(scope="module")
def names_in(sweep: Path) -> Callable[[str], set[str]]:
    """Return the names that a file, a section or a group of options has."""
    kinds = {"result.json": RunResult, "search": SearchCost, "hydra.sweeper": SweeperConfig}

    def names(where: str) -> set[str]:
        if where in kinds:
            return {each.name for each in fields(kinds[where])}
        if where == "trials.csv":
            return set(pd.read_csv(sweep / where))
        if where == "study.json":
            return set(json.loads((sweep / where).read_text()))
        return of_analysis(where.removesuffix(".csv"))

    return names


def parts(cell: str) -> Iterator[tuple[str, list[str]]]:
    for part in cell.split("; "):
        where, _, named = part.partition(": ")
        yield where.strip("`"), re.findall(r"`(\w+)`", named)


@pytest.mark.parametrize(("term", "cell"), [(term, cell) for term, _, cell in ROWS])
def test_the_fields_of_a_term_exist(
    names_in: Callable[[str], set[str]], term: str, cell: str
) -> None:
    for where, named in parts(cell):
        assert named, cell
        assert set(named) <= names_in(where), where


def test_every_row_is_a_term_in_two_sentences_at_most() -> None:
    rows = [line for line in GLOSSARY.splitlines() if line.startswith("| ")]
    assert len(rows) - 4 == len(ROWS) == len({term for term, _, _ in ROWS})
    for term, meaning, _ in ROWS:
        assert 1 <= len(re.findall(r"\.(?: |$)", meaning)) <= 2, term
