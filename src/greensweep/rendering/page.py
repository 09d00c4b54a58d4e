"""The page: sections of text, figures and tables, in one file that needs no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.headings import Column, columns_for_people, texts_of
from greensweep.rendering.style import as_text
from greensweep.rendering.svg import inline_svg

GENERATOR = "Greensweep report"
_MOST_ROWS = 1000  # of a table in the page; files have all
_LONGEST_WORD = 16  # letters of one that print does not break
_FEW_ROWS = 8  # that are shown at once, and need no filter


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        links: address by row, of each column that has some; empty where there is none.
        is_headed: its columns are called as people call them.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_headed: bool = False

    @property
    def columns(self) -> list[Column]:
        """Return the columns that the page shows."""
        if self.is_headed:
            return [Column(str(name), str(name)) for name in self.frame]
        return columns_for_people(self.frame)


@dataclass(frozen=True)
class Fact:
    """A line of what is known at a glance: what it is about, what it says, and where it leads."""

    about: str
    said: str
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, sentences, figures and tables.

    Attributes:
        parts: on the first screen they stand side by side, each with its sentences and facts; in
            others they are folded, each with its drawings.
        is_plain: its first sentence says nothing that one should know before opening it.
    """

    title: str
    sentences: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    warnings: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    parts: "Sequence[Section]" = ()
    is_plain: bool = False

    @property
    def all_drawings(self) -> list[Drawing]:
        """Return its drawings and those of its parts."""
        return [*self.drawings, *(each for part in self.parts for each in part.all_drawings)]

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
        first=sections[0],
        sections=sections[1:],
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
    rows, columns = [], table.columns
    names = [str(name) for name in table.frame]
    for place, values in enumerate(table.frame.head(_MOST_ROWS).itertuples(index=False, name=None)):
        plain = (each.item() if hasattr(each, "item") else each for each in values)
        record = dict(zip(names, plain, strict=True))
        cells = []
        for column in columns:
            value = record[column.name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            links = table.links.get(column.name)
            text = texts_of(column, record, names)
            cells.append(
                {
                    "text": text,
                    "is_long": max(map(len, text.split()), default=0) > _LONGEST_WORD,
                    "sort": value if is_number else None,
                    "link": links[place] if links else "",
                }
            )
        rows.append(cells)
    return rows
