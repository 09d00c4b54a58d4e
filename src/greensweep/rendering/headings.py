"""Columns of a table as people read them: their headings, and which of them are one."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from greensweep.analysis.units import cell
from greensweep.config.metrics import metric_called
from greensweep.decision.sentences import option_names, percent_text, value_text
from greensweep.energy.units import energy_text
from greensweep.sources.table import ENERGY, OPTION_GROUPS

UNCERTAINTY = "energy_uncertainty_joules"
_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}(\.dir)?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What no reader of a page misses: it is in the table's file.
LEFT_OUT = re.compile(
    r".*(draws|_df)|df|experiment_id|is_knee|is_chosen|is_start|interval_over|horizon_joules|"
    r"objective_(metric|direction|low|high)|(phases|energy)\.quality\..*"
)
_HEADINGS = {
    ENERGY: "training energy",
    "joules": "energy",
    "spent_joules": "energy of all it did",
    "kwh": "kWh",
    "charged_joules": "charged to trials and search",
    "idle_joules": "idle, starting, others",
    "total_joules": "energy of the search",
    "joules_to_target": "energy to the target",
    "baseline_joules": "energy of the baseline",
    "joules_per_layer": "energy of one more",
    "architecture_deviation_joules": "deviation between architectures",
    "least_energy_joules": "energy at the least",
    "most_energy_joules": "energy at the most",
    "energy_share": "energy at most",
    "share_spent": "energy spent",
    "energy_saved_share": "energy saved",
    "on_front_probability": "chance to be on the front",
    "hyperparameter": "option",
    "r2_out_of_bag": "R² on runs not seen",
    "setting": "setting",
    "seed": "search",
    "run_id": "run",
    "least": "least energy at",
    "most": "most energy at",
    "wilcoxon_p": "p (Wilcoxon)",
    "wilcoxon_p_holm": "p after Holm",
    "tukey_p": "p (Tukey)",
    "welch_p": "p (Welch)",
    "welch_p_holm": "p (Welch) after Holm",
    "cliffs_delta": "Cliff's delta",
    "sum_sq": "sum of squares",
    "eta_sq": "η²",
    "partial_eta_sq": "partial η²",
    "omega_sq": "ω²",
    "kg_co2e": "kg CO2e",
    "n_hyperparameters": "options searched",
    "model": "model",
    "model.name": "model",
}
# Columns that say nothing where all rows have the same in them.
_OF_ALL = (
    "group", "setting", "remark", "model", "model.name", "dataset", "strategy", "starting_point",
)  # fmt: skip
# Texts of options and of their values, or of ranges of these.
_OPTIONS, _VALUES = ("option", "hyperparameter"), ("value", "least", "most")
_NUMBER = re.compile(r"\d+\.\d+(e[+-]?\d+)?")
_LAYERS = re.compile(r"layers/(.*)")
_PER_KILOJOULE = re.compile(r"(.*)_per_extra_kilojoule")
_CHANGE = re.compile(r"(.*)_(lost|added|gained)")
_P = re.compile(r"(.*)_p")


@dataclass(frozen=True)
class Column:
    """A column of a page.

    Attributes:
        name: in the table.
        heading: for people.
        low, high: names of the ends of its interval, which its cells show too.
        uncertainty: name of what it may be off by, likewise.
    """

    name: str
    heading: str
    low: str | None = None
    high: str | None = None
    uncertainty: str | None = None


def columns_for_people(frame: pd.DataFrame) -> list[Column]:
    """Return the columns of a table that a page shows, each interval with its figure."""
    names = [str(name) for name in frame]
    ends: set[str] = set()
    found: list[Column] = []
    called = option_names(name for name in names if name.startswith(OPTION_GROUPS))
    for place, name in enumerate(names):
        is_twice = name == "model.name" and "model" in names
        if is_twice or name in ends or LEFT_OUT.fullmatch(name) or says_nothing(frame, name):
            continue
        pairs = [(f"{name}_low", f"{name}_high")]
        if names[place + 1 : place + 3] == ["low", "high"]:
            pairs.append(("low", "high"))
        low, high = next((pair for pair in pairs if {*pair} <= {*names}), (None, None))
        uncertainty = UNCERTAINTY if name == ENERGY and UNCERTAINTY in names else None
        ends |= {each for each in (low, high, uncertainty) if each is not None}
        found.append(Column(name, called.get(name) or heading(name), low, high, uncertainty))
    return [each for each in found if each.name not in ends]


def heading(name: str) -> str:
    """Return what people call a column.

    >>> heading("accuracy_lost"), heading("layers/batch_norm"), heading("regret_at_25%")
    ('accuracy lost', 'batch norm layers', 'regret at 25%')
    """
    if name in _HEADINGS:
        return _HEADINGS[name]
    if found := _LAYERS.fullmatch(name):
        return f"{found[1].replace('_', ' ')} layers"
    if found := _PER_KILOJOULE.fullmatch(name):
        return f"{_metric(found[1])} per further kJ"
    if found := _CHANGE.fullmatch(name):
        return f"{_metric(found[1])} {found[2]}"
    if found := _P.fullmatch(name):
        return f"p of {_metric(found[1])}"
    best = name.removeprefix("mean_best_").removeprefix("best_")
    if best != name:
        return f"{'mean ' if name.startswith('mean') else ''}best {_metric(best)}"
    text = _metric(name).removesuffix("_joules").removesuffix("_kg")
    return re.sub(r"[_/.]", " ", text)


def _metric(name: str) -> str:
    metric = metric_called(name)
    return name if metric is None else metric.label


def says_nothing(frame: pd.DataFrame, name: str) -> bool:
    """Tell whether a column is the same for all, as the first screen says, or has nothing."""
    values = frame[name]
    if name == "runs" and len(frame) > 1:
        return bool(values.eq(1).all())
    return bool(values.isna().all() or (name in _OF_ALL and values.astype(str).nunique() < 2))


def texts_of(column: Column, record: dict[str, Any], names: Sequence[str]) -> str:
    """Return a cell of a row for people: with its interval, shares in per cent, ids short."""
    value = record[column.name]
    if column.uncertainty is not None and (record[column.uncertainty] or 0.0) > 0:
        return energy_text(value, record[column.uncertainty])
    text = _text(column.name, value, names)
    ends = [record[each] for each in (column.low, column.high) if each is not None]
    known = [isinstance(each, int | float) and math.isfinite(each) for each in (value, *ends)]
    if not known[0] or not any(known[1:]) or {value} == {*ends}:
        return text
    low, high = (_text(column.name, end, names, is_end=True) for end in ends)
    return f"{text} ({low} to {high})"


def _text(name: str, value: Any, names: Iterable[str], *, is_end: bool = False) -> str:
    if isinstance(value, str):
        if name in _OPTIONS:
            return option_names([value])[value]
        if name in _VALUES:
            return _NUMBER.sub(lambda found: value_text(found[0]), value)
        return value[:8] if _ID.fullmatch(value) else value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isinf(value) and is_end:
        return "∞" if value > 0 else "-∞"
    if is_number and math.isfinite(value) and "share" in name.split("_"):
        return percent_text(value)
    if name == "trial" and is_number and math.isfinite(value):
        return f"{value:.0f}"
    return cell(name, value, [*names])
