"""Strategies held against the field's, on a public table of architectures with measured energy.

The table is EC-NAS (Bakhtiarifard, Igel, Selvan, ICASSP 2024): 2,532 cells of convolutional
networks, each trained on CIFAR-10, with its validation accuracy and the joules that its training
was measured to take. A cell is searched as ten edges and three operations, each a choice
(`cells.py`); where no cell is drawn, the trial fails at no cost and another is drawn. A cell that
is drawn again is trained, and paid, again.

For one objective, accuracy, a strategy's figure is the energy of its trials up to the first that
is as accurate as the best of 64 random ones, over what that random search spent up to its own
best, same seed, infinite where that is not reached in 64 trials; and the regret, in accuracy,
that is left of the table's best. For two, accuracy and energy, it is the hypervolume after so
many trials, from the table's lowest accuracy and most joules, as a share of the whole table's.

    python benchmarks/public.py

Seeds from 100 on are for tuning; those below are held out, and reported.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from ask_tell import (
    OPTUNA,
    OURS,
    RANDOM,
    TRIALS,
    Answer,
    MakeSampler,
    from_spec,
    other_random,
    search,
)
from cells import cell_of, space
from numpy.typing import NDArray
from ratios import finite, quantile, shown

from greensweep.analysis.front import hypervolume
from greensweep.files import write_text
from greensweep.search.spec import Direction

_FOLDER = Path(__file__).resolve().parent
_TABLE = _FOLDER.parents[1] / "shared" / "ecnas" / "cells_5v.csv"
OBJECTIVES: Mapping[int, tuple[Direction, ...]] = {1: ("maximize",), 2: ("maximize", "minimize")}
AFTER = (16, 32, 64)  # trials
_SHARES = {"low_quartile": 0.25, "median": 0.5, "high_quartile": 0.75}

Figures = NDArray[np.float64]

# By the name in the table, for one objective and for two.
STRATEGIES: Mapping[str, tuple[MakeSampler, tuple[int, ...]]] = {
    "random": (RANDOM, (1, 2)),
    "random, other seeds": (other_random, (1,)),
    "TPE": (from_spec(f"{OPTUNA}TPESampler"), (1, 2)),
    "GP": (from_spec(f"{OPTUNA}GPSampler"), (1, 2)),
    "NSGA-II": (from_spec(f"{OPTUNA}NSGAIISampler", population_size=8), (1, 2)),
    "NSGA-III": (from_spec(f"{OPTUNA}NSGAIIISampler", population_size=8), (1, 2)),
    "scaled_tpe": (from_spec(f"{OURS}ScaledTPESampler"), (1, 2)),
    "ei_per_joule": (from_spec(f"{OURS}ExpectedImprovementPerJouleSampler"), (1,)),
    "the paper's search": (from_spec(f"{OURS}PaperGpSampler"), (1,)),
}


@dataclass(frozen=True)
class Table:
    """Accuracy and joules of each cell, by name, which the joules of a search are counted in."""

    accuracy: Mapping[str, float]
    joules: Mapping[str, float]

    def answer(self, params: Mapping[str, Any]) -> Answer | None:
        """Return accuracy and joules of the cell that parameters are; None where they are none."""
        cell = cell_of(params)
        if cell is None:
            return None
        joules = self.joules[cell]
        return Answer((self.accuracy[cell], joules), joules)

    def hypervolume(self, accuracy: Figures, joules: Figures) -> float:
        """Return what points dominate, as a share of what the whole table does."""
        everything = np.array([*self.accuracy.values()]), np.array([*self.joules.values()])
        return self._volume(accuracy, joules) / self._volume(*everything)

    def _volume(self, accuracy: Figures, joules: Figures) -> float:
        ends = min(self.accuracy.values()), self.best
        return hypervolume(accuracy, joules, max(self.joules.values()), ends)

    @cached_property
    def best(self) -> float:
        """The highest accuracy."""
        return max(self.accuracy.values())


def read(path: Path) -> Table:
    """Read the table of EC-NAS; its README says what the columns mean."""
    columns = ["architecture", "validation_accuracy", "energy_joules"]
    rows = pd.read_csv(path, usecols=columns).set_index("architecture")
    return Table(rows["validation_accuracy"].to_dict(), rows["energy_joules"].to_dict())


def trace(
    table: Table, make: MakeSampler, seed: int, objectives: int, trials: int = TRIALS
) -> tuple[Figures, Figures]:
    """Search the table, and return the accuracy and the joules of each trial."""

    def answer(params: Mapping[str, Any]) -> Answer | None:
        found = table.answer(params)
        return found and Answer(found.values[:objectives], found.joules)

    found = islice(search(make, space(), answer, seed, directions=OBJECTIVES[objectives]), trials)
    rows = [(each.values[0], each.joules) for each in found]
    return np.array(rows).T[0], np.array(rows).T[1]


def measure(
    table: Table, strategy: str, objectives: int, seeds: Sequence[int], trials: int = TRIALS
) -> dict[str, Any]:
    """Run a strategy, and return its figures."""
    make, _ = STRATEGIES[strategy]
    began = time.process_time()
    traces = [trace(table, make, seed, objectives, trials) for seed in seeds]
    seconds = (time.process_time() - began) / len(seeds)
    if objectives == 1:
        random = [trace(table, RANDOM, seed, 1, trials) for seed in seeds]
        found = {
            "energy_to_target": [
                _joules_to(each, own[0].max()) / _joules_to(own, own[0].max())
                for each, own in zip(traces, random, strict=True)
            ],
            "regret": [table.best - accuracy.max() for accuracy, _ in traces],
        }
    else:
        found = {
            f"hypervolume_after_{after}": [
                table.hypervolume(accuracy[:after], joules[:after]) for accuracy, joules in traces
            ]
            for after in AFTER
        }
    return {
        "strategy": strategy,
        "objectives": objectives,
        "seeds": len(seeds),
        "first_seed": seeds[0],
        "cpu_seconds_per_search": seconds,
        **{name: _figures(values) for name, values in found.items()},
    }


def _joules_to(found: tuple[Figures, Figures], target: float) -> float:
    """Return the joules spent when a target was first reached; infinite if it never was."""
    accuracy, joules = found
    reached = np.flatnonzero(accuracy >= target)
    return float(joules[: reached[0] + 1].sum()) if len(reached) else np.inf


def _figures(values: Sequence[float]) -> dict[str, float | None]:
    """Sum up a figure over seeds; infinite ones become None, which JSON can hold."""
    found = {name: finite(quantile(values, share)) for name, share in _SHARES.items()}
    return {**found, "reached_share": float(np.isfinite(values).mean())}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables: one for one objective, one for two."""
    columns = {
        1: {"energy_to_target": "energy to random's best", "regret": "regret"},
        2: {f"hypervolume_after_{after}": f"hypervolume after {after}" for after in AFTER},
    }
    parts = []
    for objectives, names in columns.items():
        reached = ["reached"] if objectives == 1 else []
        heads = ["strategy", "seeds", *names.values(), *reached, "CPU s per search"]
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for row in rows:
            if row["objectives"] != objectives:
                continue
            cells = [row["strategy"], str(row["seeds"])]
            for name in names:
                low, median, high = (_shown(name, row[name][each]) for each in _SHARES)
                cells.append(f"{median} [{low}, {high}]")
            if reached:
                cells.append(f"{row['energy_to_target']['reached_share']:.0%}")
            lines.append(
                f"| {' | '.join([*cells, format(row['cpu_seconds_per_search'], '.1f')])} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _shown(name: str, value: float | None) -> str:
    return shown(value) if name == "energy_to_target" else f"{value:.3f}"


def main() -> None:
    """Run the study that the command line asks for."""
    arguments = _parse()
    if not arguments.table.is_file():
        print(f"Skipped: there is no {arguments.table}, whose trials would be replayed.")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table, known = read(arguments.table), _known(arguments.output)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    order = [(name, each) for name, (_, objectives) in STRATEGIES.items() for each in objectives]
    for name, objectives in order:
        if name not in (arguments.only or STRATEGIES):
            continue
        if objectives not in (arguments.objectives or OBJECTIVES):
            continue
        known[name, objectives] = measure(table, name, objectives, seeds, arguments.trials)
        print(f"{name}, objectives: {objectives}: done", file=sys.stderr, flush=True)
        rows = [known[key] for key in order if key in known]
        text = json.dumps({"trials": arguments.trials, "rows": rows}, indent=1)
        write_text(arguments.output, text + "\n")
    print(markdown([known[key] for key in order if key in known]))


def _known(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rows of an earlier run, which `--only` replaces one by one."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["strategy"], row["objectives"]): row for row in rows}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30, help="searches of each strategy")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each search, at most 64")
    parser.add_argument("--only", action="append", choices=list(STRATEGIES), help="a strategy")
    parser.add_argument("--objectives", action="append", type=int, choices=list(OBJECTIVES))
    parser.add_argument("--table", type=Path, default=_TABLE)
    parser.add_argument("--output", type=Path, default=_FOLDER / "public.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
