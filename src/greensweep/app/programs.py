"""The programs that Hydra composes: `greensweep train`, which is `src/train.py`, and its like."""

import argparse
import gc
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

from greensweep.app import kept, tables, training
from greensweep.app.exit import run
from greensweep.app.help import print_page
from greensweep.config.grammar import as_override
from greensweep.config.hydra_versions import program
from greensweep.errors import GreensweepError
from greensweep.messages import error_line

_MODULES = {
    "train": training,
    "evaluate": kept,
    "predict": kept,
    "prepare": training,
    "analyse": tables,
    "report": tables,
    "statement": tables,
}
# What Hydra may call by the paths in its own configuration: callbacks, sweepers, log handlers.
_TRUSTED = ("greensweep.*", "hydra.*", "hydra_plugins.*", "optuna.samplers.*", "logging.*")
_SWEEPER = "hydra/sweeper="
_USAGE = "greensweep train [--from STUDY.JSON] [GROUP=CHOICE] [OPTION=VALUE] [FLAG]"
# Flags of Hydra's that show something, beside which it takes no -m.
_SHOWS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}


def start(name: str, arguments: list[str]) -> NoReturn:
    """Run a program by what Hydra composes of the configuration of its name, to its exit status.

    With --help it prints every option instead. `sweep` is `train -m hydra/sweeper=greensweep`,
    unless another sweeper is named.
    """
    if {"--help", "-h"} & {*arguments}:
        run(partial(print_page, name))
    if name in ("train", "sweep"):
        arguments = _with_chosen(arguments)
    if name == "sweep":
        name, arguments = "train", [*_sweeping(arguments), *arguments]
    if name == "report":
        arguments = [_compared(each) for each in arguments]
    sys.argv[1:] = arguments  # which Hydra reads
    if name in ("analyse", "report"):
        gc.disable()  # to look for garbage among a million cells takes a tenth of the time
    run(program(name, getattr(_MODULES[name], name), _TRUSTED))


def _with_chosen(arguments: list[str]) -> list[str]:
    """Put the options of the trial that a sweep chose, `--from study.json`, before the others."""
    parser = argparse.ArgumentParser(usage=_USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("--from", dest="study", type=Path)
    asked, others = parser.parse_known_args(arguments)
    if asked.study is None:
        return arguments
    from greensweep.study.again import chosen_overrides

    try:
        return [*chosen_overrides(asked.study, others), *others]
    except GreensweepError as error:
        sys.exit(error_line(error))


def _compared(argument: str) -> str:
    """Return compare=A,B as the list that it is: Hydra takes it for two reports."""
    key, _, value = argument.partition("=")
    if key != "compare" or "," not in value or value[:1] in ("[", "'", '"'):
        return argument
    return f"compare={as_override(value.split(','))}"


def _sweeping(arguments: list[str]) -> Iterator[str]:
    if not any(each.partition("=")[0] in _SHOWS for each in arguments):
        yield "-m"
    if not any(each.startswith(_SWEEPER) for each in arguments):
        yield f"{_SWEEPER}greensweep"
