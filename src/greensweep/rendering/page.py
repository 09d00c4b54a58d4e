"""The page: sections of text, figures and tables, in one file that needs no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from greensweep.analysis.units import cell
from greensweep.energy.units import energy_text
from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.style import as_text
from greensweep.rendering.svg import inline_svg
from greensweep.sources.table import ENERGY

GENERATOR = "Greensweep report"
_UNCERTAINTY = "energy_uncertainty_joules"
_MOST_ROWS = 1000  # of a table in the page; files have all
_FEW_ROWS = 8  # that need no filter


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        links: address by row, for the first column; empty where there are none.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    links: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, sentences, figures and tables."""

    title: str
    sentences: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    warnings: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """Return its id in the page."""
        return "".join(each if each.isalnum() else "-" for each in self.title.lower())


def render(
    title: str, sections: Sequence[Section], files: Sequence[str], colophon: Mapping[str, str]
) -> str:
    """Return the page as HTML; all texts are escaped.

    Args:
        files: names of the tables that lie beside the page.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        title=title,
        sections=sections,
        colophon=colophon,
        generator=GENERATOR,
        svg=inline_svg,
        rows=_rows,
        most=_MOST_ROWS,
        few=_FEW_ROWS,
        files=files,
    )
    return as_text(page)


def _rows(table: Table) -> list[list[dict[str, Any]]]:
    """Return the cells of a table: as shown, as sorted by, and where they lead to."""
    rows = []
    names = [str(name) for name in table.frame.columns]
    uncertain = names.index(_UNCERTAINTY) if {ENERGY, _UNCERTAINTY} <= set(names) else None
    records = table.frame.head(_MOST_ROWS).itertuples(index=False, name=None)
    for place, record in enumerate(records):
        cells = []
        for name, value in zip(names, record, strict=True):
            value = value.item() if hasattr(value, "item") else value
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            text = cell(name, value, names)
            if name == ENERGY and uncertain is not None and record[uncertain] > 0:
                text = energy_text(value, record[uncertain])
            cells.append({"text": text, "sort": value if is_number else None, "link": ""})
        if place < len(table.links):
            cells[0]["link"] = table.links[place]
        rows.append(cells)
    return rows
