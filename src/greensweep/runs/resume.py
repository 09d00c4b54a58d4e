"""Go on with a training that died: `training.resume=true` keeps its state after each epoch."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from greensweep.config.schema import TrainConfig
from greensweep.energy import EnergyReading
from greensweep.errors import StudyError, first_line
from greensweep.files import put_aside
from greensweep.nested import dotted, from_json, to_json
from greensweep.record.result import RunResult, find_result
from greensweep.runs.checkpoint import copy_weights, restore_weights, write_tensors
from greensweep.runs.fit import RunUnderWay
from greensweep.secrets.data import masked
from greensweep.tracking.tracker import Tracker

log = logging.getLogger(__name__)

STATE_FILE = "training_state.pt"

# What may be set anew: where and how the run is recorded, and what is done after training.
_FREE = re.compile(
    r"(tracking|energy|report|inference)\.|layer_energy$|objective\.(?!metric$)"
    r"|training\.(resume|devices?|threads)$"
)
# Figures of the result that epochs have set.
_NOTED = ("epochs", "best_epoch", "metrics", "validation_accuracy", "test_accuracy", "history")


class ResumableRun:
    """Keeps the state of a run after each epoch, and puts it back; without the option, nothing.

    A run that goes on is the same run to its tracker.

    Raises:
        StudyError: the run in this folder has finished, or was begun with other options.
    """

    def __init__(self, directory: Path, config: TrainConfig, tracker: Tracker) -> None:
        self._path, self._config, self._tracker = directory / STATE_FILE, config, tracker
        self._state: Mapping[str, Any] | None = None
        if config.training.resume:
            self._state = _read_state(directory, config)
        if self._state is not None:
            tracker.run_id = self._state["tracked_as"]

    def resume(self, under_way: RunUnderWay) -> None:
        """Put back what was kept, once the network is warmed up; do nothing where nothing was.

        The energy of the earlier process is that up to its last epoch. What it used after that is
        not known.
        """
        state = self._state
        if state is None:
            return
        training = under_way.setup.training
        restore_weights(training.network, state["network"])
        training.resume(state["training"])
        under_way.kept.resume(state["kept"])
        for name, reading in state["readings"].items():
            under_way.phases.add(name, from_json(EnergyReading, reading))
        earlier = from_json(RunResult, state["result"])
        assigned = state["assigned"]
        under_way.history.resume(
            earlier.history, assigned["points"], from_json(EnergyReading, assigned["to"])
        )
        under_way.run.note(**{name: getattr(earlier, name) for name in _NOTED})
        log.info(
            f"Going on after epoch {earlier.epochs}: energy that an earlier process used after it "
            "is not known."
        )

    def keep(self, under_way: RunUnderWay) -> None:
        """Write the state as it stands, whole or not at all.

        Raises:
            OSError: the run's folder cannot be written to.
        """
        if not self._config.training.resume:
            return
        training, (points, assigned) = under_way.setup.training, under_way.history.assigned
        state = {
            "options": _options_of(self._config),
            "training": training.state(),  # which brings the network home, of other processes
            "network": copy_weights(training.network, into=None),
            "kept": under_way.kept.state(),
            "assigned": {"points": points, "to": to_json(assigned)},
            "readings": to_json(under_way.phases.readings),
            "result": to_json(under_way.run.result),
            "tracked_as": self._tracker.run_id,
        }
        write_tensors(state, self._path)

    def end(self) -> None:
        """Remove the state of a run that finished."""
        if self._config.training.resume:
            self._path.unlink(missing_ok=True)


def _read_state(directory: Path, config: TrainConfig) -> Mapping[str, Any] | None:
    """Read the state from which a run goes on; None where it begins."""
    path = directory / STATE_FILE
    if not path.is_file():
        result = find_result(directory)
        if result is not None and result.status == "finished":
            raise StudyError(
                f"the run in {directory} has finished, and there is nothing to resume: name a new "
                "hydra.run.dir"
            )
        return None
    try:
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        options = state["options"]
    except Exception as error:  # half a file, or another's
        put_aside(path, first_line(error))
        log.warning("%s was broken, so the run begins anew.", path)
        return None
    asked = _options_of(config)
    for name in sorted(asked.keys() | options.keys()):
        if asked.get(name) != options.get(name):
            raise StudyError(
                f"the run in {directory} was begun with {name}={options.get(name)}, and "
                f"training.resume=true goes on with the same, got {asked.get(name)}: set it as it "
                "was, or name a new hydra.run.dir"
            )
    return state


def _options_of(config: TrainConfig) -> dict[str, Any]:
    """Return the options that what a run learns depends on, as plain values without secrets."""
    options = dotted(masked(asdict(config)))
    return {
        name: value if isinstance(value, str | int | float | None) else repr(value)
        for name, value in options.items()
        if not _FREE.match(name)
    }
