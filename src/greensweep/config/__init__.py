"""Structured configs: what can be set, and the check at the door."""

from greensweep.config.schema import EvaluateConfig, PrepareConfig, TrainConfig
from greensweep.config.schema_analysis import AnalyseConfig, ReportConfig
from greensweep.config.store import (
    load_run_config,
    parse,
    parse_run,
    raise_faults,
    read_plain_config,
    register_schemas,
    save_run_config,
    without_hydra,
)

__all__ = [
    "AnalyseConfig",
    "EvaluateConfig",
    "PrepareConfig",
    "ReportConfig",
    "TrainConfig",
    "load_run_config",
    "parse",
    "parse_run",
    "raise_faults",
    "read_plain_config",
    "register_schemas",
    "save_run_config",
    "without_hydra",
]
