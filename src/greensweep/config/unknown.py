"""Options that do not exist: found in what was composed, with what was probably meant."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import SequenceMatcher
from typing import Any, get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from greensweep.config.sweeper import SweeperConfig

# Whoever names a sampler's class names its arguments.
_OPEN = "hydra.sweeper.sampler."
# What is set beside the options of a program's own configuration.
_BESIDE = (
    *("experiment", "size", "hydra/sweeper", "hydra/sweeper/sampler", "hydra/launcher"),
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.launcher.n_jobs", "hydra.verbose"),
    *(f"hydra.sweeper.{each.name}" for each in fields(SweeperConfig) if each.metadata),
)
_CLOSE = 0.7  # similarity, from 0 to 1, of names that are taken for each other


def unknown_options(composed: DictConfig, prefix: str = "") -> list[str]:
    """Say which options of a composed configuration no schema declares: what `+` has added.

    Mappings that a schema leaves open, such as `model.kwargs`, take any name.

    Args:
        prefix: of the configuration's own name, as `hydra.`.
    """
    return [no_option(f"{prefix}{key}", composed, prefix) for key in _undeclared(composed, prefix)]


def is_option(composed: DictConfig, key: str) -> bool:
    """Tell whether a dotted name is one that a schema declares, or a mapping there is open to."""
    node: Any = composed
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return False
        if not (declared := _declared(node)):
            return True
        if part not in declared:
            return False
        node = None if _is_unset(node, part) else node[part]
    return True


def is_option_somewhere(composed: DictConfig, key: str) -> bool:
    """Tell whether a dotted name is an option with these choices of the groups, or with others."""
    parts = key.split(".")
    return is_option(composed, key) or any(
        _choices_with(".".join(parts[:depth]), name) for depth, name in enumerate(parts[1:], 1)
    )


def no_option(key: str, composed: DictConfig, prefix: str = "") -> str:
    """Say that a composed configuration has no option of this dotted name, and which one was meant.

    Args:
        prefix: as of `unknown_options`.
    """
    said, parts = f"there is no option {key}", key.split(".")
    names = [f"{prefix}{each}" for each in _names(composed)]
    if "hydra" in composed:
        names += _names(composed["hydra"], "hydra.")
    if is_option(composed, key.removeprefix(prefix)):
        open_too = [f"{prefix}{each}" for each in _names(composed, open_too=True)]
        close = [name for name in _closest(key, open_too) if name in open_too]
        if (parent := ".".join(parts[:-1])) in ("", *open_too):  # else that is misspelt
            close = [name for name in close if name.rpartition(".")[0] == parent]
        meant = f"did you mean {' or '.join(close)}? If not, " if close else ""
        return f"{said}: {meant}write +{key}=VALUE to add it"
    for depth, name in enumerate(parts[1:], 1):
        group = ".".join(parts[:depth])
        choices = [] if f"{group}.{name}" in names else _choices_with(group, name)
        if choices:
            return f"{said} here: it belongs to {group.replace('.', '/')}={' or '.join(choices)}"
    close = _closest(key, names)
    if not close and f"{parts[0]}.kwargs" in names:
        close = [f"+{parts[0]}.kwargs.{parts[-1]}"]
    if close:
        return f"{said}: did you mean {' or '.join(close)}?"
    return f"{said}: --help lists the options"


def _closest(key: str, names: list[str]) -> list[str]:
    """Return the names that are closest to a key, by the whole of it or by its last part."""
    scores = {
        name: _similarity(key, name)
        for name in (*names, *_BESIDE)
        if "." in name or "." not in key  # no group for an option
    }
    best = max(scores.values())
    found = [name for name, score in scores.items() if score >= max(best - 0.03, _CLOSE)]
    # The program's own options before Hydra's.
    return sorted(found, key=lambda name: (name.startswith("hydra"), -scores[name]))[:3]


def _similarity(key: str, name: str) -> float:
    """Compare two dotted names, from 0 to 1: mostly by their last part, which is what is meant."""
    (group, _, last), (other_group, _, other) = key.rpartition("."), name.rpartition(".")
    initials = "".join(word[:1] for word in other.split("_"))
    abbreviated = last == initials and len(initials) > 1  # lr, bs
    meant = 0.9 if abbreviated else SequenceMatcher(None, last, other).ratio()
    # A key without a group says nothing against any.
    where = SequenceMatcher(None, group, other_group).ratio() if group or not other_group else 0.7
    return 0.7 * meant + 0.3 * where


def _names(node: DictConfig, within: str = "", *, open_too: bool = False) -> Iterator[str]:
    """Yield the options that there are, and the mappings that hold them.

    Args:
        open_too: also what stands in mappings that take any name.
    """
    declared = _declared(node)
    for key in map(str, node) if open_too and not declared else (k for k in node if k in declared):
        yield f"{within}{key}"
        if not _is_unset(node, key) and isinstance(node[key], DictConfig):
            yield from _names(node[key], f"{within}{key}.", open_too=open_too)


def _undeclared(node: DictConfig, prefix: str, within: str = "") -> Iterator[str]:
    """Yield the dotted names below a typed node that its schema does not declare."""
    declared = _declared(node)
    for key in map(str, node) if declared and f"{prefix}{within}" != _OPEN else ():
        child = None if _is_unset(node, key) else node[key]
        if key not in declared:
            yield from _leaves(child, f"{within}{key}")
        elif isinstance(child, DictConfig):
            yield from _undeclared(child, prefix, f"{within}{key}.")


def _leaves(node: Any, name: str) -> Iterator[str]:
    if not isinstance(node, DictConfig):
        yield name
        return
    for key in node:
        yield from _leaves(None if _is_unset(node, key) else node[key], f"{name}.{key!s}")


def _declared(node: DictConfig) -> set[str]:
    """The options of a typed node; empty for a mapping that takes any."""
    schema = OmegaConf.get_type(node)
    return {each.name for each in fields(schema)} if is_dataclass(schema) else set()


def _is_unset(node: DictConfig, key: Any) -> bool:
    """Tell whether a value is none yet: to look at it would resolve it."""
    return OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key)


def _choices_with(group: str, name: str) -> list[str]:
    """Return the choices of a group that have an option, by the name that they are chosen with."""
    store = ConfigStore.instance()
    path = group.replace(".", "/") if group.startswith("hydra.") else f"schema/{group}"
    try:
        files = [file for file in store.list(path) if file.endswith(".yaml")]
    except OSError:
        return []  # no group
    found: list[str] = []
    for file in files:
        node = store.load(f"{path}/{file}").node
        if name in node:
            hints = get_type_hints(OmegaConf.get_type(node))
            # A schema of several choices names them where it says which it is.
            found += get_args(hints.get("library", hints.get("name"))) or [
                file.removesuffix(".yaml")
            ]
    return found
