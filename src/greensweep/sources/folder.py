"""The runs of a folder as one table: single runs, sweeps, or both, of ours or of other programs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.config.store import read_plain_config
from greensweep.errors import AnalysisError
from greensweep.nested import dotted
from greensweep.record.result import CONFIG_FILE, RESULT_FILE, read_results
from greensweep.search.folders import runs_and_sweeps
from greensweep.sources.study import choices_of, further_columns
from greensweep.sources.table import Rows, read_file
from greensweep.study.summary import trial_rows
from greensweep.study.trials import Trial, kept_space, read_trials, searched_keys

_SEARCHED = ("strategy", "search", "space")


def read_rows(path: Path) -> Rows:
    """Read a file's table, whose columns the options `columns` name, or the runs of a folder.

    Raises:
        AnalysisError: the file is missing or broken, or the folder holds no run.
    """
    return read_runs(path) if path.is_dir() else Rows(read_file(path))


def read_runs(folder: Path) -> Rows:
    """Return the runs of a folder: of a run, a sweep, or all that is below.

    The columns are those of `read_sweep`, with `folder`, the options of runs of other programs,
    and, of a sweep, its strategy, its space and, as `search`, its folder.

    Raises:
        AnalysisError: it holds no run.
    """
    found = [*runs_and_sweeps(folder)]
    single = [each for each in found if (each / RESULT_FILE).is_file()]
    runs = [Trial(number, *pair, {}) for number, pair in enumerate(read_results(single).items())]
    tables = [_table(runs, folder).assign(trial=None)] if runs else []
    searched: list[str] = []
    for sweep in (each for each in found if each not in single):
        if trials := read_trials(sweep):
            chosen = choices_of(sweep)
            space = kept_space(sweep) or chosen["space"]
            own = _table(trials, folder).assign(strategy=chosen["strategy"], space=space)
            tables.append(own.assign(search=_name(sweep, folder)))
            searched += searched_keys(trials)
    if not tables:
        raise AnalysisError(
            f"source={folder} holds no run: give the folder of a run, a sweep or many of them, a "
            "CSV or Parquet file, or mlflow"
        )
    joined = pd.concat(tables, ignore_index=True)
    kept = joined.drop(columns=[name for name in _SEARCHED if _is_missing(joined, name)])
    return Rows(kept, searched=tuple(dict.fromkeys(searched)))


def _table(trials: Iterable[Trial], folder: Path) -> pd.DataFrame:
    header, *rows = trial_rows([*trials])
    frame = pd.DataFrame(rows, columns=header).rename(columns={"mlflow_run_id": "run_id"})
    for name in {name for trial in trials for name in trial.searched}:
        frame[name] = _numbers(frame[name])
    further = [
        {"folder": _name(each.directory, folder), **further_columns(each.result)} for each in trials
    ]
    options = [dict(_options(each.directory)) for each in trials]
    for columns in (pd.DataFrame(further), pd.DataFrame(options)):
        frame = frame.join(columns[columns.columns.difference(frame.columns, sort=False)])
    return frame


def _numbers(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return searched values, which a result holds as texts, as numbers where all are."""
    try:
        return pd.to_numeric(values)
    except ValueError:
        return values


def _options(directory: Path) -> Iterator[tuple[str, Any]]:
    """Yield what a run was configured with, by dotted names."""
    config = read_plain_config(directory / CONFIG_FILE)
    for name, value in dotted(config).items():
        if isinstance(value, str | int | float):
            yield name, value
        elif name.startswith("space.") and isinstance(value, list):  # of choices
            yield name, str(value)


def _name(path: Path, folder: Path) -> str:
    return path.resolve().name if path == folder else path.relative_to(folder).as_posix()


def _is_missing(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool(frame[name].isna().all())
