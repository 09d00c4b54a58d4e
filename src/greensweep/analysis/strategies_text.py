"""What a comparison of strategies says: answers, notes and warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.bands import OVER_ORDERS
from greensweep.analysis.comparison import range_text, suffice
from greensweep.analysis.ratios import Ratios
from greensweep.analysis.units import joules
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.decision.sentences import percent_text
from greensweep.errors import listed, plural, rounded
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable

_TESTS = {
    "wilcoxon_p_holm": "Wilcoxon's test over settings, after Holm",
    "searches_p_holm": "van Elteren's test over searches, after Holm",
}


@dataclass(frozen=True)
class _Test:
    """Whether two strategies differ by more than chance.

    Attributes:
        p: None where there are too few settings and searches to tell.
        wins: settings that the first one needs less energy in, less those that it needs more in.
    """

    p: float | None
    by: str = ""
    wins: int = 0


def answers_of(
    ratios: pd.DataFrame,
    summaries: Mapping[str, Ratios],
    needed: pd.DataFrame,
    pairs: pd.DataFrame | None,
    config: StrategiesConfig,
) -> list[str]:
    """Say which strategy needs the least energy, how each but the baseline does, and how sure.

    Args:
        ratios, summaries: to the baseline.
        needed: a row for each strategy in a setting, with its number of searches.
        pairs: of strategies, with tests; None where no two share a setting.
    """
    said = _Sentences(ratios, summaries, needed, pairs, config)
    return [*said.overall(), *map(said.of, said.others)]


@dataclass(frozen=True)
class _Sentences:
    ratios: pd.DataFrame
    summaries: Mapping[str, Ratios]
    needed: pd.DataFrame
    pairs: pd.DataFrame | None
    config: StrategiesConfig

    @property
    def others(self) -> list[str]:
        """The strategies but the baseline."""
        return sorted(set(self.needed["strategy"]) - {self.config.baseline})

    def overall(self) -> list[str]:
        """Say which of three strategies or more needs the least energy, if that can be told."""
        if len(self.others) < 2 or not self.summaries:
            return []
        name, least = min(self.summaries.items(), key=lambda each: each[1].median_ratio)
        baseline, ratio = self.config.baseline, f"{self._ratio(least)}, in "
        ratio += _settings(least.settings)
        if least.median_ratio < 1:
            first, figure = name, f"by its median ratio to {baseline}, {ratio}"
        else:
            first, figure = baseline, f"as the smallest median ratio to it is {name}'s, {ratio}"
        tests = {each: self._test(first, each) for each in (baseline, *self.others)}
        del tests[first]
        unsure = {each: test for each, test in tests.items() if not self._is_sure(test)}
        if not unsure:
            return [
                f"Overall {first} needs the least energy to reach the target {figure}, and differs "
                f"from the others by more than chance ({_tests_text([*tests.values()])})."
            ]
        cannot = "Which strategy needs the least energy to reach the target cannot be told"
        tested = {each: test for each, test in unsure.items() if test.p is not None}
        if not tested:
            return [f"{cannot} from {self._too_few(least.settings)}."]
        by = " or ".join(dict.fromkeys(_TESTS[test.by] for test in tested.values()))
        against = _and([f"{test.p:.2g} against {each}" for each, test in tested.items()])
        return [f"{cannot}: {first} does {figure}, but p is {against} ({by})."]

    def of(self, strategy: str) -> str:
        """Say how a strategy does against the baseline."""
        own, baseline = self.summaries.get(strategy), self.config.baseline
        rows = self.ratios[self.ratios["strategy"] == strategy]
        if own is None:
            return f"{_why_no_ratio(rows, baseline, strategy)}."
        test = self._test(strategy, baseline)
        if len(rows) == 1:
            row = rows.iloc[0]
            names = [self._median_of(each, row["setting"]) for each in (strategy, baseline)]
            return f"{_in_one_setting(row, *names)}{self._verdict(test, 1)}."
        less = "none" if own.cheaper == 0 else str(own.cheaper)
        where = "all" if own.cheaper == own.settings else f"{less} of"
        alone = f" ({baseline} never does in {own.alone} of them)" if own.alone else ""
        told = [f"in {where} {_settings(own.settings)}{alone}"]
        told += [f"as much or more in {own.dearer}"] if own.dearer else []
        told += [f"never reaches it in {own.never}"] if own.never else []
        return (
            f"{strategy} needs less energy than {baseline} to reach the target {_and(told)}; the "
            f"median ratio is {self._ratio(own)}{self._verdict(test, own.settings)}."
        )

    def _median_of(self, strategy: str, setting: str) -> str:
        """Return whose energy a setting has: a search's, or that of the median of several."""
        rows = self.needed.set_index(["setting", "strategy"])["searches"]
        count = int(rows[setting, strategy])
        return strategy if count == 1 else f"the median of {count} searches by {strategy}"

    def _test(self, one: str, other: str) -> _Test:
        if self.pairs is None:
            return _Test(None)
        for first, second, sign in ((one, other, 1), (other, one, -1)):
            of_both = self.pairs["strategy"].eq(first) & self.pairs["other"].eq(second)
            if not of_both.any():
                continue
            pair = self.pairs[of_both].iloc[0]
            by = "wilcoxon_p_holm"
            if not suffice(int(pair["settings"]), self.config.confidence):
                by = "searches_p_holm"
            p = None if np.isnan(pair[by]) else float(pair[by])
            return _Test(p, by, sign * int(pair["cheaper"] - pair["dearer"]))
        return _Test(None)

    def _is_sure(self, test: _Test) -> bool:
        return test.p is not None and test.p <= 1 - self.config.confidence and test.wins > 0

    def _verdict(self, test: _Test, settings: int) -> str:
        """Say whether a difference is more than chance."""
        if test.p is None:
            return f": which of both needs less cannot be told from {self._too_few(settings)}"
        chance = (
            "which may be chance" if test.p > 1 - self.config.confidence else "more than chance"
        )
        return f", {chance} (p = {test.p:.2g} by {_TESTS[test.by]})"

    def _too_few(self, settings: int) -> str:
        each = "one search each" if self.needed["searches"].max() == 1 else "few searches each"
        return f"{each} in {_settings(settings)}"

    def _ratio(self, own: Ratios) -> str:
        if own.median_ratio_low is None or own.median_ratio_high is None:
            return rounded(own.median_ratio)
        span = f"{rounded(own.median_ratio_low)} to {rounded(own.median_ratio_high)}"
        confidence = percent_text(self.config.confidence)
        return f"{rounded(own.median_ratio)} ({confidence} interval over settings: {span})"


