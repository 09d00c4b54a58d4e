"""What a statement adds up: runs by how they ended, phases, and what searches did beside them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from greensweep.energy import sum_joules
from greensweep.energy.reading import sum_where_all
from greensweep.sources.tracked_runs import TrackedRun, TrackedSweep

TRAINING, SPENT = "energy/training_joules", "energy/spent_joules"
_EMITTED = (("emissions/spent_kg", SPENT), ("emissions/kg", TRAINING))
_ENDS = {"pruned": "Pruned", "failed": "Failed", "stopped": "Interrupted"}
# Phases, under what they are called together; any other is of the last.
_PHASES = {
    "Training": ("training",),
    "Evaluation and tests": ("evaluation", "test"),
    "Measuring inference": ("inference",),
    "Set-up and all else": (),
}
_TRAINED, _EVALUATED, _, _ELSE = _PHASES
# What a sweep did beside its trials, under MLflow's names for it.
OWN_WORK = "search/search_joules"
IDLE_NODES = "sweep/energy_idle_nodes_joules"
BESIDE = {
    OWN_WORK: "Drawing trials and keeping records",
    "sweep/energy_test_joules": "Testing the best trials",
    "sweep/energy_reference_joules": "The reference job before and after",
    IDLE_NODES: "Idle nodes and starting trials",
}
_ROUNDING = 1e-6  # of sums of joules


@dataclass(frozen=True)
class Part:
    """A line of an account.

    Attributes:
        runs: how many it is of; None where it is of no run.
        joules, uncertainty_joules: gross energy; None where not metered, or not known.
        kilograms: CO2e; None without a declared grid.
        seconds: None where not known.
    """

    name: str
    joules: float | None
    runs: int | None = None
    uncertainty_joules: float | None = None
    kilograms: float | None = None
    seconds: float | None = None


def spent_joules(run: TrackedRun) -> float | None:
    """Return the energy of all that a run did; None where it was not metered."""
    return run.metrics.get(SPENT, run.metrics.get(TRAINING))


def emitted_kilograms(run: TrackedRun) -> float | None:
    """Return CO2e of all that a run did, as it was recorded; None where that is not known.

    Results of earlier versions have that of their training alone: it is in proportion.
    """
    for emitted, energy in _EMITTED:
        kilograms, joules = run.metrics.get(emitted), run.metrics.get(energy)
        if kilograms is not None and joules:
            return kilograms / joules * (spent_joules(run) or 0.0)
    return None


def billed_joules(sweep: TrackedSweep) -> float | None:
    """Return what a search by our sweeper says that it spent; None of other sweepers."""
    return sweep.metrics.get("search/spent_joules")


def ends(runs: Sequence[TrackedRun], sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    """Yield what runs took in all their phases, by how they ended.

    A search knows more of trials that were pruned, stopped or failed than their last results: of
    earlier attempts too. All that it spent is in the parts, and no more.
    """
    billed = {key: each for key, each in sweeps.items() if billed_joules(each) is not None}
    found: dict[str, float | None] = {}
    left = _sum(billed, "search/spent_joules") - _sum(billed, OWN_WORK)
    others = sorted({run.status for run in runs} - {*_ENDS, "finished"})
    for end in (*_ENDS, *others, "finished"):  # what is finished by what the others leave
        own = [run for run in runs if run.status == end]
        known = sum_joules(spent_joules(run) for run in own if run.sweep in billed)
        if end in _ENDS and billed:
            known = sum_joules(each.metrics.get(f"search/{end}_joules") for each in billed.values())
        known = None if known is None else max(min(known, left), 0.0)
        left -= known or 0.0
        outside = (spent_joules(run) for run in own if run.sweep not in billed)
        found[end] = sum_joules([known, *outside])
    word = "trials" if sweeps else "runs"
    for end in ("finished", *_ENDS, *others):
        own = [run for run in runs if run.status == end]
        if own or found[end]:
            name = f"{_ENDS.get(end, end.capitalize())} {word}"
            kilograms = None if billed else sum_where_all(map(emitted_kilograms, own))
            yield Part(name, found[end], len(own), None, kilograms, seconds_of(own))
    if left > _ROUNDING * _sum(billed, "search/spent_joules"):
        yield Part("Trials outside of their recorded runs", left)


def _sum(sweeps: Mapping[str, TrackedSweep], name: str) -> float:
    return sum(each.metrics.get(name, 0.0) for each in sweeps.values())


def seconds_of(runs: Iterable[TrackedRun]) -> float | None:
    """Return the time of runs together; None where that of one is not known."""
    return sum_where_all(run.seconds for run in runs)


def beside(sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    """Yield what sweeps did beside their trials."""
    for name, what in BESIDE.items():
        if joules := sum_joules(each.metrics.get(name) for each in sweeps.values()):
            yield Part(what, joules)


def _by_phase(run: TrackedRun, unit: str) -> dict[str, float]:
    """Return what a run's phases took, in joules or seconds, by what these are called together."""
    found: dict[str, float] = defaultdict(float)
    for name, figure in run.metrics.items():
        if name.startswith("phases/") and name.endswith(f"_{unit}"):
            phase = name.removeprefix("phases/").removesuffix(f"_{unit}")
            found[next((what for what, own in _PHASES.items() if phase in own), _ELSE)] += figure
    return found


def phases(run: TrackedRun) -> Iterable[Part]:
    """Yield what a run took by phase; of repeats the sum."""
    found, seconds = _by_phase(run, "joules"), _by_phase(run, "seconds")
    for name in [each for each in _PHASES if each in found]:
        part = Part(name, found[name], 1, seconds=seconds.get(name))
        if name == _TRAINED and run.repeats == 1:
            part = training_part(run, name)
        yield part


def of_which(runs: Sequence[TrackedRun], sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    """Yield what training, and evaluation and tests, took of all that runs and sweeps did."""
    known = [found for run in runs if (found := _by_phase(run, "joules"))]
    took = [found for run in runs if (found := _by_phase(run, "seconds"))]
    for name in (_TRAINED, _EVALUATED):
        joules = sum_joules(found.get(name) for found in known)
        is_all = len(took) == len(known) and not (name == _EVALUATED and _tests(sweeps))
        seconds = sum(found.get(name, 0.0) for found in took) if is_all else None
        if name == _EVALUATED:
            joules = sum_joules([joules, *_tests(sweeps)])
        if joules is not None:
            yield Part(f"of which {name.lower()}", joules, len(known), seconds=seconds)


def _tests(sweeps: Mapping[str, TrackedSweep]) -> list[float]:
    """Return what testing the best trials of each sweep took, of which no time is recorded."""
    name = "sweep/energy_test_joules"
    return [each.metrics[name] for each in sweeps.values() if each.metrics.get(name)]


def training_part(run: TrackedRun, name: str) -> Part:
    """Return the training windows of a run, without its other phases."""
    return Part(
        name,
        run.metrics.get(TRAINING),
        1,
        run.metrics.get("energy/uncertainty_joules"),
        seconds=run.metrics.get("training/seconds"),
    )


def final_part(run: TrackedRun) -> Part:
    """Return the training of a final run, or all of a run that tells no phases."""
    if TRAINING in run.metrics or _by_phase(run, "joules"):
        return training_part(run, f"Final training ({run.name})")
    off, kilograms = run.metrics.get("energy/uncertainty_joules"), emitted_kilograms(run)
    return Part(f"Final run ({run.name})", spent_joules(run), 1, off, kilograms, run.seconds)
