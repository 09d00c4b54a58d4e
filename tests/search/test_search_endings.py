"""However a run ends, and whichever kind it is, it leaves a result that says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from searches import RANDOM, Search, spec

from greensweep.config.schema import TrainConfig
from greensweep.energy import ScriptedMeter
from greensweep.errors import StudyError, TrialEnded
from greensweep.record.reporting import Progress, monitored_by, report
from greensweep.record.result import RunResult, read_result, write_result
from greensweep.runs.once import run_once
from greensweep.runs.repeats import run_repeats
from greensweep.runs.replay.run import replay_once
from greensweep.search.trial import read_trial_file
from greensweep.tracking.tracker import MemoryTracker

Compose = Callable[..., TrainConfig]

QUICK = ("training.epochs=2", "dataset.train_limit=64", "inference.seconds=0")
TABLE = "learning_rate,epoch,accuracy,energy_joules\n1,1,0.5,5\n1,2,0.6,10\n"

EARLY = [
    (TrialEnded("pruned", "beaten by trial 0"), "pruned", "beaten by trial 0"),
    (TrialEnded("stopped", "the budget is used up"), "stopped", "the budget is used up"),
    (KeyboardInterrupt(), "stopped", "interrupted"),
    (StudyError("rule, value, way out"), "failed", "rule, value, way out"),
    (ValueError("shapes differ\nin detail"), "failed", "ValueError: shapes differ"),
    (SystemExit(3), "failed", "the program ended itself with status 3"),
]
TRACKED = {"failed": "FAILED", "pruned": "FINISHED", "stopped": "KILLED"}


class EndsAfterAnEpoch:
    """A search that ends the run after its first epoch."""

    def __init__(self, by: BaseException | None) -> None:
        self._by = by

    def on_epoch(self, progress: Progress) -> None:
        if self._by is not None and progress.epoch == 1:
            raise self._by

    def on_repeat(self, progress: Progress) -> None:
        pass


def start(kind: str, config: Compose, folder: Path, tracker: MemoryTracker) -> None:
    asked: dict[str, Any] = {"tracker": tracker, "trial": 4, "overrides": ("seed=1",)}
    measured: dict[str, Any] = {"meter": ScriptedMeter([(1.0, 5.0)]), "test": False}
    if kind == "once":
        run_once(config(*QUICK), folder, **asked, **measured)
    elif kind == "repeats":
        run_repeats(config(*QUICK, "repeats=2"), folder, **asked, **measured)
    else:
        table = folder.with_suffix(".csv")
        table.write_text(TABLE)
        replay = config("training=replay", f"replay.table={table}", "training.epochs=2")
        replay_once(replay, folder, **asked)


@pytest.mark.parametrize(("by", "status", "error"), EARLY)
@pytest.mark.parametrize("kind", ["once", "repeats", "replay"])
def test_a_run_that_ends_early_leaves_what_it_came_to(
    kind: str, by: BaseException, status: str, error: str, config: Compose, tmp_path: Path
) -> None:
    tracker = MemoryTracker(run_id="7")
    with monitored_by(EndsAfterAnEpoch(by)), pytest.raises(type(by)) as ended:
        start(kind, config, tmp_path / "run", tracker)
    assert ended.value is by
    left = read_result(tmp_path / "run")
    if kind == "repeats":
        failed = " failed" if status == "failed" else ""
        expected = f"repeat 1 of 2{failed}: {error}"
        one_repeat = read_result(tmp_path / "run/repeats/0")
        assert one_repeat.status == status
    else:
        expected = error
    if isinstance(by, KeyboardInterrupt):
        expected = f"interrupted in {'repeat 1 of 2' if kind == 'repeats' else 'epoch 2'}"
    assert (left.status, left.error) == (status, expected)
    assert (left.trial, left.overrides, left.mlflow_run_id) == (4, ("seed=1",), "7")
    assert left.energy_spent_joules
    assert left.energy_spent_joules >= 5.0
    assert (tmp_path / "run" / "config.yaml").is_file()
    assert "version.python" in left.provenance
    assert tracker.status == TRACKED[status]
    assert tracker.tags["error"] == expected


@pytest.mark.parametrize("kind", ["once", "repeats", "replay"])
def test_a_run_that_finishes_says_so(kind: str, config: Compose, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    with monitored_by(EndsAfterAnEpoch(None)):
        start(kind, config, tmp_path / "run", tracker)
    left = read_result(tmp_path / "run")
    assert (left.status, left.error, left.epochs) == ("finished", None, 2)
    assert tracker.status == "FINISHED"


@pytest.mark.parametrize(("by", "status", "error"), EARLY)
def test_a_trial_of_any_program_that_ends_early_leaves_what_it_came_to(
    by: BaseException, status: str, error: str, tmp_path: Path
) -> None:
    def task(_: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=5.0, epochs=2)
        raise by

    search = Search(spec(tmp_path, 1, sampler=RANDOM), task)
    claim = search.take()
    if isinstance(by, TrialEnded):
        search.run_one(claim)
    else:
        expected = StudyError if isinstance(by, SystemExit) else type(by)
        with pytest.raises(expected):
            search.run_one(claim)
    settled = read_trial_file(search.folder(claim.number))
    assert settled is not None
    left = settled.outcome
    assert (left.status, left.error, left.spent_joules) == (status, error, 5.0)
    assert left.interrupted == isinstance(by, KeyboardInterrupt)


@pytest.mark.parametrize(("metric", "value"), [("macro_f1", 0.5), ("accuracy", None)])
def test_a_trial_has_the_metric_of_its_run_that_the_search_goes_by(
    tmp_path: Path, metric: str, value: float | None
) -> None:
    result = RunResult(
        *("finished", None, "m", "d", 0),
        validation_accuracy=0.9,
        metrics={"validation": {"macro_f1": 0.5}},
        objective_metric=metric,
    )
    search = Search(spec(tmp_path, 1, sampler=RANDOM), lambda _: 0.5)
    reserved = search.take()
    search.folder(reserved.number).mkdir()
    write_result(result, search.folder(reserved.number))
    search.run_one(reserved)
    left = read_trial_file(search.folder(reserved.number))
    assert left is not None
    assert (left.outcome.accuracy, left.outcome.metric_value) == (0.9, value)
