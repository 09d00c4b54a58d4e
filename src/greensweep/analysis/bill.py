"""What runs cost in all: by how they ended, by phase and by component."""

import re

import numpy as np
import pandas as pd

from greensweep.analysis.result import Result
from greensweep.analysis.units import joules, number
from greensweep.energy.units import emissions_text, watt_hours_text
from greensweep.errors import plural
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, RunTable, qualities

_PHASE = re.compile("phases/(.*)_joules")
_COMPONENT = re.compile("energy/(cpu|gpu|ram)_joules")
# What sweeps spend beside their runs, under the names that MLflow has for it.
_BESIDE = {
    "search/search_joules": "drawing trials and keeping records",
    "sweep/energy_test_joules": "testing the best trials",
    "sweep/energy_reference_joules": "the reference job before and after",
}


def energy_bill(runs: RunTable, sweeps: pd.DataFrame | None = None) -> Result:
    """Add up the energy of all runs, also of those that did not finish, and of their sweeps.

    Args:
        sweeps: what each sweep spent beside its runs, as `read_sweeps` returns it.

    Returns:
        Tables `bill` (part, joules, share), `ends` (strategy, status, runs, spent_joules, share),
        and `phases` and `components` where the runs record them, each with its `quality`
        where they record that; joules, summed over runs.

    Raises:
        AnalysisError: no run finished.
    """
    frame = runs.frame
    parts = _parts(runs, sweeps)
    total = float(parts["joules"].sum())
    ends = frame.groupby([col.STRATEGY, col.STATUS])[col.SPENT].agg(["size", "sum"]).reset_index()
    ends.columns = ["strategy", "status", "runs", "spent_joules"]
    ends["share"] = ends["spent_joules"] / ends["spent_joules"].sum()
    best = runs.finished.sort_values([col.SCORE, ENERGY], ascending=[False, True]).iloc[0]
    quality = " and ".join(qualities(frame))
    tables = {"bill": parts, "ends": ends}
    for kind, pattern in (("phase", _PHASE), ("component", _COMPONENT)):
        columns = {found[1]: found[0] for found in map(pattern.fullmatch, map(str, frame)) if found}
        if columns:
            tables[f"{kind}s"] = _by_part(frame, kind, columns)
    trained = float(parts["joules"].iloc[0])
    ratio = total / best[ENERGY] if best[ENERGY] > 0 else np.nan
    kilograms = _emissions_kg(frame, total)
    emitted = "" if kilograms is None else f", {emissions_text(kilograms)}"
    times = (
        f", {number(ratio)} times the training of {runs.metric.best_words} of them"
        if best[ENERGY]
        else ""
    )
    return Result(
        name="bill",
        answers=[
            f"{plural(len(frame), 'run')} took {joules(total)} ({watt_hours_text(total)}{emitted}) "
            f"in all ({quality}){times}.",
            f"All but the training of those that finished is the price of searching: "
            f"{joules(total - trained)}, {1 - trained / total:.0%}.",
        ],
        tables=tables,
        figures={
            "spent_joules": total,
            "best_joules": float(best[ENERGY]),
            "ratio_to_best": float(ratio),
            "search_joules": total - trained,
            "quality": quality,
            "emissions_spent_kg": kilograms,
        },
        warnings=runs.warnings,
        runs=runs,
    )


def _emissions_kg(frame: pd.DataFrame, joules: float) -> float | None:
    """Return CO2e of so many joules, of which the runs are a part; None where a run has none."""
    known, spent = frame[col.EMISSIONS], frame[col.SPENT].sum()
    if known.isna().any() or not spent:
        return None
    return float(known.sum() / spent * joules)


def _parts(runs: RunTable, sweeps: pd.DataFrame | None) -> pd.DataFrame:
    """Return what was spent on what; the training of the finished runs comes first."""
    frame, finished = runs.frame, runs.finished
    others = frame.drop(finished.index).groupby(col.STATUS)[col.SPENT].sum()
    parts = {
        "training of finished runs": finished[ENERGY].sum(),
        "their other phases and repeats": (finished[col.SPENT] - finished[ENERGY]).sum(),
        **{f"{status} runs": spent for status, spent in others.items()},
    }
    for name, part in _BESIDE.items():
        if sweeps is not None and name in sweeps:
            parts[part] = sweeps[name].sum()
    table = pd.DataFrame({"part": list(parts), "joules": [float(each) for each in parts.values()]})
    table["share"] = table["joules"] / table["joules"].sum()
    return table


def _by_part(frame: pd.DataFrame, kind: str, columns: dict[str, str]) -> pd.DataFrame:
    sums = [pd.to_numeric(frame[name], errors="coerce").sum() for name in columns.values()]
    table = pd.DataFrame({kind: list(columns), "joules": sums})
    table["share"] = table["joules"] / table["joules"].sum()
    table = table.sort_values("joules", ascending=False, ignore_index=True)
    found = [_quality(frame, kind, part, columns[part]) for part in table[kind]]
    return table.assign(quality=[each or col.UNKNOWN for each in found]) if any(found) else table


def _quality(frame: pd.DataFrame, kind: str, part: str, name: str) -> str:
    """Return the qualities of a part's energy; empty where the runs record none.

    Where a run records none of a phase, it is that of its training energy.
    """
    if kind == "component":
        found = frame.get(f"energy.quality.{part}", pd.Series(dtype=object))
    else:
        metered = frame[frame[name].notna()]
        found = metered.get(f"phases.quality.{part}", metered[col.QUALITY])
        found = found.fillna(metered[col.QUALITY])
        found = found[:0] if found.eq(col.UNKNOWN).all() else found
    return " and ".join(sorted(map(str, found.dropna().unique())))
