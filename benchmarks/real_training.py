"""Energy to target on real training: the paper's small CNN on CIFAR-10 images.

For each seed a random search on the paper's uniform space, one on the log scale, and the sweeper's
default, which prunes, all of the same trials and epochs. A figure is the energy of a search's
trials, pruned ones included, up to the first that is as accurate as the best of random search,
over what that random search spent up to its own best; a search that does not get there counts as
infinite.

    python benchmarks/real_training.py --images FOLDER

FOLDER has `train/` and `test/`, with one folder for each class. The searches of one seed follow
each other, so that a drift of the machine meets all of them; nothing else should run meanwhile.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from machine import describe_machine, machine_line
from ratios import finite, shown
from rich.console import Console
from rich.table import Table
from small_cnn import RANDOM, TASK, results, search

from greensweep.files import write_text

_FOLDER = Path(__file__).resolve().parent
SEARCHES = {
    "random, uniform": ("space=paper", *RANDOM),
    "random, log": ("space=paper_log", *RANDOM),
    "default": ("space=paper",),
    "default, nothing pruned": ("space=paper", "hydra.sweeper.pruner=none"),
    "default, from nothing": ("space=paper", "hydra.sweeper.enqueue=null"),
}
TARGETS = ("random, uniform", "random, log")
TRAINING = (*TASK, "training.epochs=5")


def main() -> None:
    """Run the searches that the command line asks for; those that are there are read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--only", action="append", choices=list(SEARCHES))
    parser.add_argument("--sweeps", type=Path, required=True, help="folder to keep the runs in")
    parser.add_argument("--output", type=Path, default=_FOLDER / "real_training.json")
    arguments = parser.parse_args()
    machine = describe_machine()
    names = arguments.only or list(SEARCHES)
    traces: dict[str, list[list[list[float]]]] = {name: [] for name in names}
    for seed in range(arguments.seeds):
        for name in names:
            folder = arguments.sweeps / name.replace(", ", "-").replace(" ", "-") / str(seed)
            options = (f"seed={seed}", *TRAINING, *SEARCHES[name])
            search(arguments.images, folder, arguments.trials, options)
            traces[name].append(trace(folder))
    found = {
        "machine": machine,
        "task": TRAINING,
        "trials": arguments.trials,
        "ratios": {
            target: {name: ratios(traces[name], traces[target]) for name in names}
            for target in TARGETS
            if target in names
        },
        "searches": {
            name: [{"best": max(row[0] for row in each), "joules": each[-1][1]} for each in rows]
            for name, rows in traces.items()
        },
    }
    write_text(arguments.output, json.dumps(found, indent=2) + "\n")
    console = Console(width=120)
    console.print(machine_line(machine))
    for target, by_name in found["ratios"].items():
        table = Table(title=f"Energy to the best of “{target}”, over that search's own")
        for column in ("search", "median", "by seed"):
            table.add_column(column)
        for name, each in by_name.items():
            table.add_row(name, shown(finite(median(_infinite(each)))), ", ".join(map(shown, each)))
        console.print(table)


def trace(folder: Path) -> list[list[float]]:
    """Return, by trial, its accuracy (0 where it did not finish) and the joules so far."""
    rows, joules = [], 0.0
    for result in results(folder):
        joules += result["energy_spent_joules"]
        finished = result["status"] == "finished"
        rows.append([result["validation_accuracy"] if finished else 0.0, joules])
    return rows


def ratios(rows: list[list[list[float]]], random: list[list[list[float]]]) -> list[float | None]:
    """Return the energy to target over random search's, by seed; None where it is never reached."""
    found: list[float | None] = []
    for own, reference in zip(rows, random, strict=True):
        target = max(accuracy for accuracy, _ in reference)
        needed = joules_to(own, target)
        found.append(None if needed is None else needed / (joules_to(reference, target) or 1.0))
    return found


def joules_to(rows: list[list[float]], target: float) -> float | None:
    """Return the joules spent when a target was first reached."""
    return next((joules for accuracy, joules in rows if accuracy >= target), None)


def _infinite(values: list[float | None]) -> list[float]:
    return [float("inf") if value is None else value for value in values]


if __name__ == "__main__":
    main()
