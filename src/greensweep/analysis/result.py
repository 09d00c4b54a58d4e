"""What an analysis comes to: tables, figures, sentences, and how far to trust them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd


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
        source: where the runs come from.
        rows: that the source has.
        left_out: why rows were left out, and how many.
    """

    name: str
    answers: Sequence[str]
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    source: str = ""
    rows: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

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
            "source": self.source,
            "rows": self.rows,
            "left_out": dict(self.left_out),
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
        """
        folder.mkdir(parents=True, exist_ok=True)
        summary = folder / "analysis.json"
        if summary.is_file():
            earlier = json.loads(summary.read_text(encoding="utf-8")).get("tables", [])
            summary.unlink()
            for name in earlier:
                (folder / Path(name).name).unlink(missing_ok=True)
        written = []
        for name, table in self.tables.items():
            written.append(folder / f"{name}.csv")
            table.to_csv(written[-1], index=False)
        text = json.dumps(self.summary(), indent=2, ensure_ascii=False)
        part = folder / ".analysis.json.part"
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(summary)
        return [*written, summary]


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
