"""Everything that a table of runs answers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

import pandas as pd

from greensweep.analysis.bill import energy_bill
from greensweep.analysis.layers import explain_layers
from greensweep.analysis.result import Result
from greensweep.analysis.strategies import compare_strategies
from greensweep.analysis.tradeoff import analyse_tradeoff
from greensweep.config.schema_analysis import (
    AnalysisConfig,
    ReportConfig,
    StrategiesConfig,
)
from greensweep.errors import AnalysisError
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable


@dataclass(frozen=True)
class Analyses:
    """What the page is about.

    Attributes:
        results: of the analyses that the runs answer, by name, in the order of the page; `bill` is
            always there.
        missing: why the runs do not answer others that the page would have.
    """

    runs: RunTable
    results: Mapping[str, Result]
    missing: Mapping[str, str]


def analyses_of(
    runs: RunTable, config: ReportConfig, sweeps: pd.DataFrame | None = None
) -> Analyses:
    """Return all analyses that the runs answer, and why the others are missing.

    Args:
        sweeps: what each sweep spent beside its runs.

    Raises:
        AnalysisError: no run finished.
    """
    bill = energy_bill(runs, sweeps)
    asked: Mapping[str, tuple[Callable[[RunTable, Any], Result], AnalysisConfig]] = {
        "tradeoff": (analyse_tradeoff, config.tradeoff),
        "strategies": (_strategies, config.strategies),
        "layers": (explain_layers, config.layers),
    }
    results, missing = {}, {}
    for name, (ask, own) in asked.items():
        try:
            results[name] = ask(runs.only(own.where, f"{name}.where"), own)
        except AnalysisError as error:
            missing[name] = str(error)
    for name, kind in AnalysisConfig.choices.items():
        if name not in asked:
            with suppress(AnalysisError):  # it was not asked for
                results[name] = resolve_name(kind.implementation)(runs, kind())
    return Analyses(runs, {**results, "bill": bill}, missing)


def _strategies(runs: RunTable, config: StrategiesConfig) -> Result:
    """Take the first strategy for the baseline where none is called as the default is."""
    there = sorted(set(runs.frame[col.STRATEGY].astype(str)) - {col.NO_STRATEGY})
    if there and config.baseline == StrategiesConfig().baseline and config.baseline not in there:
        config = replace(config, baseline=there[0])
    return compare_strategies(runs, config)
