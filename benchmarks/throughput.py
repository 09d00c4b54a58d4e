"""Images per second of Greensweep's training over loops written by hand, epoch by epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from figures import Figure, interleave, ratios, summarised
from loops import PerImageTransforms, RawData, bare_epoch, fused_adam, loader_epoch
from subjects import (
    BATCH_SIZE,
    SUBJECTS,
    Subject,
    folder_splits,
    fresh_model,
    greensweep_epochs,
    raw_data,
    training_part,
)
from torch.utils.data import DataLoader

from greensweep.data import Splits

_GOAL = 0.95


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: pairs of epochs per network, after one that warms up.
        loader_rounds: the same for the slower DataLoader loops.
        images: at most so many images per epoch.
        subjects: the networks.
    """

    rounds: int
    loader_rounds: int
    images: int
    subjects: tuple[Subject, ...] = SUBJECTS


FULL = Size(rounds=9, loader_rounds=5, images=1_000_000)
QUICK = Size(rounds=1, loader_rounds=1, images=64, subjects=SUBJECTS[:1])


def measure(images: Path, size: Size) -> list[Figure]:
    """Compare epochs over `images`, a folder with train/<class>/*.

    Raises:
        Skipped: the images are not here.
    """
    splits = folder_splits(images)
    return [figure for each in size.subjects for figure in _compare(each, splits, size)]


def _compare(subject: Subject, splits: Splits, size: Size) -> list[Figure]:
    part = training_part(splits, subject.share, size.images)
    data = raw_data(splits, part)

    def greensweep(rounds: int) -> Callable[[], float]:
        return partial(next, greensweep_epochs(subject, splits, part, rounds + 1))

    bare = interleave(
        {"greensweep": greensweep(size.rounds), "bare loop": _bare(subject, splits, data)},
        size.rounds,
    )
    loaders = interleave(
        {
            "greensweep": greensweep(size.loader_rounds),
            "DataLoader": _loader(subject, splits, data, workers=0),
            "DataLoader, 2 workers": _loader(subject, splits, data, workers=2),
        },
        size.loader_rounds,
    )
    return [
        _figure(subject, "bare loop", bare, len(part), goal=_GOAL),
        _figure(subject, "DataLoader", loaders, len(part)),
        _figure(subject, "DataLoader, 2 workers", loaders, len(part)),
    ]


def _figure(
    subject: Subject,
    other: str,
    seconds: dict[str, list[float]],
    images: int,
    goal: float | None = None,
) -> Figure:
    return Figure(
        "throughput",
        subject.name,
        f"greensweep / {other}, images per second",
        **summarised(ratios(seconds[other], seconds["greensweep"])),
        at_least=goal,
        details={
            "images_per_epoch": images,
            "greensweep_seconds": seconds["greensweep"],
            "other_seconds": seconds[other],
        },
    )


def _bare(subject: Subject, splits: Splits, data: RawData) -> Callable[[], float]:
    model = fresh_model(subject, splits)
    optimizer = fused_adam(model)

    def epoch() -> float:
        began = perf_counter()
        bare_epoch(model, optimizer, data, BATCH_SIZE)
        return perf_counter() - began

    return epoch


def _loader(subject: Subject, splits: Splits, data: RawData, workers: int) -> Callable[[], float]:
    model = fresh_model(subject, splits)
    optimizer = fused_adam(model)
    loader = DataLoader(
        PerImageTransforms(data),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=workers,
        # Epochs are short here: starting the workers belongs to the one that warms up.
        persistent_workers=workers > 0,
    )

    def epoch() -> float:
        began = perf_counter()
        loader_epoch(model, optimizer, loader)
        return perf_counter() - began

    return epoch
