"""What a trial of a search leaves in Optuna's storage beside its parameters and values."""

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from greensweep.energy.processes import Processes, boot_of
from greensweep.energy.reading import Quality
from greensweep.nested import from_json
from greensweep.record.ending import Status
from greensweep.search.optuna_internals import (
    set_attributes,
    set_study_attribute,
    set_system_attribute,
    study_attributes,
)
from greensweep.secrets.data import masked

# What a search keeps with a trial for itself; FLOPS: of the whole trial, forecast before it starts.
OWNER, PROGRESS, OUTCOME, FLOPS = "owner", "progress", "outcome", "flops"
DRAWER = "drawer"  # its first owner, of a trial whose options are yet to be drawn
BEAT = "beat"  # a number that grows while the trial runs
# System attributes begin so, which dashboards do not show.
_OWN = "greensweep:"
OWNED = f"{_OWN}{OWNER}"

_OF_A_RUN = OWNER, DRAWER, PROGRESS, OUTCOME, FLOPS, BEAT

# User attributes, which they do. Of a point that the search was given to start from:
ENQUEUED = {"enqueued": True}

FUTILE_TRIALS = 3  # so many that all failed alike tell that the next would, too

# Of a study: the joules that one process searched for after its last trial; its name follows.
SEARCH_ENERGY = "search_energy:"
SEARCH_QUALITY = "search_quality"  # of these, and of what trials are charged for being drawn

# Optuna's own: which trials this one repeats after they died.
_RETRY_HISTORY = "retry_history"

# System attribute of a trial: which of the search's fidelities it runs in, counted from 1. They are
# cheaper runs, in which a search may try points before it pays for whole ones.
_FIDELITY = f"{_OWN}fidelity"

# Constraint that a cheaper run breaks, so that it is never taken for the best of a search.
WHOLE_RUN = "whole_run"

# A storage keeps no more of a learning curve than a search looks at.
CURVE_POINTS = 50

# How a trial ended: as a run, or died: its process ended with it; lost: its machine did;
# withdrawn: it never started.
TrialStatus = Literal[Status, "died", "lost", "withdrawn"]

# One that died or was lost runs again, until it was so often: then it counts as failed. Machines
# vanish by themselves more often than processes do, yet a trial may take its own down.
MOST_DEATHS: Mapping[TrialStatus, int] = {"died": 2, "lost": 3}


@dataclass(frozen=True)
class Owner:
    """The process that runs a trial; its birth distinguishes it from others that get its id.

    Attributes:
        since: when it took the trial, seconds of a clock that nobody sets; None where unknown.
        job: of Slurm's that it runs in, which array element and restart of it; None outside of one.
    """

    host: str
    pid: int
    born: str
    since: float | None = None
    job: str | None = None

    @property
    def here(self) -> bool:
        """It is, or was, a process of this machine."""
        return self.host == platform.node()

    @property
    def clock(self) -> tuple[str, str]:
        """What all processes have in common whose `since` can be compared: the machine's boot."""
        return self.host, boot_of(self.born) or f"{self.born} {self.pid}"


