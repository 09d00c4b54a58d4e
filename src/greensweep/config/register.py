"""Hand the schemas to Hydra.

What a run is made of does not import this: another analysis changes no run.
"""

from collections.abc import Mapping

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from greensweep.config import schema, schema_analysis, schema_replay
from greensweep.config.groups import groups_of

_GROUPS = groups_of(schema.TrainConfig) | groups_of(schema_analysis.AnalyseConfig)
SCHEMAS: dict[str, Mapping[str, type]] = {
    **{name: group.choices for name, group in _GROUPS.items()},
}

PROGRAMS: dict[str, type] = {
    "train": schema.TrainConfig,
    "evaluate": schema.EvaluateConfig,
    "predict": schema.PredictConfig,
    "prepare": schema.PrepareConfig,
    "analyse": schema_analysis.AnalyseConfig,
    "report": schema_analysis.ReportConfig,
    "statement": schema_analysis.StatementConfig,
}


def register_schemas() -> None:
    """Register each schema under `schema/`, out of the way of the options that users choose."""
    hydra = ConfigStore.instance()
    for group, options in SCHEMAS.items():
        for name, node in options.items():
            hydra.store(group=f"schema/{group}", name=name, node=node)
    hydra.store(group="schema", name="replay", node=_replay_schema())
    for name, script in PROGRAMS.items():
        hydra.store(group="schema", name=name, node=script, package="_global_")


def _replay_schema() -> DictConfig:
    """The options of `training=replay`; its `where` takes new keys, as `replay.where.key=value`."""
    node = OmegaConf.structured(schema_replay.ReplayTableConfig)
    OmegaConf.set_struct(node.where, False)
    assert isinstance(node, DictConfig)
    return node
