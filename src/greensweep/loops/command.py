"""Any command as a recorded run, in whichever language its program is."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from greensweep.config.metrics import Direction
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy.notices import warn_once
from greensweep.errors import CommandError
from greensweep.loops.child import Child, running
from greensweep.loops.command_metrics import READ_SECONDS, Figures, MetricFile, MetricLines
from greensweep.loops.live_run import Run
from greensweep.loops.run import run
from greensweep.record.reported import known_direction, split_of
from greensweep.search.interrupt import is_graceful

_SCRIPTS = (".py", ".sh", ".r", ".jl", ".awk", ".pl", ".rb", ".js", ".lua")

_OPTION = re.compile(r"\{([\w.]+)\}")


@dataclass(frozen=True)
class Command:
    """A command, and how it is recorded.

    Attributes:
        words: of it; `{lr}` stands for the option lr, `{directory}` for the run's folder.
        name: of the run; None is the program's.
        metric, direction: by which runs are compared, and in which direction that is better.
        file: CSV or JSON that it writes, with metrics.
        patterns: regular expressions whose groups name metrics in lines of its output.
        directory, mlflow: as `greensweep.run` takes them.
        energy: configures the meter.
    """

    words: Sequence[str]
    name: str | None = None
    metric: str | None = None
    direction: Direction | None = None
    file: str | None = None
    patterns: Sequence[str] = ()
    directory: str | None = None
    mlflow: str | None = None
    energy: EnergyConfig | None = None

    def unused(self, options: Iterable[str]) -> list[str]:
        """Return the options that stand nowhere in it."""
        named = {name for word in self.words for name in _OPTION.findall(word)}
        return [name for name in options if name not in named]


class Interrupted(KeyboardInterrupt):
    """A command ended because whoever ran it sent it a signal.

    Attributes:
        status: that it ended with, as a shell tells it.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def run_command(
    command: Command, options: Mapping[str, Any]
) -> tuple[Run, CommandError | Interrupted | None]:
    """Run a command, with all that it starts, as a recorded run.

    Args:
        options: by name, of which it is given those that it names.

    Returns:
        The run, and what kept it from ending well.

    Raises:
        TrialEnded: the search of which it is a trial has ended it.
        ConfigError: an option of the meter, or the metric's direction, is not known.
        StudyError: its directory holds the result of another run.
    """
    lines = MetricLines(command.patterns)
    recorded = run(
        command.name or program_name(command.words),
        params={**options, "command": list(command.words)},
        metric=command.metric,
        direction=command.direction,
        directory=command.directory,
        mlflow=command.mlflow,
        energy=command.energy,
    )
    try:
        with recorded as this:
            values = {**options, "directory": this.directory.absolute()}
            words = [filled(word, values) for word in command.words]
            file = MetricFile(Path(filled(command.file, values))) if command.file else None
            reports = _Reports(this, chosen=command.metric is not None)
            with running(words, apart=is_graceful()) as child:
                for line in child.lines(READ_SECONDS if file else None):
                    if line is not None:
                        reports.take(lines.read(line))
                    for figures in file.read() if file else ():
                        reports.take(figures)
            for figures in file.read(complete=True) if file else ():
                reports.take(figures)
            reports.finish()
            _check_end(child)
            lines.tell_unmatched()
    except (CommandError, Interrupted) as fault:
        return this, fault
    return this, None


def filled(word: str, options: Mapping[str, Any]) -> str:
    """Return a word of a command with the values of options in the place of their names.

    >>> filled("--lr={lr}", {"lr": 0.01}), filled("{print $1}", {"lr": 0.01})
    ('--lr=0.01', '{print $1}')
    """

    def value(found: re.Match[str]) -> str:
        given = options.get(found[1], found[0])
        return str(given) if isinstance(given, str | Path) else json.dumps(given, default=str)

    return _OPTION.sub(value, word)


