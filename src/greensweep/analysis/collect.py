"""Everything that a table of runs answers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

import pandas as pd

from greensweep.analysis.architectures import separable_factors
from greensweep.analysis.bill import energy_bill
from greensweep.analysis.layers import SIZES, explain_layers
from greensweep.analysis.result import Result
from greensweep.analysis.strategies import compare_strategies
from greensweep.analysis.tradeoff import analyse_tradeoff
from greensweep.config.schema_analysis import (
    AnalysisConfig,
    LayersConfig,
    ReportConfig,
    StrategiesConfig,
)
from greensweep.errors import AnalysisError
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable

_LAYERS = "layers/"
_FIRST = ("layers/conv", "layers/linear", "layers/relu")  # what people ask about


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
        "layers": (_layers, config.layers),
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


def _layers(runs: RunTable, config: LayersConfig) -> Result:
    """Take the counts of layers that vary for factors where none are named.

    Counts that vary together are one factor: networks repeat the same block. Architectures of the
    same counts that differ in size are distinguished by it.
    """
    if config.factors:
        return explain_layers(runs, config)
    finished = runs.finished
    counts = [name for name in map(str, finished.columns) if name.startswith(_LAYERS)]
    counts.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    varying = [name for name in counts if finished[name].nunique() > 1]
    counted = finished.dropna(subset=varying)
    factors, stand_for = separable_factors(counted[varying])
    architecture = config.architecture or [*factors, *_sizes_within(counted, factors)]
    chosen = replace(config, factors=factors, architecture=architecture, order=config.order or 1)
    result = explain_layers(runs, chosen)
    aliases = [_stands_for(kept, others) for kept, others in stand_for.items()]
    return replace(result, notes=[*result.notes, *aliases])


def _sizes_within(frame: pd.DataFrame, factors: Sequence[str]) -> list[str]:
    """Return the sizes of networks that vary between runs of the same counts of layers."""
    known = [name for name in SIZES if name in frame and frame[name].notna().all()]
    if not factors:
        return []
    groups = frame.groupby(list(factors))
    return [name for name in known if (groups[name].nunique() > 1).any()]


def _stands_for(kept: Sequence[str], others: Sequence[str]) -> str:
    stand, it = ("stands", "it") if len(kept) == 1 else ("together stand", "them")
    vary = "varies" if len(others) == 1 else "vary"
    return f"{' and '.join(kept)} {stand} for {' and '.join(others)} too, which {vary} with {it}."
