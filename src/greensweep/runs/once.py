"""One run: build the data and the model, count, train under the meter, evaluate, record."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from greensweep.config.schema import TrainConfig
from greensweep.energy import Meter
from greensweep.errors import GreensweepError
from greensweep.record.history import History
from greensweep.record.metered import metered
from greensweep.record.recorded_run import initial_result, recorded_run
from greensweep.record.reporting import report_progress
from greensweep.record.result import CHECKPOINT_FILE, LAYER_ENERGY_FILE, RunResult
from greensweep.runs.checkpoint import KeptWeights, write_tensors
from greensweep.runs.fit import Report, RunUnderWay, ShowEpochs, fit, note_metrics
from greensweep.runs.resume import ResumableRun
from greensweep.runs.setup import set_up
from greensweep.runs.trained import attribute_layer_energy, measure_inference
from greensweep.tracking.tracker import Tracker
from greensweep.training import deterministic

log = logging.getLogger(__name__)


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
    training = config.training
    resumable = ResumableRun(directory, config, tracker)
    with (
        recorded_run(
            initial_result(config, trial, overrides), asdict(config), directory, tracker, name
        ) as run,
        metered(run, meter, config.energy) as phases,
        deterministic(training.deterministic),
    ):
        with phases.phase("setup"):
            setup = set_up(config, run)
            kept = KeptWeights(setup.model, setup.objective, keep_last=training.keep == "last")
        with closing(setup.training):
            with phases.phase("warmup"):
                setup.training.warm_up()
                capture = setup.training.capture
                run.note(capture=capture.mode, capture_reason=capture.reason)

            history = History(config.select_on, tracker, trained=phases.of("training"))
            under_way = RunUnderWay(setup, kept, history, run, phases)
            resumable.resume(under_way)
            fit(under_way, report, show_epochs, after_epoch=partial(resumable.keep, under_way))
        write_tensors(kept.weights, directory / CHECKPOINT_FILE)
        run.note(checkpoint=str(directory / CHECKPOINT_FILE))

        if config.inference.seconds != 0:
            with _optional("inference"):
                run.note(inference=measure_inference(setup, phases))
        if config.layer_energy:
            with _optional("layer_energy"):
                attribute_layer_energy(setup, run, phases, directory / LAYER_ENERGY_FILE)

        if config.select_on == "test":
            with phases.phase("evaluation"):
                kept.restore()
                note_metrics(run, "validation", setup.evaluate(setup.validation, "validation"))
        elif test:
            with phases.phase("test"):
                kept.restore()
                note_metrics(run, "test", setup.evaluate(setup.test, "test"))
    resumable.end()
    return run.result


@contextmanager
def _optional(what: str) -> Iterator[None]:
    """Let a measurement fail, with a warning, that the trained model does not depend on."""
    try:
        yield
    except GreensweepError as error:
        log.warning("No figures of %s: %s.", what, error)
