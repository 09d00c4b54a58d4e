"""What pruning saves, and what it costs in accuracy, on recorded learning curves.

Searches are replayed from `learning_curves.csv` (`learning_curves.py` records it): each seed tries
64 of the 100 recorded configurations in an order of its own, once without pruning and once with
each pruner, through the sweeper's own trials. The best configuration is found when the search's
winner is the most accurate of those 64; with two objectives (`pareto`) it is the share of their
front that the search finished, and points lost are those of the hypervolume, in percent.

    python benchmarks/pruning.py
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import optuna
from curves import TABLE, read_curves, search
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from greensweep.files import write_text
from greensweep.pareto import pareto_front
from greensweep.runs.replay.table import Configuration
from greensweep.search.records import outcome_of

_FOLDER = Path(__file__).resolve().parent
PRUNERS = ("median", "percentile", "successive_halving", "hyperband")
LINE = "line"


class Found(NamedTuple):
    """One search: the configurations that it tried and that finished, and all joules."""

    tried: frozenset[int]
    finished: frozenset[int]
    joules: float


def main() -> None:
    """Replay the searches that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--output", type=Path, default=_FOLDER / "pruning.json")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = read_curves(arguments.table).configurations
    rows = list(compare(known, arguments.seeds, arguments.trials))
    about = {"configurations": len(known), "seeds": arguments.seeds, "trials": arguments.trials}
    text = json.dumps({**about, "rows": rows}, indent=1)
    write_text(arguments.output, text + "\n")
    title = f"{arguments.trials} of {len(known)} configurations, {arguments.seeds} seeds"
    table = Table(title=title)
    for column in ("objectives", "pruner", "best found", "points lost", "energy"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["objectives"],
            row["pruner"],
            f"{row['found']:.0%}",
            f"{100 * row['lost']:.2f}",
            f"{row['energy']:.0%}",
        )
    Console(width=120).print(table)


def compare(known: tuple[Configuration, ...], seeds: int, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of each pruner, means over the seeds."""
    accuracies = [max(point.accuracy for point in each.curve) for each in known]
    joules = [each.curve[-1].joules for each in known]
    for objectives, pruners in ((1, PRUNERS), (2, ("pareto",))):
        plain = [tried(known, "none", objectives, seed, trials) for seed in range(seeds)]
        for pruner in pruners:
            found, lost = [], []
            pruned = [tried(known, pruner, objectives, seed, trials) for seed in range(seeds)]
            for run in pruned:
                if objectives == 1:
                    best, won = (max(each, key=accuracies.__getitem__) for each in run[:2])
                    found.append(float(best == won))
                    lost.append(accuracies[best] - accuracies[won])
                    continue
                wanted, kept = (front(sorted(each), accuracies, joules) for each in run[:2])
                found.append(len(set(wanted) & set(kept)) / len(wanted))
                whole, part = (volume(each, accuracies, joules) for each in (wanted, kept))
                lost.append(1.0 - part / whole)
            spent = [each.joules / other.joules for each, other in zip(pruned, plain, strict=True)]
            yield {
                "objectives": "accuracy" if objectives == 1 else "accuracy, joules",
                "pruner": pruner,
                "found": fmean(found),
                "lost": fmean(lost),
                "energy": fmean(spent),
            }


def front(lines: Sequence[int], accuracies: list[float], joules: list[float]) -> list[int]:
    """Return the configurations that no other beats in both objectives, cheap first."""
    costs, values = ([figures[line] for line in lines] for figures in (joules, accuracies))
    return [lines[place] for place in pareto_front(costs, values)]


def volume(lines: list[int], accuracies: list[float], joules: list[float]) -> float:
    """Return the hypervolume of a front, from no accuracy for the most joules of any."""
    worst = max(joules)
    ends = [*(joules[line] for line in lines[1:]), worst]
    steps = zip(lines, ends, strict=True)
    return sum(accuracies[line] * (end - joules[line]) for line, end in steps)


def tried(
    known: tuple[Configuration, ...], pruner: str, objectives: int, seed: int, trials: int
) -> Found:
    """Try recorded configurations in the order of a seed."""
    done = list(
        search(
            lambda reserved: known[reserved.params[LINE]].curve,
            directions=("maximize", "minimize")[:objectives],
            distributions={LINE: CategoricalDistribution(range(len(known)))},
            n_trials=trials,
            sampler=("optuna.samplers.GridSampler", {}),
            seed=seed,
            pruner=pruner,
        )
    )
    outcomes = [outcome for trial in done if (outcome := outcome_of(trial)) is not None]
    return Found(
        tried=frozenset(trial.params[LINE] for trial in done),
        finished=frozenset(t.params[LINE] for t in done if t.state == TrialState.COMPLETE),
        joules=sum(outcome.spent_joules or 0.0 for outcome in outcomes),
    )


if __name__ == "__main__":
    main()
