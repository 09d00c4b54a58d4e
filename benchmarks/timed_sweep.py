"""Run `src/train.py` with the arguments given, and time each trial of its sweep.

The sweep is the user's own, unchanged: functions are replaced by ones that also look at the clock.
`overhead.py` starts this and lets it take turns with `handwritten_sweep.py`.
"""

import functools
import runpy
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from interleaved import Turn
from stopwatch import Stopwatch

from greensweep.app import training
from greensweep.energy.machine import MachineMeter
from greensweep.record import recorded_run
from greensweep.runs import checkpoint, network, once, setup
from greensweep.study import winners
from greensweep.tracking.mlflow_tracker import MlflowTracker
from greensweep.training import Training

TRAIN = Path(__file__).resolve().parents[1] / "src" / "train.py"

# What a hand-written program does as well, and what is no overhead in either.
WORK = "work"
# Inside `app.train`; none lies within another. "part: " marks them among the record's keys.
PARTS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("tracking", MlflowTracker, ("start", "log_step", "finish")),
    ("metering", MachineMeter, ("start", "lap", "stop")),
    ("census", setup, ("take_census",)),
    ("warm-up", Training, ("warm_up",)),
    ("weights and result.json", checkpoint, ("copy_weights",)),
    ("weights and result.json", once, ("write_tensors",)),
    ("weights and result.json", recorded_run, ("write_result",)),
    ("config.yaml", recorded_run, ("save_run_config",)),
    ("winners' bookkeeping", winners, ("drop_beaten_weights",)),
)


class TrialTimer:
    """Cuts the sweep into trials, from one launch to the next.

    A trial's time holds its own launch and what the sweeper does before the next: telling Optuna
    the value, asking for the next trial.
    """

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch
        self._turn = Turn()
        self._began: float | None = None

    def cut(self) -> None:
        """End the present trial, if there is one, and wait for the turn of the next."""
        if self._began is not None:
            seconds = self._watch.take()
            seconds["trial"] = perf_counter() - self._began
            self._turn.hand_over(seconds)
        self._turn.wait()
        self._watch.take()
        self._began = perf_counter()


def main() -> None:
    """Replace the functions, then run the script as `python src/train.py` would."""
    watch = Stopwatch()
    watch.on_items(Training, "__iter__", WORK)
    for name in ("evaluate", "load_splits", "build_model"):
        watch.on_calls(network, name, WORK)
    for part, owner, attributes in PARTS:
        for attribute in attributes:
            watch.on_calls(owner, attribute, f"part: {part}")
    watch.on_calls(training, "train", "task")

    timer = TrialTimer(watch)
    launch = BasicLauncher.launch

    @functools.wraps(launch)
    def timed_launch(*args: Any, **kwargs: Any) -> Any:
        timer.cut()
        with watch.over("launch"):
            return launch(*args, **kwargs)

    BasicLauncher.launch = timed_launch  # type: ignore[method-assign]
    sys.argv = [str(TRAIN), *sys.argv[1:]]
    runpy.run_path(str(TRAIN), run_name="__main__")


if __name__ == "__main__":
    main()
