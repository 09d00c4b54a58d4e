"""What CodeCarbon wrote: `emissions.csv`, tables of tasks, exports of its dashboard and API.

Columns and units: https://mlco2.github.io/codecarbon/output.html. Energies are kWh, emissions kg,
durations seconds. Where a joule of CPU is from (RAPL, a load model, a constant) no version says.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from greensweep.config.schema_analysis import CodeCarbonColumnsConfig
from greensweep.csv_files.figures import MISSING
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError, plural
from greensweep.sources.checks import MOST_KG_PER_KWH
from greensweep.sources.columns import SourceColumns
from greensweep.sources.table import Rows, cell_text, read_file

_ENERGY, _EMISSIONS, _SECONDS = "energy_consumed", "emissions", "duration"
_PARTS = ("cpu", "gpu", "ram")
# As the dashboard and the API call the columns of emissions.csv.
_OTHER_NAMES = {"runId": "run_id", "emissions_sum": _EMISSIONS, "emissions_value": _EMISSIONS}
# What a row says of a run beside its machine, under our names.
_OF_A_RUN = ("emissions.grid", "version.codecarbon", "version.python")
_RESOLUTION = pd.Timedelta(seconds=2)  # of a time stamp of seconds, and of stopping
_QUALITY = "estimated"  # the RAM is by a constant, and of the CPU nothing is said


def read_codecarbon(path: Path) -> Rows:
    """Return a row for each run that CodeCarbon tracked, or for each task.

    Its rows of one run are cumulative (`flush()` writes one each time), so that the last counts;
    those that its API keeps (`emissions_sum`) are what came since the one before, and are added
    up. Every figure is `estimated`, as the files name no counter.

    Raises:
        AnalysisError: the file is missing, broken, or not CodeCarbon's; its units contradict each
            other; or rows of a run are not cumulative.
    """
    raw = _read_json(path) if path.suffix == ".json" else read_file(path)
    are_parts = "emissions_sum" in raw
    read = SourceColumns(raw.rename(columns=_OTHER_NAMES), CodeCarbonColumnsConfig(), str(path))
    if _ENERGY not in read.raw:
        raise AnalysisError(
            f"{path} has no column {_ENERGY}, so that it is no table of CodeCarbon: give its "
            "emissions.csv, or set columns to the tool that wrote it (runs, wandb, mlflow_table)"
        )
    frame = read.raw.copy()
    for name in [_ENERGY, _EMISSIONS, _SECONDS, *(f"{part}_energy" for part in _PARTS)]:
        if name in frame or name == _ENERGY:
            frame[name] = read.numbers("energy", name=name)
    _check_units(frame, path)
    frame, left_out = (_added_up(frame), {}) if are_parts else _last_of_each(frame, path)
    frame["energy_joules"] = frame["energy_spent_joules"] = frame[_ENERGY] * JOULES_PER_KWH
    frame["energy_quality"] = _QUALITY
    for part in _PARTS:
        joules = frame.get(f"{part}_energy", pd.Series(0.0, index=frame.index)) * JOULES_PER_KWH
        if joules.any():
            frame[f"energy/{part}_joules"] = joules
            frame[f"energy.quality.{part}"] = _QUALITY
    for name, ours in (
        (_EMISSIONS, ("emissions_kg", "emissions_spent_kg")),
        (_SECONDS, ("seconds",)),
    ):
        if name in frame:
            frame = frame.assign(**dict.fromkeys(ours, frame[name]))
    described = [_described(row) for row in frame.to_dict("records")]
    frame[["machine", *_OF_A_RUN]] = pd.DataFrame(described, index=frame.index, dtype=object)
    return Rows(frame, left_out, tuple(_doubts(frame)))


def _read_json(path: Path) -> pd.DataFrame:
    """Read what the API answers: a list of runs, or of their emissions, or a page of them."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return pd.DataFrame.from_records(found["items"] if isinstance(found, dict) else found)
    except FileNotFoundError as error:
        raise AnalysisError(f"source={path} is no file: give what CodeCarbon wrote") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnalysisError(
            f"{path} is no list of runs as CodeCarbon's API has it: give emissions.csv, or the "
            "CSV export of its dashboard"
        ) from error


def _check_units(frame: pd.DataFrame, path: Path) -> None:
    """Refuse energies that their parts, or the emissions, contradict."""
    energy = frame[_ENERGY].where(frame[_ENERGY] > 0)
    parts = [f"{part}_energy" for part in _PARTS if f"{part}_energy" in frame]
    times = (energy / frame[parts].sum(axis=1).replace(0.0, np.nan)).median() if parts else np.nan
    if not np.isnan(times) and not 0.5 < times < 2:
        raise AnalysisError(
            f"{path}: {_ENERGY} is {times:.3g} times the sum of {', '.join(parts)} in the median "
            "run: CodeCarbon writes all of them in kWh; give its file as it wrote it"
        )
    rate = (frame[_EMISSIONS] / energy).median() if _EMISSIONS in frame else np.nan
    if rate > MOST_KG_PER_KWH:
        raise AnalysisError(
            f"{path}: {_EMISSIONS} over {_ENERGY} is {rate:.3g} kg per kWh in the median run, more "
            "than any grid has: CodeCarbon writes kg and kWh; give its file as it wrote it"
        )


