"""One run: build the data and the model, count, train under the meter, evaluate, record."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from greensweep.checkpoint import copy_weights, save_weights
from greensweep.config import TrainConfig, save_run_config
from greensweep.data import load_splits
from greensweep.energy import EnergyReading, Grid, Meter, Phases, declared_grid
from greensweep.errors import GreensweepError, first_line
from greensweep.models import LayerCensus, build_model, model_name, take_census
from greensweep.result import (
    CONFIG_FILE,
    RunResult,
    Status,
    history_metrics,
    write_result,
)
from greensweep.tracking import RunStatus, Tracker, flat, masked, provenance
from greensweep.training import (
    Epoch,
    Evaluation,
    Normalise,
    autocast_dtype,
    choose_device,
    device_name,
    evaluate,
    start_state,
    synchronize,
    train,
    use_threads,
    warm_up,
)

TRACKED_STATUS: dict[Status, RunStatus] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "FINISHED",
    "stopped": "KILLED",
}

ShowEpochs = Callable[[Iterable[Epoch], int], Iterable[Epoch]]


@dataclass
class _Notes:
    """What is known of the run so far; a run that breaks off leaves what it has."""

    device: str | None = None
    grid: Grid | None = None
    census: LayerCensus | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)
    best_epoch: int | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    checkpoint: Path | None = None


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
) -> RunResult:
    """Train once and leave `result.json`, `config.yaml` and `model.pt` in `directory`.

    Args:
        test: compute test accuracy; a search must not see it.
        name: the run's name in the tracker.
        trial: number of the trial in its sweep, from 0.
        overrides: what the command or the sweeper set, for the record.
        show_epochs: wraps the epochs, given their number, to show progress.

    Raises:
        GreensweepError: the run failed; `result.json` says so and holds what it cost.
        KeyboardInterrupt: the run was interrupted; likewise.
        OSError: the result cannot be written; the tracker has it.
    """
    notes = _Notes()
    resolved = masked(asdict(config))
    config_file = directory / CONFIG_FILE
    save_run_config(resolved, config_file)
    phases = Phases(meter, synchronize)
    status: Status = "failed"
    error: str | None = None
    origin = provenance()
    tracker.start(name, flat(resolved), origin)
    try:
        phases.start()
        _train_and_evaluate(config, directory, notes, phases, tracker, test, show_epochs)
        status = "finished"
    except KeyboardInterrupt:
        status, error = "stopped", f"interrupted in epoch {len(notes.history) + 1}"
        raise
    except GreensweepError as fault:
        error = str(fault)
        raise
    except Exception as fault:
        error = f"{type(fault).__name__}: {first_line(fault)}"
        raise
    finally:
        phases.stop()
        result = replace(
            _result(config, notes, phases),
            status=status,
            error=error,
            trial=trial,
            overrides=tuple(overrides),
            provenance=origin,
            mlflow_run_id=tracker.run_id,
        )
        _record(result, directory, tracker, [config_file])
    return result


def _train_and_evaluate(
    config: TrainConfig,
    directory: Path,
    notes: _Notes,
    phases: Phases,
    tracker: Tracker,
    test: bool,
    show_epochs: ShowEpochs | None,
) -> None:
    training = config.training
    with phases.phase("setup"):
        device = choose_device(training.device)
        notes.device = device_name(device)
        notes.grid = declared_grid(config.energy)
        start_state(training, config.seed)
        splits = load_splits(config.dataset, config.seed)
        model = build_model(config.model, splits.image_shape, len(splits.classes)).to(device)
        census = take_census(model, splits.image_shape, len(splits.classes))
        notes.census = census
        use_threads(training.threads, _step_flops(census, training.batch_size))
        normalise = Normalise(*splits.statistics, device, training.memory_format)
        if training.memory_format == "channels_last":
            model = model.to(memory_format=normalise.layout)
        train_split, validation_split = splits.train.to(device), splits.validation.to(device)
        score = partial(
            evaluate,
            model,
            normalise=normalise,
            batch_size=training.evaluation_batch_size,
            dtype=autocast_dtype(training.precision, device),
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
    with phases.phase("warmup"):
        warm_up(model, train_split, normalise, training=training)

    weights: dict[str, Tensor] | None = None
    before = phases.of("training")
    epochs: Iterable[Epoch] = phases.each("training", trained)
    for epoch in show_epochs(epochs, training.epochs) if show_epochs else epochs:
        spent = phases.of("training")
        with phases.phase("evaluation"):
            validation = score(split=validation_split)
            if notes.validation_accuracy is None or validation.accuracy > notes.validation_accuracy:
                notes.validation_accuracy = validation.accuracy
                notes.best_epoch = epoch.number
                weights = copy_weights(model, into=weights)
        notes.history.append(_point(epoch, validation, before, spent))
        before = spent
        tracker.log_step(history_metrics(notes.history[-1]), step=epoch.number)
        if _no_longer_improves(notes, epoch, training.patience):
            break

    assert weights is not None
    notes.checkpoint = save_weights(weights, directory)
    if test:
        with phases.phase("test"):
            model.load_state_dict(weights)
            notes.test_accuracy = score(split=splits.test.to(device)).accuracy


def _step_flops(census: LayerCensus, batch_size: int) -> float | None:
    """Forward and backward of one batch; the backward pass takes about twice the forward's."""
    return None if census.flops is None else 3.0 * census.flops * batch_size


