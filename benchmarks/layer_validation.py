"""Attribution against intervention: does a layer type cost what leaving it out saves?

The eight networks of the 2023 paper's second question differ in three factors: 4 convolution
blocks or 1, 7 linear layers or 3, ReLU or none. Two networks that differ in one factor alone give
the energy that the factor's layers cost (the intervention); the same runs tell what attribution
by time gives these layers. Both are printed, pair by pair.

    python benchmarks/layer_validation.py
"""

import argparse
import itertools
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from machine import describe_machine, machine_line
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from greensweep.config.schema import (
    AdamConfig,
    ConstantConfig,
    InferenceConfig,
    PlainObjectiveConfig,
    TrainConfig,
    TrainingConfig,
)
from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.config.schema_energy import CodeCarbonConfig
from greensweep.config.schema_model import SimpleCnnConfig
from greensweep.config.schema_task import ClassificationConfig
from greensweep.config.schema_tracking import LocalConfig
from greensweep.energy import build_meter
from greensweep.files import write_text
from greensweep.nested import to_json
from greensweep.record.result import RunResult
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import MemoryTracker
from greensweep.training.reference import ReferenceJob

_FOLDER = Path(__file__).resolve().parent
_IMAGES = _FOLDER.parents[1] / "shared" / "data" / "cifar10"
_WARMUP_SECONDS = 3.0

# Factor: its larger and its smaller value, and the layer type that it adds.
FACTORS: Mapping[str, tuple[object, object, str]] = {
    "conv_layers": (4, 1, "conv"),
    "linear_layers": (7, 3, "linear"),
    "relu": (True, False, "relu"),
}

Architecture = tuple[int, int, bool]
ARCHITECTURES: Sequence[Architecture] = tuple(itertools.product((1, 4), (3, 7), (False, True)))

Results = Mapping[tuple[Architecture, int], RunResult]
"""By network and seed."""


@dataclass(frozen=True)
class Pair:
    """Two networks that differ in one factor alone, trained from one seed.

    Attributes:
        factor: in which they differ.
        others: the values of the other factors, in words.
        seed: of both.
        intervention_joules: training energy of the larger less that of the smaller.
        attributed_joules: what attribution gives the factor's layer type in the larger, less what
            it gives it in the smaller.
        all_layers_joules: the same for all layer types: a convolution block comes with its batch
            norm and pooling, and changes the inputs of what follows.
    """

    factor: str
    others: str
    seed: int
    intervention_joules: float
    attributed_joules: float
    all_layers_joules: float

    @property
    def disagreement_joules(self) -> float:
        """How much more attribution gives than the intervention saves."""
        return self.attributed_joules - self.intervention_joules


def main() -> None:
    """Run the study that the command line asks for."""
    arguments = _parse()
    ReferenceJob(torch.device("cpu")).run(_WARMUP_SECONDS)
    results: dict[tuple[Architecture, int], RunResult] = {}
    for architecture, seed in in_turn(arguments.seeds):
        results[architecture, seed] = _train(architecture, seed, arguments)
        print(_run_line(architecture, seed, results[architecture, seed]), flush=True)
    pairs = list(pairs_of(results))
    report = {
        "machine": describe_machine(),
        "runs": [
            {
                "architecture": dict(zip(FACTORS, architecture, strict=True)),
                "seed": seed,
                "energy_joules": result.energy_joules,
                "energy_quality": result.energy_quality,
                "seconds": result.seconds,
                "layer_energy": to_json(result.layer_energy),
            }
            for (architecture, seed), result in results.items()
        ],
        "pairs": [
            {**asdict(pair), "disagreement_joules": pair.disagreement_joules} for pair in pairs
        ],
        "rank_correlation": rank_correlation(pairs),
        "rank_correlation_by_factor": {
            factor: rank_correlation([pair for pair in pairs if pair.factor == factor])
            for factor in FACTORS
        },
    }
    write_text(arguments.output, json.dumps(report, indent=2) + "\n")
    _print(pairs, report)


def in_turn(seeds: int) -> Iterator[tuple[Architecture, int]]:
    """Yield every network with every seed, one seed after the other.

    In an order by chance, so that no network always has the machine at its warmest.
    """
    for seed in range(seeds):
        for architecture in random.Random(seed).sample(ARCHITECTURES, len(ARCHITECTURES)):
            yield architecture, seed


def network(architecture: Architecture) -> SimpleCnnConfig:
    """Return the model of an architecture."""
    conv, linear, relu = architecture
    return SimpleCnnConfig(conv_layers=conv, linear_layers=linear, relu=relu)


