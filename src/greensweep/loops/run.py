"""`with greensweep.run("mlp", model=net) as run: …`: a loop of one's own as a recorded run."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from greensweep.config.energy_options import EnergyOptions, energy_config
from greensweep.config.metrics import Direction
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import EnergyReading, Phases, Window, declared_grid
from greensweep.energy.notices import warn_once
from greensweep.errors import ConfigError, StudyError, TrialEnded
from greensweep.loops.place import Place, plain, run_place
from greensweep.record.history import History
from greensweep.record.measuring import meter_here, open_windows, reading
from greensweep.record.metered import metered
from greensweep.record.recorded_run import RecordedRun, recorded_run
from greensweep.record.reported import (
    as_number,
    by_split,
    choose_metric,
    known_direction,
    split_of,
)
from greensweep.record.reporting import Progress, report_progress
from greensweep.record.result import RunResult

if TYPE_CHECKING:
    from torch import nn

    from greensweep.loops.network import Network

log = logging.getLogger(__name__)

TRAINING = "training"

_running: ContextVar["Run | None"] = ContextVar("_running", default=None)
# Kept, since a context manager that is thrown away ends what it manages.
_of_forks: list[ExitStack] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _running.set(None))

_NetworkInRun = Callable[[RecordedRun, Phases, Path], AbstractContextManager["Network | None"]]


@dataclass(frozen=True)
class Setting:
    """What a run was asked for.

    Attributes:
        params: plain data.
        phase: to which what is in no named phase is charged.
        direction: in which the metric is better, where that was said.
        network: counts and keeps the module that the block trains, where there is one.
    """

    name: str
    place: Place
    params: Mapping[str, Any]
    energy: EnergyConfig
    keep: Literal["last", "best"]
    phase: str
    direction: Direction | None
    network: _NetworkInRun


class Run:
    """A recorded run while it goes on.

    Attributes:
        directory: where it leaves `result.json`.
    """

    def __init__(
        self,
        setting: Setting,
        recorded: RecordedRun,
        phases: Phases,
        window: Window,
        network: "Network | None",
    ) -> None:
        self.directory = setting.place.directory
        self._setting, self._network = setting, network
        self._recorded, self._phases, self._window = recorded, phases, window
        trained, points = phases.of(TRAINING), recorded.result.history
        self._history = History("validation", setting.place.tracker, trained)
        self._history.resume(points, len(points), trained)
        self._is_chosen = setting.place.metric is not None
        # That was asked for, and the sweep's.
        self._directions = setting.direction, setting.place.direction
        self._is_open, self._process = True, os.getpid()
        self._ended: TrialEnded | None = None

    @property
    def result(self) -> RunResult:
        """What is known so far; complete once the block has ended."""
        return self._recorded.result

    @property
    def window(self) -> Window:
        """Training so far, everything but the named phases: `.joules`, `.seconds` and more."""
        if self._is_open:
            self._phases.read()
        return Window(self._phases.of(TRAINING), self._window.grid)

    @property
    def joules(self) -> float | None:
        """Training energy so far, J; None where nothing is metered."""
        return self.window.joules

    @property
    def seconds(self) -> float:
        """Of training so far."""
        return self.window.seconds

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Charge a block to a phase of its own: setup, evaluation or test, say.

        What belongs to no named phase is training.
        """
        self._interrupt()
        return self._phases.phase(name)

    def enter(self, phase: str | None = None) -> None:
        """Charge what follows to a phase, until the next call: for callbacks, which have no block.

        Args:
            phase: None is that of what belongs to no named one.
        """
        self._interrupt()
        self._phases.enter(phase or self._setting.phase)

    def report(
        self,
        *,
        epoch: int | None = None,
        epochs: int | None = None,
        **metrics: float | None,
    ) -> None:
        """Report what the loop has come to, to the record and to the search that it is part of.

        Args:
            epoch: how many epochs (or rounds, or evaluations) are done; left out, one more than
                last time. 0 reports the set-up, before the first.
            epochs: how many there will be, from which the cost to the end is forecast.
            metrics: any, by name, of the validation split: `macro_f1=0.8`, or with it in the name,
                `val_loss=0.3`. `train_…` is of training, and `test_…` of the test split.

        Raises:
            TrialEnded: the search prunes or stops the trial: let it through.
            StudyError: the run has ended, or was begun by another process.
        """
        self._check_open()
        if self._network is not None:
            self._network.report()
        number = self.result.epochs + 1 if epoch is None else epoch
        figures = {name: as_number(name, value) for name, value in metrics.items()}
        if number > 0:
            self._add(number, figures)
        # Which brings the phases up to now; in another thread no block is open.
        windows = open_windows() or (self._window,)
        trained, result = self._phases.of(TRAINING), self.result
        named, others = by_split(figures)
        progress = Progress(
            number,
            named.get("accuracy"),
            trained.joules,
            windows[0].joules,
            epochs,
            seconds=trained.seconds,
            lost=windows[0].reading.lost,
            metric=result.objective_metric,
            direction=result.objective_direction,
            metric_value=named.get(result.objective_metric),
            metrics=named | others,
            known={} if self._network is None else self._network.known,
        )
        try:
            report_progress(progress)
        except TrialEnded as ended:
            self._ended = ended
            raise

    def amend(self, **metrics: float | None) -> None:
        """Add figures to the epoch that was reported last; the search hears nothing of them."""
        figures = {name: as_number(name, value) for name, value in metrics.items()}
        named, others = by_split(figures)
        self._history.amend(others.pop("train_loss", None), named, others)
        self._recorded.note(history=self._history.points)
        self._note(figures)

    def log(self, **metrics: float | None) -> None:
        """Record figures of the whole run, such as `test_accuracy`, that are of no epoch.

        They count for the validation split, or with `test_` before their name for the test split.

        Raises:
            StudyError: the run has ended, or was begun by another process.
        """
        self._check_open()
        self._note({name: as_number(name, value) for name, value in metrics.items()})

    def _check_open(self) -> None:
        if not self._is_open or self._process != os.getpid():
            why = "another process began it" if self._is_open else "it has ended"
            raise StudyError(
                f"run {self._setting.name!r} records nothing here, since {why}: report inside of "
                "its block, in the process that began it"
            )

    def _interrupt(self) -> None:
        self._check_open()
        if self._network is not None:
            self._network.interrupt()

    def _add(self, epoch: int, figures: Mapping[str, float | None]) -> None:
        self._phases.read()
        self._choose(figures)
        named, others = by_split(figures)
        loss = others.pop("train_loss", None)
        self._history.add(epoch, loss, named, self._phases.of(TRAINING), others)
        better = self._is_better(named)
        if better or self._setting.keep == "last":
            self._note(figures)
        if better:
            self._recorded.note(best_epoch=epoch)
            if self._network is not None and self._setting.keep == "best":
                self._network.keep_weights()
        self._recorded.note(epochs=epoch, history=self._history.points)

    def _choose(self, figures: Mapping[str, float | None]) -> None:
        """Go by accuracy where the loop reports it, else by the first metric that it reports.

        Those come first that are better in the direction that was asked for.
        """
        names, _ = by_split(figures)
        if self._is_chosen or not names:
            return
        self._is_chosen = True
        asked, of_sweep = self._directions
        name = choose_metric(names, asked or of_sweep) or str(choose_metric(names, None))
        direction = direction_of(name, asked, of_sweep)
        self._recorded.note(objective_metric=name, objective_direction=direction)

    def _is_better(self, named: Mapping[str, float | None]) -> bool:
        value, result = named.get(self.result.objective_metric), self.result
        if value is None:
            return False
        earlier = [each.metrics.get(result.objective_metric) for each in self._history.points[:-1]]
        sign = 1 if result.objective_direction == "maximize" else -1
        return all(each is None or sign * value > sign * each for each in earlier)

    def _note(self, figures: Mapping[str, float | None]) -> None:
        metrics = {split: dict(of) for split, of in self.result.metrics.items()}
        for name, value in figures.items():
            split, metric = split_of(name)
            if split != "train":
                metrics.setdefault(split, {})[metric] = value
        self._recorded.note(
            metrics=metrics,
            validation_accuracy=metrics.get("validation", {}).get("accuracy"),
            test_accuracy=metrics.get("test", {}).get("accuracy"),
        )

    def raise_end(self) -> None:
        """Raise again what ended the run, where the loop caught it and went on."""
        if self._ended is not None:
            raise self._ended

    def tell_missing(self) -> None:
        """Warn of the metric that was asked for and never came, by which a trial would fail."""
        place, name, result = self._setting.place, self.result.objective_metric, self.result
        told = {metric: None for each in result.history for metric in each.metrics}
        told |= dict.fromkeys(result.metrics.get("validation", {}))
        if place.metric is not None and place.trial is None and name not in told:
            others = f", or name one of {', '.join(told)}" if told else ""
            warn_once(
                f"No {name} was reported, by which the run is to be compared: report it{others}."
            )

    def finish(self) -> None:
        """Give the last epochs their energy; a run without any goes by a metric that it logged."""
        self._is_open = False
        logged = self.result.metrics.get("validation", {})
        self._choose({name: value for name, value in logged.items() if known_direction(name)})
        self._history.finish()
        self._recorded.note(history=self._history.points)


