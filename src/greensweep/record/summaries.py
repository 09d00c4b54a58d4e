"""The parts of a run's result, as `result.json` holds them. Unknown is None, never 0."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import get_annotations
from typing import Any, Literal, TypeVar, get_args

from greensweep.energy import Quality
from greensweep.intervals import Interval
from greensweep.record.ending import Status

Split = Literal["validation", "test"]
T = TypeVar("T")


def summary_of(kind: type[T], whole: object) -> T:
    """Return those figures of a reading or a run that a summary has fields for."""
    return kind(**{name: getattr(whole, name) for name in get_annotations(kind)})


@dataclass(frozen=True)
class ComponentSummary:
    """The training energy of the cpu, the gpu or the ram.

    Attributes:
        joules: gross.
        net_joules: less the idle machine's; None without a baseline.
        source: what gave the figure; several are joined by `+`.
        uncertainty_joules: how far `joules` may be off.
    """

    joules: float | None = None
    net_joules: float | None = None
    source: str = "unknown"
    quality: Quality = "unmeasured"
    uncertainty_joules: float | None = None


@dataclass(frozen=True)
class PhaseSummary:
    """The energy of a phase, of all components."""

    joules: float | None = None
    net_joules: float | None = None
    seconds: float = 0.0
    quality: Quality = "unmeasured"


@dataclass(frozen=True)
class Inference:
    """What predicting takes, per 1000 samples of the validation split.

    Attributes:
        images: samples seen in the window.
    """

    joules_per_1000: float | None = None
    uncertainty_joules_per_1000: float | None = None
    seconds_per_1000: float | None = None
    images: int | None = None
    batch_size: int | None = None
    quality: Quality = "unmeasured"


@dataclass(frozen=True)
class LayerEnergySummary:
    """Training energy shared out by layer type, and by what belongs to no layer.

    Attributes:
        key: what the energy is attributed by: time or kernel_time.
        joules: by type; they add up to the training energy. None where nothing was metered.
        shares: of a step's time, 0 to 1.
        steps: sampled.
        step_seconds, plain_step_seconds: of a step while it is watched, and of one that is not.
        cost_joules, cost_seconds: of the sampling.
    """

    quality: Quality = "attributed"
    key: str | None = None
    joules: Mapping[str, float] | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    steps: int | None = None
    step_seconds: float | None = None
    plain_step_seconds: float | None = None
    cost_joules: float | None = None
    cost_seconds: float | None = None


@dataclass(frozen=True)
class HistoryPoint:
    """A run's figures after an epoch.

    Attributes:
        epoch: from 1.
        train_loss: mean over the epoch.
        split: the one that selects.
        metrics: on that split, by name; `loss` and `accuracy` among them where there are.
        seconds: of training in this epoch.
        energy_joules: likewise.
        energy_epochs: how many epochs together have this mean energy, where the counters are too
            slow to distinguish them.
        others: what a loop of one's own reported besides, by name: train_accuracy, say.
    """

    epoch: int
    train_loss: float | None = None
    split: Split = "validation"
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    energy_joules: float | None = None
    energy_epochs: float | None = None
    others: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as `result.json` holds it, with the split in the names of its metrics."""
        alone = self.energy_epochs is None
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            **{f"{self.split}_{name}": value for name, value in self.metrics.items()},
            **self.others,
            "seconds": self.seconds,
            "energy_joules": self.energy_joules,
            **({} if alone else {"energy_epochs": self.energy_epochs}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "HistoryPoint":
        """Read what `to_json` returned, in this version or an earlier one.

        Raises:
            TypeError: it is none.
        """
        own = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        others = {name: value for name, value in values.items() if name not in own}
        for split in get_args(Split):
            prefix = f"{split}_"
            named = [name for name in others if name.startswith(prefix)]
            if named:
                own |= {"split": split}
                own["metrics"] = {name.removeprefix(prefix): others.pop(name) for name in named}
                break
        return cls(**{**own, "others": others})


@dataclass(frozen=True)
class RepeatRun:
    """One of several trainings of a configuration."""

    seed: int = 0
    status: Status = "failed"
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    energy_joules: float | None = None
    mlflow_run_id: str | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class Spread:
    """How a figure differs over repeats.

    Attributes:
        std: standard deviation of the sample.
        low, high: 95 % confidence interval of the mean, within what the figure can be; None of two
            repeats, which say next to nothing about it.
    """

    std: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> Interval | None:
        """The 95 % confidence interval of the mean."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Replayed:
    """Where the figures of a run are from that a recorded table answered.

    Attributes:
        line: of the nearest recorded configuration in the table, from 1.
        distance: to it; the recorded range of an option, or two different choices, are 1 apart.
        outside: the configuration lies outside of the recorded ones, and `fault` says why.
    """

    table: str | None = None
    method: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None
    distance: float | None = None
    outside: bool = False
    fault: str | None = None
