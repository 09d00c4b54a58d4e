"""Every option, its type, its range and its description.

These classes are both Hydra's schemas and the plain objects that the other rooms receive.
They are not frozen because OmegaConf makes a frozen structured config read-only, and Hydra
could not override it; nothing assigns to them after `parse`.

The base classes leave `name` open, since OmegaConf keeps the type that a base gives a field;
each option of a group allows its own name only, so that `model.name=resnet18` without
`model=timm` is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.metrics import Metric, choose_metrics
from greensweep.config.options import option
from greensweep.config.schema_dataset import DatasetConfig
from greensweep.config.schema_energy import EnergyConfig
from greensweep.config.schema_model import ModelConfig
from greensweep.config.schema_replay import ReplayTableConfig
from greensweep.config.schema_task import TaskConfig
from greensweep.config.schema_tracking import TrackingConfig

# What NumPy and scikit-learn take as a seed.
LARGEST_SEED = 2**32 - 1
_DEVICE = (
    "auto, cpu, cuda, or one of several GPUs as in cuda:1",
    re.compile(r"auto|cpu|cuda(:\d+)?").fullmatch,
)

# --- optimizer and schedule ---------------------------------------------------------------------


@dataclass
class OptimizerConfig(Group):
    name: Any = option(MISSING, doc="name of the optimizer")
    learning_rate: float = option(1e-3, doc="(peak) learning rate", above=0)
    weight_decay: float = option(0.0, doc="weight decay", at_least=0)


@dataclass
class AdamConfig(OptimizerConfig, choice="adam"):
    """Adam and AdamW."""

    name: Literal["adam", "adamw"] = option(MISSING, doc="name of the optimizer")
    beta1: float = option(0.9, doc="decay of the first moment", at_least=0, below=1)
    beta2: float = option(0.999, doc="decay of the second moment", at_least=0, below=1)
    epsilon: float = option(1e-8, doc="term added to the denominator", above=0)
    beta2_applied: bool = option(
        True, doc="give beta2 to the optimizer; false leaves its own, 0.999, whatever beta2 says"
    )


@dataclass
class SgdConfig(OptimizerConfig, choice="sgd"):
    name: Literal["sgd"] = "sgd"
    learning_rate: float = option(0.1, doc="(peak) learning rate", above=0)
    momentum: float = option(0.9, doc="momentum", at_least=0, below=1)
    nesterov: bool = option(False, doc="Nesterov momentum")

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where two options contradict each other."""
        if self.nesterov and self.momentum == 0:
            yield f"{prefix}nesterov needs momentum, got 0: set {prefix}momentum=0.9"


@dataclass
class CustomOptimizerConfig(OptimizerConfig, choice="custom"):
    name: Literal["custom"] = "custom"
    target: str = option(
        MISSING, doc="import path of an optimizer, of PyTorch or your own: torch.optim.RMSprop"
    )
    kwargs: dict[str, Any] = option(
        dict, doc="its arguments beside the learning rate and, where not 0, the weight decay"
    )


@dataclass
class SchedulerConfig(Group):
    name: Any = option(MISSING, doc="name of the schedule")


@dataclass
class ConstantConfig(SchedulerConfig, choice="constant"):
    name: Literal["constant"] = "constant"


@dataclass
class CosineConfig(SchedulerConfig, choice="cosine"):
    name: Literal["cosine"] = "cosine"
    final_fraction: float = option(
        0.0, doc="last learning rate as a share of the first", at_least=0, at_most=1
    )


@dataclass
class OneCycleConfig(SchedulerConfig, choice="one_cycle"):
    name: Literal["one_cycle"] = "one_cycle"
    warmup_fraction: float = option(0.3, doc="share of the steps that rise", above=0, below=1)
    initial_division: float = option(25.0, doc="peak over first learning rate", at_least=1)
    final_division: float = option(1e4, doc="first over last learning rate", at_least=1)


@dataclass
class CustomSchedulerConfig(SchedulerConfig, choice="custom"):
    name: Literal["custom"] = "custom"
    target: str = option(
        MISSING,
        doc="import path of a schedule, of PyTorch or your own: torch.optim.lr_scheduler.StepLR",
    )
    kwargs: dict[str, Any] = option(dict, doc="its arguments beside the optimizer")
    interval: Literal["epoch", "step"] = option("epoch", doc="after what the rate changes")


# --- training -----------------------------------------------------------------------------------