def _in_one_setting(row: "pd.Series[Any]", strategy: str, baseline: str) -> str:
    own, its = row["joules"], row["baseline_joules"]
    if np.isinf(own):
        return f"{strategy} never reaches the target, which {baseline} reaches for {joules(its)}"
    if np.isinf(its):
        return f"{strategy} reaches the target for {joules(own)}, {baseline} never does"
    return (
        f"{strategy} reaches the target for {joules(own)}, {rounded(row['ratio'])} times what "
        f"{baseline} needs"
    )


def _why_no_ratio(rows: pd.DataFrame, baseline: str, strategy: str) -> str:
    if rows.empty:
        return (
            f"{strategy} and {baseline} have no comparable searches, as none share data, model, "
            "space, objective and fixed options: which of both needs less cannot be told"
        )
    if (rows["baseline_joules"] == 0).any():
        return f"{baseline} reaches the target for 0 J, so {strategy} has no ratio to it"
    return f"neither {strategy} nor {baseline} reaches the target in any setting"


def _settings(count: int) -> str:
    return plural(count, "setting")


def _tests_text(tests: Sequence[_Test]) -> str:
    highest = max(test.p or 0.0 for test in tests)
    by = " or ".join(dict.fromkeys(_TESTS[test.by] for test in tests))
    return f"p {'=' if len(tests) == 1 else '≤'} {highest:.2g} by {by}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def notes_of(
    metric: Metric, config: StrategiesConfig, needed: pd.DataFrame, bands: pd.DataFrame | None
) -> list[str]:
    """Say what the target is, and what medians, intervals and bands are over.

    Args:
        needed: a row for each strategy in a setting, with its energy to target.
        bands: of the curves; None where there are none.
    """
    if config.target is not None:
        label = "an accuracy of" if metric.name == "accuracy" else metric.label
        target = f"{label} {config.target:g}"
    elif config.fraction_of_best is not None:
        of_best = f"{config.fraction_of_best:g} of the best {metric.label} known in the setting"
        least = f"the best {metric.label} known in the setting, over {config.fraction_of_best:g}"
        target = of_best if metric.direction == "maximize" else least
    else:
        target = f"the final best {metric.label} of {config.baseline} in the setting"
    notes = [
        f"The target is {target}.",
        "A strategy that never reaches it counts as infinite in medians and ranks, and is "
        "censored in the survival curves.",
    ]
    if (needed["searches"] > 1).any():
        notes.append(
            "The energy of a strategy in a setting is the median of up to "
            f"{needed['searches'].max()} searches; its interval is the sign test's over them where "
            f"they suffice for {percent_text(config.confidence)}."
        )
    over_orders = needed[needed["interval_over"] == OVER_ORDERS]
    if len(over_orders):
        notes.append(
            "Intervals over orders of trials are over "
            f"{range_text(over_orders['interval_draws'])} random orders "
            f"({', '.join(config.order_free)}): for strategies whose next trial hangs on the "
            "earlier ones there is no such interval."
        )
    if bands is not None and len(bands):
        notes.append(f"Bands of the curves are over {range_text(bands['band_draws'])} draws each.")
    return notes


def warnings_of(costs: pd.DataFrame, table: pd.DataFrame, runs: RunTable) -> list[str]:
    """Say what is not compared, or for less than others.

    Args:
        costs: energy to target, a row for each setting and a column for each strategy.
        table: a row for each search.
    """
    warnings = []
    known = set(runs.frame[col.SETTING].astype(str))
    if parted := sorted(set(table["setting"]) - known):
        warnings.append(
            "searches that differ in space, objective or fixed options are not held against each "
            f"other, but within {plural(len(parted), 'setting')}: {listed(parted, most=4)}"
        )
    if gaps := int(costs.isna().any(axis=1).sum()):
        warnings.append(
            f"a strategy is missing in {gaps} of {plural(len(costs), 'setting')}: pairs count "
            "there where both ran, mean ranks nowhere"
        )
    # A sum of the same trials in another order differs in its last digits.
    if short := int((table["total_joules"] < table["horizon_joules"] * (1.0 - 1e-9)).sum()):
        warnings.append(
            f"less energy than {runs.metric.label} and regret are compared over (horizon_joules) "
            f"was spent by {short} of {len(table)} searches: what counts there is their last best"
        )
    if undrawn := int((runs.frame[col.STRATEGY] == col.NO_STRATEGY).sum()):
        warnings.append(f"not compared: {plural(undrawn, 'run')} that no search drew")
    return warnings
