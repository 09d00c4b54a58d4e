"""Structured configs: what can be set, and the check at the door."""

from greensweep.config.chosen_metrics import metrics_of
from greensweep.config.folders import (
    command_folder,
    sqlite_file,
    sqlite_url,
    storage_url,
    use_sweep_folder,
)
from greensweep.config.metrics import Metric
from greensweep.config.schema import EvaluateConfig, PredictConfig, PrepareConfig, TrainConfig
from greensweep.config.store import (
    load_run_config,
    parse,
    parse_run,
    raise_faults,
    read_overrides,
    read_plain_config,
    save_run_config,
    without_hydra,
)
from greensweep.config.unknown import is_option, is_option_somewhere, no_option, unknown_options
from greensweep.config.yaml_masking import mask_yaml

__all__ = [
    "EvaluateConfig",
    "Metric",
    "PredictConfig",
    "PrepareConfig",
    "TrainConfig",
    "command_folder",
    "is_option",
    "is_option_somewhere",
    "load_run_config",
    "mask_yaml",
    "metrics_of",
    "no_option",
    "parse",
    "parse_run",
    "raise_faults",
    "read_overrides",
    "read_plain_config",
    "save_run_config",
    "sqlite_file",
    "sqlite_url",
    "storage_url",
    "unknown_options",
    "use_sweep_folder",
    "without_hydra",
]
