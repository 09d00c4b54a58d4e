"""The study of `params.yaml`, before anything is trained: `python -m greensweep study`."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, get_type_hints

from greensweep.app.compose import compose_sweep
from greensweep.config.schema import TrainConfig
from greensweep.config.schema_dataset import DatasetConfig, DigitsConfig, TorchvisionDatasetConfig
from greensweep.errors import ConfigError, GreensweepError
from greensweep.studies.yarally2023.cells import ARCHITECTURES, study_cells

log = logging.getLogger(__name__)

_SEARCHES, _LAYERS = "experiment=rq1_strategies", "experiment=rq2_layers"

_GROUPS = ("size", "variant", "energy")

_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}

BASELINE = "random"  # the strategy that the analyses of `dvc.yaml` hold the others against


def check_study(params: Mapping[str, Any]) -> int:
    """Compose every data set, model, space, strategy and layer of a study; return its trials.

    Args:
        params: what `params.yaml` says.

    Raises:
        GreensweepError: some of them do not exist, or are out of their ranges; all faults in one.
    """
    faults = list(_shape_faults(params))
    # By themselves too: a name that does not exist would hide a number that is out of its range.
    cells: list[tuple[str | None, list[str]]] = [(None, [_SEARCHES, *_shared(params)])]
    for dataset, overrides in [*cells, *(() if faults else _cells(params))]:
        try:
            config = compose_sweep(overrides).config
            if dataset is not None:
                _check_name(dataset, config.dataset)
                _check_network(config)
        except GreensweepError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(f"params.yaml: {'; '.join(dict.fromkeys(faults))}")
    return sum(study_cells(params).values())


def check_length(params: Mapping[str, Any]) -> None:
    """Refuse a study that would take days on this machine, unless it is confirmed.

    Only a size that asks for it (`size=paper`) is forecast, from a few training steps of each
    network on each data set.

    Args:
        params: as `check_study` accepts them.

    Raises:
        GreensweepError: it would; or a network cannot be built.
    """
    from greensweep.energy.units import duration_text
    from greensweep.study.forecast import seconds_of_run

    first = compose_sweep(next(_cells(params))[1])
    if first.confirm_hours is None or params["confirmed"]:
        return
    log.warning("Forecasting how long the study takes: a few training steps of each network.")
    shared, networks = _shared(params), params["architectures"]
    searches = len(params["spaces"]) * len(params["searches"]) * sum(params["strategies"].values())
    taken = 0.0
    for dataset, model in product(params["datasets"], params["models"]):
        chosen = [f"dataset={dataset}", f"model={model}"]
        sweep = compose_sweep([_SEARCHES, *shared, *chosen])
        taken += searches * seconds_of_run(sweep.config)
    run = compose_sweep([_LAYERS, *shared, f"dataset={params['datasets'][0]}"]).config
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


def _cells(params: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield data sets and overrides of sweeps until each value of each list was in one of them."""
    shared, trials = _shared(params), params["strategies"]
    axes = [params["datasets"], params["models"], params["spaces"], list(trials)]
    for cell in range(max(map(len, axes))):
        dataset, model, space, strategy = (axis[cell % len(axis)] for axis in axes)
        chosen = [f"dataset={dataset}", f"model={model}", f"space={space}"]
        chosen.append(f"hydra/sweeper/sampler={strategy}")
        chosen.append(f"hydra.sweeper.n_trials={trials[strategy]}")
        yield dataset, [_SEARCHES, *shared, *chosen]
    layers = {name: params["architectures"][name] for name in ARCHITECTURES}
    for cell in range(max(map(len, layers.values()))):
        chosen = [f"model.{name}={axis[cell % len(axis)]}" for name, axis in layers.items()]
        chosen.append(f"dataset={axes[0][0]}")
        yield axes[0][0], [_LAYERS, *shared, *chosen]


