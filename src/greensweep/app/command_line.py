"""The command line of `greensweep exec`, and what it says of a search."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from greensweep.config.energy_options import EnergyOptions, energy_config
from greensweep.config.grammar import as_override, escape_interpolations, read_value
from greensweep.config.hydra_versions import store
from greensweep.config.metrics import METRICS, Direction, direction_fault
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import declared_grid
from greensweep.errors import ConfigError
from greensweep.loops.command import program_name
from greensweep.record.reported import known_direction, split_of

_EXAMPLES = """\
examples:
  greensweep exec --country NLD -- python train.py --epochs 10
  greensweep exec --metrics metrics.csv -- Rscript train.R
  greensweep exec --metric macro_f1 -m 'lr=tag(log,interval(1e-4,1e-1))' batch=16,32 \\
      hydra.sweeper.n_trials=20 -- python train.py --lr {lr} --batch {batch}

A program tells its metrics in lines of its standard output:
  GREENSWEEP_METRIC epoch=3 macro_f1=0.81 train_loss=0.4
"""


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for, with the overrides and the configuration that Hydra composes.

    Raises:
        ConfigError: the meter, the space or the metric's direction is not known.
        SystemExit: it is used wrongly.
    """
    parser = argparse.ArgumentParser(
        prog="greensweep exec",
        usage="greensweep exec [options] [-m] [OPTION=VALUE …] -- COMMAND [ARGUMENT …]",
        description="Measure a command with all that it starts, record it as a run, and sweep "
        "over its options.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--name", help="of the run (default: the program's)")
    parser.add_argument("--metric", metavar="NAME", help="by which runs are compared")
    parser.add_argument(
        "--direction", choices=("maximize", "minimize"), help="in which that is better, where its "
        "name does not tell",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", metavar="FILE", help="CSV or JSON with metrics that the command writes"
    )
    parser.add_argument(
        "--pattern", action="append", default=[], metavar="REGEX",
        help="reads metrics from lines of its output, as in 'Acc@1 (?P<top1>[0-9.]+)'",
    )  # fmt: skip
    parser.add_argument("--directory", help="of the run, or of the sweep")
    parser.add_argument("--mlflow", metavar="URI", help="tracking URI of MLflow")
    sweep = parser.add_argument_group(
        "options and sweeps", "{NAME} in the command stands for the option NAME"
    )
    sweep.add_argument("overrides", nargs="*", metavar="OPTION=VALUE", help="as Hydra takes them")
    sweep.add_argument("-m", "--multirun", action="store_true", help="sweep over them")
    sweep.add_argument("-cd", "--config-dir", metavar="FOLDER", help="of configurations")
    sweep.add_argument("-cn", "--config-name", metavar="NAME", help="of one with all of this")
    meter = parser.add_argument_group("the meter")
    docs = {each.name: each.metadata.get("doc") for schema in EnergyConfig.choices.values()
            for each in fields(schema)}  # fmt: skip
    for name in EnergyOptions.__annotations__:
        what = docs.get(name) or f"one of {', '.join(EnergyConfig.choices)}"
        meter.add_argument(
            _flag(name), dest=f"meter_{name}", metavar="VALUE", help=what.replace("%", "%%")
        )
    before, words = [*arguments], []
    if "--" in before:
        at = before.index("--")
        before, words = before[:at], before[at + 1 :]
    asked = parser.parse_intermixed_args(map(_with_dashes, before))
    if not words and not asked.config_name:
        parser.error("write the command after --, as in: greensweep exec -- python train.py")
    asked.overrides = [text if text[:1] != "+" else text.lstrip("+") for text in asked.overrides]
    if words:
        asked.overrides.append(f"command={as_override(escape_interpolations(words))}")
    asked.energy = energy_config(prefix="--", **_meter_options(asked))
    declared_grid(asked.energy)  # an unknown one is told here, by its option's name
    if asked.multirun and asked.directory:
        asked.overrides.append(f"hydra.sweep.dir={as_override(asked.directory)}")
        asked.directory = None  # each trial has its own in there
    asked.is_own = asked.config_name is not None
    if asked.is_own:
        asked.config_dir = str(Path(asked.config_dir or ".").absolute())
        if asked.multirun and (energy := _meter_options(asked)):
            asked.overrides.append(f"hydra.sweeper.energy={as_override(energy)}")
    else:
        _store_config(asked, words)
    return asked


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _with_dashes(argument: str) -> str:
    """Let an option be written as its keyword too, as sentences name it: --cpu_tdp_watts."""
    name, equals, value = argument.partition("=")
    return f"{_flag(name[2:])}{equals}{value}" if name.startswith("--") else argument


