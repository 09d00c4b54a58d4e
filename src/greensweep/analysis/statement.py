"""The figures of a carbon statement: what a final model took, and all that led to it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from greensweep.analysis.final_run import final_run
from greensweep.analysis.statement_parts import (
    OWN_WORK,
    SPENT,
    TRAINING,
    Part,
    beside,
    billed_joules,
    ends,
    of_which,
    phases,
    seconds_of,
    spent_joules,
    training_part,
)
from greensweep.energy import joined, sum_joules
from greensweep.energy.carbon import Grid
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError
from greensweep.sources.tracked_runs import TrackedRun, TrackedRuns, TrackedSweep

_EMITTED = (("emissions/spent_kg", SPENT), ("emissions/kg", TRAINING))
_COMPONENTS = ("cpu", "gpu", "ram")
_MEMORY = "hardware.memory_bytes"
_Place = tuple[str | None, str | None]  # machine and grid
_NOWHERE: _Place = (None, None)
_DECLARED = "g CO2e/kWh"  # ends the name of a grid that is declared by its intensity


@dataclass(frozen=True)
class Final:
    """The training of the final model, without its evaluation, tests and set-up.

    Attributes:
        run: what it is called.
        sources: as those of an account.
        interval: 95 %, of the mean over repeats, joules.
    """

    run: str
    model: str
    dataset: str
    repeats: int
    part: Part
    quality: str
    sources: Mapping[str, tuple[str, str]]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Account:
    """What runs on one machine used, and emitted by one grid.

    Attributes:
        machine: in words; None where the runs do not say.
        grid: as it was declared; None where none was.
        kilograms_per_kwh: of that grid.
        by_status: how many metered runs ended in which way.
        qualities: of the runs' energy figures, sorted.
        sources: of each component's energy: what gave it, and its quality.
        measured_share: of the training energy, what hardware counters gave, 0 to 1.
        final: where the final model was trained here.
        parts: that add up to `total`.
        of_which: of `total`, what training took, and evaluation and tests; `runs` says of how many
            runs that is known. Empty where `parts` are these.
        shared: how many runs shared the machine with other work.
        left_out_joules: what others on the machine used while trials ran, in no part.
        is_search: some of the runs are trials of a sweep.
        search_joules: of `total`, the work of searches themselves; None where that is not known.
    """

    machine: str | None
    grid: str | None
    kilograms_per_kwh: float | None
    by_status: Mapping[str, int]
    qualities: tuple[str, ...]
    sources: Mapping[str, tuple[str, str]]
    measured_share: float | None
    final: Final | None
    parts: tuple[Part, ...]
    total: Part
    of_which: tuple[Part, ...] = ()
    shared: int = 0
    left_out_joules: float | None = None
    is_search: bool = False
    search_joules: float | None = None


@dataclass(frozen=True)
class Statement:
    """What the runs of a source used.

    Attributes:
        accounts: one for each machine and grid; that of the final training, or the largest, first.
        no_final: why there is no final training, in a sentence; None where there is.
        unmetered: runs without a figure of energy; `running`: those that have not ended.
        spread_joules: of searches whose trials are in several accounts, what these did beside
            their trials, which is in none.
        versions: of what was installed where they ran, by package.
        used: what the runs rest on: codecarbon, torch, optuna, hydra, mlflow.
    """

    source: str
    accounts: tuple[Account, ...]
    no_final: str | None
    unmetered: int
    running: int
    spread_joules: float | None
    versions: Mapping[str, Sequence[str]]
    used: frozenset[str]

    @property
    def final(self) -> Final | None:
        return self.accounts[0].final


def state(tracked: TrackedRuns, final: str | None = None, grid: Grid | None = None) -> Statement:
    """Return what runs used: the final training, all runs however they ended, and the search.

    Nothing is added up over machines or grids.

    Args:
        final: name, trial number or key of the final run; None is the best of those that finished.
        grid: of runs that declared none.

    Raises:
        AnalysisError: nothing was metered, or `final` is none of the runs.
    """
    runs = _described(tracked.runs)
    chosen, no_final = final_run(runs, final)
    metered = [run for run in runs if spent_joules(run) is not None]
    places: dict[_Place, list[TrackedRun]] = defaultdict(list)
    of_sweep: dict[str | None, set[_Place]] = defaultdict(set)
    for run in metered:
        place = _machine(run), _grid(run, grid)
        places[place].append(run)
        of_sweep[run.sweep].add(place)
    sweeps: dict[_Place, dict[str, TrackedSweep]] = defaultdict(dict)
    spread = []
    for key, sweep in tracked.sweeps.items():
        known = of_sweep[key] or (set(places) if len(places) == 1 else {_NOWHERE})
        if len(known) > 1:
            spread.append(sweep)
        elif of_sweep[key] or billed_joules(sweep):
            sweeps[next(iter(known))][key] = sweep
    if not places and not sweeps:
        raise AnalysisError(
            f"source={tracked.source} holds no energy, as none of its {len(runs)} runs was "
            "metered: run them with energy=codecarbon, not unmetered"
        )
    accounts = [
        _account(
            place,
            places.get(place, []),
            sweeps.get(place, {}),
            chosen if chosen in places.get(place, []) else None,
            grid,
        )
        for place in dict.fromkeys([*places, *sweeps])
    ]
    accounts.sort(key=lambda each: (each.final is None, -(each.total.joules or 0.0)))
    return Statement(
        tracked.source,
        tuple(accounts),
        no_final or _unmetered_final(chosen),
        unmetered=len(runs) - len(metered),
        running=tracked.running,
        spread_joules=sum_joules(part.joules for each in spread for part in beside({"": each})),
        versions=_versions(metered),
        used=_used(metered, tracked),
    )


def _described(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Let trials that died before they recorded their machine have that of their sweep's others."""
    of_sweep: dict[str, set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    for run in runs:
        if run.sweep is not None and _machine(run) is not None:
            of_sweep[run.sweep].add(tuple(sorted(_place_tags(run).items())))
    found = []
    for run in runs:
        known = of_sweep.get(run.sweep or "", set())
        if _machine(run) is None and len(known) == 1:
            run = replace(run, tags={**run.tags, **dict(next(iter(known)))})
        found.append(run)
    return found


def _place_tags(run: TrackedRun) -> dict[str, str]:
    return {
        name: value
        for name, value in run.tags.items()
        if name.startswith("hardware.") or name == "emissions.grid"
    }


def _machine(run: TrackedRun) -> str | None:
    tags = run.tags
    processor = tags.get("hardware.cpu")
    if processor is None:
        return None
    cores, memory = tags.get("hardware.cores"), tags.get(_MEMORY, "")
    parts = [tags["hardware.gpu"]] if "hardware.gpu" in tags else []
    parts.append(f"{processor} ({cores} cores)" if cores else processor)
    parts += [f"{int(memory) / 2**30:.0f} GiB of memory"] if memory.isdecimal() else []
    return ", ".join(parts)


def _grid(run: TrackedRun, otherwise: Grid | None) -> str | None:
    return run.tags.get("emissions.grid", otherwise.declared if otherwise else None)


def is_place(grid: str) -> bool:
    """Tell whether a grid was declared by its place, and not by its intensity."""
    return not grid.endswith(_DECLARED)


def _kilograms_per_joule(runs: Iterable[TrackedRun]) -> float | None:
    for run in runs:
        for emitted, energy in _EMITTED:
            kilograms, joules = run.metrics.get(emitted), run.metrics.get(energy)
            if kilograms is not None and joules:
                return kilograms / joules
    return None


def _account(
    place: _Place,
    runs: Sequence[TrackedRun],
    sweeps: Mapping[str, TrackedSweep],
    chosen: TrackedRun | None,
    grid: Grid | None,
) -> Account:
    machine, declared = place
    factor = _kilograms_per_joule(runs)
    if factor is None and grid is not None and declared == grid.declared:
        factor = grid.kilograms_per_kwh / JOULES_PER_KWH

    def emitting(part: Part) -> Part:
        if factor is None or part.joules is None:
            return part
        return replace(part, kilograms=part.joules * factor)

    alone = len(runs) == 1 and not sweeps
    parts = [*phases(runs[0])] if alone else []
    parts = parts or [*ends(runs, sweeps), *beside(sweeps)]
    total = Part(
        "Total",
        sum_joules(part.joules for part in parts),
        len(runs) or None,
        seconds=seconds_of(runs),
    )
    trained = [run for run in runs if TRAINING in run.metrics]
    remainders = [each.metrics.get("sweep/energy_remainder_joules") for each in sweeps.values()]
    final = None if chosen is None else _final(chosen)
    return Account(
        machine,
        declared,
        None if factor is None else factor * JOULES_PER_KWH,
        by_status=dict(sorted(Counter(run.status for run in runs).items())),
        qualities=tuple(sorted({_quality(run) for run in trained or runs})),
        sources=_sources(trained),
        measured_share=_measured_share(trained),
        final=None if final is None else replace(final, part=emitting(final.part)),
        parts=tuple(map(emitting, parts)),
        total=emitting(total),
        of_which=() if alone else tuple(map(emitting, of_which(runs, sweeps))),
        shared=sum(run.tags.get("energy.contended") == "true" for run in runs),
        left_out_joules=sum_joules(remainders),
        is_search=bool(sweeps),
        search_joules=sum_joules(each.metrics.get(OWN_WORK) for each in sweeps.values()),
    )


def _quality(run: TrackedRun) -> str:
    return run.tags.get("energy.quality", "unknown")


def _sources(runs: Sequence[TrackedRun]) -> dict[str, tuple[str, str]]:
    found = {}
    for name in _COMPONENTS:
        own = [run.tags for run in runs if f"energy.source.{name}" in run.tags]
        if own:
            sources = joined(tags[f"energy.source.{name}"] for tags in own)
            qualities = {tags.get(f"energy.quality.{name}", "unknown") for tags in own}
            found[name] = sources, " and ".join(sorted(qualities))
    return found


def _measured_share(runs: Sequence[TrackedRun]) -> float | None:
    shares = [
        (run.metrics[TRAINING], run.metrics["energy/measured_share"])
        for run in runs
        if "energy/measured_share" in run.metrics
    ]
    total = sum(joules for joules, _ in shares)
    return sum(joules * share for joules, share in shares) / total if total else None


def _final(run: TrackedRun) -> Final:
    metrics = run.metrics
    ends = metrics.get(f"{TRAINING}_low"), metrics.get(f"{TRAINING}_high")
    return Final(
        run.name,
        run.tags.get("model", "unknown"),
        run.tags.get("dataset", "unknown"),
        run.repeats,
        training_part(run, f"Final training ({run.name})"),
        _quality(run),
        _sources([run]),
        interval=None if ends[0] is None or ends[1] is None else (ends[0], ends[1]),
    )


def _unmetered_final(run: TrackedRun | None) -> str | None:
    if run is None or spent_joules(run) is not None:
        return None
    return f"The final run ({run.name}) was not metered, so what its training took is not known."


def _versions(runs: Sequence[TrackedRun]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for name, version in run.tags.items():
            if name.startswith("version."):
                found[name.removeprefix("version.")].add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _used(runs: Sequence[TrackedRun], tracked: TrackedRuns) -> frozenset[str]:
    """Return which of the packages that were there the runs rest on."""
    grids = {run.tags.get("emissions.grid", _DECLARED) for run in runs}
    found = {
        "codecarbon": any(run.meter in ("codecarbon", None) for run in runs)
        or any(map(is_place, grids)),
        "torch": any({"device", "model/parameters"} & {*run.tags, *run.metrics} for run in runs),
        "optuna": bool(tracked.sweeps),
        "hydra": bool(tracked.sweeps),
        "mlflow": tracked.source.startswith("MLflow"),
    }
    return frozenset(name for name, is_used in found.items() if is_used)
