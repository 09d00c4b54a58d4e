"""Every option, its type, its range and its description.

These classes are both Hydra's schemas and the plain objects that the other rooms receive.
They are not frozen because OmegaConf makes a frozen structured config read-only, and Hydra
could not override it; nothing assigns to them after `parse`.

The base classes leave `name` open, since OmegaConf keeps the type that a base gives a field;
each option of a group allows its own name only, so that `model.name=resnet18` without
`model=timm` is refused.
"""

from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import MISSING

from greensweep.config.options import option
from greensweep.config.schema_dataset import DatasetConfig
from greensweep.config.schema_model import ModelConfig
from greensweep.csv_files import AccuracyUnit, EnergyUnit

# What NumPy and scikit-learn take as a seed.
LARGEST_SEED = 2**32 - 1

# --- optimizer and schedule ---------------------------------------------------------------------


@dataclass
class OptimizerConfig:
    name: Any = option(MISSING, doc="name of the optimizer")
    learning_rate: float = option(1e-3, doc="(peak) learning rate", above=0)
    weight_decay: float = option(0.0, doc="weight decay", at_least=0)


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam and AdamW."""

    name: Literal["adam", "adamw"] = option(MISSING, doc="name of the optimizer")
    beta1: float = option(0.9, doc="decay of the first moment", at_least=0, below=1)
    beta2: float = option(0.999, doc="decay of the second moment", at_least=0, below=1)
    epsilon: float = option(1e-8, doc="term added to the denominator", above=0)
    beta2_applied: bool = option(
        True,
        doc="give beta2 to the optimizer; false leaves its own, 0.999, whatever beta2 says",
    )


@dataclass
class SgdConfig(OptimizerConfig):
    name: Literal["sgd"] = "sgd"
    learning_rate: float = option(0.1, doc="(peak) learning rate", above=0)
    momentum: float = option(0.9, doc="momentum", at_least=0, below=1)
    nesterov: bool = option(False, doc="Nesterov momentum")


@dataclass
class SchedulerConfig:
    name: Any = option(MISSING, doc="name of the schedule")


@dataclass
class ConstantConfig(SchedulerConfig):
    name: Literal["constant"] = "constant"


@dataclass
class CosineConfig(SchedulerConfig):
    name: Literal["cosine"] = "cosine"
    final_fraction: float = option(
        0.0, doc="last learning rate as a share of the first", at_least=0, at_most=1
    )


@dataclass
class OneCycleConfig(SchedulerConfig):
    name: Literal["one_cycle"] = "one_cycle"
    warmup_fraction: float = option(0.3, doc="share of the steps that rise", above=0, below=1)
    initial_division: float = option(25.0, doc="peak over first learning rate", at_least=1)
    final_division: float = option(1e4, doc="first over last learning rate", at_least=1)


# --- training -----------------------------------------------------------------------------------


@dataclass
class TrainingConfig:
    epochs: int = option(15, doc="passes over the training split", at_least=1, largest=10**6)
    batch_size: int = option(64, doc="images per step", at_least=1)
    reshuffle: bool = option(
        True, doc="a new order of images in each epoch; false keeps the first epoch's batches"
    )
    evaluation_batch_size: int = option(128, doc="images per step when evaluating", at_least=1)
    evaluation_mode: bool = option(
        True,
        doc="evaluate in evaluation mode; false evaluates as in training, where batch norm takes "
        "the statistics of each batch",
    )
    keep: Literal["best", "last"] = option(
        "best", doc="epoch whose weights and accuracy are the run's: the most accurate, or the last"
    )
    label_smoothing: float = option(0.0, doc="label smoothing", at_least=0, below=1)
    patience: int | None = option(
        None, doc="stop after so many epochs without a better accuracy", at_least=1, example=5
    )
    flip: bool = option(False, doc="mirror training images at random")
    crop_padding: int = option(
        0, doc="pad by so many pixels, then crop at random", at_least=0, largest=1024
    )
    cutout_size: int = option(0, doc="blank a random square of this side, pixels", at_least=0)
    device: str = option("auto", doc="where to train: auto, cpu, cuda, or one of several, cuda:1")
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
        doc="CPU threads; null takes one for small steps, else PyTorch's default",
        at_least=1,
        largest=1024,
    )


@dataclass
class InferenceConfig:
    """How the energy of inference is measured after training, on the validation split."""

    batch_size: int = option(128, doc="images per step", at_least=1)
    seconds: float | None = option(
        None,
        doc="repeat passes for at least so long; null: for 20 periods of the slowest counter; 0 "
        "does not measure",
        at_least=0,
        largest=3600,
        example=1,
    )


# --- replay -------------------------------------------------------------------------------------


@dataclass
class ReplayColumnsConfig:
    """What the recorded figures are called in the table."""

    accuracy: str = option("accuracy", doc="accuracy on the split of select_on")
    energy: str = option("energy_joules", doc="training energy; up to the epoch in curves")
    seconds: str = option("seconds", doc="training seconds, where the table has them; likewise")
    epoch: str = option("epoch", doc="epoch of the row; a table without it holds no curves")
    energy_unit: EnergyUnit | None = option(
        None, doc="unit of `energy`; null: what its name says (energy_kwh), or joules"
    )
    accuracy_unit: AccuracyUnit | None = option(
        None, doc="share (0 to 1) or percent; null: what its name says (accuracy_pct), or share"
    )


@dataclass
class ReplayTableConfig:
    """`training=replay`: runs are answered from a recorded table."""

    table: str = option(MISSING, doc="CSV file of recorded runs", path=True)
    method: Literal["nearest", "regression"] = option(
        "nearest", doc="answer with the nearest recorded configuration, or with a fitted model"
    )
    options: list[str] | None = option(
        None, doc="options that tell configurations apart; null: those of the space in the table"
    )
    where: dict[str, Any] = option(dict, doc="use only rows in which these columns hold these")
    log: list[str] = option(
        list, doc="options on a log scale, beside those that the space declares so"
    )
    radius: float | None = option(
        None,
        doc="farthest distance to a recorded configuration that is not outside; null takes the "
        "95 % quantile of the distances within the table",
        at_least=0,
        example=0.1,
    )
    outside: Literal["mark", "refuse"] = option(
        "mark", doc="what to do with a run outside of the recorded ones"
    )
    component: Literal["cpu", "gpu", "ram"] = option("cpu", doc="what the energy is of")
    columns: ReplayColumnsConfig = option(ReplayColumnsConfig, doc="columns of the figures")


# --- energy, tracking, objective ----------------------------------------------------------------


@dataclass
class EnergyConfig:
    name: Any = option(MISSING, doc="name of the meter")
    country: str | None = option(
        None, doc="ISO 3166 alpha-3 code of the country whose grid feeds this machine"
    )
    region: str | None = option(
        None, doc="region of the country: a state of USA, CAN or CHN, a zone of SWE, NOR or FIN"
    )
    grams_co2e_per_kwh: float | None = option(
        None, doc="carbon intensity of the grid, instead of a country", at_least=0, example=250
    )


@dataclass
class MachineEnergyConfig(EnergyConfig):
    """What meters of this machine have in common."""

    gpus: Any = option(
        None,
        doc="GPUs to count: a list of nvidia-smi's numbers or UUIDs, or all; null is those that "
        "the run computes on",
    )
    baseline: Literal["auto", "measure", "none"] = option(
        "auto",
        doc="power of the idle machine, for joules that compare whatever runs beside: measure it "
        "once; auto: before a sweep, where no model of the counters tells it",
    )
    baseline_seconds: float = option(10.0, doc="how long to measure it", above=0, largest=3600)
    baseline_hours: float = option(24.0, doc="for how long its record is used again", at_least=0)


@dataclass
class CalibrationConfig:
    """Figures of a wall meter, for a machine whose CPU has no counter."""

    idle_watts: float | None = option(
        None, doc="at the wall, with nothing running", above=0, example=40
    )
    load_watts: float | None = option(
        None, doc="at the wall, with all cores busy", above=0, example=120
    )


@dataclass
class CodeCarbonConfig(MachineEnergyConfig):
    name: Literal["codecarbon"] = "codecarbon"
    tracking_mode: Literal["machine", "process"] = option(
        "machine", doc="charge the whole machine, or estimate this process's share"
    )
    cpu_tdp_watts: float | None = option(
        None, doc="rated power of the CPU, where CodeCarbon does not know it", above=0, example=65
    )
    calibration: CalibrationConfig = option(CalibrationConfig, doc="figures of a wall meter")


@dataclass
class NvmlRaplConfig(MachineEnergyConfig):
    name: Literal["nvml_rapl"] = "nvml_rapl"


@dataclass
class ReplayConfig(EnergyConfig):
    name: Literal["replay"] = "replay"
    path: str = option(MISSING, doc="CSV file of recorded energy", path=True)
    column: str = option("joules", doc="column of energy per lap; of watts with a time column")
    unit: EnergyUnit | None = option(
        None, doc="unit of energy per lap; null: what the column's name says, or joules"
    )
    time_column: str | None = option(
        None, doc="column of seconds; null plays one row per lap instead of a trace over time"
    )
    component: Literal["cpu", "gpu", "ram"] = option("cpu", doc="what the energy is of")


@dataclass
class UnmeteredConfig(EnergyConfig):
    name: Literal["unmetered"] = "unmetered"


@dataclass
class TrackingConfig:
    name: Any = option(MISSING, doc="name of the tracker")


@dataclass
class MlflowConfig(TrackingConfig):
    name: Literal["mlflow"] = "mlflow"
    uri: str = option("sqlite:///mlruns/mlflow.db", doc="MLflow tracking URI")
    artifacts: str = option("mlruns/artifacts", doc="artifact root of a new local experiment")
    experiment: str = option("greensweep", doc="MLflow experiment")


@dataclass
class LocalConfig(TrackingConfig):
    name: Literal["local"] = "local"


@dataclass
class ObjectiveConfig:
    name: Any = option(MISSING, doc="name of the objective")
    direction: Any = option(MISSING, doc="minimize or maximize, one per value")


@dataclass
class PlainObjectiveConfig(ObjectiveConfig):
    name: Literal["accuracy", "pareto"] = option(MISSING, doc="name of the objective")


@dataclass
class PricedConfig(ObjectiveConfig):
    name: Literal["priced"] = "priced"
    price_per_kilojoule: float = option(
        0.01, doc="accuracy (0 to 1) that one kilojoule has to earn", at_least=0
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
        doc="split by whose accuracy epochs and trials are chosen; test is optimistic, and results "
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
    report: AutoReportConfig = option(AutoReportConfig, doc="the page about a sweep")
    warmup: float = option(
        1.0,
        doc="seconds of a reference job before a sweep and after it, to warm the machine and "
        "tell its drift; 0 runs none",
        at_least=0,
        largest=3600,
    )


@dataclass
class EvaluateConfig:
    checkpoint: str = option(
        MISSING, doc="a kept model.pt, with its config.yaml beside it", path=True
    )
    device: str = option("auto", doc="where to evaluate: auto, cpu, cuda or cuda:1, say")
    batch_size: int = option(512, doc="images per step", at_least=1)
    energy: EnergyConfig = MISSING


@dataclass
class PrepareConfig:
    dataset: DatasetConfig = MISSING
    targets: Literal["classes", "labels", "values"] = option(
        "classes", doc="what the labels are read as: classes, any of several labels, or values"
    )
    seed: int = option(0, doc="seed of the splits", at_least=0, at_most=LARGEST_SEED)
    output: str = option("data/prepared", doc="folder for the split manifest", path=True)