@contextmanager
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
        ConfigError: an option does not exist or is out of its range, or the metric's direction is
            not known.
        StudyError: it stands inside of another run, or its directory holds the result of one.
        BaseException: what the block raised; the result says so, and holds what was measured.
    """
    for option, given, known in (
        ("direction", direction or "maximize", ("maximize", "minimize")),
        ("keep", keep, ("last", "best")),
    ):
        if given not in known:
            raise ConfigError(f"{option} must be {known[0]} or {known[1]}, got {given!r}")
    network = _network(
        model, example=example, keeps_weights=keep_weights, layer_energy=layer_energy
    )
    config = energy_config(energy, **options)
    place = run_place(name, directory, mlflow, experiment, metric)
    chosen = place.metric or "accuracy"
    initial = RunResult(
        status="failed",
        error=None,
        model=_model_name(model) or name,
        dataset=dataset,
        seed=seed,
        objective_metric=chosen,
        objective_direction=direction_of(chosen, direction, place.direction),
        trial=place.trial,
        overrides=place.overrides,
    )
    recorded = plain(params) or place.options
    setting = Setting(name, place, recorded, config, keep, phase, direction, network)
    with _recorded(setting, initial) as this:
        yield this


def again(earlier: Run, phase: str) -> AbstractContextManager[Run]:
    """Go on with a run that has finished, as when a model is tested after its training.

    Args:
        phase: of what is in no named one from here on.
    """
    setting = replace(earlier._setting, phase=phase, network=_network(None))
    return _recorded(setting, earlier.result, earlier._phases.readings)


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
    try:
        with ExitStack() as stack:
            recorded = stack.enter_context(
                recorded_run(initial, setting.params, place.directory, place.tracker, setting.name)
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
                yield this
                this.raise_end()
                this.tell_missing()
            finally:
                if os.getpid() != process:  # a fork's: the run is its parent's to end
                    _of_forks.append(stack.pop_all())
    finally:
        _running.set(None)


def _network(
    model: object,
    *,
    example: object = None,
    keeps_weights: bool = False,
    layer_energy: bool = False,
) -> _NetworkInRun:
    """Return what counts and keeps a torch module in a run; of anything else, what does nothing.

    Raises:
        ConfigError: something is asked for that needs a module.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from greensweep.loops.network import Network

        return partial(
            Network,
            model,
            example=example,
            keeps_weights=keeps_weights,
            layer_energy=layer_energy,
        )
    asked = {
        "example": example is not None,
        "keep_weights": keeps_weights,
        "layer_energy": layer_energy,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise ConfigError(f"{name} is of a torch module: give it, greensweep.run(…, model=net)")
    return lambda *_: nullcontext()


def _model_name(model: object) -> str | None:
    return model if isinstance(model, str) or model is None else type(model).__name__


def direction_of(
    name: str, asked: Direction | None = None, of_sweep: Direction | None = None
) -> Direction:
    """Return the direction in which a metric is better: as asked, by its name, or the sweep's.

    Raises:
        ConfigError: its name does not tell.
    """
    known = asked or known_direction(name) or of_sweep
    if known is None:
        raise ConfigError(
            f"is {name} better the higher or the lower it is? Say greensweep.run(…, "
            f"metric={name!r}, direction='maximize') or 'minimize'"
        )
    return known
