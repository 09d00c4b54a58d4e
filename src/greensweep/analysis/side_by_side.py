"""Sweeps side by side: what each answers, and, where they may be pooled, what both do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from greensweep.analysis.collect import Analyses
from greensweep.analysis.result import Result
from greensweep.analysis.tradeoff import analyse_tradeoff
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.errors import listed
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable, qualities

# Columns of which a run of each sweep may have the same: a trial is another one in another sweep.
_NAMES = ("trial", "run_name", "name")


@dataclass(frozen=True)
class SideBySide:
    """Sweeps that are held against each other.

    Attributes:
        analyses: of each sweep, by its name.
        differences: why they are not pooled, each as `in data set (digits against mnist)`.
        pooled: the choice among the runs of all; None where they may not be pooled.
    """

    analyses: Mapping[str, Analyses]
    differences: Sequence[str]
    pooled: Result | None


def hold_side_by_side(analyses: Mapping[str, Analyses], config: TradeoffConfig) -> SideBySide:
    """Return sweeps side by side, pooled where one metric of one data set on one machine decides.

    Raises:
        AnalysisError: they may be pooled, and do not differ in the metric.
    """
    runs = {name: each.runs for name, each in analyses.items()}
    differences = [*_differences(runs)]
    pooled = None if differences else analyse_tradeoff(_pooled(runs), config)
    return SideBySide(analyses, differences, pooled)


def _differences(runs: Mapping[str, RunTable]) -> Iterator[str]:
    """Yield in what sweeps differ that no choice among all their runs may look over."""
    told: dict[str, list[set[str]]] = {
        "metric": [{str(each.metric.label)} for each in runs.values()],
        "direction of the metric": [{str(each.metric.direction)} for each in runs.values()],
        "data set": [_values(each, "dataset") for each in runs.values()],
        "machine": [_values(each, col.MACHINE) for each in runs.values()],
        "quality of the joules": [{*qualities(each.frame)} for each in runs.values()],
        "split that runs are selected on": [
            {"test" if each else "validation" for each in table.finished[col.SELECTED_ON_TEST]}
            for table in runs.values()
        ],
    }
    for what, sets in told.items():
        kinds = {*map(frozenset, sets)}
        if len(kinds) == 1 and len(sets[0]) > 1 and what != "data set":
            yield f"within themselves in {what} ({listed(sorted(sets[0]), most=3)})"
        elif len(kinds) > 1:
            against = " against ".join(listed(sorted(each), most=3) or "none" for each in sets)
            yield f"in {what} ({against})"
        elif not sets[0] - {col.UNKNOWN}:
            yield f"perhaps in {what}, which they do not state"


def _values(runs: RunTable, name: str) -> set[str]:
    return {*runs.finished[name].dropna().astype(str)} if name in runs.frame else set()


def _pooled(runs: Mapping[str, RunTable]) -> RunTable:
    """Return the runs of all as one table, in which each is named by its sweep too."""
    first = next(iter(runs.values()))
    parts = [
        table.frame.drop(columns=[each for each in _NAMES if each in table.frame]).assign(
            name=[f"{name}'s {_named(row)}" for row in table.frame.to_dict("records")]
        )
        for name, table in runs.items()
    ]
    options = dict.fromkeys(each for table in runs.values() for each in table.configuration)
    return replace(
        first,
        frame=pd.concat(parts, ignore_index=True),
        source=" and ".join(runs),
        rows=sum(table.rows for table in runs.values()),
        warnings=(),
        searched=tuple(options),
    )


def _named(row: Mapping[Any, Any]) -> str:
    for name in _NAMES:
        if name in row and row[name] == row[name]:  # no NaN
            return f"trial {float(str(row[name])):.0f}" if name == "trial" else str(row[name])
    return f"run {str(row.get('run_id', ''))[:8]}".rstrip()
