"""One run: build the data and the model, count, train under the meter, evaluate, record."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from greensweep.config import TrainConfig, save_run_config
from greensweep.data import load_splits
from greensweep.energy import EnergyReading, Grid, Meter, Phases, declared_grid
from greensweep.energy.uncertainty import INFERENCE_PERIODS, STEADY_PERIODS
from greensweep.errors import GreensweepError, TrialEnded, first_line
from greensweep.models import LayerCensus, build_model, check_batch_fits, model_name, take_census
from greensweep.record.reporting import Progress, report_progress
from greensweep.record.result import (
    CONFIG_FILE,
    LAYER_ENERGY_FILE,
    RunResult,
    Status,
    history_metrics,
    write_result,
)
from greensweep.runs.checkpoint import copy_weights, restore_weights, save_weights
from greensweep.runs.layer_energy import LayerEnergy
from greensweep.secrets import masked
from greensweep.tracking import RunStatus, Tracker, flat, provenance
from greensweep.training import (
    Capture,
    Epoch,
    Evaluation,
    Normalise,
    autocast_dtype,
    choose_device,
    deterministic,
    device_name,
    evaluate,
    infer,
    start_state,
    synchronize,
    time_layers,
    train,
    use_threads,
)

TRACKED_STATUS: dict[Status, RunStatus] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "FINISHED",
    "stopped": "KILLED",
}

# For how long inference runs where no counter asks for longer.
_SHORT_SECONDS = 0.1

log = logging.getLogger(__name__)

ShowEpochs = Callable[[Iterable[Epoch], int], Iterable[Epoch]]
Report = Callable[[Progress], None]
Selecting = Literal["validation", "test"]


@dataclass
class _Notes:
    """What is known of the run so far; a run that breaks off leaves what it has."""

    device: str | None = None
    grid: Grid | None = None
    census: LayerCensus | None = None
    capture: Capture | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)
    trained: EnergyReading = field(default_factory=EnergyReading)  # in all epochs of the history
    told: EnergyReading = field(default_factory=EnergyReading)  # in those whose energy it holds
    best_accuracy: float | None = None  # so far
    best_epoch: int | None = None
    kept_epoch: int | None = None
    accuracies: dict[Selecting, float] = field(default_factory=dict)  # of the kept weights
    checkpoint: Path | None = None
    inference: Mapping[str, Any] = field(default_factory=dict)
    layer_energy: LayerEnergy | None = None
    files: list[Path] = field(default_factory=list)


def run_once(
    config: TrainConfig,
    directory: Path,
    *,
    meter: Meter,
    tracker: Tracker,
    test: bool,
    name: str = "run",
    trial: int | None = None,
    overrides: Iterable[str] = (),
    show_epochs: ShowEpochs | None = None,
    report: Report = report_progress,
) -> RunResult:
    """Train once and leave `result.json`, `config.yaml` and `model.pt` in `directory`.

    Args:
        test: compute test accuracy; a search must not see it, unless `select_on=test` says so.
        name: the run's name in the tracker.
        trial: number of the trial in its sweep, from 0.
        overrides: what the command or the sweeper set, for the record.
        show_epochs: wraps the epochs, given their number, to show progress.
        report: takes what the run has come to after each epoch.

    Raises:
        TrialEnded: the search that the run is part of ended it; likewise recorded.
        GreensweepError: the run failed; `result.json` says so and holds what it cost.
        KeyboardInterrupt: the run was interrupted; likewise.
        OSError: the result cannot be written; the tracker has it.
    """
    notes = _Notes()
    directory.mkdir(parents=True, exist_ok=True)
    config_file = directory / CONFIG_FILE
    save_run_config(config, config_file)
    phases = Phases(meter, synchronize)
    status: Status = "failed"
    error: str | None = None
    origin = provenance(config.dataset.name)
    try:
        tracker.start(name, flat(masked(asdict(config))), origin)
        phases.start()
        with deterministic(config.training.deterministic):
            _train_and_evaluate(
                config, directory, notes, phases, tracker, test, show_epochs, report
            )
        status = "finished"
    except KeyboardInterrupt:
        status, error = "stopped", f"interrupted in epoch {len(notes.history) + 1}"
        raise
    except TrialEnded as ended:
        status, error = ended.status, str(ended)
        raise
    except GreensweepError as fault:
        error = str(fault)
        raise
    except Exception as fault:
        error = f"{type(fault).__name__}: {first_line(fault)}"
        raise
    finally:
        phases.stop()
        _log_energy(_tell_energy(notes), tracker)
        result = replace(
            _result(config, notes, phases),
            status=status,
            error=error,
            trial=trial,
            overrides=tuple(overrides),
            provenance=origin,
            mlflow_run_id=tracker.run_id,
        )
        record(result, directory, tracker, [config_file, *notes.files])
    return result


def _train_and_evaluate(
    config: TrainConfig,
    directory: Path,
    notes: _Notes,
    phases: Phases,
    tracker: Tracker,
    test: bool,
    show_epochs: ShowEpochs | None,
    report: Report,
) -> None:
    training, selecting = config.training, config.select_on
    with phases.phase("setup"):
        device = choose_device(training.device)
        notes.device = device_name(device)
        notes.grid = declared_grid(config.energy)
        start_state(training, config.seed)
        splits = load_splits(config.dataset, config.seed)
        model = build_model(config.model, splits.input_shape, splits.outputs).to(device)
        census = take_census(model, splits.example, splits.outputs)
        notes.census = census
        use_threads(training.threads, _step_flops(census, training.batch_size))
        normalise = Normalise(splits.statistics, device, training.memory_format)
        if training.memory_format == "channels_last":
            model = model.to(memory_format=normalise.layout)
        train_split, validation_split = splits.train.to(device), splits.validation.to(device)
        selecting_split = splits.test.to(device) if selecting == "test" else validation_split
        dtype = autocast_dtype(training.precision, device)
        if device.type == "cpu":  # a GPU says by itself what it cannot hold
            check_batch_fits(census.kept_bytes * (0.5 if dtype else 1.0), training.batch_size)
        score = partial(
            evaluate,
            model,
            normalise=normalise,
            batch_size=training.evaluation_batch_size,
            dtype=dtype,
            evaluation_mode=training.evaluation_mode,
        )
        trained = train(
            model,
            train_split,
            normalise,
            training=training,
            optimizer=config.optimizer,
            scheduler=config.scheduler,
            seed=config.seed,
        )
        # What cannot be kept and put back is told before anything is trained.
        weights = copy_weights(model, into=None)
        restore_weights(model, weights)
    with phases.phase("warmup"):
        trained.warm_up()
        notes.capture = trained.capture

    report(_progress(0, None, training.epochs, phases, census))
    notes.trained = notes.told = phases.of("training")
    epochs: Iterable[Epoch] = phases.each("training", trained)
    for epoch in show_epochs(epochs, training.epochs) if show_epochs else epochs:
        spent = phases.of("training")
        with phases.phase("evaluation"):
            reached = score(split=selecting_split)
            is_better = notes.best_accuracy is None or reached.accuracy > notes.best_accuracy
            if is_better:
                notes.best_accuracy, notes.best_epoch = reached.accuracy, epoch.number
            if is_better or training.keep == "last":
                notes.accuracies[selecting], notes.kept_epoch = reached.accuracy, epoch.number
                weights = copy_weights(model, into=weights)
        seconds = spent.seconds - notes.trained.seconds
        notes.history.append(_point(epoch, selecting, reached, seconds))
        notes.trained = spent
        if spent.seconds - notes.told.seconds >= STEADY_PERIODS * spent.update_seconds:
            _log_energy(_tell_energy(notes)[:-1], tracker)
        tracker.log_step(history_metrics(notes.history[-1]), step=epoch.number)
        report(_progress(epoch.number, reached.accuracy, training.epochs, phases, census))
        if _no_longer_improves(notes, epoch, training.patience):
            break

    notes.checkpoint = save_weights(weights, directory)
    if config.inference.seconds != 0:
        with _optional("inference"):
            use = partial(
                infer,
                model,
                normalise=normalise,
                batch_size=config.inference.batch_size,
                dtype=dtype,
            )
            with phases.phase("warmup"):
                first = torch.arange(min(config.inference.batch_size, len(validation_split)))
                use(split=validation_split.select(first))
            # In fewer periods of the slowest counter the figure would be chance.
            enough = max(INFERENCE_PERIODS * phases.total.update_seconds, _SHORT_SECONDS)
            with phases.phase("inference"):
                images = use(split=validation_split, seconds=config.inference.seconds or enough)
            notes.inference = _inference(
                phases.of("inference"), images, config.inference.batch_size
            )
    if config.layer_energy:
        with _optional("layer_energy"), phases.phase("layer_energy"):
            times = time_layers(
                model,
                train_split,
                normalise,
                training=training,
                optimizer=config.optimizer,
                seed=config.seed,
            )
            notes.layer_energy = LayerEnergy(times, phases.of("training").joules)
            notes.files.append(notes.layer_energy.write(directory / LAYER_ENERGY_FILE))
    if selecting == "test":
        with phases.phase("evaluation"):
            restore_weights(model, weights)
            notes.accuracies["validation"] = score(split=validation_split).accuracy
    elif test:
        with phases.phase("test"):
            restore_weights(model, weights)
            notes.accuracies["test"] = score(split=splits.test.to(device)).accuracy


@contextmanager
def _optional(what: str) -> Iterator[None]:
    """Let a measurement fail, with a warning, that the trained model does not depend on."""
    try:
        yield
    except GreensweepError as error:
        log.warning("No figures of %s: %s.", what, error)


def _sharing_key(training: EnergyReading) -> str | None:
    if not training.contended:
        return None
    return "cpu_time+gpu_time" if "gpu" in training.components else "cpu_time"


def _inference(reading: EnergyReading, images: int, batch_size: int) -> dict[str, Any]:
    joules = reading.joules
    return {
        "joules_per_1000": None if joules is None else 1000.0 * joules / images,
        "uncertainty_joules_per_1000": None
        if reading.uncertainty_joules is None
        else 1000.0 * reading.uncertainty_joules / images,
        "seconds_per_1000": 1000.0 * reading.seconds / images,
        "images": images,
        "batch_size": batch_size,
        "quality": reading.quality,
    }


def _step_flops(census: LayerCensus, batch_size: int) -> float | None:
    return None if census.training_flops is None else float(census.training_flops * batch_size)


def _no_longer_improves(notes: _Notes, epoch: Epoch, patience: int | None) -> bool:
    return patience is not None and epoch.number - (notes.best_epoch or 0) >= patience


def _progress(
    epoch: int, accuracy: float | None, epochs: int, phases: Phases, census: LayerCensus
) -> Progress:
    trained, total = phases.of("training"), phases.total
    return Progress(
        epoch,
        accuracy,
        trained.joules,
        total.joules,
        epochs,
        seconds=trained.seconds,
        lost=total.lost,
        known={
            "parameters": census.parameters,
            "trainable_parameters": census.trainable_parameters,
            "flops": census.flops,
        },
    )


def _tell_energy(notes: _Notes) -> list[dict[str, float | None]]:
    """Give the epochs without energy theirs, and return them; of several, each has their mean.

    Epochs that are shorter than ten periods of the slowest counter are told together, since that
    counter cannot tell them apart.
    """
    group = [point for point in notes.history if "energy_joules" not in point]
    before, after = notes.told.joules, notes.trained.joules
    for point in group:
        point["energy_joules"] = None if after is None else (after - (before or 0.0)) / len(group)
        if len(group) > 1:
            point["energy_epochs"] = len(group)
    notes.told = notes.trained
    return group


def _log_energy(points: Iterable[Mapping[str, float | None]], tracker: Tracker) -> None:
    """Track the energy of epochs whose other figures have been tracked."""
    for point in points:
        energy = history_metrics({"energy_joules": point["energy_joules"]})
        tracker.log_step(energy, step=int(point["epoch"] or 0))


def _point(
    epoch: Epoch, selecting: Selecting, reached: Evaluation, seconds: float
) -> dict[str, float | None]:
    return {
        "epoch": epoch.number,
        "train_loss": epoch.loss,
        f"{selecting}_loss": reached.loss,
        f"{selecting}_accuracy": reached.accuracy,
        "seconds": seconds,
    }


def _result(config: TrainConfig, notes: _Notes, phases: Phases) -> RunResult:
    training = phases.of("training")
    census = notes.census
    layer_cost = phases.of("layer_energy")
    return RunResult(
        status="finished",
        error=None,
        model=model_name(config.model),
        dataset=config.dataset.name,
        seed=config.seed,
        device=notes.device,
        capture=notes.capture.mode if notes.capture else None,
        capture_reason=notes.capture.reason if notes.capture else None,
        validation_accuracy=notes.accuracies.get("validation"),
        test_accuracy=notes.accuracies.get("test"),
        selected_on_test=config.select_on == "test",
        energy_joules=training.joules,
        energy_basis=training.basis,
        energy_comparable=training.comparable,
        energy_net_joules=training.net_joules,
        energy_idle_joules=training.idle_joules,
        energy_charged_joules=training.charged_joules,
        energy_spent_joules=phases.total.joules,
        energy_kwh=training.kwh,
        energy_gap_joules=phases.total.gap_joules,
        gap_seconds=phases.total.gap_seconds,
        energy_uncertainty_joules=training.uncertainty_joules,
        energy_components={name: part.summary() for name, part in training.components.items()},
        energy_quality=training.quality,
        energy_measured_share=training.measured_share,
        energy_constant_share=training.constant_share,
        energy_contended=bool(training.contended),
        energy_contended_by=", ".join(training.contended) or None,
        energy_neighbours=training.neighbours,
        energy_key=_sharing_key(training),
        energy_phases={
            name: {
                "joules": reading.joules,
                "net_joules": reading.net_joules,
                "seconds": reading.seconds,
                "quality": reading.quality,
            }
            for name, reading in phases.readings.items()
        },
        inference=notes.inference,
        layer_energy=notes.layer_energy.summary(layer_cost.joules, layer_cost.seconds)
        if notes.layer_energy
        else {},
        emissions_kg=notes.grid.emissions_kg(training.kwh) if notes.grid else None,
        emissions_grid=notes.grid.declared if notes.grid else None,
        seconds=training.seconds if "training" in phases.readings else None,
        epochs=len(notes.history),
        best_epoch=notes.kept_epoch,
        history=tuple(notes.history),
        layers=census.layers if census else {},
        layer_modules=census.layer_modules if census else {},
        parameters=census.parameters if census else None,
        trainable_parameters=census.trainable_parameters if census else None,
        flops=census.flops if census else None,
        flops_left_out=census.flops_left_out if census else (),
        checkpoint=str(notes.checkpoint) if notes.checkpoint else None,
    )


def record(result: RunResult, directory: Path, tracker: Tracker, artifacts: list[Path]) -> None:
    """Write the file and the tracked run; one that cannot be written does not cost the other."""
    unwritten: OSError | None = None
    try:
        artifacts = [*artifacts, write_result(result, directory)]
    except OSError as error:
        unwritten = error
    tracker.finish(TRACKED_STATUS[result.status], result.metrics(), result.tags(), artifacts)
    if unwritten is not None:
        raise unwritten
    if tracker.incomplete:
        write_result(replace(result, mlflow_incomplete=True), directory)
