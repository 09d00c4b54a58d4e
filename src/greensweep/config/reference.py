"""Every option with its type, default, range and description, by program and subject.

Out of the schemas that check them, and the files of conf/ that choose among them: the page of
options in the documentation and `--help` say the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import omegaconf
import yaml

from greensweep.config import sweeper
from greensweep.config.folders import CONF
from greensweep.config.register import PROGRAMS, SCHEMAS

_SIGNS = {"above": ">", "at_least": "≥", "below": "<", "at_most": "≤"}
_TYPES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    dict: "mapping",
    list: "list",
    NoneType: "`null`",
    Any: "any",
}


@dataclass(frozen=True)
class Described:
    """An option.

    Attributes:
        name: in full, as on the command line.
        kind: its type, values in backticks.
        default: as the command line takes it; None of what the user has to set.
        bounds: ≥ 1 and < 5, say; empty without.
    """

    name: str
    kind: str
    default: str | None
    bounds: str
    doc: str


@dataclass(frozen=True)
class Choice:
    """A file of a config group: what it is, and what it sets."""

    name: str
    what: str
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """What belongs to one subject.

    Attributes:
        title: a group, or an option; empty of what belongs to none.
        options: those that all choices have under "", then by choices those of these alone.
    """

    title: str
    text: str = ""
    choices: tuple[Choice, ...] = ()
    options: tuple[tuple[str, tuple[Described, ...]], ...] = ()


def sections(program: str) -> Iterator[Section]:
    """Yield what a program takes: its own options, then its groups in the order of its file."""
    schema = PROGRAMS[program]
    kinds = get_type_hints(schema)
    defaults = yaml.safe_load((CONF / f"{program}.yaml").read_text("utf-8"))["defaults"]
    names = [key.rpartition("@")[2] for each in defaults if isinstance(each, dict) for key in each]
    groups = {name for name in names if is_dataclass(kinds.get(name))}
    own = _described(schema, leave={*groups, "replay"})
    yield Section("", options=(("", tuple(own)),))
    for name in names:
        if name in SCHEMAS:
            yield _group(name, kinds[name])
        elif name in groups:
            options = tuple(_described(kinds[name], f"{name}."))
            yield Section(name, choices=tuple(choices_of(name)), options=(("", options),))
        elif _files(name):
            yield Section(name, choices=tuple(choices_of(name)))
        if name == "training":
            replay: Any = next(filter(is_dataclass, get_args(kinds["replay"])))
            options = tuple(_described(replay, "replay."))
            yield Section("replay", text="With `training=replay`:", options=(("", options),))


def search_sections() -> Iterator[Section]:
    """Yield the options of `hydra/sweeper=greensweep`, and of its samplers."""
    text = (CONF / "search" / "greensweep.yaml").read_text("utf-8")
    own = ", ".join(_settings(yaml.safe_load(text)["sweeper"]))
    options = tuple(_described(sweeper.SweeperConfig, "hydra.sweeper."))
    said = f"`greensweep train` sets, unless you do: {own}."
    yield Section("hydra/sweeper=greensweep", text=said, options=(("", options),))
    for name, node in sweeper.SamplerConfig.choices.items():
        what = (node.__doc__ or "").partition(": ")[2]
        options = tuple(_described(node, "hydra.sweeper.sampler."))
        title = f"hydra/sweeper/sampler={name}"
        yield Section(title, text=f"{what[0].upper()}{what[1:]}", options=(("", options),))


def choices_of(group: str) -> Iterator[Choice]:
    """Yield the files of a config group."""
    for path in _files(group):
        text = path.read_text(encoding="utf-8")
        what = [line[2:] for line in text.splitlines() if line.startswith("# ") and "@" not in line]
        body = yaml.safe_load(text) or {}
        other = [each for each in body.pop("defaults", []) if isinstance(each, dict)]
        chosen = {key.rpartition("/")[2]: name for each in other for key, name in each.items()}
        yield Choice(path.stem, " ".join(what), tuple(_settings(chosen | body)))


def _group(name: str, base: type) -> Section:
    common = tuple(_described(base, f"{name}.", leave=["name"]))
    options = [("", common)] if common else []
    for kind, node in SCHEMAS[name].items():
        own = tuple(each for each in _described(node, f"{name}.") if each not in common)
        users = ", ".join(f"`{path.stem}`" for path in _files(name) if _schema_of(path) == kind)
        options += [(users, own)] if own else []
    return Section(name, choices=tuple(choices_of(name)), options=tuple(options))


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


def _described(node: type, prefix: str = "", leave: Iterable[str] = ()) -> Iterator[Described]:
    """Yield the options of a schema; groups, which have sections of their own, are left out."""
    types = get_type_hints(node)
    for declared in fields(node):
        kind = types[declared.name]
        if "doc" not in declared.metadata or declared.name in leave or _is_fixed(declared, kind):
            continue
        if is_dataclass(kind):
            yield from _described(kind, f"{prefix}{declared.name}.")  # type: ignore[arg-type]
            continue
        bounds = declared.metadata["bounds"].items()
        yield Described(
            f"{prefix}{declared.name}",
            _type(kind),
            _default(declared),
            " and ".join(f"{_SIGNS[name]} {bound}" for name, bound in bounds),
            declared.metadata["doc"],
        )


def _is_fixed(declared: Field[Any], kind: Any) -> bool:
    """Tell whether the choice of the group sets it: a name, unless it is a library's."""
    return declared.name == "name" and not (kind is str and declared.default is omegaconf.MISSING)


def _type(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_type(part) for part in parts)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if get_origin(kind) is list and parts[0] in _TYPES:
        return f"list of {_TYPES[parts[0]]}{'s' if parts[0] is int else ''}"
    return _TYPES[get_origin(kind) or kind]


def _default(declared: Field[Any]) -> str | None:
    value = declared.default
    if declared.default_factory is not MISSING:
        value = declared.default_factory()
    return None if value == omegaconf.MISSING else _text(value)


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_text(each)}' for key, each in value.items())}}}"
    return str(value)