def _shared(params: Mapping[str, Any]) -> list[str]:
    names = [*(name for name in _GROUPS if isinstance(params.get(name), str)), "seed", "repeats"]
    values = {name: params.get(name) for name in names} | {"training.epochs": params.get("epochs")}
    return [f"{name}={value}" for name, value in values.items()]


def _check_network(config: TrainConfig) -> None:
    """Build a network that comes with Greensweep, for images whose size is known without files."""
    from greensweep.data.sizes import sized_splits
    from greensweep.models import build_model
    from greensweep.study.forecast import untrained

    if isinstance(config.dataset, DigitsConfig | TorchvisionDatasetConfig):
        splits = sized_splits(config.dataset, config.seed)
        build_model(untrained(config.model), splits.input_shape, splits.outputs)


def _shape_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Name what is no list of different values, no count, or lacks what analyses need."""
    for name in _GROUPS:
        yield from _kind_faults(name, params.get(name), str)
    for name in ("datasets", "models", "spaces"):
        yield from _list_faults(name, params.get(name), str, 1)
    searches = params.get("searches")
    yield from _list_faults("searches", searches, int, 1)
    for seed in searches if isinstance(searches, list) else ():
        if type(seed) is int and seed < 0:
            yield f"searches lists seeds of at least 0, got {seed}: set searches: [0], say"
    networks, strategies, report = (
        params.get(name) for name in ("architectures", "strategies", "report")
    )
    # Two runs of each architecture, so that there is a rest beside what the layers explain.
    counts: dict[str, tuple[Any, int]] = {}
    if isinstance(networks, Mapping):
        for name, paper in ARCHITECTURES.items():
            yield from _list_faults(f"architectures.{name}", networks.get(name), type(paper[0]), 2)
        counts["architectures.trials"] = networks.get("trials"), 2
    if isinstance(strategies, Mapping):
        for name, count in strategies.items():
            yield from _kind_faults("a name among strategies", name, str)
            counts[f"strategies.{name}"] = count, 1
        if BASELINE not in strategies or len(strategies) < 2:
            yield (
                f"strategies must be {BASELINE} and another to hold against it, got "
                f"{', '.join(map(str, strategies)) or 'none'}: set strategies: "
                f"{{{BASELINE}: 6, auto: 6}}, say"
            )
    for name, (count, least) in counts.items():
        if type(count) is not int or count < least:
            yield f"{name} must be at least {least}, got {count}: set it to 6, say"
    yield from _kind_faults("confirmed", params.get("confirmed"), bool)
    if isinstance(report, Mapping):
        yield from _kind_faults("report.title", report.get("title"), str)
    for name in ("architectures", "strategies", "report"):
        if not isinstance(params.get(name), Mapping):
            got = params.get(name)
            yield f"{name} must hold names with values, got {got}: see docs/pipeline.md"


def _list_faults(name: str, values: Any, kind: type, least: int) -> Iterator[str]:
    listed = values if isinstance(values, list) else []
    if len(listed) < least:
        yield (
            f"{name} must list {least} or more values, got {values}: "
            f"write {name.rpartition('.')[2]}: [{', '.join(['…'] * least)}]"
        )
    for value in listed:
        yield from _kind_faults(f"each of {name}", value, kind)
    if any(value in listed[:place] for place, value in enumerate(listed)):
        yield f"{name} has a value twice, {values}: leave one out"


def _kind_faults(name: str, value: Any, kind: type) -> Iterator[str]:
    """Name a value of another kind: DVC and Hydra would read `Yes` or `03` differently."""
    if type(value) is not kind:
        yield f"{name} must be {_KINDS[kind]}, got {value!r}: change it"


def _check_name(dataset: str, config: DatasetConfig) -> None:
    """Refuse a data set of one's own under the name of its kind."""
    if config.name != dataset and get_type_hints(type(config))["name"] is str:
        raise ConfigError(
            f"conf/dataset/{dataset}.yaml names its runs {config.name}, like others of its kind: "
            f"set name: {dataset} in it"
        )
