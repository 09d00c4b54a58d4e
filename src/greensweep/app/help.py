"""`greensweep train --help` and its like: every option, by subject, for a terminal."""

import shutil
import textwrap
from collections.abc import Iterator

from greensweep.config.reference import Described, Section, search_sections, sections
from greensweep.messages import drop_output

# What to type, and what more there is to know.
_USES = {
    "train": [
        "greensweep train training.epochs=5 optimizer=sgd",
        "greensweep train model=timm model.name=resnet18 dataset.image_size=32",
        "greensweep train --from multirun/my_study/study.json seed=1",
    ],
    "sweep": [
        "greensweep sweep objective=pareto hydra.sweeper.budget.joules=2000",
        "greensweep sweep hydra/sweeper=optuna hydra/sweeper/sampler=tpe",
    ],
    "evaluate": ["greensweep evaluate checkpoint=outputs/my_run/model.pt"],
    "predict": ["greensweep predict checkpoint=outputs/my_run/model.pt data=FILE"],
    "prepare": ["greensweep prepare dataset=cifar10"],
    "analyse": ["greensweep analyse source=runs.csv analysis=strategies"],
    "report": ["greensweep report source=mlflow"],
    "statement": ["greensweep statement source=multirun/my_study"],
}
_SWEEPS = ("train", "sweep")
_SWEEP = (
    "It is `greensweep train -m hydra/sweeper=greensweep`. hydra/sweeper=optuna takes the stock "
    "sweeper instead, with hydra/sweeper/sampler=grid, random, tpe or gp: it comes with "
    "greensweep[optuna] and needs Hydra 1.4. What is searched is space=NAME, a file of conf/space "
    "or of a folder of your own. Every option of `greensweep train --help` is one here too."
)
_FLAGS = (
    "GROUP=CHOICE exchanges a part, OPTION=VALUE sets an option, +MAPPING.KEY=VALUE adds to a "
    "mapping. --cfg job shows what a command would use, --config-dir FOLDER adds choices of your "
    "own, -m runs several, and --hydra-help lists Hydra's other flags."
)
_FROM = (
    "--from FILE takes the options of the trial that a sweep's study.json says to take, less those "
    "that are set beside it."
)
_WIDEST, _COLUMN = 100, 34


def print_page(program: str) -> None:
    """Print what `greensweep PROGRAM --help` says, as wide as the terminal."""
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    try:
        print("\n".join(_lines(program, width)), flush=True)
    except BrokenPipeError:  # who reads has seen enough, as with `| head`
        drop_output()


def _lines(program: str, width: int) -> Iterator[str]:
    yield f"usage: greensweep {program} [GROUP=CHOICE] [OPTION=VALUE] [FLAG]"
    yield ""
    yield from (f"  {use}" for use in _USES[program])
    yield ""
    if program == "sweep":
        yield from _wrapped(_SWEEP, width)
        yield ""
    yield from _wrapped(f"{_FLAGS} {_FROM}" if program in _SWEEPS else _FLAGS, width)
    for section in search_sections() if program == "sweep" else sections(program):
        yield from _section(section, width)


def _section(section: Section, width: int) -> Iterator[str]:
    yield ""
    yield f"{section.title or 'options'}:"
    yield from (f"  {line}" for line in _wrapped(_plain(section.text), width - 2))
    for choice in section.choices:
        yield from _entry(f"{section.title}={choice.name}", choice.what, width)
    for users, options in section.options:
        if users:
            yield f"  with {_plain(users)}:"
        for option in options:
            yield from _entry(_left(option), f"{option.doc} ({_rule(option)})", width)


def _entry(name: str, text: str, width: int) -> Iterator[str]:
    """Lay a name beside its text, or above it where it is long."""
    lines = _wrapped(text, max(width - _COLUMN, 30))
    if len(name) + 4 > _COLUMN or not lines:
        yield f"  {name}"
    else:
        yield f"  {name:<{_COLUMN - 2}}{lines.pop(0)}"
    yield from (f"{'':{_COLUMN}}{line}" for line in lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _left(option: Described) -> str:
    return f"{option.name}={'' if option.default is None else option.default}"


def _rule(option: Described) -> str:
    set_it = "set it: " if option.default is None else ""
    return f"{set_it}{_plain(option.kind)}{f' {option.bounds}' if option.bounds else ''}"


def _plain(text: str) -> str:
    return text.replace("`", "")
