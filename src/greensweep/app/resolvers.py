"""The names that conf/ asks for: the schemas, and resolvers such as `${search_params:}`."""

from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from greensweep.config.folders import storage_url
from greensweep.config.grammar import escape_interpolations
from greensweep.config.hydra_versions import register_resolver
from greensweep.config.metrics import Metric, choose_metrics
from greensweep.config.omegaconf_internals import mask_yaml
from greensweep.config.register import register_schemas
from greensweep.config.searched import present_value
from greensweep.errors import ConfigError
from greensweep.resources import usable_cores
from greensweep.study.params import read_param
from greensweep.study.searched_values import declared_in
from greensweep.study.space import search_params
from greensweep.sweeper.command import declared_space, fixed_keys, resumes, swept_keys


def register() -> None:
    """Register the schemas and resolvers, which composing a configuration needs."""
    register_schemas()
    mask_yaml()
    register_resolver("search_params", _search_params)
    register_resolver("launcher_jobs", _launcher_jobs)
    register_resolver("sweep_meter", _sweep_meter)
    register_resolver("sweep_storage", _sweep_storage)
    register_resolver("metric_direction", _metric_direction)
    register_resolver("objective_name", _objective_name)
    register_resolver("params", read_param)


def _search_params(_: str = "", *, _root_: DictConfig) -> Any:
    if "space" not in _root_:  # OmegaConf 2.3 asks a file for it before it is part of a program
        return {}
    sampler = OmegaConf.select(_root_, "hydra.sweeper.sampler._target_", default="")
    params = search_params(
        declared_space(_root_),
        sampler_target=sampler,
        fixed_keys=fixed_keys(_root_.hydra),
        swept_keys=swept_keys(_root_.hydra),
        present=partial(present_value, _root_),
        conditional=resumes(_root_.hydra),
        where=partial(declared_in, _root_.hydra),
    )
    return OmegaConf.create(escape_interpolations(params))  # composed once more, then resolved


def _metric_direction(_: str = "", *, _root_: DictConfig) -> str:
    """Return in which direction the metric of `objective.metric` is better."""
    metric = _objective_metric(_root_)
    return metric.direction if metric else "maximize"


def _objective_name(_: str = "", *, _root_: DictConfig) -> str:
    """Return what a study is for, in its name: accuracy, rmse, pareto, pareto-rmse."""
    metric, name = _objective_metric(_root_), str(_root_.objective.name)
    if metric is None or metric.name == "accuracy":
        return name
    return metric.name if name == "accuracy" else f"{name}-{metric.name}"


def _objective_metric(config: DictConfig) -> Metric | None:
    asked: Any = OmegaConf.select(config, "metrics")
    task: Any = OmegaConf.get_type(config, "task")
    try:
        chosen = choose_metrics(
            list(asked) if isinstance(asked, ListConfig) else asked,
            task.default_metrics,
            OmegaConf.select(config, "objective.metric"),
        )
    except ConfigError:  # which the check of the whole configuration says
        return None
    return chosen[1]


def _launcher_jobs(_: str = "", *, _root_: DictConfig) -> int:
    jobs = OmegaConf.select(_root_, "hydra.launcher.n_jobs", default=1) or 1
    # As joblib means it: -1 is all cores, -2 all but one.
    return max(usable_cores() + 1 + jobs, 1) if jobs < 0 else int(jobs)


def _sweep_storage(_: str = "", *, _root_: DictConfig) -> str:
    return storage_url(None, Path(_root_.hydra.sweep.dir))


def _sweep_meter(_: str = "", *, _root_: DictConfig) -> str:
    # Measured joules of a search beside replayed ones of its trials would be no total of anything.
    return "search" if _root_.replay is None else "nothing"
