"""The figures of a carbon statement: what a final model took, and all that led to it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from greensweep.analysis.final_run import final_run
from greensweep.analysis.statement_parts import (
    IDLE_NODES,
    OWN_WORK,
    TRAINING,
    Part,
    beside,
    billed_joules,
    emitted_kilograms,
    ends,
    final_part,
    of_which,
    phases,
    seconds_of,
    spent_joules,
)
from greensweep.energy import joined, sum_joules
from greensweep.energy.carbon import Grid
from greensweep.energy.reading import sum_where_all
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError
from greensweep.intervals import FEWEST_REPEATS
from greensweep.sources.tracked_runs import TrackedRun, TrackedRuns, TrackedSweep

_COMPONENTS = ("cpu", "gpu", "ram")
# What is installed for a use, where that has another name or further packages.
_PACKAGES = {
    "torch": ["torch", "torchvision", "timm"],
    "hydra": ["hydra-core"],
    "mlflow": ["mlflow-skinny"],
}
_MEMORY = "hardware.memory_bytes"
_Place = tuple[str | None, str | None]  # machine and grid
_NOWHERE: _Place = (None, None)
_DECLARED = "g CO2e/kWh"  # ends the name of a grid that is declared by its intensity


@dataclass(frozen=True)
class Final:
    """The training of the final model, without its evaluation, tests and set-up.

    Attributes:
        run: what it is called.
        is_whole: all that the run did is in it, as nothing tells its phases.
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
    is_whole: bool = False