def _no_longer_improves(notes: _Notes, epoch: Epoch, patience: int | None) -> bool:
    return patience is not None and epoch.number - (notes.best_epoch or 0) >= patience


def _point(
    epoch: Epoch, validation: Evaluation, before: EnergyReading, after: EnergyReading
) -> dict[str, float | None]:
    joules = None if after.joules is None else after.joules - (before.joules or 0.0)
    return {
        "epoch": epoch.number,
        "train_loss": epoch.loss,
        "validation_loss": validation.loss,
        "validation_accuracy": validation.accuracy,
        "energy_joules": joules,
        "seconds": after.seconds - before.seconds,
    }


def _result(config: TrainConfig, notes: _Notes, phases: Phases) -> RunResult:
    training = phases.of("training")
    census = notes.census
    return RunResult(
        status="finished",
        error=None,
        model=model_name(config.model),
        dataset=config.dataset.name,
        seed=config.seed,
        device=notes.device,
        validation_accuracy=notes.validation_accuracy,
        test_accuracy=notes.test_accuracy,
        energy_joules=training.joules,
        energy_spent_joules=phases.total.joules,
        energy_kwh=training.kwh,
        energy_components={name: asdict(part) for name, part in training.components.items()},
        energy_quality=training.quality,
        energy_measured_share=training.measured_share,
        energy_constant_share=training.constant_share,
        energy_phases={
            name: {"joules": reading.joules, "seconds": reading.seconds}
            for name, reading in phases.readings.items()
        },
        emissions_kg=notes.grid.emissions_kg(training.kwh) if notes.grid else None,
        emissions_grid=notes.grid.declared if notes.grid else None,
        seconds=training.seconds if "training" in phases.readings else None,
        epochs=len(notes.history),
        best_epoch=notes.best_epoch,
        history=tuple(notes.history),
        layers=census.layers if census else {},
        layer_modules=census.layer_modules if census else {},
        parameters=census.parameters if census else None,
        trainable_parameters=census.trainable_parameters if census else None,
        flops=census.flops if census else None,
        checkpoint=str(notes.checkpoint) if notes.checkpoint else None,
    )


def _record(result: RunResult, directory: Path, tracker: Tracker, artifacts: list[Path]) -> None:
    """Write the file and the tracked run; one that cannot be written does not cost the other."""
    unwritten: OSError | None = None
    try:
        artifacts = [*artifacts, write_result(result, directory)]
    except OSError as error:
        unwritten = error
    tracker.finish(TRACKED_STATUS[result.status], result.metrics(), result.tags(), artifacts)
    if unwritten is not None:
        raise unwritten
