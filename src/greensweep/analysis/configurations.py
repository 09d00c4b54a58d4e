"""The configurations in a table of runs whose metric compares: their means, front and choice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from greensweep.analysis.comparison import resamples_that_fit
from greensweep.analysis.front import knee, on_front_probability
from greensweep.analysis.searches import Figures
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.decision.candidate import Candidate
from greensweep.decision.choice import Decision, decide
from greensweep.intervals import Interval, mean_interval
from greensweep.pareto import pareto_front
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY

_MOST_DRAWN = 20_000_000  # values in all draws of one bootstrap: about two seconds
# Columns that name a configuration, the first that differs between all.
_NAMES = ("trial", "run_name", "name", "folder", "run_id")
_LONG_ID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Group:
    """Runs whose metric compares, and their configurations: means over their repeats."""

    name: str
    runs: pd.DataFrame
    metric: Metric
    config: TradeoffConfig
    options: Sequence[str]
    is_only: bool

    @cached_property
    def units(self) -> NDArray[np.intp]:
        """Number of the configuration that each run is of."""
        names = list(self.config.configuration)
        if not names:
            return np.asarray(self.runs.index, dtype=np.intp)
        numbers = self.runs.groupby(names, dropna=False, sort=False).ngroup()
        return np.asarray(numbers, dtype=np.intp)

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Runs of each configuration."""
        return np.bincount(self.units)

    @cached_property
    def means(self) -> pd.DataFrame:
        """A row for each configuration."""
        if not self.config.configuration:
            return self.runs
        groups = self.runs.groupby(self.units)
        squares = self.runs[col.UNCERTAINTY].pow(2).groupby(self.units).sum()
        return groups.first().assign(
            **groups[[col.SCORE, ENERGY]].mean(),
            **{col.UNCERTAINTY: squares.pow(0.5) / self.sizes},
            **groups[[col.CONTENDED]].any(),
        )

    @property
    def scores(self) -> Figures:
        return self.means[col.SCORE].to_numpy(float)

    @property
    def values(self) -> Figures:
        """The metric itself."""
        return np.asarray(self.metric.score(self.scores), dtype=np.float64)

    @property
    def joules(self) -> Figures:
        return self.means[ENERGY].to_numpy(float)

    @property
    def uncertainties(self) -> Figures:
        return self.means[col.UNCERTAINTY].to_numpy(float)

    @property
    def best(self) -> int:
        """Place of the best configuration; of equals, the cheapest."""
        return int(np.lexsort((self.joules, -self.scores))[0])

    @cached_property
    def front(self) -> NDArray[np.intp]:
        """Places of the Pareto front, cheapest first, whose energies are distinguishable."""
        return pareto_front(self.joules, self.scores, self.uncertainties)

    @property
    def knee(self) -> int | None:
        """Place of the knee on the front."""
        return knee(self.scores[self.front], self.joules[self.front])

    @cached_property
    def on_front(self) -> Figures | None:
        """Each configuration's probability to be on the front; None where nothing was repeated."""
        if self.sizes.max() == 1:
            return None
        scores, joules = self.runs[[col.SCORE, ENERGY]].to_numpy(float).T
        draws = self.draws(len(self.runs))
        return on_front_probability(scores, joules, self.units, draws, self.config.seed)

    @cached_property
    def decision(self) -> Decision | None:
        """Which configuration to take."""
        return decide(self.candidates, self.metric, self.config.points_per_halving)

    @cached_property
    def searched(self) -> list[str]:
        """The options that differ between configurations."""
        return [name for name in self.options if self.means[name].astype(str).nunique() > 1]

    @cached_property
    def candidates(self) -> list[Candidate]:
        names = self.searched
        intervals = self._intervals()
        return [
            Candidate(
                name,
                float(value),
                float(joules),
                float(unsure) or None,
                intervals[place],
                {key: options[key] for key in names},
                bool(is_start) and self.is_only,
                bool(is_shared),
            )
            for place, (name, value, joules, unsure, options, is_start, is_shared) in enumerate(
                zip(
                    _names(self.means),
                    self.values,
                    self.joules,
                    self.uncertainties,
                    self.means[names].to_dict("records"),
                    self.means[col.START],
                    self.means[col.CONTENDED],
                    strict=True,
                )
            )
        ]

    def _intervals(self) -> list[Interval | None]:
        """95 % intervals of the metric: over repeats, or as the source has them of single runs."""
        ends = self.metric.low, self.metric.high
        known = self.means[[col.LOW, col.HIGH]].to_numpy(float)
        if self.sizes.max() == 1:
            return [None if np.isnan(low + high) else (low, high) for low, high in known]
        deviations = self.runs[self.metric.name].groupby(self.units).std()
        return [
            mean_interval(value, deviation, size, ends)
            for value, deviation, size in zip(self.values, deviations, self.sizes, strict=True)
        ]

    def draws(self, values: int) -> int:
        """Return how many resamples of so many values are drawn."""
        return resamples_that_fit(self.config.resamples, values, _MOST_DRAWN)


def _names(means: pd.DataFrame) -> list[str]:
    """Return what configurations are called: by trial, name, folder or id."""
    for column in _NAMES:
        if column in means and means[column].notna().all() and means[column].is_unique:
            return [_name(column, value) for value in means[column]]
    return [f"configuration {place}" for place in range(1, len(means) + 1)]


def _name(column: str, value: object) -> str:
    text = str(value)
    if column == "trial":
        return f"trial {float(text):.0f}"
    if column == "run_id":
        return f"run {text[:8] if _LONG_ID.fullmatch(text) else text}"
    return text
