"""Energy by layer type against intervention: the eight networks of the paper, three seeds."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from figures import Figure
from layer_validation import (
    ARCHITECTURES,
    FACTORS,
    Architecture,
    Pair,
    in_turn,
    network,
    pairs_of,
    rank_correlation,
)

from gpu_parts.runs import config_of, run
from gpu_parts.session import Session
from greensweep.nested import to_json
from greensweep.record.result import RunResult

_SEEDS = 3
_SECONDS = 3.5  # of one run
_TINY = ARCHITECTURES[:2]  # one pair, with and without ReLU


def measure(session: Session) -> Iterator[Figure]:
    """Train all networks seed by seed, as far as there is time, and compare what was trained."""
    results: dict[tuple[Architecture, int], RunResult] = {}
    for architecture, seed in in_turn(1 if session.plan.is_tiny else _SEEDS):
        row = f"network {architecture}, seed {seed}"
        if session.plan.is_tiny and architecture not in _TINY:
            continue
        if session.is_time_for(row, _SECONDS):
            with session.trying(row):
                results[architecture, seed] = result = _train(session, architecture, seed)
                yield _energy(row, result)
    if results:
        yield from _shares(list(results.values()))
    pairs = list(pairs_of(results))
    for factor in FACTORS:
        if own := [pair for pair in pairs if pair.factor == factor]:
            with session.trying(factor):
                yield from _comparison(factor, own)
    correlation = rank_correlation(pairs)
    if correlation is not None:
        yield Figure(
            "layers",
            "all factors",
            "rank correlation of attribution and intervention",
            correlation,
            pairs=len(pairs),
            unit="",
            details={"pairs": [asdict(pair) for pair in pairs]},
        )


def _train(session: Session, architecture: Architecture, seed: int) -> RunResult:
    # Plain steps in both: a captured step has no launches to tell.
    options = {"epochs": session.plan.layer_epochs, "capture": "none"}
    config = config_of(session, network(architecture), **options)
    with tempfile.TemporaryDirectory() as folder:
        result = run(replace(config, layer_energy=True, seed=seed), Path(folder))
    if not result.layer_energy:
        raise RuntimeError("the run has no layer_energy: a warning above says why")
    return result


def _energy(row: str, result: RunResult) -> Figure:
    kept = ("energy_uncertainty_joules", "energy_quality", "seconds", "layers", "layer_energy")
    details = {name: to_json(getattr(result, name)) for name in kept}
    return Figure(
        "layers", row, "energy of a run", result.energy_joules or 0.0, unit="J", details=details
    )


def _shares(results: list[RunResult]) -> Iterator[Figure]:
    sampled: dict[str, tuple[Callable[[RunResult], float], float | None]] = {
        '"other", share of the energy': (
            lambda of: of.layer_energy.shares.get("other", 0.0),
            0.15,
        ),
        '"launch", share of the energy': (
            lambda of: of.layer_energy.shares.get("launch", 0.0),
            None,
        ),
        "seconds of a sampled step / a plain one": (
            lambda of: of.layer_energy.step_seconds / of.layer_energy.plain_step_seconds,
            1.3,
        ),
    }
    for of, (figure_of, at_most) in sampled.items():
        found = [figure_of(result) for result in results]
        yield Figure(
            "layers",
            f"{len(results)} runs, the largest of all",
            of,
            max(found),
            low=min(found),
            high=max(found),
            pairs=len(found),
            at_most=at_most,
            details={"figures": found},
        )


def _comparison(factor: str, pairs: list[Pair]) -> Iterator[Figure]:
    saved = sum(pair.intervention_joules for pair in pairs)
    for of, given in (
        ("its layers", sum(pair.attributed_joules for pair in pairs)),
        ("all layers", sum(pair.all_layers_joules for pair in pairs)),
    ):
        yield Figure(
            "layers",
            factor,
            f"joules attributed to {of} / saved without them",
            given / saved,
            pairs=len(pairs),
            details={"attributed_joules": given, "intervention_joules": saved},
        )
