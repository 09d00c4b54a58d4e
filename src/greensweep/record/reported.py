"""Metrics as a loop of one's own reports them: by name, with the split in it where it has one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite, nan
from typing import Any

from greensweep.config.metrics import Direction, metric_called
from greensweep.energy.notices import warn_once
from greensweep.errors import StudyError, listed

_SPLITS = {
    **dict.fromkeys(("validation", "valid", "val", "eval"), "validation"),
    **{name: name for name in ("train", "test")},
}
_MINIMIZED = ("loss", "error", "perplexity", "loglik", "deviance")
# What libraries log beside the metrics that we compute, by the last word of its name.
_USUAL: dict[str, Direction] = {
    **dict.fromkeys(
        (
            "err", "mse", "rmsle", "mape", "nll", "ppl", "wer", "cer", "fid", "l1", "l2", "huber",
            "quantile", "poisson", "gamma", "tweedie", "entropy",
        ),
        "minimize",
    ),
    **dict.fromkeys(
        (
            "acc", "f1", "auc", "aucpr", "map", "ndcg", "precision", "recall", "iou", "dice", "mcc",
            "kappa", "bleu", "rouge1", "rouge2", "rougel", "psnr", "ssim",
        ),
        "maximize",
    ),
}  # fmt: skip

# What a program returns to its search, where it reports no metric that says it.
OBJECTIVE = "objective"


def split_of(name: str) -> tuple[str, str]:
    """Part a reported name into its split and its metric; what names no split is of validation.

    >>> split_of("val_loss"), split_of("macro_f1"), split_of("test/loss")
    (('validation', 'loss'), ('validation', 'macro_f1'), ('test', 'loss'))
    """
    split, *rest = re.split("[_/]", name, maxsplit=1)
    return (_SPLITS[split], rest[0]) if split in _SPLITS and any(rest) else ("validation", name)


def by_split(figures: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part reported figures into those of validation, by metric, and the others, by both.

    >>> by_split({"val/acc": 0.5, "train/loss": 2.0})
    ({'acc': 0.5}, {'train_loss': 2.0})
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in figures.items():
        split, metric = split_of(name)
        if split == "validation":
            own[metric] = value
        else:
            others[f"{split}_{metric}"] = value
    return own, others


def known_direction(name: str) -> Direction | None:
    """Return in which direction a metric is better, by its name; None where that does not tell.

    >>> known_direction("hinge_loss"), known_direction("top5_acc"), known_direction("margin")
    ('minimize', 'maximize', None)
    """
    name = name.partition("@")[0]  # at a threshold, or of the first so many
    if name.endswith(_MINIMIZED):
        return "minimize"
    known = metric_called(name)
    return known.direction if known else _USUAL.get(re.split("[_/]", name)[-1].lower())


def direction_doubt(option: str, name: str, asked: object) -> str | None:
    """Say that an option asks for a metric against what its name tells; None where it does not.

    No more than a warning is due: a name is no definition, and some maximise what they call a loss.
    """
    known = known_direction(name)
    if known is None or asked not in ("maximize", "minimize") or asked == known:
        return None
    better, sought = ("lower", "highest") if known == "minimize" else ("higher", "lowest")
    return (
        f"{option}={asked} seeks the {sought} {name}, whose name tells that it is better the "
        f"{better} it is: leave {option} out if that was not meant."
    )


def choose_metric(names: Iterable[str], direction: Direction | None) -> str | None:
    """Return the metric that trials are compared by: accuracy where reported, else the first.

    Args:
        direction: of the search; a metric that is known to be better the other way is none of its.
            None prefers metrics of which it is known.
    """
    fitting = [
        name for name in names if direction is None or known_direction(name) in (None, direction)
    ]
    if direction is None:
        fitting.sort(key=lambda name: known_direction(name) is None)
    return "accuracy" if "accuracy" in fitting else next(iter(fitting), None)


def told_instead(name: str, told: Iterable[str]) -> str:
    """Return what was told in the place of a metric, with those that were probably meant by it.

    >>> told_instead("f1", ["loss", "macro_f1"]), told_instead("auroc", ["loss"])
    ('it told loss, macro_f1; did you mean macro_f1?', 'it told loss')
    """
    names = [*told]
    words = {*re.split("[_/]", name)}
    close = [each for each in names if words <= {*re.split("[_/]", each)}]
    close = close or get_close_matches(name, names, n=2, cutoff=0.5)
    meant = f"; did you mean {' or '.join(close[:2])}?" if close else ""
    return f"it told {listed(names)}{meant}"


def as_numbers(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return reported figures as numbers; None of one that is undefined, or is no number."""
    return {name: as_number(name, value) for name, value in figures.items()}


def as_number(name: str, value: Any) -> float | None:
    """Return a reported figure as a number, also one as text; None of what is undefined or none."""
    if value is None:
        return None
    try:
        number = float(value.detach() if hasattr(value, "detach") else value)  # of PyTorch
    except Exception:  # of whatever class it is
        kind = type(value).__name__
        warn_once(f"{name} is no number but of type {kind}, and left out of the record.")
        return None
    return number if isfinite(number) else None


@dataclass
class EpochCount:
    """Counts the epochs of a loop from 1: one that counts from 0 has metrics at 0.

    A loop that begins anew, as in a second training, is counted on.

    Attributes:
        last: the epoch that was reported last; 0 before the first.
        before: epochs of earlier trainings.
    """

    last: int = 0
    before: int = 0
    _from_zero: bool = False
    _names: frozenset[str] = frozenset()  # of the metrics of the last one

    def take(self, epoch: Any, names: Iterable[str]) -> int:
        """Return the number of the epoch that metrics of those names are of.

        That is the last one again where it is told again and has none of these metrics yet.

        Args:
            epoch: as the loop counts; None is one more than last. 0 without metrics stays 0.

        Raises:
            StudyError: it is no whole number from 0.
        """
        named = frozenset(names)
        number = self.last + 1
        if epoch is not None:
            told = _whole("epoch", epoch)
            if told == 0 and not named:
                return 0
            self._from_zero |= told == self.last == 0
            number = told + self.before + self._from_zero
        if number < self.last or (number == self.last and named & self._names):
            latest = self.last - self.before - self._from_zero
            warn_once(
                f"Epoch {epoch} was reported after epoch {latest}: it is counted as epoch "
                f"{self.last + 1}."
            )
            self.before += self.last + 1 - number
            number = self.last + 1
        self._names = named | (self._names if number == self.last else frozenset())
        self.last = number
        return number

    def planned(self, epochs: Any) -> int | None:
        """Return how many epochs there will be, earlier trainings' included.

        Raises:
            StudyError: it is no whole number from 0.
        """
        return None if not epochs else _whole("epochs", epochs) + self.before


def _whole(name: str, given: Any) -> int:
    try:
        number = float(given)
    except Exception:  # as above
        number = nan
    if not number.is_integer() or number < 0:
        raise StudyError(f"{name} counts what is done: it must be a whole number, got {given!r}")
    return int(number)
