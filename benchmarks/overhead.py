"""What a sweep does around training, per trial, over a hand-written script that does the same.

Overhead is a trial's time less training, evaluation, reading the data and building the model, and
less what Hydra takes to compose and launch a job, which has a line of its own.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from figures import Figure, ratios, summarised
from interleaved import Record, run_interleaved

_FOLDER = Path(__file__).resolve().parent
_GOAL = 2.0
_EPOCHS = 5
_PART = "part: "
# What the hand-written sweep does not do either: measure inference, and warm the machine up.
_OVERRIDES = (
    "hydra/sweeper=optuna",
    f"training.epochs={_EPOCHS}",
    "inference.seconds=0",
    "warmup=0",
)
# Training is not what is compared here, and threads that wait for each other only add noise.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Size:
    """How much is measured: `trials` of each program; the first of each is not counted."""

    trials: int


FULL = Size(trials=25)
QUICK = Size(trials=2)


def measure(size: Size) -> list[Figure]:
    """Run both sweeps on the digits, in turn, trial by trial."""
    trials = str(size.trials)
    # The last trial of a sweep has no next one to end it.
    sweep = [f"hydra.sweeper.n_trials={size.trials + 1}", *_OVERRIDES]
    with tempfile.TemporaryDirectory() as folder:
        records = run_interleaved(
            {
                "greensweep": [str(_FOLDER / "timed_sweep.py"), "-m", *sweep],
                "handwritten": [
                    str(_FOLDER / "handwritten_sweep.py"),
                    *("--trials", trials, "--epochs", str(_EPOCHS)),
                ],
            },
            Path(folder),
            rounds=size.trials,
            environment=_ENVIRONMENT,
        )
    ours, theirs = records["greensweep"][1:], records["handwritten"][1:]
    handwritten = [record["trial"] - record["work"] for record in theirs]
    hydra = [record["launch"] - record["task"] for record in ours]
    overhead = [
        record["trial"] - record["work"] - composing
        for record, composing in zip(ours, hydra, strict=True)
    ]
    subject = "a trial, from the second on"
    return [
        Figure(
            "overhead",
            subject,
            "around training: greensweep / handwritten, seconds",
            **summarised(ratios(overhead, handwritten)),
            at_most=_GOAL,
            details={
                "greensweep_seconds": overhead,
                "handwritten_seconds": handwritten,
                "handwritten_parts_seconds": _parts(theirs),
            },
        ),
        Figure(
            "overhead",
            subject,
            "Hydra's composing and launching / handwritten, seconds",
            **summarised(ratios(hydra, handwritten)),
            details={"hydra_seconds": hydra},
        ),
        *_part_figures(ours, overhead, handwritten, subject),
    ]


def _part_figures(
    ours: list[Record], overhead: list[float], handwritten: list[float], subject: str
) -> list[Figure]:
    """Say where Greensweep's overhead goes."""
    parts = {name: [record.get(_PART + name, 0.0) for record in ours] for name in _parts(ours)}
    parts["Optuna, by Hydra's sweeper"] = [record["trial"] - record["launch"] for record in ours]
    parts["the rest"] = [
        whole - sum(known) for whole, *known in zip(overhead, *parts.values(), strict=True)
    ]
    return [
        Figure(
            "overhead",
            subject,
            f"of it {name} / all of handwritten, seconds",
            **summarised(ratios(seconds, handwritten)),
            details={"greensweep_seconds": seconds},
        )
        for name, seconds in parts.items()
    ]


def _parts(records: list[Record]) -> dict[str, float]:
    """Return the median seconds of each part of the trials, in the order they first occur."""
    names = dict.fromkeys(key for record in records for key in record if key.startswith(_PART))
    return {
        name.removeprefix(_PART): median(record.get(name, 0.0) for record in records)
        for name in names
    }