def _train(architecture: Architecture, seed: int, arguments: argparse.Namespace) -> RunResult:
    config = TrainConfig(
        task=ClassificationConfig(),
        dataset=ImageFolderConfig(
            root=str(arguments.images), cache=None, train_limit=arguments.train_limit
        ),
        model=network(architecture),
        optimizer=AdamConfig(name="adam"),
        scheduler=ConstantConfig(),
        training=TrainingConfig(epochs=arguments.epochs),
        inference=InferenceConfig(seconds=0.0),
        energy=CodeCarbonConfig(),
        tracking=LocalConfig(),
        objective=PlainObjectiveConfig(name="accuracy", direction="maximize"),
        layer_energy=True,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as directory:
        return run_once(
            config,
            Path(directory),
            meter=build_meter(config.energy),
            tracker=MemoryTracker(),
            test=False,
        )


def pairs_of(results: Results) -> Iterator[Pair]:
    """Yield the pairs of which both networks were trained."""
    for index, (factor, (large, small, kind)) in enumerate(FACTORS.items()):
        for (architecture, seed), larger in results.items():
            if architecture[index] != large:
                continue
            changed = list(architecture)
            changed[index] = small  # type: ignore[call-overload]
            smaller = results.get((tuple(changed), seed))  # type: ignore[arg-type]
            if smaller is None:
                continue
            others = ", ".join(
                f"{name}={value}"
                for name, value in zip(FACTORS, architecture, strict=True)
                if name != factor
            )
            assert larger.energy_joules is not None and smaller.energy_joules is not None
            yield Pair(
                factor,
                others,
                seed,
                larger.energy_joules - smaller.energy_joules,
                _joules(larger, kind) - _joules(smaller, kind),
                _all_layers(larger) - _all_layers(smaller),
            )


def _joules(result: RunResult, kind: str) -> float:
    return float(result.layer_energy.joules.get(kind, 0.0))


def _all_layers(result: RunResult) -> float:
    return sum(_joules(result, kind) for kind in result.layers)


def rank_correlation(pairs: list[Pair]) -> float | None:
    """Return Spearman's of intervention and attribution; None of fewer than three pairs."""
    if len(pairs) < 3:
        return None
    found = spearmanr(
        [pair.intervention_joules for pair in pairs], [pair.attributed_joules for pair in pairs]
    )
    return float(found.statistic)


def _print(pairs: list[Pair], report: Mapping[str, object]) -> None:
    console = Console(highlight=False, width=120)
    table = Table(title="Layer energy: attributed by time, and saved by intervention (joules)")
    for column in ("factor", "the other factors"):
        table.add_column(column)
    for column in ("intervention", "attributed", "ratio", "all layers", "ratio"):
        table.add_column(column, justify="right")
    groups = itertools.groupby(sorted(pairs, key=_group), key=_group)
    previous = None
    for (factor, others), found in groups:
        members = list(found)
        saved = fmean(pair.intervention_joules for pair in members)
        given = fmean(pair.attributed_joules for pair in members)
        all_given = fmean(pair.all_layers_joules for pair in members)
        if previous not in (None, factor):
            table.add_section()
        previous = factor
        large, small, _ = FACTORS[factor]
        table.add_row(
            f"{factor} {large} against {small}",
            others,
            f"{saved:.1f}",
            f"{given:.1f}",
            f"{given / saved:.2f}",
            f"{all_given:.1f}",
            f"{all_given / saved:.2f}",
        )
    console.print(table)
    worst = max(pairs, key=lambda pair: abs(pair.disagreement_joules))
    print(f"Means over {1 + max(pair.seed for pair in pairs)} seeds.")
    print(f"Rank correlation over {len(pairs)} pairs: {report['rank_correlation']:.2f}")
    print(
        f"Largest disagreement: {worst.factor} at {worst.others}, seed {worst.seed}: attributed "
        f"{worst.attributed_joules:.1f} J, intervention {worst.intervention_joules:.1f} J"
    )
    print(machine_line(report["machine"]))  # type: ignore[arg-type]


def _group(pair: Pair) -> tuple[str, str]:
    return pair.factor, pair.others


def _run_line(architecture: Architecture, seed: int, result: RunResult) -> str:
    shares = result.layer_energy.shares
    shown = ", ".join(f"{kind} {share:.2f}" for kind, share in shares.items())
    return (
        f"conv {architecture[0]}, linear {architecture[1]}, relu {architecture[2]}, seed {seed}: "
        f"{result.energy_joules:.1f} J {result.energy_quality} ({shown})"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=_IMAGES, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-limit", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=_FOLDER / "layer_validation.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
