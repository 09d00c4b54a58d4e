"""Which values of the searched options, and which conditions, the program cannot have."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from greensweep.config.grammar import as_override, choices_of, ends_of
from greensweep.config.searched import Searched, any_of, read_searched
from greensweep.config.store import parse, without_hydra
from greensweep.config.unknown import is_option, is_option_somewhere, no_option
from greensweep.errors import GreensweepError, first_line, unknown
from greensweep.messages import message_of
from greensweep.sweeper.command import (
    declared_space,
    fixed_keys,
    resumes,
    task_overrides,
    with_values,
)


def declared_in(hydra: DictConfig, key: str) -> str:
    """Return where the chosen space declares an option, in brackets, for errors; or nothing."""
    if any(name.startswith("space.") for name in fixed_keys(hydra)) or any(
        text.lstrip("+").startswith("space={") for text in task_overrides(hydra)
    ):
        return " (with what the command line says)"
    name = OmegaConf.select(hydra, "runtime.choices.space")
    for source in OmegaConf.select(hydra, "runtime.config_sources", default=[]):
        file = Path(source.path) / "space" / f"{name}.yaml"
        if source.schema == "file" and file.is_file():
            keys = [
                line.partition(":")[0].strip("'\" ")
                for line in file.read_text(encoding="utf-8").splitlines()
            ]
            return f" (in {file}, line {keys.index(key) + 1})" if key in keys else ""
    return ""


def condition_faults(config: DictConfig, app: DictConfig) -> Iterator[str]:
    """Say which conditions of the space name what does not exist: they would hold for no trial."""
    loader = GlobalHydra.instance().config_loader()
    for key, declared in declared_space(config).items():
        for name, needed in declared.get("when", {}).items():
            fault = None
            if name in config.hydra.runtime.choices:
                choices = loader.get_group_options(name)
                missing = [each for each in any_of(needed) if each not in choices]
                fault = unknown(name, missing[0], choices) if missing else None
            elif not is_option_somewhere(app, name):
                fault = no_option(name, app)
            if fault:
                yield f"space: {key} needs, under when: {fault}{declared_in(config.hydra, key)}"


def value_faults(
    config: DictConfig, app: DictConfig, searched: Sequence[Searched]
) -> Iterator[str]:
    """Say of each searched option which of its choices, or ends, the program cannot have.

    Each choice of a group is composed, without those of others.
    """
    groups: dict[str, dict[str, DictConfig]] = {}
    # A group, or a new option: only composing shows what it comes to.
    composed = [each for each in searched if _is_group(config, each) or "+" in each.key]
    for each in composed:
        made = groups[each.key] = {}
        if "OptunaSweeper" in config.hydra.sweeper._target_ and isinstance(
            each.override.value(), Glob
        ):
            yield (
                f"{_origin(each)}: the stock sweeper knows no glob(…): list the choices, or "
                "choose hydra/sweeper=greensweep"
            )
            continue
        if not _is_group(config, each) and not is_option(app, each.key.lstrip("+")):
            yield no_option(each.key.lstrip("+"), app)
            continue
        for value in map(as_override, choices_of(each.override)):
            try:
                made[value] = with_values(_compose(config, f"{each.key}={value}"), searched)
                parse(made[value])
            except Exception as error:
                yield f"{_origin(each)}: {message_of(error)}"
                break
    alone = {f"{k}={v}": made for k, of_group in groups.items() for v, made in of_group.items()}
    for each in searched:
        if each in composed:
            continue
        tried = alone or {"": app}
        if each.when:
            there = _where_needed(app, each, searched, groups)
            tried = {} if there is None else {"": there}
        faults = [
            fault
            for choice, base in tried.items()
            if (fault := _value_fault(config, base, each, choice)) is not None
        ]
        # Where one choice of a group lacks it, those trials alone fail, and our sweeper goes on.
        if faults and not (resumes(config.hydra) and len(faults) < len(tried)):
            yield faults[0]


def _is_group(config: DictConfig, searched: Searched) -> bool:
    key = searched.override.key_or_group
    return key in config.hydra.runtime.choices or "/" in key or "@" in searched.key


def _compose(config: DictConfig, override: str) -> DictConfig:
    """Compose a trial that sets one searched option beside what the command line fixes."""
    _, others = read_searched({}, task_overrides(config.hydra))
    fixed = [str(each.input_line) for each in others]
    loader = GlobalHydra.instance().config_loader()
    return without_hydra(loader.load_sweep_config(config, [*fixed, override]))


def _where_needed(
    app: DictConfig,
    needing: Searched,
    searched: Sequence[Searched],
    groups: Mapping[str, Mapping[str, DictConfig]],
) -> DictConfig | None:
    """Return a configuration in which an option is there that needs values of others.

    None where it never is: they are searched, but not at these values.
    """
    tried = app
    values_of: dict[str, Any] = {}
    for key, values in needing.when.items():
        (other,) = [each for each in searched if each.key == key]
        taken = values
        if other.override.is_choice_sweep():
            texts = [*map(as_override, choices_of(other.override))]
            taken = [value for value in values if as_override(value) in texts]
        if not taken:
            return None
        if key in groups:
            tried = groups[key].get(as_override(taken[0]), tried)
        else:
            values_of[key] = taken[0]
    tried = tried.copy()
    for key, value in values_of.items():
        OmegaConf.update(tried, key, value)
    return tried


def _value_fault(
    config: DictConfig, base: DictConfig, searched: Searched, choice: str
) -> str | None:
    """Say what keeps an option from having its choices, or the ends of its range; or None."""
    origin = _origin(searched)
    where = declared_in(config.hydra, searched.key) if searched.in_params else ""
    for value in ends_of(searched.override):
        tried = base.copy()
        try:
            OmegaConf.update(tried, searched.key, value, force_add=False)
            parse(tried)
        except GreensweepError as error:
            return f"{origin}: {error}{where}"
        except (ConfigKeyError, ConfigAttributeError) as error:
            if not searched.in_params and not choice:
                return no_option(searched.key, base)
            way_out = "choose another space, or the model and optimizer that have this option"
            if choice:
                way_out = (
                    "choose hydra/sweeper=greensweep, and say in the space where it has it, as "
                    "when: {optimizer: adam}"
                )
            return (
                f"{origin}: {searched.key} cannot be {as_override(value)} with "
                f"{choice or 'the chosen groups'} ({first_line(error)}): {way_out}{where}"
            )
        except OmegaConfBaseException as error:
            return (
                f"{origin}: {searched.key} cannot be {as_override(value)} "
                f"({first_line(error)}): leave that out{where}"
            )
    return None


def _origin(searched: Searched) -> str:
    return "space" if searched.in_params else str(searched.override.input_line)
