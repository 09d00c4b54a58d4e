"""What runs cost in all: by how they ended, by phase and by component."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from greensweep.analysis.result import Result
from greensweep.analysis.statement_parts import BESIDE
from greensweep.analysis.units import joules
from greensweep.decision.sentences import percent_text
from greensweep.energy.units import JOULES_PER_KWH, emissions_text, watt_hours_text
from greensweep.errors import listed, plural, rounded
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, RunTable, qualities

_PHASE = re.compile("phases/(.*)_joules")
_COMPONENT = re.compile("energy/(cpu|gpu|ram)_joules")
_LAYER_TYPE = re.compile("layer_energy/(.*)_joules")
_NODE = re.compile("sweep/nodes/(.+)/(.+)")
_TRAINED, _FURTHER = "training of finished runs", "their other phases and repeats"
_DATASET = "dataset"  # within which metrics compare
_MOST_NAMED = 4
_MIXED = 3  # qualities from which on a bar has no room for their names


def energy_bill(runs: RunTable, sweeps: pd.DataFrame | None = None) -> Result:
    """Add up the energy of all runs, also of those that did not finish, and of their sweeps.

    Args:
        sweeps: what each sweep spent beside its runs, as `read_sweeps` returns it.

    Returns:
        Tables `bill` (part, joules, share), `ends` (strategy, status, runs, spent_joules, share),
        and `phases`, `components` and, of the training, `layer_types` where the runs record them,
        each with its `quality` where they record that; joules, summed over runs. `nodes` (node,
        kwh, joules, charged_joules, idle_joules, hours) where sweeps read theirs.

    Raises:
        AnalysisError: no run finished.
    """
    frame = runs.frame
    parts = _parts(runs, sweeps)
    spent, beside = float(frame[col.SPENT].sum()), _beside_joules(sweeps)
    total = spent + beside
    ends = frame.groupby([col.STRATEGY, col.STATUS])[col.SPENT].agg(["size", "sum"]).reset_index()
    ends.columns = ["strategy", "status", "runs", "spent_joules"]
    ends["share"] = ends["spent_joules"] / ends["spent_joules"].sum()
    tables = {"bill": parts, "ends": ends}
    parted = (("phase", _PHASE), ("component", _COMPONENT), ("layer_type", _LAYER_TYPE))
    for kind, pattern in parted:
        columns = {found[1]: found[0] for found in map(pattern.fullmatch, map(str, frame)) if found}
        if columns:
            tables[f"{kind}s"] = _by_part(frame, kind, columns)
    if (nodes := _nodes(sweeps)) is not None:
        tables["nodes"] = nodes
    best = _best_joules(runs)
    ratios = {name: _ratio(runs, name, joules) for name, joules in best.items()}
    if len(best) == 1:
        ratios = {name: total / joules if joules else np.nan for name, joules in best.items()}
    kilograms = _emissions_kg(frame, total)
    return Result(
        name="bill",
        answers=[*_took(runs, beside, total, kilograms, ratios), *_parts_of(parts)],
        tables=tables,
        figures={
            "spent_joules": total,
            "runs_joules": spent,
            "beside_joules": beside,
            "best_joules": next(iter(best.values())) if len(best) == 1 else None,
            "ratio_to_best": next(iter(ratios.values())) if len(best) == 1 else None,
            "ratios_to_best": ratios,
            "quality": _quality_words(frame),
            "emissions_spent_kg": kilograms,
        },
        warnings=runs.warnings,
        runs=runs,
    )


def _beside_joules(sweeps: pd.DataFrame | None) -> float:
    """Return what sweeps did beside their runs."""
    if sweeps is None:
        return 0.0
    return float(sweeps.reindex(columns=list(BESIDE)).sum().sum())


def _nodes(sweeps: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return what each node used while sweeps had it; None where none was read."""
    figures = {} if sweeps is None else {str(name): sweeps[name].sum() for name in sweeps}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, figure in figures.items():
        if matched := _NODE.fullmatch(name):
            found[matched[1]][matched[2]] = figure
    if not found:
        return None
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("node").reset_index()
    table.insert(1, "kwh", table["joules"] / JOULES_PER_KWH)
    return table.sort_values("joules", ascending=False, ignore_index=True)


