"""Searches answered from the recorded `learning_curves.csv`, in memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from greensweep.record.reporting import report
from greensweep.runs.replay.table import RecordedPoint, RecordedTable, read_table
from greensweep.search.optuna_internals import trial_of
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_study
from greensweep.search.trial import run_trial
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

TABLE = Path(__file__).resolve().parent / "learning_curves.csv"
OPTIONS = (
    "optimizer.learning_rate",
    "optimizer.beta1",
    "training.batch_size",
    "model.conv_layers",
)
EPOCHS = 10


def read_curves(path: Path = TABLE) -> RecordedTable:
    """Read the recorded configurations."""
    return read_table(path, options=OPTIONS)


def search(
    curve_of: Callable[[ReservedTrial], Sequence[RecordedPoint]], **asked: Any
) -> Iterator[FrozenTrial]:
    """Run a search as the sweeper does, and yield each trial when it is settled.

    Args:
        curve_of: what training a trial's point comes to, epoch by epoch.
        asked: of `SearchSpec`.
    """
    with TemporaryDirectory() as temporary:
        spec = SearchSpec(
            directory=Path(temporary), study_name="study", storage="sqlite:///in-memory", **asked
        )
        study = open_study(spec, InMemoryStorage())
        queue = TrialQueue(spec, study, lambda trial: spec.directory / str(trial.number))
        queue.prepare()
        while isinstance(reserved := queue.reserve(), ReservedTrial):
            curve = curve_of(reserved)

            def train(curve: Sequence[RecordedPoint] = curve) -> Any:
                for point in curve:
                    report(
                        epoch=point.epoch,
                        accuracy=point.accuracy,
                        joules=point.joules,
                        epochs=len(curve),
                    )
                values = max(point.accuracy for point in curve), curve[-1].joules
                return values[: len(spec.directions)]

            run_trial(spec, study, reserved.number, train, spec.directory / str(reserved.number))
            yield trial_of(study, reserved.number)