class CurvePoint(NamedTuple):
    """A report of a trial, a point of its learning curve; a storage keeps it as a list.

    Attributes:
        epoch: from 1.
        value: the metric by which trials are compared, accuracy say; None where it is not reported.
        joules: of training so far.
        spent_joules: of everything so far.
        seconds: so far, wall-clock.
    """

    epoch: int
    value: float | None = None
    joules: float | None = None
    spent_joules: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, and what it cost.

    Attributes:
        status: finished, failed, pruned or stopped; died, lost: its process or its machine ended
            with it, so that it runs again; withdrawn: it was drawn, but never started.
        error: one sentence on why it did not finish.
        accuracy: the last reported.
        metric_value: likewise, of a run that is selected by another metric.
        metric: the name of the one that trials are compared by; None where it is not known.
        metrics: all that a loop of one's own reported, each as it was last.
        joules: training energy; of a trial that ended early, until its last report.
        uncertainty_joules: what that may be off by; None where it is not known.
        spent_joules: energy of everything that it did, in all repeats.
        search_joules: of what the sweep did for it: drawing its parameters, keeping its records.
        quality: of these figures.
        seconds: wall-clock.
        epochs: reported, and planned.
        curve: its reports.
        repeats: the objective of each training, of a trial that has several.
        interrupted: it was stopped from outside: it runs again, and does not count.
    """

    status: TrialStatus
    error: str | None = None
    accuracy: float | None = None
    metric_value: float | None = None
    metric: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    joules: float | None = None
    uncertainty_joules: float | None = None
    spent_joules: float | None = None
    search_joules: float | None = None
    quality: Quality = "unmeasured"
    seconds: float = 0.0
    epochs: int = 0
    epochs_planned: int | None = None
    curve: tuple[CurvePoint, ...] = ()
    repeats: tuple[float, ...] = ()
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as storages and files keep it, with the curve thinned out but for its end."""
        step = -(-len(self.curve) // CURVE_POINTS) or 1
        thinned = [list(point) for point in self.curve[::-step][::-1]]
        return {**masked(asdict(self)), "curve": thinned}


def ended_as(outcome: Outcome) -> Status:
    """Return how a trial ended, as results, summaries and bills count it alike."""
    status = outcome.status
    return "stopped" if status == "died" or status == "lost" or status == "withdrawn" else status


def this_process() -> Owner:
    """Return the owner that this process is, of what it takes now."""
    return Owner(platform.node(), *Processes().own(), since=time.monotonic(), job=_slurm_job())


def _slurm_job() -> str | None:
    """Return the job that this process runs in, as squeue names it, with the restarts that it had.

    A job that Slurm puts back into its queue keeps its name.
    """
    named = os.environ.get
    job, array = named("SLURM_JOB_ID"), named("SLURM_ARRAY_JOB_ID")
    if array is not None:
        job = f"{array}_{named('SLURM_ARRAY_TASK_ID')}"
    return job and f"{job}:{named('SLURM_RESTART_COUNT', '0')}"


def keep(study: optuna.Study, trial: FrozenTrial | optuna.Trial, name: str, value: Any) -> None:
    """Keep with a trial what is for the search alone."""
    set_system_attribute(study, trial, f"{_OWN}{name}", value)


def keep_all(
    study: optuna.Study,
    trial: FrozenTrial,
    own: Mapping[str, Any],
    shown: Mapping[str, Any],
    optunas: Mapping[str, Any],
) -> None:
    """Keep with a trial, at once, what is for the search, for dashboards, and for Optuna itself."""
    kept = {f"{_OWN}{name}": value for name, value in own.items()}
    set_attributes(study, trial, shown, {**kept, **optunas})


def kept(trial: FrozenTrial, name: str) -> Any:
    """Return what was kept so, by earlier versions among its user attributes; None of nothing."""
    return trial.system_attrs.get(f"{_OWN}{name}", trial.user_attrs.get(name))


def keep_of_study(study: optuna.Study, name: str, value: Any) -> None:
    """Keep with a study what is for the search alone."""
    set_study_attribute(study, f"{_OWN}{name}", value)


def kept_of_study(study: optuna.Study) -> dict[str, Any]:
    """Return all that was kept so, by earlier versions among its user attributes, by name."""
    system = study_attributes(study).items()
    own = {name.removeprefix(_OWN): value for name, value in system if name.startswith(_OWN)}
    return {**study.user_attrs, **own}


def inherited(trial: FrozenTrial) -> dict[str, Any]:
    """Return the system attributes that the repeat of a trial has too: not how it went."""
    own = ("constraints", *(f"{_OWN}{name}" for name in _OF_A_RUN))
    return {name: v for name, v in trial.system_attrs.items() if not name.startswith(own)}


def drawn_here() -> dict[str, Any]:
    """Return the system attribute of a trial that this process draws, from when there is one."""
    return {f"{_OWN}{DRAWER}": asdict(this_process())}


def owner_of(trial: FrozenTrial) -> Owner | None:
    """Return the process that a trial belongs to, once it is known."""
    owner = kept(trial, OWNER) or kept(trial, DRAWER)
    return Owner(**owner) if owner else None


def outcome_of(trial: FrozenTrial) -> Outcome | None:
    """Return how a trial ended; None while it runs, and for trials of another sweeper."""
    outcome = kept(trial, OUTCOME)
    return None if outcome is None else from_json(Outcome, outcome)


def flops_of(trial: FrozenTrial) -> float | None:
    """Return how much a trial was forecast to compute; None where that was not asked or known."""
    flops: float | None = kept(trial, FLOPS)
    return flops


def is_enqueued(trial: FrozenTrial) -> bool:
    """Tell whether a trial's point is one that the search was given to start from."""
    return ENQUEUED.items() <= trial.user_attrs.items()


def set_fidelity(study: optuna.Study, trial: FrozenTrial, fidelity: int) -> None:
    """Let a trial that is being drawn run in a fidelity, counted from 1."""
    set_system_attribute(study, trial, _FIDELITY, fidelity)


def fidelity_of(trial: FrozenTrial) -> int:
    """Return the fidelity of a trial, counted from 1; 0 is the whole run."""
    return int(trial.system_attrs.get(_FIDELITY, 0))


def in_fidelity(trials: Iterable[FrozenTrial], fidelity: int) -> list[FrozenTrial]:
    """Return the trials of one fidelity."""
    return [trial for trial in trials if fidelity_of(trial) == fidelity]


def spent_of(trial: FrozenTrial) -> float:
    """Return the joules that a trial, running or not, is known to have cost; 0 where unmetered."""
    latest = _latest(trial)
    return (latest.get("spent_joules") or 0.0) + (latest.get("search_joules") or 0.0)


def seconds_of(trial: FrozenTrial) -> float:
    """Return the wall-clock seconds that a trial is known to have run."""
    return _latest(trial).get("seconds") or 0.0


def _latest(trial: FrozenTrial) -> Mapping[str, Any]:
    return kept(trial, OUTCOME) or kept(trial, PROGRESS) or {}


def retried_numbers(trials: Sequence[FrozenTrial]) -> set[int]:
    """Return the numbers of trials that another trial repeats."""
    return {number for trial in trials for number in retry_history(trial)}


def retry_history(trial: FrozenTrial) -> Sequence[int]:
    """Return the numbers of the trials that this one repeats, oldest first."""
    history: Sequence[int] = trial.system_attrs.get(_RETRY_HISTORY, ())
    return history


def status_of(trial: FrozenTrial) -> TrialStatus | None:
    """Return how a trial ended, and no more of its outcome; None as of that."""
    status: TrialStatus | None = (kept(trial, OUTCOME) or {}).get("status")
    return status


def runs_again(trial: FrozenTrial) -> bool:
    """Tell whether a trial was stopped from outside, so that a resumed sweep runs it again."""
    outcome = kept(trial, OUTCOME) or {}
    return bool(outcome.get("interrupted")) or status_of(trial) == "withdrawn"


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total: once for each point that was drawn.

    A trial that runs again, or will, counts by its repeat.
    """
    repeated = retried_numbers(trials)
    return [
        trial
        for trial in trials
        if trial.state != TrialState.WAITING
        and trial.number not in repeated
        and not runs_again(trial)
    ]
