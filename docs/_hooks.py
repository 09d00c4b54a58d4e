"""A hook of MkDocs: writes the page of all options, config.md, from the schemas."""

from collections.abc import Iterable, Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from greensweep.config.reference import Choice, Described, Section, search_sections, sections

HEAD = """\
# Config reference

Every option with its type, its default, its range and what it does, out of the schemas that check
it (`src/greensweep/config/`). Set one on the command line with its full name:

```sh
greensweep train training.epochs=5 optimizer.learning_rate=0.01 energy=unmetered
```

`greensweep train --help` says the same in a terminal, and `greensweep train --cfg job` prints what
a command would use. `key=null` unsets an option that takes null; `+key.new=1` adds to a mapping.
"""
PROGRAMS = {
    "evaluate": "## A kept model: `greensweep evaluate`\n\nAnd `energy`, as above.",
    "predict": "## Predictions: `greensweep predict`",
    "prepare": "## Data: `greensweep prepare`\n\nAnd `dataset`, as above.",
    "analyse": "## Answers: `greensweep analyse`",
    "report": "## A report: `greensweep report`\n\nAnd `columns`, as above; the options of the "
    "analyses under `tradeoff`, `strategies` and `layers`.",
    "statement": "## A carbon statement: `greensweep statement`",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page before MkDocs looks at links and menu."""
    files.append(File.generated(config, "config.md", content=reference()))
    return files


def reference() -> str:
    """Return the page, in Markdown."""
    run = [*sections("train")]
    parts = [HEAD.strip(), "## A run: `greensweep train`", *map(_section, run)]
    parts += ["## A search: `greensweep sweep`", *map(_section, search_sections())]
    told = {section.title for section in run} | {"tradeoff", "strategies", "layers"}
    for program, title in PROGRAMS.items():
        parts.append(title)
        for section in sections(program):
            if not section.title or section.title not in told:
                parts.append(_section(section))
            told.add(section.title)
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(section: Section) -> str:
    parts = [f"### `{section.title}`" if section.title else "", section.text]
    parts.append(_choices(section.title, section.choices) if section.choices else "")
    several = len(section.options) > 1
    for users, options in section.options:
        parts.append(f"With {users or 'each of them'}:" if users or several else "")
        parts.append("\n".join(_table(options)))
    return "\n\n".join(filter(None, parts))


def _choices(group: str, choices: Iterable[Choice]) -> str:
    lines = ["| choice | what it is | it sets |", "|---|---|---|"]
    for each in choices:
        lines.append(f"| `{group}={each.name}` | {_cell(each.what)} | {'<br>'.join(each.sets)} |")
    return "\n".join(lines)


def _table(options: Iterable[Described]) -> Iterator[str]:
    yield from ("| option | type | default | range | what it does |", "|---|---|---|---|---|")
    for each in options:
        default = "none, set it" if each.default is None else f"`{each.default}`"
        cells = f"`{each.name}`", each.kind, default, each.bounds, _cell(each.doc)
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("|", "\\|")
