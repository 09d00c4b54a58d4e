"""A run that leaves its result, however it ends: in `result.json` and in the tracker."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from greensweep.config.schema import TrainConfig
from greensweep.config.schema_model import model_name
from greensweep.config.store import save_run_config
from greensweep.record.ending import Ending, Status, ctrl_c_or, ending_of
from greensweep.record.result import CONFIG_FILE, RunResult, write_result
from greensweep.record.tracked_names import tracked_metrics, tracked_params, tracked_tags
from greensweep.tracking.provenance import provenance
from greensweep.tracking.tracker import RunStatus, Tracker

TRACKED_STATUS: dict[Status, RunStatus] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "FINISHED",
    "stopped": "KILLED",
}
# The other way round, of runs that only a tracker knows: a pruned one looks finished.
STATUS_OF_TRACKED = {
    tracked: status for status, tracked in TRACKED_STATUS.items() if status != "pruned"
}


@dataclass
class RecordedRun:
    """A run while it is recorded.

    Attributes:
        result: what is known so far; a run that breaks off leaves that.
        files: kept by the tracker beside `result.json`.
        repeat: which of several trainings runs, in words; empty for a run of one.
    """

    result: RunResult
    files: list[Path] = field(default_factory=list)
    repeat: str = ""

    def note(self, **figures: Any) -> None:
        self.result = replace(self.result, **figures)

    def ended_by(self, raised: BaseException) -> Ending:
        """Return how an exception ends the run, and where."""
        ending = ending_of(raised)
        if isinstance(ctrl_c_or(raised), KeyboardInterrupt):
            where = self.repeat or f"epoch {self.result.epochs + 1}"
            return replace(ending, error=f"{ending.error} in {where}")
        if self.repeat:
            failed = " failed" if ending.status == "failed" else ""
            return replace(ending, error=f"{self.repeat}{failed}: {ending.error}")
        return ending


def initial_result(config: TrainConfig, trial: int | None, overrides: Iterable[str]) -> RunResult:
    """Return the result of a run of which no more is known than what was asked."""
    _, objective = config.chosen_metrics()
    return RunResult(
        status="failed",
        error=None,
        model=model_name(config.model),
        dataset=config.dataset.name,
        seed=config.seed,
        objective_metric=objective.name,
        objective_direction=objective.direction,
        selected_on_test=config.select_on == "test",
        trial=trial,
        overrides=tuple(overrides),
    )


@contextmanager
def recorded_run(
    initial: RunResult, config: Mapping[str, Any], directory: Path, tracker: Tracker, name: str
) -> Iterator[RecordedRun]:
    """Record what the block does as one run, and leave `config.yaml` and `result.json`.

    Args:
        initial: what is known before the run.
        config: its options, plain data.
        directory: the run's own; made where it is missing.
        tracker: not yet started.

    Raises:
        BaseException: what the block raised; the result says so and holds what was noted.
        OSError: a file cannot be written; the tracker has the result.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config_file = directory / CONFIG_FILE
    save_run_config(config, config_file)
    run = RecordedRun(replace(initial, provenance=provenance(initial.dataset)), [config_file])
    ending = Ending("finished")
    try:
        tracker.start(name, tracked_params(config, initial), run.result.provenance)
        yield run
    except BaseException as raised:
        ending = run.ended_by(raised)
        raise
    finally:
        run.note(status=ending.status, error=ending.error, mlflow_run_id=tracker.run_id)
        record_result(run.result, directory, tracker, run.files)


def record_result(result: RunResult, directory: Path, tracker: Tracker, files: list[Path]) -> None:
    """Write the file and the tracked run; one that cannot be written does not cost the other.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        # Until the store has all of it: who is killed meanwhile leaves a run that `upload` ends.
        pending = replace(result, mlflow_incomplete=tracker.run_id is not None)
        file = write_result(pending, directory)
    finally:
        tracker.finish(
            TRACKED_STATUS[result.status], tracked_metrics(result), tracked_tags(result), files
        )
    if pending.mlflow_incomplete != tracker.incomplete:
        write_result(replace(result, mlflow_incomplete=tracker.incomplete), directory)
    tracker.attach([file])
