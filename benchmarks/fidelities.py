"""What cheaper runs, pruning and the strategy give together, on recorded learning curves.

Searches are replayed from `learning_curves.csv`: a point of the space is answered by the nearest
recorded configuration, a cheaper run by the first epochs of its curve. A figure is the energy of a
search's trials up to the first whole run within one point of the best of 64 random ones, over what
that random search spent up to its own first such run, same seed; a search of 64 trials that does
not get there counts as infinite. (One run's accuracy on 1000 images is uncertain by 1.6 points.)

    python benchmarks/fidelities.py
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from curves import EPOCHS, OPTIONS, TABLE, read_curves, search
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState
from ratios import finite, quantile, shown
from rich.console import Console
from rich.table import Table

from greensweep.files import write_text
from greensweep.runs.replay.answer import ReplayModel
from greensweep.search.records import fidelity_of, outcome_of

_FOLDER = Path(__file__).resolve().parent
SPACE: dict[str, BaseDistribution] = {
    OPTIONS[0]: FloatDistribution(1e-5, 1e-1, log=True),
    OPTIONS[1]: FloatDistribution(0.5, 0.99),
    OPTIONS[2]: CategoricalDistribution((32, 64, 128, 256)),
    OPTIONS[3]: IntDistribution(1, 4),
}
_RANDOM = "optuna.samplers.RandomSampler"
_TPE = "greensweep.search.samplers.ScaledTPESampler"
_EI = "greensweep.search.samplers.ExpectedImprovementPerJouleSampler"
_MULTI = "greensweep.search.samplers.MultiFidelitySampler"
# By name: sampler, its arguments, pruner, epochs of each cheaper way.
SEARCHES: dict[str, tuple[str, dict[str, Any], str, tuple[int, ...]]] = {
    "random": (_RANDOM, {}, "none", ()),
    "random, pruned": (_RANDOM, {}, "median", ()),
    "scaled_tpe": (_TPE, {}, "none", ()),
    "scaled_tpe, pruned": (_TPE, {}, "median", ()),
    "ei_per_joule, price left out": (_EI, {"cost_exponent": 0.0}, "none", ()),
    "ei_per_joule": (_EI, {}, "none", ()),
    "ei_per_joule, pruned": (_EI, {}, "median", ()),
    "3 of 10 epochs first": (_MULTI, {}, "none", (3,)),
    "3 of 10 epochs first, pruned": (_MULTI, {}, "median", (3,)),
    "2 or 5 of 10 epochs first": (_MULTI, {}, "none", (2, 5)),
}
TRIALS = 64
_POINT = 0.01


def main() -> None:
    """Replay the searches that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--output", type=Path, default=_FOLDER / "fidelities.json")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model = ReplayModel(read_curves(arguments.table), log=[OPTIONS[0], OPTIONS[2]])
    found: dict[str, list[float]] = {name: [] for name in SEARCHES}
    cheap: dict[str, list[float]] = {name: [] for name in SEARCHES}
    for seed in range(arguments.seeds):
        reference = trials_of(model, "random", seed, None)
        target = max(accuracy for accuracy, _, _ in reference) - _POINT
        own = joules_to(reference, target)
        for name in SEARCHES:
            rows = trials_of(model, name, seed, target)
            found[name].append(joules_to(rows, target) / own)
            cheap[name].append(fmean(float(fidelity > 0) for _, _, fidelity in rows))
    title = f"Energy to within a point of the best of {TRIALS} random runs, {arguments.seeds} seeds"
    table = Table(title=title)
    for column in ("search", "median [quartiles]", "reached", "cheaper runs"):
        table.add_column(column)
    rows = []
    for name, ratios in found.items():
        low, middle, high = (finite(quantile(ratios, share)) for share in (0.25, 0.5, 0.75))
        reached, cheaper = float(np.isfinite(ratios).mean()), fmean(cheap[name])
        rows.append(
            {
                "search": name,
                "low_quartile": low,
                "median": middle,
                "high_quartile": high,
                "reached_share": reached,
                "cheaper_share": cheaper,
            }
        )
        table.add_row(
            name,
            f"{shown(middle)} [{shown(low)}, {shown(high)}]",
            f"{reached:.0%}",
            f"{cheaper:.0%}",
        )
    text = json.dumps({"seeds": arguments.seeds, "trials": TRIALS, "rows": rows}, indent=1)
    write_text(arguments.output, text + "\n")
    Console(width=120).print(table)


def trials_of(
    model: ReplayModel, name: str, seed: int, target: float | None
) -> list[tuple[float, float, int]]:
    """Search until a whole run reaches the target, or for 64 trials.

    Returns:
        By trial: its accuracy (0 where it is no whole run that finished), joules and fidelity.
    """
    sampler, arguments, pruner, cheaper = SEARCHES[name]
    epochs = (EPOCHS, *cheaper)
    rows: list[tuple[float, float, int]] = []
    for trial in search(
        lambda reserved: model.answer(reserved.params, epochs[reserved.fidelity]).curve,
        directions=("maximize",),
        distributions=SPACE,
        n_trials=TRIALS,
        sampler=(sampler, arguments),
        seed=seed,
        pruner=pruner,
        fidelities=tuple((f"training.epochs={each}",) for each in cheaper),
    ):
        fidelity, outcome = fidelity_of(trial), outcome_of(trial)
        assert outcome is not None
        is_whole = trial.state == TrialState.COMPLETE and not fidelity
        accuracy = (trial.value or 0.0) if is_whole else 0.0
        rows.append((accuracy, outcome.spent_joules or 0.0, fidelity))
        if target is not None and accuracy >= target:
            break
    return rows


def joules_to(rows: list[tuple[float, float, int]], target: float) -> float:
    """Return the joules spent when a target was first reached; infinite if it never was."""
    spent = 0.0
    for accuracy, joules, _ in rows:
        spent += joules
        if accuracy >= target:
            return spent
    return float("inf")


if __name__ == "__main__":
    main()
