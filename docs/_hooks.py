"""A hook of MkDocs: writes the page of all options, config.md, from the schemas."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import omegaconf
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from greensweep.config import schema, schema_analysis, schema_replay, sweeper
from greensweep.config.register import SCHEMAS

CONF = Path(__file__).resolve().parents[1] / "conf"
SIGNS = {"above": ">", "at_least": "≥", "below": "<", "at_most": "≤"}
TYPES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    dict: "mapping",
    list: "list",
    NoneType: "`null`",
    Any: "any",
}
HEAD = """\
# Config reference

Every option with its type, its default, its range and what it does, out of the schemas that check
it (`src/greensweep/config/`). Set one on the command line with its full name:

```sh
python src/train.py training.epochs=5 optimizer.learning_rate=0.01 energy=unmetered
```

`python src/train.py --help` prints what a command would use. `key=null` unsets an option that
takes null; `+key.new=1` adds to a mapping.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page before MkDocs looks at links and menu."""
    files.append(File.generated(config, "config.md", content=reference()))
    return files


def reference() -> str:
    """Return the page, in Markdown."""
    analyse = get_type_hints(schema_analysis.AnalyseConfig)
    parts = [
        HEAD.strip(),
        "## A run: `src/train.py`",
        _table(_rows(schema.TrainConfig, leave=["training", "replay"])),
        *_groups_of_a_run(),
        "## A search: `hydra/sweeper=greensweep`",
        _search(),
        "## A kept model: `src/evaluate.py`\n\nAnd `energy`, as above.",
        _table(_rows(schema.EvaluateConfig)),
        "## Predictions: `src/predict.py`",
        _table(_rows(schema.PredictConfig)),
        "## Data: `src/prepare.py`\n\nAnd `dataset`, as above.",
        _table(_rows(schema.PrepareConfig)),
        "## Answers: `src/analyse.py`",
        _table(_rows(schema_analysis.AnalyseConfig)),
        _choices("columns"),
        _table(_rows(schema_analysis.ColumnsConfig, "columns.")),
        _group("analysis", analyse["analysis"]),
        "## A report: `src/report.py`\n\nAnd `columns`, as above; the options of the analyses "
        "under `tradeoff`, `strategies` and `layers`.",
        _table(_rows(schema_analysis.ReportConfig)),
        "## A carbon statement: `greensweep statement`",
        _table(_rows(schema_analysis.StatementConfig)),
    ]
    return "\n\n".join(parts) + "\n"


def _groups_of_a_run() -> Iterator[str]:
    """The config groups of a run, in the order of conf/train.yaml."""
    kinds = get_type_hints(schema.TrainConfig)
    defaults = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    for name in (key for each in defaults if isinstance(each, dict) for key in each):
        if name in SCHEMAS:
            yield _group(name, kinds[name])
        elif _files(name):
            yield _choices(name)
        if name == "training":
            yield _table(_rows(schema.TrainingConfig, "training."))
            yield "### `replay`\n\nWith `training=replay` ([Runs from a table](replay.md)):"
            yield _table(_rows(schema_replay.ReplayTableConfig, "replay."))


def _group(name: str, base: type) -> str:
    """A group's choices, the options that all of them have, and those of each kind."""
    common = list(_rows(base, f"{name}.", leave=["name"]))
    parts = [_choices(name)]
    if common:
        parts += ["With each of them:", _table(common)] if len(SCHEMAS[name]) > 1 else []
    for kind, node in SCHEMAS[name].items():
        own = [row for row in _rows(node, f"{name}.") if row not in common]
        users = ", ".join(f"`{path.stem}`" for path in _files(name) if _schema_of(path) == kind)
        if own:
            parts += [f"With {users}:", _table(own)]
    return "\n\n".join(parts)


def _search() -> str:
    """The options of the sweeper, what the program itself sets of them, and the samplers'."""
    text = (CONF / "search" / "greensweep.yaml").read_text(encoding="utf-8")
    own = ", ".join(_settings(yaml.safe_load(text)["sweeper"]))
    parts = [
        _table(_rows(sweeper.SweeperConfig, "hydra.sweeper.")),
        f"`src/train.py` sets, unless you do: {own}.",
    ]
    for name, node in sweeper.SamplerConfig.choices.items():
        what = (node.__doc__ or "").partition(": ")[2]
        parts.append(f"### `hydra/sweeper/sampler={name}`\n\n{what[0].upper()}{what[1:]}")
        parts.append(_table(_rows(node, "hydra.sweeper.sampler.")))
    return "\n\n".join(parts)


def _choices(group: str) -> str:
    """The files of a config group: what each is and what it sets."""
    lines = [f"### `{group}`", "", "| choice | what it is | it sets |", "|---|---|---|"]
    for path in _files(group):
        text = path.read_text(encoding="utf-8")
        what = [line[2:] for line in text.splitlines() if line.startswith("# ") and "@" not in line]
        body = yaml.safe_load(text) or {}
        other = [each for each in body.pop("defaults", []) if isinstance(each, dict)]
        chosen = {key.rpartition("/")[2]: name for each in other for key, name in each.items()}
        sets = "<br>".join(_settings(chosen | body))
        lines.append(f"| `{group}={path.stem}` | {_cell(' '.join(what))} | {sets} |")
    return "\n".join(lines)


def _files(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def _schema_of(path: Path) -> str:
    """The kind of a choice: its file's first default, such as /schema/dataset/digits@_here_."""
    first = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"][0]
    return str(first).partition("@")[0].rpartition("/")[2]


def _settings(body: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in body.items():
        # An option's range stays in one piece; a group's options are told one by one.
        if isinstance(value, dict) and "." not in key:
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"`{prefix}{key}: {_text(value)}`"


def _table(rows: Iterator[str] | list[str]) -> str:
    head = ["| option | type | default | range | what it does |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _rows(node: type, prefix: str = "", leave: Any = ()) -> Iterator[str]:
    """One line per option of a schema; groups, which have sections of their own, left out."""
    types = get_type_hints(node)
    for declared in fields(node):
        kind = types[declared.name]
        if "doc" not in declared.metadata or declared.name in leave or _is_fixed(declared, kind):
            continue
        if is_dataclass(kind):
            yield from _rows(kind, f"{prefix}{declared.name}.")
            continue
        cells = [
            f"`{prefix}{declared.name}`",
            _type(kind),
            _default(declared),
            " and ".join(
                f"{SIGNS[name]} {bound}" for name, bound in declared.metadata["bounds"].items()
            ),
            _cell(declared.metadata["doc"]),
        ]
        yield f"| {' | '.join(cells)} |"


def _is_fixed(declared: Field[Any], kind: Any) -> bool:
    """Tell whether the choice of the group sets it: a name, unless it is a library's."""
    return declared.name == "name" and not (kind is str and declared.default is omegaconf.MISSING)


def _type(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_type(part) for part in parts)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if get_origin(kind) is list and parts[0] in TYPES:
        return f"list of {TYPES[parts[0]]}s" if parts[0] is int else f"list of {TYPES[parts[0]]}"
    return TYPES[get_origin(kind) or kind]


def _default(declared: Field[Any]) -> str:
    value = declared.default
    if declared.default_factory is not MISSING:
        value = declared.default_factory()
    return "none, set it" if value == omegaconf.MISSING else f"`{_text(value)}`"


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_text(each)}' for key, each in value.items())}}}"
    return str(value)


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("|", "\\|")
