"""What the sweeper adds to Optuna for each trial, early and late in a study, and what workers give.

    python benchmarks/search_overhead.py

Both sides run the same study on SQLite, its file opened with the same settings (write-ahead log,
which Optuna by itself does not ask for): the same sampler, the same made-up learning curves with
ten reports each, the same pruner. "Optuna alone" is the ask-and-tell loop of its documentation.
`--commands` times whole commands over a recorded table, ours and the stock Optuna sweeper's: what
Hydra takes to compose and launch each job is in both.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from machine import describe_machine, machine_line
from optuna.distributions import BaseDistribution, FloatDistribution
from rich.console import Console
from rich.table import Table

from greensweep.files import write_text
from greensweep.record.reporting import report
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.trial import run_trial
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

_FOLDER = Path(__file__).resolve().parent
_ROOT = _FOLDER.parent
_EPOCHS = 10
_SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "beta1": FloatDistribution(0.1, 0.999),
    "beta2": FloatDistribution(0.8, 0.999),
}
_SAMPLERS = {
    "tpe": ("optuna.samplers.TPESampler", {"n_startup_trials": 4}),
    "random": ("optuna.samplers.RandomSampler", {}),
    "gp": ("optuna.samplers.GPSampler", {"n_startup_trials": 4}),
}


@dataclass(frozen=True)
class Row:
    """Seconds for a trial, the median over a window of trials that ends with `trial`."""

    sampler: str
    trial: int
    optuna_seconds: float
    sweeper_seconds: float
    ratio: float


def main() -> None:
    """Run the studies that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--gp-trials", type=int, default=60)
    parser.add_argument("--samplers", nargs="+", default=list(_SAMPLERS), choices=_SAMPLERS)
    parser.add_argument("--workers", action="store_true", help="also time 1 and 2 workers")
    parser.add_argument("--commands", action="store_true", help="also time whole commands")
    parser.add_argument("--output", type=Path, default=_FOLDER / "search_overhead.json")
    arguments = parser.parse_args()
    rows = []
    for sampler in arguments.samplers:
        trials = arguments.gp_trials if sampler == "gp" else arguments.trials
        rows += compare(sampler, trials)
    table = Table(title="Seconds for a trial beyond its training, median of 21 trials")
    for name in ("sampler", "around trial", "Optuna alone ms", "sweeper ms", "ratio"):
        table.add_column(name, justify="right")
    for row in rows:
        milliseconds = (1000 * row.optuna_seconds, 1000 * row.sweeper_seconds)
        table.add_row(
            row.sampler,
            str(row.trial),
            *(f"{each:.1f}" for each in milliseconds),
            f"{row.ratio:.2f}",
        )
    console = Console(width=120)
    machine = describe_machine()
    console.print(machine_line(machine))
    console.print(table)
    found: dict[str, Any] = {"machine": machine, "overhead": [asdict(r) for r in rows]}
    if arguments.workers:
        found["workers"] = workers()
        console.print(
            "2 workers finish {running_ratio:.2f} times the trials per hour of one worker with one "
            "thread; as whole commands of 24 trials {ratio:.2f} times.".format(**found["workers"])
        )
    if arguments.commands:
        found["commands"] = commands()
        console.print(
            "A replayed trial takes {greensweep:.3f} s in hydra/sweeper=greensweep and "
            "{optuna:.3f} s in the stock sweeper, {ratio:.2f} times as long.".format(
                **found["commands"]
            )
        )
    write_text(arguments.output, json.dumps(found, indent=2) + "\n")


