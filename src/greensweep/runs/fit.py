"""Train epoch by epoch under the meter: evaluate, keep the best weights, report."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from greensweep.energy import Phases
from greensweep.errors import DataError
from greensweep.record.history import History
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.reporting import Progress
from greensweep.runs.checkpoint import KeptWeights
from greensweep.runs.setup import Setup
from greensweep.training import Epoch, Evaluation

ShowEpochs = Callable[[Iterable[Epoch], int], Iterable[Epoch]]
Report = Callable[[Progress], None]


@dataclass(frozen=True)
class RunUnderWay:
    """What a run trains, what it keeps of it, and where its figures and its energy go."""

    setup: Setup
    kept: KeptWeights
    history: History
    run: RecordedRun
    phases: Phases


def fit(
    under_way: RunUnderWay,
    report: Report,
    show_epochs: ShowEpochs | None,
    after_epoch: Callable[[], None],
) -> None:
    """Train until the last epoch, or until `training.patience` ends it.

    Only the making of an epoch is charged to the phase `training`.

    Args:
        report: takes what the run has come to after each epoch.
        show_epochs: wraps the epochs, given their number, to show progress.
        after_epoch: keeps what each has come to.

    Raises:
        TrialEnded: the search that the run is part of ended it.
        DataError: no image could be read, or the metric that chooses is undefined.
        TrainingError: the loss is no longer finite, memory ran out, or the model failed.
    """
    setup, kept, history = under_way.setup, under_way.kept, under_way.history
    run, phases = under_way.run, under_way.phases
    config, training = setup.config, setup.config.training
    selecting = setup.test if config.select_on == "test" else setup.validation
    report(_progress(0, None, setup, phases))
    epochs: Iterable[Epoch] = phases.each("training", setup.training)
    try:
        for epoch in show_epochs(epochs, training.epochs) if show_epochs else epochs:
            trained = phases.of("training")
            with phases.phase("evaluation"):
                reached = setup.evaluate(selecting, config.select_on)
                is_kept = kept.keep(epoch.number, reached.metrics[setup.objective.name])
            setup.training.evaluation_loss = reached.loss
            if is_kept:
                run.note(best_epoch=epoch.number)
                note_metrics(run, config.select_on, reached)
            figures = {"loss": reached.loss, "accuracy": reached.accuracy, **reached.metrics}
            history.add(epoch.number, epoch.loss, figures, trained)
            run.note(epochs=epoch.number, history=history.points)
            if kept.best_epoch == 0:
                raise DataError(
                    f"{setup.objective.name} is undefined on the {config.select_on} split, so that "
                    "no epoch can be chosen by it: set another objective.metric, or give the split "
                    "more data"
                )
            after_epoch()
            report(_progress(epoch.number, reached, setup, phases))
            waited = epoch.number - kept.best_epoch
            if training.patience is not None and waited >= training.patience:
                break
    finally:
        history.finish()
        run.note(history=history.points)


def note_metrics(run: RecordedRun, split: str, reached: Evaluation) -> None:
    """Note what the kept weights reach on a split."""
    run.note(
        metrics={**run.result.metrics, split: dict(reached.metrics)},
        **{f"{split}_accuracy": reached.accuracy},
    )


def _progress(epoch: int, reached: Evaluation | None, setup: Setup, phases: Phases) -> Progress:
    trained, total = phases.of("training"), phases.total
    return Progress(
        epoch,
        reached.accuracy if reached else None,
        trained.joules,
        total.joules,
        setup.config.training.epochs,
        metric=setup.objective.name,
        direction=setup.objective.direction,
        metric_value=reached.metrics[setup.objective.name] if reached else None,
        seconds=trained.seconds,
        quality=trained.quality,
        lost=total.lost,
        known={
            "parameters": setup.census.parameters,
            "trainable_parameters": setup.census.trainable_parameters,
            "flops": setup.census.flops,
        },
    )
