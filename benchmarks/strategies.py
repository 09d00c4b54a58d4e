"""Energy to target: how much energy each search strategy needs to be as good as random search.

Searches are replayed from the recorded trials of Yarally et al. (CAIN 2023, first question): 12
settings of 192 trials each, answered by a regression on them (docs/replay.md). Two targets, each
of one setting and seed: the best accuracy that random search finds in 64 trials, with the
learning rate drawn uniformly as the paper did, or on a log scale. A strategy's figure is the
energy of its trials, in their order, up to the first that reaches the target, over what that
random search spent up to its own first; a strategy that does not get there in 64 trials counts
as infinite.

    python benchmarks/strategies.py --seeds 30

Each strategy runs on one space after the other, through the samplers that a search of
`hydra/sweeper=greensweep` would make (`SearchSpec.build_sampler`).
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ask_tell import (
    OPTUNA,
    OURS,
    RANDOM,
    TRIALS,
    Answer,
    MakeSampler,
    from_spec,
    kept,
    other_random,
    search,
)
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from ratios import finite, quantile, shown

from greensweep.files import write_text
from greensweep.runs.replay.answer import ReplayModel
from greensweep.runs.replay.table import read_table
from greensweep.search.spec import SearchSpec

_FOLDER = Path(__file__).resolve().parent
_TABLE = _FOLDER.parents[1] / "shared" / "paper" / "rq1_strategies.csv"
SPACES = ("uniform", "log")
TARGETS = ("uniform", "log")  # the best of random search on this space
ANSWERS = ("all", "recorded")  # which can reach a target: also those outside, or not

# The paper's ranges. Its upper ends are open: the last thousandth is left out.
_RANGES = {
    "learning_rate": (1e-5, 1e-1),
    "beta1": (0.1, 1.0),
    "beta2": (0.8, 1.0),
    "epsilon": (1e-9, 1e-7),
    "weight_decay": (0.0, 0.1),
}
_OPEN_END = 0.999
_LEVELS = 5

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """One of the paper's: its recorded trials as a model, and what is searched."""

    name: str
    options: tuple[str, ...]
    model: ReplayModel

    def space(self, kind: str) -> dict[str, BaseDistribution]:
        return {
            name: FloatDistribution(low, high * _OPEN_END, log=_is_log(name, kind))
            for name, (low, high) in _RANGES.items()
            if name in self.options
        }


def _is_log(name: str, kind: str) -> bool:
    return name == "learning_rate" and kind == "log"


@dataclass(frozen=True)
class Trace:
    """One search: by trial, the accuracy, the joules so far, and whether it was outside."""

    accuracy: Figures
    joules: Figures
    outside: NDArray[np.bool_]

    def best(self, answers: str) -> float:
        return float(self._counted(answers).max())

    def joules_to(self, target: float, answers: str) -> float:
        """Return the joules spent when `target` was first reached; infinite if it never was."""
        reached = np.flatnonzero(self._counted(answers) >= target)
        return float(self.joules[reached[0]]) if len(reached) else np.inf

    def _counted(self, answers: str) -> Figures:
        return self.accuracy if answers == "all" else np.where(self.outside, -1.0, self.accuracy)


def _grid(spec: SearchSpec) -> Callable[[int], BaseSampler]:
    """The paper's grid: five levels of each option, without the upper end, in any order."""
    shares = np.arange(_LEVELS) / _LEVELS
    levels: dict[str, Sequence[float]] = {}
    for name, each in spec.distributions.items():
        assert isinstance(each, FloatDistribution)
        low, high = each.low, each.high / _OPEN_END
        spread = low * (high / low) ** shares if each.log else low + shares * (high - low)
        levels[name] = [float(level) for level in spread]
    return lambda index: GridSampler(levels, seed=spec._seed_of(index))


def _stock_tpe(seed: int) -> BaseSampler:
    """As the stock sweeper makes it: its configuration says multivariate=False."""
    return TPESampler(seed=seed, n_startup_trials=10, multivariate=False, constant_liar=False)


