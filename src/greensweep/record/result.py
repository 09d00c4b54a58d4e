"""The result of one run, and its file `result.json`."""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greensweep.config.metrics import Direction, Metric, directed_metric
from greensweep.energy import Quality
from greensweep.errors import StudyError
from greensweep.files import read_json, write_text
from greensweep.intervals import Interval, share_interval
from greensweep.nested import from_json, to_json
from greensweep.record.ending import Status
from greensweep.record.reported import OBJECTIVE
from greensweep.record.summaries import (
    ComponentSummary,
    HistoryPoint,
    Inference,
    LayerEnergySummary,
    PhaseSummary,
    RepeatRun,
    Replayed,
    Spread,
)
from greensweep.secrets.data import masked

log = logging.getLogger(__name__)

RESULT_FILE = "result.json"
CONFIG_FILE = "config.yaml"
CHECKPOINT_FILE = "model.pt"
LAYER_ENERGY_FILE = "layer_energy.csv"
REPEATS_FOLDER = "repeats"


@dataclass(frozen=True)
class RunResult:
    """Everything that one run gives, as `result.json` holds it. Unknown is null, never 0.

    Attributes:
        error: one sentence on why it did not finish, or None.
        validation_accuracy: of the kept weights, 0 to 1; None of a task without classes.
        test_accuracy: likewise; None inside a sweep, until its winners are tested,
            unless `selected_on_test`.
        metrics: of the kept weights, by split and name: those that `metrics` asked for, and the
            objective's; None where one is undefined.
        objective_metric: name of the metric by which epochs are kept and trials compared.
        objective_direction: in which it is better; None of a single run whose metric's name does
            not tell, which compares with none.
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
        energy_uncertainty_joules: how far `energy_joules` may be off from run to run: what counters
            do not show at the edges of the training windows, and models of the same work; None
            where that is not known.
        energy_gap_joules: used while the process was stopped or the machine slept, and charged to
            no phase; None where it was not.
        gap_seconds: how long that was, in none of the other seconds. Over repeats both add up.
        energy_components: of cpu, gpu and ram, training windows.
        energy_quality: quality that the components share, mixed when they differ.
        energy_measured_share: share of `energy_joules` that hardware counters gave, 0 to 1.
        energy_constant_share: share of `energy_joules` that is a constant power times seconds.
        energy_contended: the machine was shared for a notable part of the training windows.
        energy_contended_by: with whom: "runs of Greensweep", "others", or both, comma-separated.
        energy_neighbours: how many other metered runs at a time, at most.
        energy_key: by what such a run's share is attributed: cpu_time, and gpu_time for a GPU's;
            None where it was alone.
        energy_phases: by phase; "other" is what lies between. Over repeats they add up.
        inference: on the validation split; None where not measured.
        layer_energy: `energy_joules` shared out by layer type, and to data, loss, optimizer, launch
            (on a GPU) and other; None without `layer_energy=true`.
        emissions_kg: CO2e of `energy_joules`, of the training alone; None without a declared grid.
        emissions_spent_kg: CO2e of `energy_spent_joules`: of all that the run did.
        seconds: of the training windows.
        best_epoch: epoch of the kept weights, from 1.
        samples: of each split, where the run is one of ours.
        layers: layer calls in one forward pass in evaluation mode, by type.
        layer_modules: modules without children, by type.
        parameters, trainable_parameters: scalars.
        flops: per image, forward; a multiply-add is 2.
        flops_left_out: operators that ran and have no formula: with any, `flops` is too low.
        capture, capture_reason: how training steps were taken (graph, compile or none), and why.
        trial: number in its sweep, from 0; None for a single run.
        overrides: what the command or the sweeper set.
        provenance: commit, versions and hardware, as tags.
        mlflow_run_id: the run in MLflow, or None.
        mlflow_incomplete: MLflow refused a part of that run, which `upload` sends.
        checkpoint: path of the kept weights, of the most accurate repeat; or None.
        repeats: trainings of this configuration, with different seeds; figures are their means.
        spread: over repeats, of validation_accuracy, test_accuracy, other metrics likewise,
            energy_joules and energy_net_joules.
        replayed: of a run that a recorded table answered; None of one that trained.
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
    objective_direction: Direction | None = "maximize"
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
    energy_components: Mapping[str, ComponentSummary] = field(default_factory=dict)
    energy_quality: Quality = "unmeasured"
    energy_measured_share: float | None = None
    energy_constant_share: float | None = None
    energy_contended: bool = False
    energy_contended_by: str | None = None
    energy_neighbours: int = 0
    energy_key: str | None = None
    energy_phases: Mapping[str, PhaseSummary] = field(default_factory=dict)
    inference: Inference | None = None
    layer_energy: LayerEnergySummary | None = None
    emissions_kg: float | None = None
    emissions_spent_kg: float | None = None
    emissions_grid: str | None = None
    seconds: float | None = None
    epochs: int = 0
    best_epoch: int | None = None
    history: tuple[HistoryPoint, ...] = ()
    samples: Mapping[str, int] = field(default_factory=dict)
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
    repeat_runs: tuple[RepeatRun, ...] = ()
    spread: Mapping[str, Spread] = field(default_factory=dict)
    replayed: Replayed | None = None

    @property
    def accuracy(self) -> float | None:
        """The accuracy on the split that selects, 0 to 1."""
        return self.test_accuracy if self.selected_on_test else self.validation_accuracy

    @property
    def objective_value(self) -> float | None:
        """The metric that a search goes by, `objective_metric`, on the split that selects."""
        return self.objective_on("test" if self.selected_on_test else "validation")

    def objective_on(self, split: str) -> float | None:
        """Return the metric that a search goes by on a split, validation or test."""
        if self.objective_metric == "accuracy":  # also of results that have no other
            return self.test_accuracy if split == "test" else self.validation_accuracy
        return self.metrics.get(split, {}).get(self.objective_metric)

    @property
    def objective_label(self) -> str:
        """What people call that figure: validation accuracy, test RMSE."""
        label, split = self.metric.label, "test" if self.selected_on_test else "validation"
        # What a program returns to its search is of whichever split it says.
        return label if label == OBJECTIVE else f"{split} {label}"

    @property
    def objective_interval(self) -> Interval | None:
        """The 95 % interval of `objective_value`; None where it is not known.

        Over repeats; of a single run's accuracy, as that of a share of so many samples.
        """
        split = "test" if self.selected_on_test else "validation"
        if spread := self.spread.get(f"{split}_{self.objective_metric}"):
            return spread.interval
        samples, value = self.samples.get(split), self.objective_value
        if self.objective_metric != "accuracy" or not samples or value is None:
            return None
        return share_interval(value, samples)

    @property
    def score(self) -> float:
        """That metric, turned so that more is better; the least of all where it is unknown."""
        value = self.objective_value if self.objective_direction else None
        return -math.inf if value is None else float(self.metric.score(value))

    @property
    def is_unsent(self) -> bool:
        """No MLflow store has it yet, or has it in part."""
        return self.mlflow_run_id is None or self.mlflow_incomplete

    @property
    def metric(self) -> Metric:
        return directed_metric(self.objective_metric, self.objective_direction or "maximize")


def write_result(result: RunResult, directory: Path) -> Path:
    """Write `result.json` into a run's directory, whole or not at all; return its path.

    Raises:
        OSError: the directory cannot be written to.
    """
    path = directory / RESULT_FILE
    write_text(path, json.dumps(masked(to_json(result)), indent=2, allow_nan=False) + "\n")
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

    One that is broken is put aside, with a warning, and costs its own run alone.
    """
    path = directory / RESULT_FILE
    values = read_json(path)
    if values is None:
        return None
    try:
        return from_json(RunResult, values)
    except TypeError as error:  # another program's, say
        log.warning("%s is no result of a run (%s): it is left out.", path, error)
        return None


def read_results(directories: Iterable[Path]) -> dict[Path, RunResult]:
    """Read the results of those directories that hold a whole one."""
    return {each: found for each in directories if (found := find_result(each)) is not None}


def repeat_directories(directory: Path) -> list[Path]:
    """Return the directories of a run's repeats, in order; empty for a run of one training."""
    found = [path.parent for path in directory.glob(f"{REPEATS_FOLDER}/*/{RESULT_FILE}")]
    return sorted(found, key=lambda path: (len(path.name), path.name))