def compare(sampler: str, trials: int) -> list[Row]:
    """Time the same study both ways, in turns of one trial each, and compare early and late."""
    with tempfile.TemporaryDirectory() as folder:
        sides = (optuna_alone(sampler, Path(folder)), the_sweeper(sampler, Path(folder), trials))
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(trials):
            for side, taken in zip(sides, seconds, strict=True):
                began = time.perf_counter()
                side()
                taken.append(time.perf_counter() - began)
    rows = []
    for first, last in ((1, 22), (trials - 21, trials)):
        alone, ours = (median(taken[first:last]) for taken in seconds)
        rows.append(Row(sampler, (first + last) // 2, alone, ours, ours / alone))
    return rows


def accuracy_of(params: Mapping[str, float], epoch: int) -> float:
    """A made-up learning curve, best at a rate of 0.001."""
    end = math.exp(-((math.log10(params["rate"]) + 3.0) ** 2)) * params["beta1"]
    return end * (1.0 - 0.6**epoch)


def optuna_alone(sampler: str, folder: Path) -> Callable[[], None]:
    """Return a function that runs one more trial as Optuna's documentation does."""
    target, arguments = _SAMPLERS[sampler]
    more: dict[str, Any] = {"multivariate": True} if sampler == "tpe" else {}
    make = getattr(optuna.samplers, target.rpartition(".")[2])
    study = optuna.create_study(
        storage=open_storage(f"sqlite:///{folder / 'alone.db'}"),
        sampler=make(seed=0, **arguments, **more),
        pruner=optuna.pruners.MedianPruner(5, 2),
        direction="maximize",
    )

    def run() -> None:
        trial = study.ask(_SPACE)
        for epoch in range(1, _EPOCHS + 1):
            trial.report(accuracy_of(trial.params, epoch), epoch)
            trial.should_prune()  # asked, but not obeyed: all trials have the same length
        study.tell(trial, accuracy_of(trial.params, _EPOCHS))

    return run


def the_sweeper(sampler: str, folder: Path, trials: int) -> Callable[[], None]:
    """Return a function that runs one more trial as the sweeper does."""
    spec = SearchSpec(
        directory=folder,
        study_name="study",
        storage=f"sqlite:///{folder / 'optuna.db'}",
        directions=("maximize",),
        distributions=_SPACE,
        n_trials=trials,
        sampler=_SAMPLERS[sampler],
        pruner="percentile",
    )
    # Asks at every epoch, as the other side, and prunes next to nothing.
    spec.pruning.percentile = 99.9
    study = open_study(spec, open_storage(spec.storage))
    queue = TrialQueue(spec, study, lambda trial: folder / str(trial.number))
    queue.prepare()

    def run() -> None:
        reserved = queue.reserve()
        assert isinstance(reserved, ReservedTrial)
        own = folder / str(reserved.number)
        own.mkdir()

        def task() -> float:
            for epoch in range(1, _EPOCHS + 1):
                accuracy = accuracy_of(reserved.params, epoch)
                report(epoch=epoch, accuracy=accuracy, joules=float(epoch), epochs=_EPOCHS)
            return accuracy_of(reserved.params, _EPOCHS)

        run_trial(spec, study, reserved.number, task, own)

    return run


def commands(few: int = 2, many: int = 42, turns: int = 3) -> dict[str, float]:
    """Time a trial of a replayed random search, as the difference of long and short commands."""
    seconds: dict[str, list[float]] = {"greensweep": [], "optuna": []}
    for _ in range(turns):
        for sweeper, taken in seconds.items():
            taken.append(
                (_command_seconds(sweeper, many) - _command_seconds(sweeper, few)) / (many - few)
            )
    middle = {sweeper: median(taken) for sweeper, taken in seconds.items()}
    return {**middle, "ratio": middle["greensweep"] / middle["optuna"]}


def _command_seconds(sweeper: str, trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _sweep_seconds(
            Path(folder),
            *(f"hydra/sweeper={sweeper}", "hydra/sweeper/sampler=random"),
            *(f"hydra.sweeper.n_trials={trials}", "training=replay", "space=paper_log"),
            *(f"replay.table={_FOLDER / 'learning_curves.csv'}", "tracking=local"),
            *("training.epochs=10", "model.conv_layers=2", "warmup=0"),
        )


def _sweep_seconds(folder: Path, *overrides: str) -> float:
    """Time a whole sweep of this program in a folder."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, str(_ROOT / "src" / "train.py"), "-m", *overrides],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def workers(trials: int = 24) -> dict[str, float]:
    """Time a sweep of the default task with one worker of one thread, and with two.

    Once as the whole command, with the start of its processes, and once from the first trial's
    beginning to the last one's end.
    """
    seconds, running = {}, {}
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            seconds[count] = _sweep_seconds(
                Path(folder),
                *("hydra/sweeper=greensweep", f"hydra.sweeper.n_trials={trials}"),
                *(f"hydra.sweeper.n_workers={count}", "hydra.sweeper.pruner=none"),
                *("training.threads=1", "training.epochs=40", "model.conv_layers=3"),
                *("dataset.image_size=16", "training.batch_size=64", "warmup=0"),
            )
            (path,) = Path(folder).glob("multirun/*/optuna.db")
            (study,) = optuna.get_all_study_names(f"sqlite:///{path}")
            done = optuna.load_study(study_name=study, storage=f"sqlite:///{path}").trials
            first = min(trial.datetime_start for trial in done if trial.datetime_start)
            last = max(trial.datetime_complete for trial in done if trial.datetime_complete)
            running[count] = (last - first).total_seconds()
    return {
        "one": seconds[1],
        "two": seconds[2],
        "ratio": seconds[1] / seconds[2],
        "running_ratio": running[1] / running[2],
    }


if __name__ == "__main__":
    main()