@dataclass(frozen=True)
class Account:
    """What runs on one machine used, and emitted by one grid.

    Attributes:
        machine: in words; None where the runs do not say.
        grid: as it was declared; None where none was.
        kilograms_per_kwh: of that grid; a mean where the runs tell several.
        is_grid_told: the runs tell their emissions; else the grid was declared for the statement.
        without_emissions: how many of such runs tell none, and have that mean.
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
        tracking_modes: of CodeCarbon, sorted, where the runs tell them.
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
    is_grid_told: bool = False
    without_emissions: int = 0
    tracking_modes: tuple[str, ...] = ()


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
        used: what the runs rest on: codecarbon, carbontracker, torch, optuna, hydra, mlflow.
        told_by: tool or table whose figures these are; None of what Greensweep recorded.
        notes: what such a table leaves out, and what is doubtful about it.
        knows_pue: it is known whether cooling and power supply (PUE) are in the energy.
        has_pue: they are in that of some runs.
    """

    source: str
    accounts: tuple[Account, ...]
    no_final: str | None
    unmetered: int
    running: int
    spread_joules: float | None
    versions: Mapping[str, Sequence[str]]
    used: frozenset[str]
    told_by: str | None = None
    notes: tuple[str, ...] = ()
    knows_pue: bool = True
    has_pue: bool = False

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
        AnalysisError: nothing was metered, `final` is none of the runs, or all have a grid.
    """
    runs = _described(tracked.runs)
    chosen, no_final = final_run(runs, final)
    metered = [run for run in runs if spent_joules(run) is not None]
    _check_used(grid, metered, tracked)
    used = _used(metered, tracked, grid)
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
        others = ", or name the column of what others logged, columns.energy=energy_kwh say"
        raise AnalysisError(
            f"source={tracked.source} holds no energy, as no run of {len(runs)} was metered: "
            "run them with energy=codecarbon, not unmetered" + (others if "mlflow" in used else "")
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
    pues = {run.tags.get("energy.pue") for run in metered}
    return Statement(
        tracked.source,
        tuple(accounts),
        no_final or _unmetered_final(chosen),
        unmetered=len(runs) - len(metered),
        running=tracked.running,
        spread_joules=sum_joules(part.joules for each in spread for part in beside({"": each})),
        versions=_versions(metered, used),
        used=used,
        told_by=tracked.told_by,
        notes=tracked.notes,
        knows_pue=tracked.told_by is None or None not in pues,
        has_pue=any(pue is not None and float(pue) != 1.0 for pue in pues),
    )


def _check_used(grid: Grid | None, runs: Sequence[TrackedRun], tracked: TrackedRuns) -> None:
    """Refuse a grid that no run needs.

    Raises:
        AnalysisError: each of the runs has one, or tells its emissions.
    """
    if grid is None or not runs or not all(map(_tells_grid, runs)):
        return
    grids = sorted(_tags_of(runs, "emissions.grid"))
    own = f"a grid of their own ({'; '.join(grids)})" if grids else "emissions of their own"
    way = "" if tracked.told_by is None else ", or columns.emissions=null reckons by it instead"
    raise AnalysisError(
        f"{grid.declared} as the grid changes nothing, as all runs of {tracked.source} have {own}: "
        f"leave country, region and grams_co2e_per_kwh out{way}"
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
        return tags.get("hardware.machine")
    cores, memory = tags.get("hardware.cores"), tags.get(_MEMORY, "")
    parts = [tags["hardware.gpu"]] if "hardware.gpu" in tags else []
    parts.append(f"{processor} ({cores} cores)" if cores else processor)
    parts += [f"{int(memory) / 2**30:.0f} GiB of memory"] if memory.isdecimal() else []
    return ", ".join(parts)


def _tells_grid(run: TrackedRun) -> bool:
    return "emissions.grid" in run.tags or emitted_kilograms(run) is not None


def _grid(run: TrackedRun, otherwise: Grid | None) -> str | None:
    declared = otherwise.declared if otherwise and not _tells_grid(run) else None
    return run.tags.get("emissions.grid", declared)


def is_place(grid: str) -> bool:
    """Tell whether a grid was declared by its place, and not by its intensity."""
    return not grid.endswith(_DECLARED)


def _kilograms_per_joule(runs: Iterable[TrackedRun]) -> float | None:
    """Return the intensity of the runs that tell their emissions, a mean by energy."""
    known = [
        (kilograms, joules)
        for run in runs
        if (kilograms := emitted_kilograms(run)) is not None and (joules := spent_joules(run))
    ]
    total = sum(joules for _, joules in known)
    return sum(kilograms for kilograms, _ in known) / total if total else None


def _account(
    place: _Place,
    runs: Sequence[TrackedRun],
    sweeps: Mapping[str, TrackedSweep],
    chosen: TrackedRun | None,
    grid: Grid | None,
) -> Account:
    machine, declared = place
    told = factor = _kilograms_per_joule(runs)
    if factor is None and grid is not None and declared == grid.declared:
        factor = grid.kilograms_per_kwh / JOULES_PER_KWH

    def emitting(part: Part) -> Part:
        if factor is None or part.joules is None or part.kilograms is not None:
            return part
        return replace(part, kilograms=part.joules * factor)

    alone = len(runs) == 1 and not sweeps
    parts = [*phases(runs[0])] if alone else []
    parts = [*map(emitting, parts or [*ends(runs, sweeps), *beside(sweeps)])]
    total = Part(
        "Total",
        sum_joules(part.joules for part in parts),
        len(runs) or None,
        kilograms=sum_where_all(part.kilograms for part in parts if part.joules is not None),
        seconds=seconds_of(runs),
    )
    trained = [run for run in runs if TRAINING in run.metrics] or runs
    remainders = [  # idle nodes are a part
        each.metrics.get("sweep/energy_remainder_joules")
        for each in sweeps.values()
        if IDLE_NODES not in each.metrics
    ]
    final = None if chosen is None else _final(chosen)
    return Account(
        machine,
        declared,
        None if factor is None else factor * JOULES_PER_KWH,
        by_status=dict(sorted(Counter(run.status for run in runs).items())),
        qualities=tuple(sorted({_quality(run) for run in trained})),
        sources=_sources(trained),
        measured_share=_measured_share(trained),
        final=None if final is None else replace(final, part=emitting(final.part)),
        parts=tuple(parts),
        total=total,
        of_which=() if alone else tuple(map(emitting, of_which(runs, sweeps))),
        shared=sum(run.tags.get("energy.contended") == "true" for run in runs),
        left_out_joules=sum_joules(remainders),
        is_search=bool(sweeps),
        search_joules=sum_joules(each.metrics.get(OWN_WORK) for each in sweeps.values()),
        is_grid_told=told is not None,
        without_emissions=sum(told is not None and emitted_kilograms(run) is None for run in runs),
        tracking_modes=tuple(sorted(_tags_of(runs, "energy.tracking_mode"))),
    )


def _tags_of(runs: Iterable[TrackedRun], name: str) -> set[str]:
    return {run.tags[name] for run in runs if name in run.tags}


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
    metrics, part = run.metrics, final_part(run)
    ends = metrics.get(f"{TRAINING}_low"), metrics.get(f"{TRAINING}_high")
    if run.repeats < FEWEST_REPEATS:  # earlier versions recorded one of two, too
        ends = None, None
    return Final(
        run.name,
        run.tags.get("model", "unknown"),
        run.tags.get("dataset", "unknown"),
        run.repeats,
        part,
        _quality(run),
        _sources([run]),
        interval=None if ends[0] is None or ends[1] is None else (ends[0], ends[1]),
        is_whole=part.name.startswith("Final run"),
    )


def _unmetered_final(run: TrackedRun | None) -> str | None:
    if run is None or spent_joules(run) is not None:
        return None
    return f"The final run ({run.name}) was not metered, so what its training took is not known."


def _versions(runs: Sequence[TrackedRun], used: frozenset[str]) -> dict[str, list[str]]:
    """Return the versions of Python, Greensweep and what was used, not of all that was there."""
    packages = {
        "python",
        "greensweep",
        *(each for use in used for each in _PACKAGES.get(use, [use])),
    }
    found: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for name, version in run.tags.items():
            if (package := name.removeprefix("version.")) != name and package in packages:
                found[package].add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _used(runs: Sequence[TrackedRun], tracked: TrackedRuns, grid: Grid | None) -> frozenset[str]:
    """Return which of the packages that were there the runs rest on."""
    told_by = tracked.told_by
    grids = _tags_of(runs, "emissions.grid") if told_by is None else set()
    if grid is not None:
        grids.add(grid.declared)
    meters = {run.meter for run in runs}
    found = {
        "codecarbon": told_by == "CodeCarbon"
        or "codecarbon" in meters
        or (told_by is None and None in meters)
        or any(map(is_place, grids)),
        "carbontracker": told_by == "carbontracker",
        "torch": any({"device", "model/parameters"} & {*run.tags, *run.metrics} for run in runs),
        "optuna": told_by is None and bool(tracked.sweeps),
        "hydra": told_by is None and bool(tracked.sweeps),
        "mlflow": tracked.source == "mlflow" or tracked.source.startswith("MLflow"),
    }
    return frozenset(name for name, is_used in found.items() if is_used)