def _took(
    runs: RunTable,
    beside: float,
    total: float,
    kilograms: float | None,
    ratios: Mapping[str, float],
) -> Iterator[str]:
    """Say what all runs took, what their sweeps did beside, and how many trainings that is."""
    frame, metric = runs.frame, runs.metric
    took = f"{plural(len(frame), 'run')} took "
    if beside > 0:
        took += f"{joules(total - beside)}, and sweeps {joules(beside)} beside them: "
    emitted = "" if kilograms is None else f", {emissions_text(kilograms)}"
    took += f"{joules(total)} ({watt_hours_text(total)}{emitted}) in all"
    quality = _quality_words(frame)
    shared = int(frame[col.CONTENDED].sum())
    which = "" if shared == len(frame) else f"{shared} of them "
    part = f"; {which}sharing the machine with other work" if shared else ""
    took += f" ({'of unknown quality' if quality == col.UNKNOWN else quality}{part})"
    known = {name: rounded(ratio) for name, ratio in ratios.items() if np.isfinite(ratio)}
    if len(frame) == 1 or not known:
        yield f"{took}."
    elif len(ratios) == 1:
        (ratio,) = known.values()
        yield f"{took}, {ratio} times the training of {metric.best_words} of them."
    else:
        told = listed((f"{ratio} ({name})" for name, ratio in known.items()), most=_MOST_NAMED)
        yield f"{took}."
        yield f"Over the training of {metric.best_words} on the same data, runs took {told} times."


def _parts_of(parts: pd.DataFrame) -> Iterator[str]:
    """Say what was spent on what; nothing where all of it was the training of finished runs."""
    spent = {
        str(part): float(took) for part, took in parts[["part", "joules"]].itertuples(index=False)
    }
    trained, total = spent.pop(_TRAINED), sum(spent.values())
    others = [f"{part} {joules(took)}" for part, took in spent.items() if took > 0]
    if others:
        share = percent_text(trained / (trained + total))
        yield f"The {_TRAINED} took {joules(trained)}, {share} of it; {', '.join(others)}."


def _best_joules(runs: RunTable) -> dict[str, float]:
    """Return the energy of the best training on each data set, by its name."""
    best = runs.finished.sort_values([col.SCORE, ENERGY], ascending=[False, True])
    return {name: float(own[ENERGY].iloc[0]) for name, own in best.groupby(_datasets(best))}


def _ratio(runs: RunTable, dataset: str, best: float) -> float:
    """Return what the runs on a data set took, over the training of the best of them."""
    own = runs.frame[_datasets(runs.frame) == dataset]
    return float(own[col.SPENT].sum() / best) if best > 0 else np.nan


def _datasets(frame: pd.DataFrame) -> "pd.Series[str]":
    if _DATASET not in frame:
        return pd.Series("all", index=frame.index)
    return frame[_DATASET].fillna("missing").astype(str)


def _quality_words(frame: pd.DataFrame) -> str:
    return " and ".join(qualities(frame))


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
        _TRAINED: finished[ENERGY].sum(),
        _FURTHER: (finished[col.SPENT] - finished[ENERGY]).sum(),
        **{f"{status} runs": spent for status, spent in others.items()},
    }
    for name, part in BESIDE.items():
        if sweeps is not None and name in sweeps:
            parts[part[0].lower() + part[1:]] = sweeps[name].sum()
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
    if kind == "layer_type":
        return "attributed"  # a share of the training's, by time
    if kind == "component":
        found = frame.get(f"energy.quality.{part}", pd.Series(dtype=object))
    else:
        metered = frame[frame[name].notna()]
        found = metered.get(f"phases.quality.{part}", metered[col.QUALITY])
        found = found.fillna(metered[col.QUALITY])
        found = found[:0] if found.eq(col.UNKNOWN).all() else found
    qualities = [*map(str, found.dropna().unique())]
    return " and ".join(sorted(qualities)) if len(qualities) < _MIXED else "mixed"
