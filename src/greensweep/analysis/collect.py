"""Everything that a table of runs answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from greensweep.analysis.bill import add_up
from greensweep.analysis.layers import explain_layers
from greensweep.analysis.result import Result
from greensweep.analysis.strategies import compare_strategies
from greensweep.analysis.table import NO_STRATEGY, STRATEGY, RunTable
from greensweep.analysis.tradeoff import weigh_tradeoff
from greensweep.config.schema_analysis import LayersConfig, ReportConfig, StrategiesConfig
from greensweep.errors import AnalysisError

_LAYERS = "layers/"


@dataclass(frozen=True)
class Analyses:
    """What the page tells of.

    Attributes:
        runs: the table of runs.
        bill, tradeoff: of these runs.
        strategies, layers: None where the runs do not answer them; `missing` says why.
    """

    runs: RunTable
    bill: Result
    tradeoff: Result | None = None
    strategies: Result | None = None
    layers: Result | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def found(self) -> list[Result]:
        """The analyses that the runs answered."""
        every = (self.tradeoff, self.strategies, self.layers, self.bill)
        return [each for each in every if each is not None]


def analyses_of(
    runs: RunTable, config: ReportConfig, sweeps: pd.DataFrame | None = None
) -> Analyses:
    """Return all analyses that the runs answer, and why the others are missing.

    Args:
        sweeps: what each sweep spent beside its runs.

    Raises:
        AnalysisError: no run finished.
    """
    bill = add_up(runs, sweeps)
    missing: dict[str, str] = {}

    def attempt(name: str, ask: Callable[[], Result]) -> Result | None:
        try:
            return ask()
        except AnalysisError as error:
            missing[name] = str(error)
            return None

    return Analyses(
        runs,
        bill,
        attempt("tradeoff", lambda: weigh_tradeoff(runs, config.tradeoff)),
        attempt("strategies", lambda: compare_strategies(runs, _baseline(runs, config.strategies))),
        attempt("layers", lambda: explain_layers(runs, _factors(runs, config.layers))),
        missing,
    )


def _baseline(runs: RunTable, config: StrategiesConfig) -> StrategiesConfig:
    """Take the first strategy for the baseline where none is called as the default is."""
    there = sorted(set(runs.frame[STRATEGY].astype(str)) - {NO_STRATEGY})
    if config.baseline in there or not there or config.baseline != StrategiesConfig().baseline:
        return config
    return replace(config, baseline=there[0])


def _factors(runs: RunTable, config: LayersConfig) -> LayersConfig:
    """Take the counts of layers that vary for factors where none are named."""
    if config.factors:
        return config
    counted = [
        name
        for name in map(str, runs.frame.columns)
        if name.startswith(_LAYERS) and runs.finished[name].nunique() > 1
    ]
    return replace(config, factors=counted, order=config.order or 1)
