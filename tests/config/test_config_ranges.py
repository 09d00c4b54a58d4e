"""An option out of its range is refused with the rule, the value and a way out that works."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from greensweep.config import (
    schema,
    schema_dataset,
    schema_energy,
    schema_model,
    schema_replay,
    schema_tracking,
)
from greensweep.config.options import option_faults
from greensweep.config.store import parse
from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"

# The groups in which an option stands, its name, the rule, and values that break it.
RANGES = [
    ("", "dataset.image_size", "at least 1", [0]),
    ("", "dataset.train_limit", "at least 1", [0, -5]),
    ("", "dataset.evaluation_limit", "at least 1", [0]),
    ("", "dataset.validation_fraction", "above 0 and below 1", [0.0, 1.0]),
    ("", "dataset.test_fraction", "above 0 and below 1", [0.0, 1.0]),
    ("", "dataset.memory_share", "above 0 and at most 1", [0.0, 1.5]),
    ("", "model.conv_layers", "at least 0", [-1]),
    ("", "model.linear_layers", "at least 1", [0]),
    ("model=dense_poly", "model.linear_layers", "at least 1", [0]),
    ("model=mlp", "model.dropout", "at least 0 and below 1", [-0.1, 1.0]),
    ("", "optimizer.learning_rate", "above 0", [0.0, -0.5]),
    ("optimizer=sgd", "optimizer.learning_rate", "above 0", [0.0]),
    ("", "optimizer.weight_decay", "at least 0", [-0.5]),
    ("", "optimizer.beta1", "at least 0 and below 1", [-0.5, 1.0]),
    ("optimizer=adamw", "optimizer.beta2", "at least 0 and below 1", [-0.5, 1.0]),
    ("", "optimizer.epsilon", "above 0", [0.0]),
    ("optimizer=sgd", "optimizer.momentum", "at least 0 and below 1", [-0.5, 1.0]),
    ("scheduler=cosine", "scheduler.final_fraction", "at least 0 and at most 1", [-0.5, 1.5]),
    ("scheduler=one_cycle", "scheduler.warmup_fraction", "above 0 and below 1", [0.0, 1.0]),
    ("scheduler=one_cycle", "scheduler.initial_division", "at least 1", [0.5]),
    ("scheduler=one_cycle", "scheduler.final_division", "at least 1", [0.5]),
    ("", "training.epochs", "at least 1", [0, -3]),
    ("", "training.batch_size", "at least 1", [0]),
    ("", "training.evaluation_batch_size", "at least 1", [0]),
    ("", "training.label_smoothing", "at least 0 and below 1", [-0.5, 1.0]),
    ("", "training.patience", "at least 1", [0]),
    ("", "training.accumulate", "at least 1", [0]),
    ("", "training.clip_norm", "above 0", [0.0]),
    ("", "training.ema", "above 0 and below 1", [0.0, 1.0]),
    ("", "training.mixup", "at least 0", [-0.5]),
    ("", "training.crop_padding", "at least 0", [-1]),
    ("", "training.cutout_size", "at least 0", [-1]),
    ("", "training.devices", "at least 1", [0]),
    ("", "training.threads", "at least 1", [0]),
    ("training=replay replay.table=runs.csv", "replay.radius", "at least 0", [-0.5]),
    ("", "energy.grams_co2e_per_kwh", "at least 0", [-1.0]),
    ("", "energy.baseline_seconds", "above 0", [0.0]),
    ("", "energy.baseline_hours", "at least 0", [-1.0]),
    ("", "energy.cpu_tdp_watts", "above 0", [0.0]),
    ("", "inference.batch_size", "at least 1", [0]),
    ("", "inference.seconds", "at least 0", [-0.5]),
    ("", "repeats", "at least 1", [0]),
    ("", "warmup", "at least 0", [-0.5]),
    ("", "decision.points_per_halving", "at least 0", [-0.5]),
    ("objective=priced", "objective.price_per_kilojoule", "at least 0", [-0.5]),
    ("", "seed", "at least 0 and at most 4294967295", [-1, 4294967296]),
]
CASES = [(groups, key, rule, value) for groups, key, rule, values in RANGES for value in values]


@pytest.fixture(scope="module")
def composed() -> Any:
    """Compose once per choice of groups; each caller gets a copy."""
    known: dict[str, DictConfig] = {}

    def config(groups: str) -> DictConfig:
        if groups not in known:
            with initialize_config_dir(str(CONF)):
                known[groups] = compose("train", overrides=groups.split())
        return known[groups].copy()

    return config


def refusal(config: DictConfig) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(config)
    return str(refused.value)


@pytest.mark.parametrize(("groups", "key", "rule", "value"), CASES)
def test_value_out_of_range_is_refused_with_rule_value_and_a_way_out_that_works(
    composed: Any, groups: str, key: str, rule: str, value: float
) -> None:
    config = composed(groups)
    OmegaConf.update(config, key, value)
    said, _, way_out = refusal(config).partition(": set ")
    assert said == f"{key} must be {rule}, got {value:.10g}"
    set_key, _, proposed = way_out.partition("=")
    assert set_key == key
    mended = composed(groups)
    OmegaConf.update(mended, key, None if proposed == "null" else proposed)
    parse(mended)


@pytest.mark.parametrize(
    ("groups", "key", "value"),
    [
        ("", "model.conv_layers", 0),
        ("", "optimizer.beta1", 0.0),
        ("", "optimizer.weight_decay", 0.0),
        ("", "optimizer.learning_rate", 1e-300),
        ("scheduler=cosine", "scheduler.final_fraction", 1.0),
        ("", "dataset.memory_share", 1.0),
        ("", "training.batch_size", 1),
        ("", "training.evaluation_batch_size", 1),
        ("", "seed", 4294967295),
    ],
)
def test_value_at_the_end_of_its_range_is_taken(
    composed: Any, groups: str, key: str, value: float
) -> None:
    config = composed(groups)
    OmegaConf.update(config, key, value)
    assert OmegaConf.select(OmegaConf.structured(parse(config)), key) == value


@pytest.mark.parametrize(("text", "shown"), [("nan", "nan"), ("inf", "inf"), ("-inf", "-inf")])
@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("optimizer.learning_rate", "finite and above 0"),
        ("optimizer.beta2", "finite and at least 0 and below 1"),
        ("dataset.validation_fraction", "finite and above 0 and below 1"),
        ("energy.grams_co2e_per_kwh", "finite and at least 0"),
    ],
)
def test_a_figure_that_is_not_finite_is_refused(
    composed: Any, key: str, rule: str, text: str, shown: str
) -> None:
    config = composed("")
    OmegaConf.update(config, key, float(text))
    assert refusal(config).startswith(f"{key} must be {rule}, got {shown}: set {key}=")


@pytest.mark.parametrize(
    ("key", "largest"),
    [
        ("dataset.image_size", 16384),
        ("dataset.train_limit", 10**9),
        ("model.conv_layers", 32),
        ("model.linear_layers", 1000),
        ("training.epochs", 10**6),
        ("training.batch_size", 10**9),
        ("training.crop_padding", 1024),
        ("training.devices", 1024),
        ("training.threads", 1024),
        ("inference.seconds", 3600),
        ("repeats", 10_000),
        ("warmup", 3600),
    ],
)
def test_more_than_any_machine_can_do_is_refused(composed: Any, key: str, largest: int) -> None:
    config = composed("")
    OmegaConf.update(config, key, largest)
    parse(config)
    for value in (largest + 1, 10**30):
        OmegaConf.update(config, key, value)
        assert refusal(config).startswith(f"{key} must be at most {largest}, got ")


def test_every_whole_number_of_the_schema_has_a_largest() -> None:
    """As text of digits, for a float that holds it would not be finite."""
    for config in (schema.TrainingConfig(), schema.InferenceConfig()):
        for declared in fields(config):
            if isinstance(declared.default, int) and not isinstance(declared.default, bool):
                setattr(config, declared.name, 10**400)
                (fault,) = option_faults(config)
                assert f"{declared.name} must be at most" in fault
                setattr(config, declared.name, declared.default)


def test_every_fault_is_named_in_one_message(composed: Any) -> None:
    config = composed("optimizer=sgd objective=pareto energy=unmetered")
    config.training.epochs = 0
    config.optimizer.momentum = 0.0
    config.optimizer.nesterov = True
    config.optimizer.learning_rate = -1.0
    assert refusal(config).split("; ") == [
        "optimizer.learning_rate must be above 0, got -1: set optimizer.learning_rate=0.1",
        "optimizer.nesterov needs momentum, got 0: set optimizer.momentum=0.9",
        "training.epochs must be at least 1, got 0: set training.epochs=30",
        "objective=pareto needs energy, but energy=unmetered: set energy=codecarbon or "
        "objective=accuracy",
    ]


def bounded(config: type, path: str) -> set[tuple[str, str]]:
    found = set()
    for declared in fields(config):
        default = getattr(config(), declared.name)
        if is_dataclass(default):
            found |= bounded(type(default), f"{declared.name}.")
        found |= {
            (f"{path}{declared.name}", bound) for bound in declared.metadata.get("bounds", ())
        }
    return found


def test_no_bound_of_the_schema_goes_untested() -> None:
    groups = {
        schema_dataset.DatasetConfig: "dataset.",
        schema_model.ModelConfig: "model.",
        schema.OptimizerConfig: "optimizer.",
        schema.SchedulerConfig: "scheduler.",
        schema_energy.EnergyConfig: "energy.",
        schema_tracking.TrackingConfig: "tracking.",
        schema.ObjectiveConfig: "objective.",
        schema_replay.ReplayTableConfig: "replay.",
    }
    declared = bounded(schema.TrainConfig, "")
    for base, prefix in groups.items():
        for kind in (base, *base.__subclasses__()):
            declared |= bounded(kind, prefix)
    declared |= bounded(schema_energy.CodeCarbonConfig, "energy.")
    # One alone contradicts the other's absence: see test_config_consistency.
    declared -= {(f"calibration.{name}_watts", "above") for name in ("idle", "load")}
    words = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}
    tested = {key: rule for _, key, rule, _ in CASES}
    untested = {(key, bound) for key, bound in declared if words[bound] not in tested.get(key, "")}
    assert untested == set()


@pytest.mark.parametrize("value", ["colour", None, 3])
def test_a_value_that_is_none_of_the_choices_is_refused_under_every_omegaconf(value: Any) -> None:
    options = SweeperConfig(sampler={}, pruner=value)
    expected = (
        "hydra.sweeper.pruner must be auto or none or pareto or median or percentile or "
        f"successive_halving or hyperband, got {value}"
    )
    assert [*option_faults(options, "hydra.sweeper.")] == [expected]
    assert not [*option_faults(schema_energy.ReplayConfig(path="a.csv", unit=None))]
    assert [*option_faults(schema_energy.ReplayConfig(path="a.csv", unit="calorie"))]