# By the name in the table.
STRATEGIES: Mapping[str, MakeSampler] = {
    "random": RANDOM,
    "random, other seeds": other_random,
    "grid": _grid,
    "QMC (Sobol)": from_spec(f"{OPTUNA}QMCSampler", scramble=True),
    "NSGA-II": from_spec(f"{OPTUNA}NSGAIISampler", population_size=8),
    "TPE, stock sweeper": kept(_stock_tpe),
    "TPE, 10 at random first": from_spec(f"{OPTUNA}TPESampler", n_startup_trials=10),
    "TPE, 4 at random first": from_spec(f"{OPTUNA}TPESampler", n_startup_trials=4),
    "scaled_tpe": from_spec(f"{OURS}ScaledTPESampler"),
    "ei_per_joule, scales as given": from_spec(
        f"{OURS}ExpectedImprovementPerJouleSampler", log_decades=None
    ),
    "ei_per_joule": from_spec(f"{OURS}ExpectedImprovementPerJouleSampler"),
    "the paper's search": from_spec(f"{OURS}PaperGpSampler"),
    "random, from defaults": other_random,  # else it would go on as what it is compared with
    "scaled_tpe, from defaults": from_spec(f"{OURS}ScaledTPESampler"),
    "ei_per_joule, from defaults": from_spec(f"{OURS}ExpectedImprovementPerJouleSampler"),
    "GP, 4 at random first": from_spec(f"{OPTUNA}GPSampler", n_startup_trials=4),
}

# These begin with Adam's usual values, as hydra.sweeper.enqueue=present does with the present ones.
FROM_DEFAULTS = (
    "random, from defaults",
    "scaled_tpe, from defaults",
    "ei_per_joule, from defaults",
)
DEFAULTS = {
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 0.0,
}


def read_settings(path: Path) -> list[Setting]:
    """Read the paper's 12 settings."""
    found = []
    for dataset in ("cifar10", "fashion_mnist"):
        for model in ("DensePolyNN", "DenseLinearNN", "SimpleCNN"):
            for count in (3, 5):
                options = tuple(_RANGES)[:count]
                where = {"dataset": dataset, "n_hyperparameters": count, "model": model}
                table = read_table(path, options=options, where=where)
                replay = ReplayModel(table, method="regression")
                found.append(Setting(f"{dataset} {model} {count}", options, replay))
    return found


def trace_of(
    setting: Setting,
    kind: str,
    make: MakeSampler,
    seed: int,
    enough: Callable[[float, bool], bool] = lambda *_: False,
    first: Mapping[str, float] | None = None,
) -> Trace:
    """Search one setting, for at most 64 trials, until `enough` says so of a trial's answer.

    Args:
        first: the values of the first trial; None leaves them to the strategy.
    """
    outside = []

    def answer(params: Mapping[str, Any]) -> Answer:
        found = setting.model.answer(params)
        outside.append(found.outside)
        return Answer((found.accuracy,), found.joules)

    rows = []
    for found in search(make, setting.space(kind), answer, seed, first=first):
        rows.append((found.values[0], found.joules))
        if enough(found.values[0], outside[-1]):
            break
    accuracy, joules = zip(*rows, strict=True)
    return Trace(np.array(accuracy), np.cumsum(joules), np.array(outside))


class Baselines:
    """What random search came to, by space, setting and seed."""

    def __init__(self, settings: Iterable[Setting], seeds: Sequence[int]) -> None:
        self._traces = {
            (kind, setting.name, seed): trace_of(setting, kind, RANDOM, seed)
            for kind in TARGETS
            for setting in settings
            for seed in seeds
        }

    def target(self, kind: str, setting: str, seed: int, answers: str) -> tuple[float, float]:
        """Return the accuracy to reach, and the joules that random search needed for it."""
        trace = self._traces[kind, setting, seed]
        best = trace.best(answers)
        return best, trace.joules_to(best, answers)

    def reached_by(self, setting: str, seed: int) -> Callable[[float, bool], bool]:
        """Return what tells that all targets of a search are reached, answer by answer."""
        best = {
            answers: max(self.target(kind, setting, seed, answers)[0] for kind in TARGETS)
            for answers in ANSWERS
        }
        left = set(ANSWERS)

        def enough(accuracy: float, outside: bool) -> bool:
            if accuracy >= best["all"]:
                left.discard("all")
            if accuracy >= best["recorded"] and not outside:
                left.discard("recorded")
            return not left

        return enough


