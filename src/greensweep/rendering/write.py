"""Leave a report in a folder: the page, and its figures and tables as files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from greensweep.csv_files.cells import write_frame
from greensweep.errors import AnalysisError
from greensweep.files import PART_PREFIX, write_text, write_together
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
    if not _may_be_replaced(folder):
        raise AnalysisError(
            f"output={folder} holds something other than a report: choose another folder"
        )

    def write(part: Path) -> None:
        write_text(part / _PAGE, render(title, sections, list(tables), colophon))
        _write_figures(part / _FIGURES, sections)
        _write_tables(part / _TABLES, sections, tables)

    write_together(folder, _PAGE, [_FIGURES, _TABLES], write)
    return folder / _PAGE


def _write_figures(folder: Path, sections: Sequence[Section]) -> None:
    folder.mkdir()
    for drawing in [each for section in sections for each in section.all_drawings]:
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


def _may_be_replaced(folder: Path) -> bool:
    """Tell whether a folder holds nothing, or an earlier report and nothing else."""
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    names = {name for name in names if not name.startswith(PART_PREFIX)}
    page = folder / _PAGE
    if not names:
        return True
    if not names <= {_PAGE, _FIGURES, _TABLES} or not page.is_file() or page.is_symlink():
        return False
    return f'content="{GENERATOR}"' in page.read_text(encoding="utf-8", errors="replace")[:2000]
