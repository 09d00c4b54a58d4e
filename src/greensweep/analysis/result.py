"""What an analysis comes to: tables, figures, sentences, and how far to trust them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.csv_files.cells import write_frame
from greensweep.errors import AnalysisError
from greensweep.files import write_text, write_together
from greensweep.sources.table import RunTable

SUMMARY = "analysis.json"


@dataclass(frozen=True)
class Result:
    """A finished analysis. Numbers are unrounded in tables and figures, rounded in sentences.

    Attributes:
        name: of the analysis.
        answers: sentences, the most important first.
        tables: by name; the first is the main one.
        figures: single numbers, by name.
        notes: of the method.
        warnings: what makes the answers doubtful.
        runs: that it is about.
    """

    name: str
    answers: Sequence[str]
    tables: Mapping[str, pd.DataFrame]
    runs: RunTable
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the main table."""
        return next(iter(self.tables.values()))

    def to_markdown(self, digits: int = 4) -> str:
        """Return the answers, warnings and the main table, with so many significant digits."""
        lines = [*self.answers, *(f"Warning: {each}." for each in self.warnings)]
        table = self.to_frame().to_markdown(index=False, floatfmt=f".{digits}g")
        return "\n\n".join([*lines, str(table)])

    def summary(self) -> dict[str, Any]:
        """Return everything but the tables, as JSON takes it: what is not finite is a text."""
        return {
            "analysis": self.name,
            "source": self.runs.source,
            "rows": self.runs.rows,
            "left_out": dict(self.runs.left_out),
            "metric": self.runs.metric.name,
            "answers": list(self.answers),
            "figures": _plain(dict(self.figures)),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "tables": [f"{name}.csv" for name in self.tables],
        }

    def write(self, folder: Path) -> list[Path]:
        """Write each table as `NAME.csv` and the rest as `analysis.json`.

        The latter comes last, and lists the tables: without it the folder is not finished. The
        tables of an earlier analysis are replaced; other files are left alone.

        Raises:
            AnalysisError: a file that is no analysis' is in the way. Nothing is written then.
            OSError: the folder cannot be written. No table is half written.
        """
        summary = folder / SUMMARY
        earlier = _earlier_tables(summary)
        paths = [folder / f"{name}.csv" for name in self.tables]
        for path in paths:
            if path.is_symlink() or (path.exists() and path.name not in earlier):
                raise AnalysisError(
                    f"{path} is not of an earlier analysis: move it away, or set output= elsewhere"
                )
        write_together(folder, SUMMARY, earlier, self._write)
        return [*paths, summary]

    def _write(self, folder: Path) -> None:
        for name, table in self.tables.items():
            write_frame(table, folder / f"{name}.csv")
        text = json.dumps(self.summary(), indent=2, ensure_ascii=False)
        write_text(folder / SUMMARY, f"{text}\n")


def _earlier_tables(summary: Path) -> set[str]:
    """Return the names of the tables that an earlier analysis left beside its summary."""
    if not summary.exists() and not summary.is_symlink():
        return set()
    foreign = AnalysisError(
        f"{summary} is not of an earlier analysis: move it away, or set output= elsewhere"
    )
    if summary.is_symlink() or not summary.is_file():
        raise foreign
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
        found["analysis"], found["figures"]
        names = [Path(name).name for name in found["tables"]]
    except (ValueError, TypeError, KeyError) as error:
        raise foreign from error
    return {name for name in names if name.endswith(".csv")}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