def _store_config(asked: argparse.Namespace, words: Sequence[str]) -> None:
    """Let Hydra know a configuration with those options that the command line names.

    Raises:
        ConfigError: the meter or the metric's direction is not known.
    """
    space, names = _take_space(asked), ["command", *_names(asked.overrides)]
    config = OmegaConf.create({})
    for name in [*names, *space]:
        OmegaConf.update(config, name, "???", force_add=True)
    if asked.multirun:
        config.defaults = [{"override hydra/sweeper": "greensweep"}, "_self_"]
        config.hydra = {"job": {"name": "exec", "chdir": False}}
        if not any(text.startswith("hydra/sweeper=") for text in asked.overrides):
            # There are no options yet from which a search could begin.
            study = asked.name or program_name(words)
            sweeper = {"params": space, "energy": asked.energy, "study_name": study}
            if asked.metric is not None:
                sweeper |= {"metric": asked.metric, "direction": metric_direction(asked)}
            config.hydra.sweeper = {**sweeper, "enqueue": None}
    asked.config_name = "command"
    store(None, asked.config_name, config)


def _take_space(asked: argparse.Namespace) -> dict[str, Any]:
    """Take a space out of the command line, `hydra.sweeper.params={…}`.

    It has options that Hydra refuses where the configuration does not have them yet.
    """
    given = [text for text in asked.overrides if text.startswith("hydra.sweeper.params=")]
    asked.overrides = [text for text in asked.overrides if text not in given]
    space: dict[str, Any] = {}
    for text in given:
        value = read_value(text.partition("=")[2])
        if not isinstance(value, dict):
            raise ConfigError(f"{text}: it must be {{OPTION: RANGE, …}}")
        space |= value
    return space


def _names(overrides: Sequence[str]) -> list[str]:
    """Return the options of the command among Hydra's own."""
    names = [text.partition("=")[0] for text in overrides]
    return [name for name in names if not name.startswith(("hydra.", "hydra/", "~"))]


def metric_direction(asked: argparse.Namespace) -> Direction:
    """Return the direction in which the metric is better.

    Raises:
        ConfigError: it is not known.
    """
    split, name = split_of(asked.metric)
    if split != "validation":
        raise ConfigError(
            f"--metric {asked.metric} is of the {split} split, by which runs are not compared: "
            f"name one of validation, such as val_{name}"
        )
    if fault := direction_fault("--direction", METRICS.get(name), asked.direction):
        raise ConfigError(fault)
    direction: Direction | None = asked.direction or known_direction(name)
    if direction is None:
        raise ConfigError(
            f"is {asked.metric} better the higher or the lower it is? Say --direction maximize, "
            "or minimize"
        )
    return direction


def _meter_options(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the meter that were given."""
    given = {name: getattr(asked, f"meter_{name}") for name in EnergyOptions.__annotations__}
    return {name: _value(text) for name, text in given.items() if text is not None}


def _value(text: str) -> Any:
    """Return an option of the meter: a number, a list or a mapping, or a text as it is."""
    with suppress(yaml.YAMLError):
        value = yaml.safe_load(text)
        if isinstance(value, int | float | list | dict | None) and not isinstance(value, bool):
            return value
    return text
