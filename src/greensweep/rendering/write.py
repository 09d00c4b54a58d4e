"""Leave a report in a folder: the page, and its figures and tables as files."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from greensweep.csv_files import write_frame
from greensweep.errors import AnalysisError
from greensweep.rendering.page import GENERATOR, Section, render

_PAGE, _FIGURES, _TABLES = "index.html", "figures", "tables"
_DPI = 150
_MOST_LATEX_ROWS = 1000  # longer ones nobody prints, and writing them takes seconds


def write_report(
    folder: Path,
    title: str,
    sections: Sequence[Section],
    tables: Mapping[str, pd.DataFrame],
    colophon: Mapping[str, str],
) -> Path:
    """Write `index.html`, `figures/NAME.svg|png` and `tables/NAME.csv|tex`; return the page.

    Args:
        tables: by name, also those that the page has no room for. LaTeX has the page's columns.

    The page comes last. An earlier report is replaced as a whole.

    Raises:
        AnalysisError: the folder holds something other than a report.
        OSError: it cannot be written; an earlier report is kept then.
    """
    page = folder / _PAGE
    if folder.exists() and any(folder.iterdir()) and not _is_ours(folder):
        raise AnalysisError(
            f"output={folder} holds something other than a report: choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        part = Path(name)
        (part / _PAGE).write_text(render(title, sections, list(tables), colophon), encoding="utf-8")
        _write_figures(part / _FIGURES, sections)
        _write_tables(part / _TABLES, sections, tables)
        page.unlink(missing_ok=True)
        for each in (_FIGURES, _TABLES):
            shutil.rmtree(folder / each, ignore_errors=True)
            (part / each).replace(folder / each)
        (part / _PAGE).replace(page)
    return page


def _write_figures(folder: Path, sections: Sequence[Section]) -> None:
    folder.mkdir()
    for drawing in [each for section in sections for each in section.drawings]:
        path = folder / drawing.name
        path.with_suffix(".svg").write_text(drawing.svg, encoding="utf-8")
        path.with_suffix(".png").write_bytes(drawing.png(_DPI))


def _write_tables(
    folder: Path, sections: Sequence[Section], tables: Mapping[str, pd.DataFrame]
) -> None:
    folder.mkdir()
    shown = {table.name: table.frame for section in sections for table in section.tables}
    for name, table in tables.items():
        path = folder / name
        write_frame(table, path.with_suffix(".csv"))
        if len(table) <= _MOST_LATEX_ROWS:
            path.with_suffix(".tex").write_text(
                shown.get(name, table).to_latex(index=False, escape=True, float_format="%.4g"),
                encoding="utf-8",
            )


def _is_ours(folder: Path) -> bool:
    page = folder / _PAGE
    others = {path.name for path in folder.iterdir()} - {_PAGE, _FIGURES, _TABLES}
    if others or not page.is_file() or page.is_symlink():
        return False
    return f'content="{GENERATOR}"' in page.read_text(encoding="utf-8", errors="replace")[:2000]
