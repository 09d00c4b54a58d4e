"""What a sweep searches, as Hydra has it: in `hydra.sweeper.params` and on the command line."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from greensweep.config.grammar import as_override
from greensweep.errors import ConfigError, first_line

When = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Searched:
    """One searched option.

    Attributes:
        key: the option.
        override: its range, parsed.
        when: other options, each with the values of which it needs one.
        in_params: it stands in `hydra.sweeper.params`, not on the command line.
    """

    key: str
    override: Override
    when: When
    in_params: bool


def read_searched(
    params: Mapping[str, Any], arguments: Sequence[str]
) -> tuple[list[Searched], list[Override]]:
    """Return what is searched, and what else is set.

    Args:
        params: by option, a range in Hydra's sweep syntax, or that as `sweep` beside `when`.
        arguments: the command's overrides; what they name wins over `params`.

    Raises:
        ConfigError: one of them cannot be read.
    """
    hydra = GlobalHydra.instance()
    # What glob(…) stands for, the loader knows.
    parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
    found: dict[str, tuple[Override, When, bool]] = {}
    deleted = []
    for key, given in params.items():
        sweep: Any = given
        when: Mapping[str, Any] = {}
        if isinstance(given, Mapping):
            if "sweep" not in given or given.keys() - {"sweep", "when"}:
                raise ConfigError(
                    f"hydra.sweeper.params: {key} must be a range in Hydra's sweep syntax, or "
                    f"{{sweep: that, when: {{option: value}}}}, got {dict(given)}"
                )
            sweep, when = given["sweep"], given.get("when") or {}
        text = f"{key}={sweep if isinstance(sweep, str) else as_override(sweep)}"
        try:
            override = parser.parse_override(text)
            if when and not override.is_sweep_override():  # the only choice, where it is there
                override = parser.parse_override(f"{text},{text.partition('=')[2]}")
            found[key] = (override, {other: any_of(v) for other, v in when.items()}, True)
        except HydraException as error:
            raise ConfigError(
                f"hydra.sweeper.params: {text} is not Hydra's sweep syntax ({first_line(error)}): "
                "write choice(1,2), range(1,9) or interval(0.1,0.9), say"
            ) from error
    for override in parser.parse_overrides(list(arguments)):
        if override.is_delete():
            deleted.append(override)
        else:
            found[override.get_key_element()] = (override, {}, False)
    searched = [Searched(key, *each) for key, each in found.items() if each[0].is_sweep_override()]
    others = [each[0] for each in found.values() if not each[0].is_sweep_override()]
    return searched, [*others, *deleted]


def still_needed(
    when: When, searched: Collection[str], present: Callable[[str], Any]
) -> dict[str, Sequence[Any]] | None:
    """Return what an option needs of those that are searched; None where it is never there.

    What it needs of another one, whose value `present` returns, holds for the whole sweep or never.
    """
    for name in when.keys() - searched:
        if as_override(present(name)) not in map(as_override, when[name]):
            return None
    return {name: when[name] for name in when if name in searched}


def any_of(needed: Any) -> tuple[Any, ...]:
    """Return the values, one of which is needed: a list of them, or a single one."""
    return tuple(needed) if isinstance(needed, list | tuple) else (needed,)


def present_value(config: DictConfig, key: str) -> Any:
    """Return the value of an option, or the choice of a group, in what was composed; or None."""
    key = key.lstrip("+")
    choices = config.hydra.runtime.choices
    if key in choices:
        return choices[key]
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