@dataclass
class TrainingConfig:
    epochs: int = option(30, doc="passes over the training split", at_least=1, largest=10**6)
    batch_size: int = option(
        64, doc="samples per step; of several devices each takes its part", at_least=1
    )
    reshuffle: bool = option(
        True, doc="a new order of samples in each epoch; false keeps the first epoch's batches"
    )
    evaluation_batch_size: int = option(128, doc="samples per step when evaluating", at_least=1)
    evaluation_mode: bool = option(
        True,
        doc="evaluate in evaluation mode; false evaluates as in training, where batch norm takes "
        "the statistics of each batch",
    )
    keep: Literal["best", "last"] = option(
        "best", doc="epoch whose weights and metrics are the run's: the best, or the last"
    )
    label_smoothing: float = option(0.0, doc="label smoothing", at_least=0, below=1)
    patience: int | None = option(
        None, doc="stop after so many epochs without a better one", at_least=1, example=5
    )
    accumulate: int = option(
        1, doc="batches whose gradients are summed for one step of the optimizer", at_least=1
    )
    clip_norm: float | None = option(
        None, doc="largest norm of all gradients; larger ones are scaled down", above=0, example=1
    )
    ema: float | None = option(
        None,
        doc="evaluate and keep an exponential moving average of the weights over steps, with this "
        "decay",
        above=0,
        below=1,
        example=0.999,
    )
    mixup: float = option(
        0.0,
        doc="mix each sample with another of its batch, by a share drawn from Beta(mixup, mixup); "
        "0 mixes none",
        at_least=0,
        example=0.2,
    )
    flip: bool = option(False, doc="mirror training images at random")
    crop_padding: int = option(
        0, doc="pad by so many pixels, then crop at random", at_least=0, largest=1024
    )
    cutout_size: int = option(0, doc="blank a random square of this side, pixels", at_least=0)
    from_checkpoint: str | None = option(
        None, doc="begin from the weights in this file, as far as they fit the network", path=True
    )
    resume: bool = option(
        False,
        doc="keep the state after each epoch, and go on from it where this folder has one of a "
        "training that did not finish",
    )
    freeze: Literal["none", "backbone"] = option(
        "none", doc="what keeps its weights: nothing, or all but the network's last layer"
    )
    device: str = option(
        "auto", doc="where to train: auto, cpu, cuda, or one of several, cuda:1", must=_DEVICE
    )
    devices: int = option(
        1,
        doc="GPUs, or on the CPU processes, that train one run together by DistributedDataParallel",
        at_least=1,
        largest=1024,
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", doc="arithmetic of the forward pass; auto is float32 on CPU and mixed on CUDA"
    )
    memory_format: Literal["contiguous", "channels_last"] = option(
        "contiguous", doc="layout of images and weights"
    )
    capture: Literal["auto", "none", "graph", "compile"] = option(
        "auto",
        doc="take each step as a CUDA graph, or compiled by torch.compile; auto takes a graph on a "
        "GPU where a trial shows that it pays",
    )
    deterministic: bool = option(
        False,
        doc="the same seed gives the same weights on a GPU, bit by bit, by algorithms that may be "
        "slower",
    )
    threads: int | None = option(
        None,
        doc="CPU threads, of each device's process; null takes one for small steps, else "
        "PyTorch's default",
        at_least=1,
        largest=1024,
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where two options contradict each other."""
        if self.devices > 1 and ":" in self.device:
            yield (
                f"{prefix}device={self.device} names one GPU, and {prefix}devices={self.devices} "
                f"takes the first ones: set {prefix}device=cuda"
            )


@dataclass
class InferenceConfig:
    """How the energy of inference is measured after training, on the validation split."""

    batch_size: int = option(128, doc="samples per step", at_least=1)
    seconds: float | None = option(
        None,
        doc="repeat passes for at least so long; null: for 20 periods of the slowest counter; 0 "
        "does not measure",
        at_least=0,
        largest=3600,
        example=1,
    )


# --- objective ------------------------------------------------------------------------------------


@dataclass
class ObjectiveConfig(Group):
    name: Any = option(MISSING, doc="name of the objective")
    direction: Any = option(MISSING, doc="minimize or maximize, one per value")
    metric: str | None = option(
        None,
        doc="metric by which epochs are kept and trials compared: a name, or an import path; null: "
        "the task's first, accuracy for classification",
    )


@dataclass
class PlainObjectiveConfig(ObjectiveConfig, choice="plain"):
    name: Literal["accuracy", "pareto"] = option(MISSING, doc="name of the objective")


@dataclass
class PricedConfig(ObjectiveConfig, choice="priced"):
    name: Literal["priced"] = "priced"
    price_per_kilojoule: float = option(
        0.01, doc="accuracy (0 to 1) that one kilojoule has to earn", at_least=0
    )


@dataclass
class DecisionConfig:
    """Which trial of a sweep, or run of a table, its answer says to take."""

    points_per_halving: float = option(
        1.0,
        doc="points of the metric (hundredths of its range; of one without ends, per cent of the "
        "best value) that half the energy may cost",
        at_least=0,
    )


@dataclass
class AutoReportConfig:
    auto: bool = option(False, doc="write a report when a sweep ends, and log it to MLflow")


@dataclass
class TrainConfig:
    dataset: DatasetConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    scheduler: SchedulerConfig = MISSING
    task: TaskConfig = MISSING
    metrics: Any = option(
        None,
        doc="metrics that are computed on the validation split in each epoch, and once on the test "
        "split: names, and functions of your own by import path; null: the task's own",
    )
    training: TrainingConfig = option(TrainingConfig, doc="the training loop")
    replay: ReplayTableConfig | None = option(
        None, doc="answer from a table instead of training; training=replay sets it"
    )
    inference: InferenceConfig = option(InferenceConfig, doc="the energy of inference")
    energy: EnergyConfig = MISSING
    tracking: TrackingConfig = MISSING
    objective: ObjectiveConfig = MISSING
    space: dict[str, Any] = option(dict, doc="search space: option to range")
    seed: int = option(
        0, doc="seed of splits, weights, order and sampler", at_least=0, at_most=LARGEST_SEED
    )
    select_on: Literal["validation", "test"] = option(
        "validation",
        doc="split by whose metric epochs and trials are chosen; test is optimistic, and results "
        "say so",
    )
    variant: str | None = option(None, doc="name of the choices in conf/variant, for the record")
    repeats: int = option(
        1,
        doc="train so often, with seeds that follow each other, and take means",
        at_least=1,
        largest=10_000,
    )
    layer_energy: bool = option(
        False, doc="share the training energy out by layer type, from sampled steps"
    )
    decision: DecisionConfig = option(DecisionConfig, doc="the choice between a sweep's trials")
    report: AutoReportConfig = option(AutoReportConfig, doc="the page about a sweep")
    warmup: float = option(
        1.0,
        doc="seconds of a reference job before a sweep and after it, to warm the machine and "
        "measure its drift; 0 runs none",
        at_least=0,
        largest=3600,
    )

    def chosen_metrics(self) -> tuple[list[Metric], Metric]:
        """Return the metrics of a run, and the one of them that it is selected by.

        Raises:
            ConfigError: as of `choose_metrics`.
        """
        return choose_metrics(self.metrics, self.task.default_metrics, self.objective.metric)


@dataclass
class EvaluateConfig:
    checkpoint: str = option(
        MISSING, doc="a kept model.pt, with its config.yaml beside it", path=True
    )
    device: str = option(
        "auto", doc="where to evaluate: auto, cpu, cuda or cuda:1, say", must=_DEVICE
    )
    data: str | None = option(
        None,
        doc="other samples than the run's test split: a table, a folder of images by class, or "
        "a .npz of inputs and labels",
        path=True,
    )
    batch_size: int = option(512, doc="samples per step", at_least=1)
    energy: EnergyConfig = MISSING


@dataclass
class PredictConfig:
    checkpoint: str = option(
        MISSING, doc="a kept model.pt, with its config.yaml beside it", path=True
    )
    data: str = option(MISSING, doc="a table, a folder of images, or a .npy of inputs", path=True)
    output: str = option("outputs/predictions.csv", doc="the CSV file to write", path=True)
    device: str = option(
        "auto", doc="where to predict: auto, cpu, cuda or cuda:1, say", must=_DEVICE
    )
    batch_size: int = option(512, doc="samples per step", at_least=1)


@dataclass
class PrepareConfig:
    dataset: DatasetConfig = MISSING
    targets: Literal["classes", "labels", "values"] = option(
        "classes", doc="what the labels are read as: classes, any of several labels, or values"
    )
    seed: int = option(0, doc="seed of the splits", at_least=0, at_most=LARGEST_SEED)
    output: str = option("data/prepared", doc="folder for the split manifest", path=True)
