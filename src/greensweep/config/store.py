"""Hand the schemas to Hydra, and turn what Hydra composed into plain, checked objects."""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from greensweep.config import schema
from greensweep.config.checks import consistency_faults
from greensweep.config.options import range_faults
from greensweep.errors import ConfigError

_SCHEMAS: dict[str, dict[str, type]] = {
    "dataset": {
        "digits": schema.DigitsConfig,
        "torchvision": schema.TorchvisionDatasetConfig,
        "image_folder": schema.ImageFolderConfig,
        "custom": schema.CustomDatasetConfig,
    },
    "model": {
        "simple_cnn": schema.SimpleCnnConfig,
        "dense": schema.DenseConfig,
        "named": schema.NamedModelConfig,
        "custom": schema.CustomModelConfig,
    },
    "optimizer": {"adam": schema.AdamConfig, "sgd": schema.SgdConfig},
    "scheduler": {
        "constant": schema.ConstantConfig,
        "cosine": schema.CosineConfig,
        "one_cycle": schema.OneCycleConfig,
    },
    "energy": {"codecarbon": schema.CodeCarbonConfig, "unmetered": schema.UnmeteredConfig},
    "tracking": {"mlflow": schema.MlflowConfig, "local": schema.LocalConfig},
    "objective": {"plain": schema.PlainObjectiveConfig, "priced": schema.PricedConfig},
}


def register_schemas() -> None:
    """Register each schema under `schema/`, out of the way of the options that users choose."""
    store = ConfigStore.instance()
    for group, options in _SCHEMAS.items():
        for name, node in options.items():
            store.store(group=f"schema/{group}", name=name, node=node)
    for script in (schema.TrainConfig, schema.EvaluateConfig, schema.PrepareConfig):
        name = script.__name__.removesuffix("Config").lower()
        store.store(group="schema", name=name, node=script, package="_global_")


def parse(composed: DictConfig) -> Any:
    """Return the composed config as its schema's dataclass.

    Raises:
        ConfigError: an option is missing, out of range or at odds with another; all faults in one.
    """
    raise_faults([f"{key} has no value: set {key}=…" for key in OmegaConf.missing_keys(composed)])
    config = OmegaConf.to_object(composed)
    raise_faults([*range_faults(config), *consistency_faults(config)])
    return config


def raise_faults(faults: list[str]) -> None:
    """Raise one ConfigError that names every fault, if there are any."""
    if faults:
        raise ConfigError("; ".join(faults))


def load_run_config(path: Path) -> schema.TrainConfig:
    """Read the resolved config that a run left beside its results.

    Raises:
        ConfigError: the file is missing, or not a run's config.
    """
    if not path.is_file():
        raise ConfigError(
            f"no config at {path}: a checkpoint needs its run's config.yaml beside it"
        )
    try:
        plain = OmegaConf.load(path)
        assert isinstance(plain, DictConfig)
        typed = OmegaConf.structured(schema.TrainConfig)
        for group, options in _SCHEMAS.items():
            node = options[_schema_name(group, plain[group])]
            typed[group] = OmegaConf.merge(OmegaConf.structured(node), plain[group])
        rest = {key: value for key, value in plain.items() if key not in _SCHEMAS}
        config = OmegaConf.to_object(OmegaConf.merge(typed, rest))
    except Exception as error:
        raise ConfigError(f"{path} is not the config of a run: {error}") from error
    assert isinstance(config, schema.TrainConfig)
    return config


def _schema_name(group: str, node: DictConfig) -> str:
    """Find the smallest schema that knows every option of `node`."""
    keys = {name: set(OmegaConf.structured(node)) for name, node in _SCHEMAS[group].items()}
    fitting = [name for name, known in keys.items() if known >= set(node)]
    if not fitting:
        raise ConfigError(f"{group} has unknown options {sorted(map(str, node))}")
    return min(fitting, key=lambda name: len(keys[name]))
