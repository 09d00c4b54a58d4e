"""The result of one run, and its file `result.json`."""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from greensweep.config import Direction
from greensweep.energy import Quality
from greensweep.errors import StudyError
from greensweep.files import read_json, write_text
from greensweep.record.ending import Status
from greensweep.secrets import masked

log = logging.getLogger(__name__)

RESULT_FILE = "result.json"
CONFIG_FILE = "config.yaml"
CHECKPOINT_FILE = "model.pt"
LAYER_ENERGY_FILE = "layer_energy.csv"
REPEATS_FOLDER = "repeats"

_SPREAD_NAMES = {
    "energy_joules": "energy/total_joules",
    "energy_net_joules": "energy/net_joules",
}


@dataclass(frozen=True)
class RunResult:
    """Everything that one run gives, as `result.json` holds it. Unknown is null, never 0.

    Attributes:
        status: how the run ended.
        error: one sentence on why it did not finish, or None.
        validation_accuracy: of the kept weights, 0 to 1; None of a task without classes.
        test_accuracy: likewise; None inside a sweep, until its winners are tested,
            unless `selected_on_test`.
        metrics: of the kept weights, by split and name: those that `metrics` asked for, and the
            objective's; None where one is undefined.
        objective_metric: name of the metric by which epochs are kept and trials compared.
        objective_direction: in which it is better.
        selected_on_test: epochs and trials are chosen by the test split, on purpose.
        energy_joules: gross energy of the training windows, as it compares whatever ran beside:
            `energy_basis` names what it is.
        energy_basis: `reading`: what the counters or models of the machine say; `work_and_idle`:
            of a shared machine, the run's part of the energy above idle and the idle power over
            the seconds that it would have taken alone; `share`: its part of all energy, where the
            idle power is not known; None without joules.
        energy_comparable: `energy_joules` may be compared with other runs', which `share` may not.
        energy_net_joules: the same less the idle baseline; None without one.
        energy_idle_joules: of `energy_joules`, the idle machine's; None where that is not known.
        energy_charged_joules: the run's part of what the machine used, with idle power shared by
            time: parts of runs side by side and the remainder add up to the machine.
        energy_spent_joules: gross energy of all phases and repeats: what the run cost.
        energy_kwh: `energy_joules` in kilowatt-hours.
        energy_uncertainty_joules: how far `energy_joules` may be off from run to run: what counters
            do not tell at the edges of the training windows, and models of the same work; None
            where that is not known.
        energy_gap_joules: used while the process was stopped or the machine slept, and charged to
            no phase; None where it was not.
        gap_seconds: how long that was, in none of the other seconds. Over repeats both add up.
        energy_components: joules, net_joules, uncertainty_joules, source and quality of cpu, gpu
            and ram, training windows.
        energy_quality: quality that the components share, mixed when they differ.
        energy_measured_share: share of `energy_joules` that hardware counters gave, 0 to 1.
        energy_constant_share: share of `energy_joules` that is a constant power times seconds.
        energy_contended: the machine was shared for a notable part of the training windows.
        energy_contended_by: with whom: "runs of Greensweep", "others", or both, comma-separated.
        energy_neighbours: how many other metered runs at a time, at most.
        energy_key: by what such a run's share was told: cpu_time, and gpu_time for a GPU's; None
            where it was alone.
        energy_phases: joules, net_joules, seconds and quality by phase; "other" is what lies
            between. Over repeats they add up.
        inference: joules_per_1000, uncertainty_joules_per_1000 and seconds_per_1000 samples of the
            validation split, images seen, batch_size and quality; empty where not measured.
        layer_energy: joules by layer type that share out `energy_joules`, and of data, loss,
            optimizer, launch (on a GPU) and other; their shares, the key (time or kernel_time),
            the sampled steps and what the sampling cost; empty without `layer_energy=true`.
        emissions_kg: kg CO2e of `energy_joules`; None without a declared grid.
        emissions_grid: how the grid was declared.
        seconds: length of the training windows.
        epochs: epochs trained.
        best_epoch: epoch of the kept weights, from 1.
        history: per epoch: train_loss, energy_joules, seconds, and loss and accuracy on the split
            that selects: validation_loss and validation_accuracy, or test_loss and test_accuracy,
            and the other metrics likewise.
            Epochs too short for the counters have the mean energy of `energy_epochs` together.
        layers: layer calls in one forward pass in evaluation mode, by type.
        layer_modules: modules without children, by type.
        parameters, trainable_parameters: scalars.
        flops: per image, forward; a multiply-add is 2.
        flops_left_out: operators that ran and have no formula: with any, `flops` is too low.
        model, dataset, seed, device: what ran, and where.
        capture, capture_reason: how training steps were taken (graph, compile or none), and why.
        trial: number in its sweep, from 0; None for a single run.
        overrides: what the command or the sweeper set.
        provenance: commit, versions and hardware, as tags.
        mlflow_run_id: the run in MLflow, or None.
        mlflow_incomplete: MLflow refused a part of that run, which `upload` sends.
        checkpoint: path of the kept weights, of the most accurate repeat; or None.
        repeats: trainings of this configuration, with different seeds; figures are their means.
        repeat_runs: seed, validation_accuracy, test_accuracy, metrics, energy_joules, status and
            mlflow_run_id of each.
        spread: of validation_accuracy, test_accuracy, other metrics likewise, energy_joules and
            energy_net_joules over repeats: the standard deviation `std`, and `low` and `high`, the
            95 % confidence interval of the mean by Student's t.
        replayed: of a run that a recorded table answered: the table, the method, the nearest
            line, its distance, whether that is outside of the recorded ones, and why; empty for
            a run that trained.
    """

    status: Status
    error: str | None
    model: str
    dataset: str
    seed: int
    device: str | None = None
    capture: str | None = None
    capture_reason: str | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    objective_metric: str = "accuracy"
    objective_direction: Direction = "maximize"
    selected_on_test: bool = False
    energy_joules: float | None = None
    energy_basis: str | None = None
    energy_comparable: bool = True
    energy_net_joules: float | None = None
    energy_idle_joules: float | None = None
    energy_charged_joules: float | None = None
    energy_spent_joules: float | None = None
    energy_kwh: float | None = None
    energy_uncertainty_joules: float | None = None
    energy_gap_joules: float | None = None
    gap_seconds: float = 0.0
    energy_components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    energy_quality: Quality = "unmeasured"
    energy_measured_share: float | None = None
    energy_constant_share: float | None = None
    energy_contended: bool = False
    energy_contended_by: str | None = None
    energy_neighbours: int = 0
    energy_key: str | None = None
    energy_phases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    layer_energy: Mapping[str, Any] = field(default_factory=dict)
    emissions_kg: float | None = None
    emissions_grid: str | None = None
    seconds: float | None = None
    epochs: int = 0
    best_epoch: int | None = None
    history: tuple[Mapping[str, float | None], ...] = ()
    layers: Mapping[str, int] = field(default_factory=dict)
    layer_modules: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None
    trainable_parameters: int | None = None
    flops: int | None = None
    flops_left_out: tuple[str, ...] = ()
    trial: int | None = None
    overrides: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    mlflow_run_id: str | None = None
    mlflow_incomplete: bool = False
    checkpoint: str | None = None
    repeats: int = 1
    repeat_runs: tuple[Mapping[str, Any], ...] = ()
    spread: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    replayed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """The accuracy on the split that selects, 0 to 1."""
        return self.test_accuracy if self.selected_on_test else self.validation_accuracy

    @property
    def objective_value(self) -> float | None:
        """The metric that a search goes by, `objective_metric`, on the split that selects."""
        if self.objective_metric == "accuracy":  # also of results that have no other
            return self.accuracy
        split = "test" if self.selected_on_test else "validation"
        return self.metrics.get(split, {}).get(self.objective_metric)

    def tracked_metrics(self) -> dict[str, float]:
        """Return the figures under the names that MLflow shows; unknown ones are left out."""
        named: dict[str, float | None] = {
            "validation/accuracy": self.validation_accuracy,
            "test/accuracy": self.test_accuracy,
            "energy/total_joules": self.energy_joules,
            "energy/net_joules": self.energy_net_joules,
            "energy/idle_joules": self.energy_idle_joules,
            "energy/charged_joules": self.energy_charged_joules,
            "energy/spent_joules": self.energy_spent_joules,
            "energy/kwh": self.energy_kwh,
            "energy/uncertainty_joules": self.energy_uncertainty_joules,
            "energy/gap_joules": self.energy_gap_joules,
            "energy/measured_share": self.energy_measured_share,
            "energy/neighbours": self.energy_neighbours if self.energy_contended else None,
            "inference/joules_per_1000": self.inference.get("joules_per_1000"),
            "inference/seconds_per_1000": self.inference.get("seconds_per_1000"),
            "emissions/kg": self.emissions_kg,
            "training/seconds": self.seconds,
            "training/epochs": float(self.epochs),
            "model/parameters": self.parameters,
            "model/flops": self.flops,
        }
        for split, figures in self.metrics.items():
            named |= {_tracked(split, name): value for name, value in figures.items()}
        for component, energy in self.energy_components.items():
            named[f"energy/{component}_joules"] = energy["joules"]
        for phase, spent in self.energy_phases.items():
            named[f"phases/{phase}_joules"] = spent["joules"]
        for kind, joules in (self.layer_energy.get("joules") or {}).items():
            named[f"layer_energy/{kind}_joules"] = joules
        for name, spread in self.spread.items():
            split, _, figure = name.partition("_")
            shown = _SPREAD_NAMES.get(name) or _tracked(split, figure)
            named |= {f"{shown}_{statistic}": value for statistic, value in spread.items()}
        for kind, count in self.layers.items():
            named[f"layers/{kind}"] = count
        return {name: float(value) for name, value in named.items() if value is not None}

    def tags(self) -> dict[str, str]:
        """Return what describes the run in words, as MLflow tags."""
        named = {
            "status": self.status,
            "error": self.error,
            "model": self.model,
            "dataset": self.dataset,
            "device": self.device,
            "capture": self.capture,
            "energy.quality": self.energy_quality,
            "energy.basis": self.energy_basis,
            "energy.comparable": None if self.energy_comparable else "false",
            "energy.contended": "true" if self.energy_contended else None,
            "energy.contended_by": self.energy_contended_by,
            "energy.key": self.energy_key,
            "layer_energy.quality": self.layer_energy.get("quality"),
            "layer_energy.key": self.layer_energy.get("key"),
            "emissions.grid": self.emissions_grid,
            "selected_on_test": "true" if self.selected_on_test else None,
            "replay.outside": str(self.replayed["outside"]).lower() if self.replayed else None,
        }
        for component, energy in self.energy_components.items():
            named[f"energy.source.{component}"] = energy["source"]
            named[f"energy.quality.{component}"] = energy["quality"]
        for phase, spent in self.energy_phases.items():
            # The run's own stands for the phases that share it, which nearly always all do.
            if spent["joules"] is not None and spent["quality"] != self.energy_quality:
                named[f"phases.quality.{phase}"] = spent["quality"]
        return {name: value for name, value in named.items() if value is not None}


