"""Join a table of runs with another one: energy that one tool logged, and accuracy of another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.errors import AnalysisError, plural
from greensweep.sources import run_columns as col
from greensweep.sources.table import Rows, cell_text, column, read_file

_BETWEEN = "\x1f"  # of the keys of a row, as one text


def join_table(
    rows: Rows, source: str, path: Path, keys: Mapping[str, str], status: str | None
) -> Rows:
    """Return rows with the columns of the one row of another table that has the same keys.

    A column that both have keeps its name; the other table's is called `STEM.NAME` by its file. A
    run that has no row there keeps its energy, with the status `unmatched`.

    Args:
        rows: of the table called `source`.
        path: of the other table.
        keys: columns of the other table, by those of this one.
        status: column that says how a run ended; None where nothing does.

    Raises:
        AnalysisError: a file or a column is missing, keys there are blank in all rows or in two
            rows the same, or none of them is in this table.
    """
    other = read_file(path, "join")
    if rows.frame.empty or other.empty:
        raise AnalysisError(f"{source if rows.frame.empty else path} has no rows: nothing to join")
    ours = _keys(rows.frame, list(keys), source)
    theirs = _keys(other, list(keys.values()), str(path)).dropna()
    repeated = theirs[theirs.duplicated()]
    if len(repeated):
        raise AnalysisError(
            f"join={path} has {_shown(keys.values(), repeated)} in more than one row, and "
            f"{plural(len(repeated), 'such row')} in all: leave one row for each, the last epoch's "
            "say"
        )
    found = ours.isin(theirs)
    if not found.any():
        raise AnalysisError(
            f"on: no run of {source} has a row in {path}: {_shown(keys, ours)} here, "
            f"{_shown(keys.values(), theirs)} there; name columns that hold the same"
        )
    added = other.drop(columns=[name for name in keys.values() if name in keys])
    names = {name: f"{path.stem}.{name}" for name in added if name in rows.frame}
    added = added.loc[theirs.index].rename(columns=names).set_axis(theirs, axis="index")
    frame = pd.concat([rows.frame, added.reindex(ours).set_axis(ours.index, axis="index")], axis=1)
    if status is not None and not found.all():
        said = frame.get(status, pd.Series(col.FINISHED, index=frame.index)).fillna(col.FINISHED)
        has_finished = said.astype(str).str.casefold().eq(col.FINISHED)
        frame[status] = said.mask(~found & has_finished, col.UNMATCHED)
    warnings = []
    if not found.all():
        warnings.append(
            f"{int((~found).sum())} of {plural(len(ours), 'run')} of {source} without a row in "
            f"{path}, counted in energy only: {_shown(keys, ours[~found])}, say"
        )
    if unused := int((~theirs.isin(ours)).sum()):
        rows_text = plural(len(theirs), "row")
        warnings.append(f"{unused} of {rows_text} of {path} without a run in {source}")
    return replace(rows, frame=frame, warnings=(*rows.warnings, *warnings))


def _keys(frame: pd.DataFrame, names: Sequence[str], source: str) -> "pd.Series[Any]":
    """Return the keys of each row as one value; missing where one of them is."""
    texts = pd.DataFrame({name: column(frame, name, "on", source).map(cell_text) for name in names})
    return texts.fillna("").agg(_BETWEEN.join, axis=1).where(texts.notna().all(axis=1))


def _shown(names: Iterable[str], keys: "pd.Series[Any]") -> str:
    """Return the first of some keys as people write it."""
    known = keys.dropna()
    values = known.iloc[0].split(_BETWEEN) if len(known) else ["" for _ in names]
    return ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
