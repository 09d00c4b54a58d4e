"""`with greensweep.run("mlp", model=net) as run: …`: a loop of one's own as a recorded run."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from greensweep.config.energy_options import EnergyOptions, energy_config
from greensweep.config.metrics import Direction
from greensweep.energy import EnergyReading, declared_grid
from greensweep.errors import ConfigError, StudyError
from greensweep.loops.live_run import TRAINING, NetworkInRun, Run, Setting
from greensweep.loops.place import plain, run_place
from greensweep.loops.run_metrics import direction_of
from greensweep.record.block import block
from greensweep.record.ending import exits_well
from greensweep.record.measuring import meter_here, reading
from greensweep.record.metered import metered
from greensweep.record.recorded_run import recorded_run
from greensweep.record.result import RunResult

if TYPE_CHECKING:
    from torch import nn

_running: ContextVar[Run | None] = ContextVar("_running", default=None)
# Kept, since a context manager that is thrown away ends what it manages.
_of_forks: list[ExitStack] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _running.set(None))


@block("with greensweep.run(…) as run:")
def run(
    name: str,
    *,
    model: "nn.Module | str | None" = None,
    params: object = None,
    dataset: str = "unknown",
    seed: int = 0,
    metric: str | None = None,
    direction: Direction | None = None,
    keep: Literal["last", "best"] = "last",
    keep_weights: bool = False,
    example: object = None,
    layer_energy: bool = False,
    phase: str = TRAINING,
    directory: str | Path | None = None,
    mlflow: str | bool | None = None,
    experiment: str = "greensweep",
    energy: object = None,
    **options: Unpack[EnergyOptions],
) -> Iterator[Run]:
    """Record what the block does as one run: energy by phase, metrics by epoch, layers.

    >>> import tempfile
    >>> with run("mean", meter="unmetered", directory=tempfile.mkdtemp()) as this:
    ...     this.report(epoch=1, macro_f1=0.5, train_loss=1.2)
    >>> this.result.metrics
    {'validation': {'macro_f1': 0.5}}

    It leaves `result.json` and `config.yaml`, as the runs of `greensweep train` do, and a run in
    MLflow where that is installed and `MLFLOW_TRACKING_URI` is set. In a sweep it is the trial.

    Args:
        name: of the run in the tracker.
        model: a torch module, whose layers are counted on one sample of what it is first called
            with; or its name.
        params: options to record: a mapping, a dataclass, a Hydra configuration, or a namespace;
            left out in a sweep, the program's own.
        dataset: name of the data.
        metric: by which the run is selected and compared; left out, accuracy where the loop reports
            it, else the first metric that it does.
        direction: in which that is better: maximize or minimize; known for usual names.
        keep: the metrics of the run are those of the last epoch, or of the best by `metric`.
        keep_weights: of the module, as they are at the block's end or with `keep="best"` at that
            epoch, in `model.pt`: a state_dict.
        example: inputs to count the module's layers on at once: a tensor, a tuple of arguments, or
            keyword arguments by name.
        layer_energy: share the training energy out over the module's layers, by the time that they
            take in some training steps.
        phase: to which what is in no named phase is charged.
        directory: of the run; left out, Hydra's where that runs, else below `outputs`.
        mlflow: a tracking URI, or False for none.
        experiment: in MLflow.
        energy: the meter's configuration, as `greensweep.measure` takes it.
        options: of the meter, as `greensweep.measure` takes them.

    Raises:
        ConfigError: an option does not exist or is out of its range, or the direction of the
            metric that is named, or of which the best is to be kept, is not known.
        StudyError: it stands inside of another run, or its directory holds the result of one.
        BaseException: what the block raised; the result says so, and holds what was measured.
    """
    for option, given, known in (
        ("direction", direction or "maximize", ("maximize", "minimize")),
        ("keep", keep, ("last", "best")),
    ):
        if given not in known:
            raise ConfigError(f"{option} must be {known[0]} or {known[1]}, got {given!r}")
    network = _network(model, example=example, keep_weights=keep_weights, layer_energy=layer_energy)
    config = energy_config(energy, beside=signature(run).parameters, **options)
    place = run_place(name, directory, mlflow, experiment, metric)
    if metric is None and place.metric is not None:  # the sweep's, with its direction
        direction = direction or place.direction
    initial = RunResult(
        status="failed",
        error=None,
        model=name if model is None else model if isinstance(model, str) else type(model).__name__,
        dataset=dataset,
        seed=seed,
        objective_metric=place.metric or "accuracy",
        objective_direction=(
            direction_of(place.metric, direction, place.direction) if place.metric else "maximize"
        ),
        trial=place.trial,
        overrides=place.overrides,
    )
    recorded = plain(params) or place.options
    setting = Setting(name, place, recorded, config, keep, phase, direction, network)
    with _recorded(setting, initial) as this:
        yield this


def again(earlier: Run, phase: str, **of_network: Any) -> AbstractContextManager[Run]:
    """Go on with a run that has finished: test what it trained, or train what it evaluated.

    Args:
        phase: of what is in no named one from here on.
        of_network: `model` and what `run` takes for it, where that is still to be counted and kept.
    """
    setting = replace(earlier.setting, phase=phase, network=_network(**of_network))
    return _recorded(setting, earlier.result, earlier.phases.readings)


def running() -> Run | None:
    """Return the run that is recorded here."""
    return _running.get()


@contextmanager
def _recorded(
    setting: Setting,
    initial: RunResult,
    spent: Mapping[str, EnergyReading] = MappingProxyType({}),
) -> Iterator[Run]:
    if _running.get() is not None:
        raise StudyError(
            f"run {setting.name!r} begins inside of another run: end that one first, or use "
            "run.phase(…) for a part of it"
        )
    place, process = setting.place, os.getpid()
    exited: SystemExit | None = None
    # By which the run of a trial that died is found.
    name = setting.name if place.trial is None else f"trial {place.trial}"
    try:
        with ExitStack() as stack:
            recorded = stack.enter_context(
                recorded_run(initial, setting.params, place.directory, place.tracker, name)
            )
            meter = meter_here(setting.energy)
            phases = stack.enter_context(metered(recorded, meter, setting.energy))
            for phase, reading_before in spent.items():
                phases.add(phase, reading_before)
            network = stack.enter_context(setting.network(recorded, phases, place.directory))
            stack.enter_context(phases.phase(setting.phase))
            window = stack.enter_context(reading(phases, declared_grid(setting.energy)))
            this = Run(setting, recorded, phases, window, network)
            _running.set(this)
            stack.callback(this.finish)
            try:
                try:
                    yield this
                except SystemExit as raised:
                    if not exits_well(raised):
                        raise
                    exited = raised
                this.complete()
            finally:
                if os.getpid() != process:  # a fork's: the run is its parent's to end
                    _of_forks.append(stack.pop_all())
    finally:
        _running.set(None)
    if exited is not None:  # the program ends here, and the run has ended well
        raise exited


def _network(model: object = None, **asked: Any) -> NetworkInRun:
    """Return what counts and keeps a torch module in a run; of anything else, what does nothing.

    Args:
        asked: of `Network`.

    Raises:
        ConfigError: something is asked for that needs a module.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from greensweep.loops.network import Network

        return partial(Network, model, **asked)
    for name, value in asked.items():
        if value is not None and value is not False:
            raise ConfigError(f"{name} is of a torch module: give it, greensweep.run(…, model=net)")
    return lambda *_: nullcontext()