def history_metrics(point: Mapping[str, float | None]) -> dict[str, float]:
    """Return one entry of `RunResult.history` under the names that MLflow shows."""
    named = {"energy/epoch_joules": point.get("energy_joules")}
    for name, value in point.items():
        split, _, figure = name.partition("_")
        if split in ("train", "validation", "test"):
            named[_tracked(split, figure)] = value
    return {name: value for name, value in named.items() if value is not None}


def _tracked(split: str, metric: str) -> str:
    """Return the name that MLflow shows: names of classes may hold what it refuses."""
    return re.sub(r"[^\w/ .-]", "_", f"{split}/{metric}")


def write_result(result: RunResult, directory: Path) -> Path:
    """Write `result.json` into a run's directory, whole or not at all; return its path.

    Raises:
        OSError: the directory cannot be written to.
    """
    path = directory / RESULT_FILE
    write_text(path, json.dumps(masked(asdict(result)), indent=2, allow_nan=False) + "\n")
    return path


def read_result(directory: Path) -> RunResult:
    """Read `result.json` of a run's directory.

    Raises:
        StudyError: there is none that is whole.
    """
    result = find_result(directory)
    if result is None:
        raise StudyError(f"{directory} holds no {RESULT_FILE}: name the directory of a run")
    return result


def find_result(directory: Path) -> RunResult | None:
    """Read `result.json` of a run's directory; None where there is none.

    One that is broken is put aside, which is told, and costs its own run alone.
    """
    path = directory / RESULT_FILE
    values = read_json(path)
    if values is None:
        return None
    known = {each.name for each in fields(RunResult)}
    kept = {name: value for name, value in values.items() if name in known}
    try:
        for name in ("history", "overrides", "repeat_runs", "flops_left_out"):
            kept[name] = tuple(kept.get(name, ()))
        return RunResult(**kept)
    except TypeError as error:  # another program's, say
        log.warning("%s is no result of a run (%s): it is left out.", path, error)
        return None


def read_results(directories: Iterable[Path]) -> dict[Path, RunResult]:
    """Read the results of those directories that hold a whole one."""
    read = {directory: find_result(directory) for directory in directories}
    return {directory: result for directory, result in read.items() if result is not None}


def repeat_directories(directory: Path) -> list[Path]:
    """Return the directories of a run's repeats, in order; empty for a run of one training."""
    found = [path.parent for path in directory.glob(f"{REPEATS_FOLDER}/*/{RESULT_FILE}")]
    return sorted(found, key=lambda path: (len(path.name), path.name))
