"""The study of `params.yaml`, before anything is trained: `python -m greensweep study`."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, get_type_hints

from greensweep.app.compose import ComposedSweep, compose_sweep
from greensweep.config import TrainConfig
from greensweep.config.schema import DatasetConfig, DigitsConfig, TorchvisionDatasetConfig
from greensweep.errors import ConfigError
from greensweep.study.params import ARCHITECTURES, study_cells

log = logging.getLogger(__name__)

_SEARCHES, _LAYERS = "experiment=rq1_strategies", "experiment=rq2_layers"

_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}

BASELINE = "random"  # the strategy that the analyses of `dvc.yaml` hold the others against


def check_study(params: Mapping[str, Any]) -> int:
    """Compose every data set, model, space, strategy and layer of a study; return its trials.

    Args:
        params: what `params.yaml` says.

    Raises:
        GreensweepError: one of them does not exist, or a value is out of its range.
    """
    _check_shapes(params)
    for dataset, sweep in _composed(params):
        _check_name(dataset, sweep.config.dataset)
        _check_network(sweep.config)
    return sum(study_cells(params).values())


def check_length(params: Mapping[str, Any]) -> None:
    """Refuse a study that would take days on this machine, unless it is confirmed.

    Only a size that asks (`size=paper`) is forecast: a few training steps of each network on each
    data set tell how long its trials take.

    Args:
        params: as `check_study` accepts them.

    Raises:
        GreensweepError: it would; or a network cannot be built.
    """
    from greensweep.search.text import duration_text
    from greensweep.search.timed_run import seconds_of_run

    _, first = next(_composed(params))
    if first.confirm_hours is None or params["confirmed"]:
        return
    log.warning("Forecasting how long the study takes: a few training steps of each network.")
    shared, networks = _shared(params), params["architectures"]
    searches = len(params["spaces"]) * len(params["searches"]) * sum(params["strategies"].values())
    taken = 0.0
    for dataset, model in product(params["datasets"], params["models"]):
        chosen = [f"dataset={dataset}", f"model={model}"]
        sweep = compose_sweep([_SEARCHES, *shared, *chosen], "greensweep")
        taken += searches * seconds_of_run(sweep.config)
    run = compose_sweep([_LAYERS, *shared, f"dataset={params['datasets'][0]}"], "greensweep").config
    for layers in product(*(networks[name] for name in ARCHITECTURES)):
        model = replace(run.model, **dict(zip(ARCHITECTURES, layers, strict=True)))
        taken += networks["trials"] * seconds_of_run(replace(run, model=model))
    if taken > 3600 * first.confirm_hours:
        raise ConfigError(
            f"this study would take about {duration_text(taken)} on this machine "
            f"({sum(study_cells(params).values())} trials of {params['repeats']} repeats of "
            f"{params['epochs']} epochs), and size={params['size']} has more than "
            f"{first.confirm_hours:g} hours confirmed: set confirmed: true in params.yaml, or make "
            "it smaller, as with size=small"
        )


def _composed(params: Mapping[str, Any]) -> Iterator[tuple[str, ComposedSweep]]:
    """Compose sweeps, with their data set, until each value of each list was in one of them."""
    shared, trials = _shared(params), params["strategies"]
    axes = [params["datasets"], params["models"], params["spaces"], list(trials)]
    for cell in range(max(map(len, axes))):
        dataset, model, space, strategy = (axis[cell % len(axis)] for axis in axes)
        chosen = [f"dataset={dataset}", f"model={model}", f"space={space}"]
        chosen.append(f"hydra/sweeper/sampler={strategy}")
        chosen.append(f"hydra.sweeper.n_trials={trials[strategy]}")
        yield dataset, compose_sweep([_SEARCHES, *shared, *chosen], "greensweep")
    layers = {name: params["architectures"][name] for name in ARCHITECTURES}
    for cell in range(max(map(len, layers.values()))):
        chosen = [f"model.{name}={axis[cell % len(axis)]}" for name, axis in layers.items()]
        chosen.append(f"dataset={axes[0][0]}")
        yield axes[0][0], compose_sweep([_LAYERS, *shared, *chosen], "greensweep")


def _shared(params: Mapping[str, Any]) -> list[str]:
    named = {name: params.get(name) for name in ("size", "variant", "seed", "energy", "repeats")}
    named |= {"training.epochs": params.get("epochs")}
    return [f"{name}={value}" for name, value in named.items()]


def _check_network(config: TrainConfig) -> None:
    """Build a network that comes with Greensweep, for images whose size is known without files."""
    from greensweep.data.sizes import split_sizes
    from greensweep.models import build_model
    from greensweep.search.flops import untrained

    if isinstance(config.dataset, DigitsConfig | TorchvisionDatasetConfig):
        sizes = split_sizes(config.dataset, config.seed)
        build_model(untrained(config.model), sizes.image_shape, sizes.classes)


def _check_shapes(params: Mapping[str, Any]) -> None:
    """Refuse what is no list of different values, no count, or lacks what analyses need."""
    for name in ("strategies", "architectures", "report"):
        if not isinstance(params.get(name), Mapping):
            raise ConfigError(
                f"params.yaml: {name} must hold names with values, got {params.get(name)}: "
                "see docs/pipeline.md"
            )
    for name in ("size", "variant", "energy"):
        _check_kind(name, params.get(name), str)
    for name in ("datasets", "models", "spaces"):
        _check_list(name, params.get(name), str, 1)
    _check_list("searches", params.get("searches"), int, 1)
    wrong = [seed for seed in params["searches"] if seed < 0]
    if wrong:
        raise ConfigError(
            f"params.yaml: searches lists seeds of at least 0, got {wrong[0]}: set searches: [0], "
            "say"
        )
    for name, paper in ARCHITECTURES.items():
        values = params["architectures"].get(name)
        _check_list(f"architectures.{name}", values, type(paper[0]), 2)
    strategies = params["strategies"]
    for name in strategies:
        _check_kind("a name among strategies", name, str)
    if BASELINE not in strategies or len(strategies) < 2:
        raise ConfigError(
            f"params.yaml: strategies must be {BASELINE} and another to hold against it, got "
            f"{', '.join(strategies) or 'none'}: set strategies: {{{BASELINE}: 6, auto: 6}}, say"
        )
    # Two runs of each architecture, so that there is a rest beside what the layers explain.
    counts = {f"strategies.{name}": (count, 1) for name, count in strategies.items()}
    counts["architectures.trials"] = (params["architectures"].get("trials"), 2)
    for name, (count, least) in counts.items():
        if not _is_count(count, least):
            raise ConfigError(
                f"params.yaml: {name} must be at least {least}, got {count}: set it to 6, say"
            )
    _check_kind("confirmed", params.get("confirmed"), bool)
    _check_kind("report.title", params["report"].get("title"), str)


def _check_list(name: str, values: Any, kind: type, least: int) -> None:
    if not isinstance(values, list) or len(values) < least:
        raise ConfigError(
            f"params.yaml: {name} must list {least} or more values, got {values}: "
            f"write {name.rpartition('.')[2]}: [{', '.join(['…'] * least)}]"
        )
    for value in values:
        _check_kind(f"each of {name}", value, kind)
    if len(set(values)) < len(values):
        raise ConfigError(f"params.yaml: {name} has a value twice, {values}: leave one out")


def _check_kind(name: str, value: Any, kind: type) -> None:
    """Refuse a value of another kind: DVC and Hydra would read `Yes` or `03` differently."""
    if type(value) is not kind:
        raise ConfigError(f"params.yaml: {name} must be {_KINDS[kind]}, got {value!r}: change it")


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _check_name(dataset: str, config: DatasetConfig) -> None:
    """Refuse a data set of one's own under the name of its kind."""
    if config.name != dataset and get_type_hints(type(config))["name"] is str:
        raise ConfigError(
            f"conf/dataset/{dataset}.yaml names its runs {config.name}, like others of its kind: "
            f"set name: {dataset} in it"
        )