def _run_columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in ("run_id", "task_name") if name in frame]


def _added_up(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each run, out of rows that each hold what came since the one before."""
    figures = (_ENERGY, _EMISSIONS, _SECONDS, *(f"{part}_energy" for part in _PARTS))
    others = frame.columns.drop("run_id", errors="ignore")
    how: dict[Any, Any] = {name: "sum" if name in figures else "last" for name in others}
    ids = frame["run_id"] if "run_id" in frame else pd.Series("run", index=frame.index)
    return frame.groupby(ids, sort=False).agg(how).reset_index(names="run_id")


def _last_of_each(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the last row of each run; those without an id are runs of their own."""
    names = _run_columns(frame)
    if "run_id" not in names:
        return frame, {}
    known = frame[frame["run_id"].notna()]
    if _SECONDS in known:
        known = known.sort_values(_SECONDS, kind="stable")
    growth = known.groupby(names, sort=False)[_ENERGY].diff()
    if (growth < 0).any():
        broken = known.loc[growth.index[growth < 0][0], "run_id"]
        raise AnalysisError(
            f"{path}: energy_consumed of run {broken} falls from one row to the next, while "
            "CodeCarbon's rows of a run are cumulative: leave the last row of each run"
        )
    repeated = known.index[known.duplicated(names, keep="last")]
    kept = frame.drop(index=repeated).reset_index(drop=True)
    reason = "a later row of the same run, which is cumulative, holds them"
    return kept, {reason: len(repeated)} if len(repeated) else {}


def _described(row: Mapping[Any, Any]) -> list[str | None]:
    """Return what a row says of machine, place and versions."""

    def said(name: str) -> str | None:
        text = cell_text(row.get(name))
        return None if text is None or text.casefold() in MISSING else text

    threads, memory = said("cpu_count"), row.get("ram_total_size")
    processor = said("cpu_model")
    if processor and threads:
        processor += f" ({threads} threads)"
    has_memory = processor is not None and isinstance(memory, int | float) and memory > 0
    region = said("cloud_region") if said("on_cloud") == "Y" else said("region")
    return [
        _listed(
            said("gpu_model"), processor, f"{memory:.0f} GiB of memory" if has_memory else None
        ),
        _listed(region, said("country_iso_code") or said("country_name")),
        said("codecarbon_version"),
        said("python_version"),
    ]


def _listed(*texts: str | None) -> str | None:
    return ", ".join(filter(None, texts)) or None


def _overlapping(frame: pd.DataFrame) -> int:
    """Return how many runs began, by their time stamps of seconds, before an earlier one ended."""
    if not {"timestamp", _SECONDS, "machine"} <= set(frame) or "task_name" in frame:
        return 0
    ends = pd.to_datetime(frame["timestamp"], errors="coerce", utc=True, format="ISO8601")
    begins = ends - pd.to_timedelta(frame[_SECONDS], unit="s")
    ordered = pd.DataFrame({"machine": frame["machine"], "begin": begins, "end": ends})
    ordered = ordered.sort_values("begin")
    latest = ordered.groupby("machine")["end"].cummax()
    before = latest.groupby(ordered["machine"]).shift()
    return int((ordered["begin"] + _RESOLUTION < before).sum())


def _doubts(frame: pd.DataFrame) -> Iterator[str]:
    """Say what makes energies of CodeCarbon doubtful, or hard to compare."""
    modes = frame.get("tracking_mode", pd.Series(dtype=object)).dropna().astype(str).str.lower()
    if modes.nunique() > 1:
        yield (
            f"the runs mix tracking modes ({', '.join(sorted(modes.unique()))}): they compare badly"
        )
    pues = pd.to_numeric(frame.get("pue", pd.Series(dtype=float)), errors="coerce").dropna()
    if together := _overlapping(frame[modes.eq("machine").reindex(frame.index, fill_value=False)]):
        yield (
            f"{plural(together, 'run')} began on such a machine as another run was on: if it was "
            "the same one, each of them counts the energy of both, as tracking_mode=machine does"
        )
    if pues.ne(1.0).any():
        listed = ", ".join(f"{each:g}" for each in sorted(pues.unique()))
        yield (
            "the energy holds that of the data centre too, by a power usage effectiveness (PUE) "
            f"of {listed}"
        )
