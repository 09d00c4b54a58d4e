"""What the options `training.precision` and `training.memory_format` do on this CPU."""

from functools import partial
from pathlib import Path

from figures import Figure, interleave, ratios, summarised
from subjects import SUBJECTS, Subject, folder_splits, greensweep_epochs, training_part
from throughput import Size

from greensweep.data import Splits

FULL = Size(rounds=5, loader_rounds=0, images=1024)
QUICK = Size(rounds=1, loader_rounds=0, images=32, subjects=SUBJECTS[:1])


def measure(images: Path, size: Size) -> list[Figure]:
    """Compare Greensweep's epochs over `images` with and without each option.

    Raises:
        Skipped: the images are not here.
    """
    splits = folder_splits(images)
    return [figure for subject in size.subjects for figure in _compare(subject, splits, size)]


def _compare(subject: Subject, splits: Splits, size: Size) -> list[Figure]:
    part = training_part(splits, subject.share, size.images)
    epochs = partial(greensweep_epochs, subject, splits, part, size.rounds + 1)
    seconds = interleave(
        {
            "plain": partial(next, epochs()),
            "bfloat16": partial(next, epochs(precision="bfloat16")),
            "channels_last": partial(next, epochs(memory_format="channels_last")),
        },
        size.rounds,
    )
    return [
        Figure(
            "options",
            subject.name,
            f"{option} / {usual}, images per second",
            **summarised(ratios(seconds["plain"], seconds[option])),
            details={
                "images_per_epoch": len(part),
                "plain_seconds": seconds["plain"],
                "option_seconds": seconds[option],
            },
        )
        for option, usual in (("bfloat16", "float32"), ("channels_last", "contiguous"))
    ]
