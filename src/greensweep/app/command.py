"""`greensweep exec`: measure any command, or sweep over its options."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greensweep.app.command_line import metric_direction, parsed
from greensweep.app.exit import run as run_program
from greensweep.config.hydra_versions import composing, program
from greensweep.config.store import without_hydra
from greensweep.errors import ConfigError, ConstraintError, MissingFigure, StudyError
from greensweep.loops.command import Command, run_command
from greensweep.loops.live_run import Run
from greensweep.messages import message_of
from greensweep.nested import dotted
from greensweep.record.reported import split_of, told_instead
from greensweep.record.result import RESULT_FILE


def main(arguments: Sequence[str]) -> int:
    """Run `greensweep exec` and return its exit status, which is the command's.

    As shells have it: 127 of one that does not exist, 126 of one that cannot be started, 128 + N
    of one that signal N killed.

    Raises:
        GreensweepError: what is asked for cannot be; no command has run.
        SystemExit: a sweep has ended; or it is used wrongly, with status 2.
    """
    asked = parsed(arguments)
    if asked.multirun:
        if asked.mlflow:  # the sweep's own run is closed there too
            os.environ.setdefault("MLFLOW_TRACKING_URI", asked.mlflow)
        sys.argv[1:] = ["--multirun", *asked.overrides]
        run_program(program(asked.config_name, CommandTrial(asked), None, asked.config_dir))
    this, fault = run_command(*_read(_composed(asked), asked))
    print(_summary(this), file=sys.stderr)
    return 0 if fault is None else fault.status


@dataclass(frozen=True)
class CommandTrial:
    """A command as the function of a Hydra program, which returns the objectives."""

    asked: argparse.Namespace

    def __call__(self, config: DictConfig) -> float | tuple[float, float | None]:
        hydra: Any = HydraConfig.get()
        given = OmegaConf.select(hydra, "sweeper.direction", default=None)
        is_one = isinstance(given, str | None)
        metric = self.asked.metric or OmegaConf.select(hydra, "sweeper.metric", default=None)
        if metric is None:
            raise ConstraintError("trials are compared by a metric: say --metric NAME")
        asked = argparse.Namespace(**{**vars(self.asked), "metric": metric})
        try:
            command, options = _read(config, asked)
        except ConfigError as error:  # of every trial alike
            raise ConstraintError(str(error)) from error
        wanted, first = metric_direction(asked), given if is_one else given[0]
        if first not in (None, wanted):
            raise ConstraintError(
                f"hydra.sweeper.direction={first} seeks the worst {command.metric}: set "
                f"hydra.sweeper.direction={wanted}, or say --direction {first} if that is better"
            )
        this, fault = run_command(command, options)
        if fault is not None:
            raise fault
        value = this.result.objective_value
        if value is None:
            raise _missing(split_of(str(command.metric))[1], this.told)
        joules = this.result.energy_joules
        if joules is None and not is_one:
            raise ConstraintError(
                "the second objective is the command's energy, and nothing is metered: set "
                f"another --meter, or hydra.sweeper.direction={wanted}"
            )
        return value if is_one else (value, joules)


def _missing(metric: str, told: Sequence[str]) -> StudyError:
    """Return what to raise where a command has not told the metric that is searched for."""
    if metric in told:
        return StudyError(f"the command told no {metric} that is a number")
    said = f"the command told no {metric}"
    if told:  # none of its trials will
        return MissingFigure(f"{said}, by which --metric compares: {told_instead(metric, told)}")
    return MissingFigure(
        f"{said}, nor any other metric: let it print GREENSWEEP_METRIC {metric}=VALUE, or have "
        "its output or a file read by --pattern or --metrics"
    )


def _composed(asked: argparse.Namespace) -> DictConfig:
    """Return the configuration of a single run.

    Raises:
        ConfigError: Hydra cannot compose it.
    """
    try:
        with composing(asked.config_dir):
            return compose(asked.config_name, asked.overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(message_of(error)) from error


def _read(config: DictConfig, asked: argparse.Namespace) -> tuple[Command, dict[str, Any]]:
    """Return the command of a composed configuration, and the options that it is given.

    Raises:
        ConfigError: it is no list, or has no place for an option.
    """
    plain: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    options = dotted(plain)
    words = options.pop("command", None)
    if not isinstance(words, list) or not words:
        raise ConfigError(
            f"{asked.config_name}: command must be a list of words, as in command: [python, "
            f"train.py], got {words!r}"
        )
    command = Command(
        tuple(map(str, words)),
        name=asked.name,
        metric=asked.metric,
        direction=asked.metric and metric_direction(asked),
        file=asked.metrics,
        patterns=asked.pattern,
        directory=asked.directory,
        mlflow=asked.mlflow,
        energy=asked.energy,
    )
    # In a file it is ${NAME} that stands for an option, and is resolved by now.
    if unused := [] if asked.is_own else command.unused(options):
        raise ConfigError(
            f"{unused[0]} is an option, and the command has no place for it: write "
            f"{{{unused[0]}}} where the command takes it"
        )
    return command, options


def _summary(this: Run) -> str:
    """Return what a run came to in one line, and where it is recorded."""
    result = this.result
    said = [f"{result.model}: {this.window}"]
    if (value := result.objective_value) is not None:
        said.append(f"{result.metric.label} {result.metric.text(value)}")
    if result.error is not None:
        said.append(f"{result.status}: {result.error}")
    return f"{'; '.join(said)} ({this.directory / RESULT_FILE})"
