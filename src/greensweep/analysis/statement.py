"""The figures of a carbon statement: what a final model took, and all that led to it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from greensweep.config.metrics import directed_metric
from greensweep.energy import joined, sum_joules
from greensweep.energy.carbon import Grid
from greensweep.energy.reading import sum_where_all
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError, unknown
from greensweep.sources.tracked_runs import TrackedRun, TrackedRuns, TrackedSweep

_TRAINING, _SPENT = "energy/training_joules", "energy/spent_joules"
_EMITTED = (("emissions/spent_kg", _SPENT), ("emissions/kg", _TRAINING))
_COMPONENTS = ("cpu", "gpu", "ram")
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
_OWN_WORK = "search/search_joules"
_BESIDE = {
    _OWN_WORK: "Drawing trials and keeping records",
    "sweep/energy_test_joules": "Testing the best trials",
    "sweep/energy_reference_joules": "The reference job before and after",
}
_MEMORY = "hardware.memory_bytes"
_Place = tuple[str | None, str | None]  # machine and grid
_NOWHERE: _Place = (None, None)
_ROUNDING = 1e-6  # of sums of joules
_DECLARED = "g CO2e/kWh"  # ends the name of a grid that is declared by its intensity


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
    chosen, no_final = _final_run(runs, final)
    metered = [run for run in runs if _spent(run) is not None]
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
        elif of_sweep[key] or _billed(sweep):
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
        no_final if chosen is None or _spent(chosen) is not None else _unmetered_final(chosen),
        unmetered=len(runs) - len(metered),
        running=tracked.running,
        spread_joules=sum_joules(part.joules for each in spread for part in _beside({"": each})),
        versions=_versions(metered),
        used=_used(metered, tracked),
    )


def _spent(run: TrackedRun) -> float | None:
    return run.metrics.get(_SPENT, run.metrics.get(_TRAINING))


def _billed(sweep: TrackedSweep) -> float | None:
    """Return what a search by our sweeper says that it spent; None of other sweepers."""
    return sweep.metrics.get("search/spent_joules")


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
    parts = [*_phases(runs[0])] if alone else []
    parts = parts or [*_ends(runs, sweeps), *_beside(sweeps)]
    total = Part(
        "Total",
        sum_joules(part.joules for part in parts),
        len(runs) or None,
        seconds=_seconds(runs),
    )
    trained = [run for run in runs if _TRAINING in run.metrics]
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
        of_which=() if alone else tuple(map(emitting, _of_which(runs, sweeps))),
        shared=sum(run.tags.get("energy.contended") == "true" for run in runs),
        left_out_joules=sum_joules(remainders),
        is_search=bool(sweeps),
        search_joules=sum_joules(each.metrics.get(_OWN_WORK) for each in sweeps.values()),
    )


def _quality(run: TrackedRun) -> str:
    return run.tags.get("energy.quality", "unknown")


def _ends(runs: Sequence[TrackedRun], sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    """Yield what runs took in all their phases, by how they ended.

    A search knows more of trials that were pruned, stopped or failed than their last results: of
    earlier attempts too. All that it spent is in the parts, and no more.
    """
    billed = {key: each for key, each in sweeps.items() if _billed(each) is not None}
    found: dict[str, float | None] = {}
    left = _sum(billed, "search/spent_joules") - _sum(billed, _OWN_WORK)
    for end in (*_ENDS, "other", "finished"):  # what is finished by what the others leave
        own = [run for run in runs if _end(run) == end]
        known = sum_joules(_spent(run) for run in own if run.sweep in billed)
        if end in _ENDS and billed:
            known = sum_joules(each.metrics.get(f"search/{end}_joules") for each in billed.values())
        known = None if known is None else max(min(known, left), 0.0)
        left -= known or 0.0
        found[end] = sum_joules([known, *(_spent(run) for run in own if run.sweep not in billed)])
    word = "trials" if sweeps else "runs"
    for end in ("finished", *_ENDS, "other"):
        own = [run for run in runs if _end(run) == end]
        if own or found[end]:
            name, seconds = f"{_ENDS.get(end, end.capitalize())} {word}", _seconds(own)
            yield Part(name, found[end], len(own), seconds=seconds)
    if left > _ROUNDING * _sum(billed, "search/spent_joules"):
        yield Part("Trials outside of their recorded runs", left)


def _sum(sweeps: Mapping[str, TrackedSweep], name: str) -> float:
    return sum(each.metrics.get(name, 0.0) for each in sweeps.values())


def _seconds(runs: Iterable[TrackedRun]) -> float | None:
    return sum_where_all(run.seconds for run in runs)


def _end(run: TrackedRun) -> str:
    return run.status if run.status in ("finished", *_ENDS) else "other"


def _beside(sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    for name, what in _BESIDE.items():
        if joules := sum_joules(each.metrics.get(name) for each in sweeps.values()):
            yield Part(what, joules)


def _by_phase(run: TrackedRun) -> dict[str, float]:
    """Return the energy of a run's phases, by what these are called together."""
    found: dict[str, float] = defaultdict(float)
    for name, joules in run.metrics.items():
        if name.startswith("phases/") and name.endswith("_joules"):
            phase = name.removeprefix("phases/").removesuffix("_joules")
            found[next((what for what, own in _PHASES.items() if phase in own), _ELSE)] += joules
    return found