def measure(
    settings: Sequence[Setting],
    baselines: Baselines,
    strategy: str,
    kind: str,
    seeds: Sequence[int],
    make: MakeSampler | None = None,
) -> dict[str, Any]:
    """Run a strategy on a space, and return its figures."""
    make = make or STRATEGIES[strategy]
    first = DEFAULTS if strategy in FROM_DEFAULTS else None
    ratios: dict[tuple[str, str], list[list[float]]] = {
        (target, answers): [] for target in TARGETS for answers in ANSWERS
    }
    outside = trials = 0
    for setting in settings:
        rows: dict[tuple[str, str], list[float]] = {key: [] for key in ratios}
        for seed in seeds:
            enough = baselines.reached_by(setting.name, seed)
            trace = trace_of(setting, kind, make, seed, enough, first)
            outside, trials = outside + int(trace.outside.sum()), trials + len(trace.outside)
            for (target, answers), found in rows.items():
                best, joules = baselines.target(target, setting.name, seed, answers)
                found.append(trace.joules_to(best, answers) / joules)
        for key, found in rows.items():
            ratios[key].append(found)
    return {
        "strategy": strategy,
        "space": kind,
        "seeds": len(seeds),
        "first_seed": seeds[0],
        "outside_share": outside / trials,
        "to_target": {
            f"best of {target} random, {answers} answers": _figures(
                np.array(found), [each.name for each in settings]
            )
            for (target, answers), found in ratios.items()
        },
    }


def _figures(ratios: Figures, names: Sequence[str]) -> dict[str, Any]:
    """Sum up ratios by setting and seed; infinite ones become None, which JSON can hold."""
    low, median, high = (quantile(ratios, share) for share in (0.25, 0.5, 0.75))
    by_setting = [quantile(row, 0.5) for row in ratios]
    return {
        "median": finite(median),
        "low_quartile": finite(low),
        "high_quartile": finite(high),
        "median_of_settings": finite(quantile(np.array(by_setting), 0.5)),
        "reached_share": float(np.isfinite(ratios).mean()),
        "by_setting": {name: finite(each) for name, each in zip(names, by_setting, strict=True)},
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables: one for each target, each with and without answers outside."""
    parts = []
    for target in TARGETS:
        lines = [
            f"Energy to the best of 64 random trials on the {target} space, over that search's own",
            "",
            "| strategy | space | seeds | median [quartiles] | median of 12 settings | reached "
            "| recorded answers only: median [quartiles] | of 12 settings | reached | outside |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            cells = [row["strategy"], row["space"], str(row["seeds"])]
            for answers in ANSWERS:
                found = row["to_target"][f"best of {target} random, {answers} answers"]
                low, high = (shown(found[f"{end}_quartile"]) for end in ("low", "high"))
                cells += [
                    f"{shown(found['median'])} [{low}, {high}]",
                    shown(found["median_of_settings"]),
                    f"{found['reached_share']:.0%}",
                ]
            cells.append(f"{row['outside_share']:.0%}")
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    """Run the study that the command line asks for."""
    arguments = _parse()
    if not arguments.table.is_file():
        print(f"Skipped: there is no {arguments.table}, whose trials would be replayed.")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    known = _known(arguments.output)
    names = arguments.only or list(STRATEGIES)
    settings = read_settings(arguments.table)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    baselines = Baselines(settings, seeds)
    for name in names:
        for kind in arguments.space or SPACES:
            row = measure(settings, baselines, name, kind, seeds)
            known[name, kind] = row
            print(f"{name}, {kind} space: done", file=sys.stderr, flush=True)
            rows = [known[key] for key in _order() if key in known]
            text = json.dumps({"trials": TRIALS, "rows": rows}, indent=1)
            write_text(arguments.output, text + "\n")
    print(markdown([known[key] for key in _order() if key in known]))


def _order() -> list[tuple[str, str]]:
    return [(name, kind) for kind in SPACES for name in STRATEGIES]


def _known(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of an earlier run, which `--only` replaces one by one."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["strategy"], row["space"]): row for row in rows}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30, help="searches of each setting")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(STRATEGIES), help="a strategy")
    parser.add_argument("--space", action="append", choices=SPACES, help="of these two")
    parser.add_argument("--table", type=Path, default=_TABLE)
    parser.add_argument("--output", type=Path, default=_FOLDER / "strategies.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
