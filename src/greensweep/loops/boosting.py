"""What boosting libraries tell of a round, by the names of a run."""

from collections.abc import Sequence

from greensweep.errors import ConfigError
from greensweep.record.reported import split_of


def checked_every(every: int) -> int:
    """Return how many rounds lie between two reports.

    Raises:
        ConfigError: it is not at least one.
    """
    if every < 1:
        raise ConfigError(f"every counts rounds, so that it must be at least 1, got {every}")
    return every


def figures_of_round(evaluated: Sequence[tuple[str, str, float]]) -> dict[str, float]:
    """Return a round's figures by name, given each with its data set and its metric.

    The last data set that is not named for training or test is the validation split.

    >>> figures_of_round([("training", "auc", 0.9), ("valid_0", "auc", 0.7)])
    {'train_auc': 0.9, 'val_auc': 0.7}
    """
    names = [f"{data.replace('training', 'train')}_{metric}" for data, metric, _ in evaluated]
    is_other = [split_of(name)[0] in ("train", "test") for name in names]
    others = [
        data for (data, *_), is_named in zip(evaluated, is_other, strict=True) if not is_named
    ]
    figures = {}
    for name, is_named, (data, metric, value) in zip(names, is_other, evaluated, strict=True):
        if not is_named:
            name = f"val_{metric}" if data == others[-1] else f"{metric}_{data}"
        figures[name] = value
    return figures