def _phases(run: TrackedRun) -> Iterable[Part]:
    found = _by_phase(run)
    for name in [each for each in _PHASES if each in found]:
        part = Part(name, found[name], 1)
        if name == _TRAINED and run.repeats == 1:
            part = replace(_final(run).part, name=name)
        yield part


def _of_which(runs: Sequence[TrackedRun], sweeps: Mapping[str, TrackedSweep]) -> Iterable[Part]:
    known = [found for run in runs if (found := _by_phase(run))]
    for name in (_TRAINED, _EVALUATED):
        joules = sum_joules(found.get(name) for found in known)
        if name == _EVALUATED:
            tests = (each.metrics.get("sweep/energy_test_joules") for each in sweeps.values())
            joules = sum_joules([joules, *tests])
        if joules is not None:
            yield Part(f"of which {name.lower()}", joules, len(known))


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
        (run.metrics[_TRAINING], run.metrics["energy/measured_share"])
        for run in runs
        if "energy/measured_share" in run.metrics
    ]
    total = sum(joules for joules, _ in shares)
    return sum(joules * share for joules, share in shares) / total if total else None


def _final(run: TrackedRun) -> Final:
    metrics = run.metrics
    ends = metrics.get(f"{_TRAINING}_low"), metrics.get(f"{_TRAINING}_high")
    return Final(
        run.name,
        run.tags.get("model", "unknown"),
        run.tags.get("dataset", "unknown"),
        run.repeats,
        Part(
            f"Final training ({run.name})",
            metrics.get(_TRAINING),
            1,
            metrics.get("energy/uncertainty_joules"),
            seconds=metrics.get("training/seconds"),
        ),
        _quality(run),
        _sources([run]),
        interval=None if ends[0] is None or ends[1] is None else (ends[0], ends[1]),
    )


def _final_run(
    runs: Sequence[TrackedRun], asked: str | None
) -> tuple[TrackedRun | None, str | None]:
    """Return the run of the final model, or None and why there is none."""
    if asked is not None:
        named = [run for run in runs if asked in (run.key, run.name, _number(run))]
        if not named:
            raise AnalysisError("final: " + unknown("run", asked, [run.key for run in runs]))
        if len(named) > 1:
            keys = " or ".join(run.key for run in named[:2])
            raise AnalysisError(f"final={asked} names {len(named)} runs: set final={keys}")
        return named[0], None
    finished = [run for run in runs if run.status == "finished"]
    if len(finished) == 1:
        return finished[0], None
    if not finished:
        which = f"None of the {len(runs)} runs finished" if runs else "No run is recorded"
        return None, f"{which}, so there is no final training."
    scored = [
        (score, run) for run in finished if run.is_feasible and (score := _score(run)) is not None
    ]
    if not scored:
        return None, (
            "No finished run has a metric by which it could be chosen, so none is the final one: "
            "name it by final=RUN."
        )
    if len(kinds := sorted({_compared_by(run) for _, run in scored})) > 1:
        return None, (
            f"The runs are of several kinds ({'; '.join(kinds)}), so none is the final one: name "
            "it by final=RUN."
        )
    best = max(scored, key=lambda each: (each[0], -each[1].metrics.get(_TRAINING, 0.0)))
    return best[1], None


def _unmetered_final(run: TrackedRun) -> str:
    return f"The final run ({run.name}) was not metered, so what its training took is not known."


def _number(run: TrackedRun) -> str:
    return run.name.removeprefix("trial ")


def _compared_by(run: TrackedRun) -> str:
    metric = run.tags.get("objective.metric", "accuracy")
    return f"{metric} on {run.tags.get('dataset', 'unknown')}"


def _score(run: TrackedRun) -> float | None:
    tags = run.tags
    split = "test" if tags.get("selected_on_test") == "true" else "validation"
    name = tags.get("objective.metric", "accuracy")
    value = run.metrics.get(f"{split}/{name}")
    if value is None:
        return None
    is_less = tags.get("objective.direction") == "minimize"
    return float(directed_metric(name, "minimize" if is_less else "maximize").score(value))


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