class _Reports:
    """Turns the figures of a command into reports of its run, one for each epoch.

    Those of one epoch may come one by one: it is reported as soon as they tell how good the run
    is, so that its energy ends there, and later ones are added. Where no epoch is told, each time
    that a name comes again is one. Figures of the test split, and others without an epoch beside
    numbered ones, are of the whole run.

    Args:
        chosen: it was said by which metric the run is compared.
    """

    def __init__(self, this: Run, *, chosen: bool) -> None:
        self._run, self._is_chosen = this, chosen
        self._figures: dict[str, float] = {}  # of this epoch, and not yet reported
        self._names: set[str] = set()  # of this epoch, reported or not
        self._epoch: int | None = None  # from 1; None where none is told
        self._epochs: int | None = None
        self._first: int | None = None  # number that the program gives its first epoch, often 0
        self._is_reported = False

    def take(self, figures: Figures) -> None:
        """Take the figures of a line, a row or an object.

        Raises:
            TrialEnded: an epoch is complete, after which the search wants no more.
        """
        named = {name: each for name, each in figures.items() if name not in ("epoch", "epochs")}
        epoch, epochs = _count(figures, "epoch"), _count(figures, "epochs")
        if epochs is not None:
            self._epochs = epochs
        if not named:
            if epoch == 0 and self._first is None:
                self._run.report(epoch=0, epochs=self._epochs)
            return
        if epoch is not None:
            self._first = min(epoch, 1) if self._first is None else self._first
            number = epoch + 1 - self._first
            if number != self._epoch:
                self._begin(number)
        elif self._first is not None or all(split_of(name)[0] == "test" for name in named):
            self._run.log(**named)
            return
        elif named.keys() & self._names:
            self._begin(None)
        self._figures |= named
        self._names |= named.keys()
        if self._is_reported or any(map(self._tells, named)):
            self.finish()

    def finish(self) -> None:
        """Report what has come."""
        figures, self._figures = self._figures, {}
        names = [name for name in figures if split_of(name)[0] == "validation"]
        if names and not self._is_chosen:
            self._is_chosen = any(known_direction(split_of(name)[1]) for name in names)
        if figures and self._is_reported:
            self._run.amend(**figures)
        elif figures:
            self._is_reported = True
            self._run.report(epoch=self._epoch, epochs=self._epochs, **figures)

    def _begin(self, epoch: int | None) -> None:
        self.finish()
        self._epoch, self._names, self._is_reported = epoch, set(), False

    def _tells(self, name: str) -> bool:
        """Tell whether a figure says how good the run is."""
        split, metric = split_of(name)
        if self._is_chosen:
            return (split, metric) == ("validation", self._run.result.objective_metric)
        return split == "validation" and known_direction(metric) is not None


def _count(figures: Figures, name: str) -> int | None:
    given = figures.get(name)
    if given is None or isfinite(given):
        return None if given is None else int(given)
    warn_once(f"{name}={given} is no number of epochs, and left out.")
    return None


def _check_end(child: Child) -> None:
    if left := child.left():
        warn_once(
            f"The command left processes running, {left[0].pid} among them: what they use from "
            "here on is in no figure of it."
        )
    if not child.status:
        return
    if child.signalled:
        raise Interrupted(child.status)
    if child.killed_by is None:
        raise CommandError(f"the command ended with status {child.status}", child.status)
    why = ", as the system does where memory runs out" if child.killed_by == "SIGKILL" else ""
    raise CommandError(f"the command was killed by {child.killed_by}{why}", child.status)


def program_name(words: Sequence[str]) -> str:
    """Return the name of a command's program, or of the script or module that it interprets."""
    scripts = [word for word in words if Path(word).suffix.lower() in _SCRIPTS]
    modules = [
        module.rpartition(".")[2]
        for program, flag, module in zip(words, words[1:], words[2:], strict=False)
        if flag == "-m" and Path(program).name.startswith("python")
    ]
    return Path([*scripts, *modules, words[0]][0]).stem
