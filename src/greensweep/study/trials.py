"""The trials of a sweep, read from their folders, and the choice between them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greensweep.config.metrics import METRICS, Direction, Metric
from greensweep.config.schema import TrainConfig
from greensweep.config.store import (
    is_our_config,
    load_run_config,
    read_overrides,
    read_plain_config,
)
from greensweep.energy import declared_grid
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import ConfigError
from greensweep.files import read_json, was_put_aside, write_json
from greensweep.pareto import distinguishable, pareto_front
from greensweep.record.recorded_run import initial_result
from greensweep.record.reported import by_split, known_direction
from greensweep.record.result import CONFIG_FILE, RESULT_FILE, RunResult, read_results
from greensweep.search.folders import trial_directories
from greensweep.search.records import FUTILE_TRIALS, MOST_DEATHS, Outcome, ended_as
from greensweep.search.reports import history_of, read_reports
from greensweep.search.trial import EndedTrial, broken_in, read_trial_file

log = logging.getLogger(__name__)

SEARCHED_FILE = "searched.json"  # the options that a sweep searches


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        number: from 0, in the order they started.
        directory: the run's folder.
        searched: the options in which the trials differ, as text.
        broken: constraints of the search that it breaks, `whole_run` of a cheaper run among them.
        enqueued: its point is one that the search was given to start from.
        killed: its process, or its machine, died with it.
    """

    number: int
    directory: Path
    result: RunResult
    searched: Mapping[str, str]
    broken: tuple[str, ...] = ()
    enqueued: bool = False
    killed: bool = False

    @property
    def cost(self) -> float:
        """Training energy in joules; where nothing was metered, training seconds."""
        joules = self.result.energy_joules
        return joules if joules is not None else self.result.seconds or 0.0

    def costs_as(self, other: "Trial") -> bool:
        """Return whether the costs of two trials differ by no more than their uncertainty."""
        unsure = (each.result.energy_uncertainty_joules for each in (self, other))
        return not distinguishable(self.cost, other.cost, *unsure)


def keep_searched(sweep: Path, options: Iterable[str], space: str | None = None) -> None:
    """Record in a sweep's folder which options it searches.

    Raises:
        OSError: the folder cannot be written.
    """
    write_json(sweep / SEARCHED_FILE, {"options": [*options], "space": space})


def kept_space(sweep: Path) -> str | None:
    """Return what the space of a sweep is called; None where it does not say."""
    return (read_json(sweep / SEARCHED_FILE) or {}).get("space")


def searched_among(sweep: Path, overrides: Iterable[str]) -> dict[str, str]:
    """Return the options among a trial's overrides that its sweep searches, with their values."""
    asked = (read_json(sweep / SEARCHED_FILE) or {}).get("options", ())
    return {key: value for key, value in map(_key_value, overrides) if key in asked}


def read_trials(sweep: Path) -> list[Trial]:
    """Read every trial of a sweep that left a whole result, in order.

    One whose result broke counts by what the search knows of it, and is never the best.
    """
    recorded = {directory: read_trial_file(directory) for directory in trial_directories(sweep)}
    found = read_results(recorded)
    for directory, kept in recorded.items():
        if directory not in found and kept is not None and was_put_aside(directory / RESULT_FILE):
            found[directory] = result_of(directory, kept.number, kept.outcome, None)
    ordered = sorted(
        found.items(), key=lambda pair: (pair[1].trial is None, pair[1].trial, str(pair[0]))
    )
    overrides = [dict(_key_value(text) for text in result.overrides) for _, result in ordered]
    asked = (read_json(sweep / SEARCHED_FILE) or {}).get("options")
    keys = _varying(overrides, asked)
    return [
        Trial(
            number=result.trial if result.trial is not None else index,
            directory=directory,
            result=_as_recorded(result, recorded[directory]),
            searched={key: values[key] for key in keys if key in values},
            broken=broken_in(directory, recorded[directory]),
            enqueued=(kept := recorded[directory]) is not None and kept.enqueued,
            killed=kept is not None and kept.outcome.status in MOST_DEATHS,
        )
        for index, ((directory, result), values) in enumerate(zip(ordered, overrides, strict=True))
    ]


def first_trials(trials: Iterable[Trial], count: int) -> list[Trial]:
    """Return the trials that a search for `count` of them would have run; stopped ones are extra.

    A stopped trial runs again when its search goes on, and counts by that.
    """
    kept: list[Trial] = []
    for trial in trials:
        if count < 1:
            break
        kept.append(trial)
        count -= trial.result.status != "stopped"
    return kept


def finished(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that have a metric to compare."""
    return [t for t in trials if t.result.status == "finished"]


def candidates(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that may be the best: whole runs that finished and keep the constraints.

    Of a metric without a known direction none is better than another.
    """
    return [
        trial
        for trial in finished(trials)
        if not trial.broken and trial.result.objective_direction is not None
    ]


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """Return the best candidate by the metric that the search goes by; of equals, the cheapest."""
    known = [trial for trial in candidates(trials) if trial.result.objective_value is not None]
    return min(known, key=lambda trial: (-trial.result.score, trial.cost), default=None)


def pareto_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return the candidates that no other beats in the metric and cost together, cheap first.

    A trial whose cost does not compare is left off, and one that is cheaper than a better
    one by less than their costs' uncertainty.
    """
    front = nondominated_trials(trials)
    return _front(front, [trial.result.energy_uncertainty_joules for trial in front])


def nondominated_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return the candidates that no other beats in the metric and cost by their figures alone.

    Who is beaten stays so when trials are added; who is left off the front for an uncertainty may
    come back to it.
    """
    return _front(_comparable(trials))


def _comparable(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in candidates(trials) if trial.result.energy_comparable]


def _front(
    trials: Sequence[Trial], uncertainties: Sequence[float | None] | None = None
) -> list[Trial]:
    costs, scores = [trial.cost for trial in trials], [trial.result.score for trial in trials]
    return [trials[place] for place in pareto_front(costs, scores, uncertainties)]


def winners(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials worth testing: the Pareto-optimal ones, and the best."""
    return _with_best(pareto_trials(trials), trials)


def contenders(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose weights are worth keeping: those that are or may become winners."""
    return _with_best(nondominated_trials(trials), trials)


def _with_best(front: list[Trial], trials: Sequence[Trial]) -> list[Trial]:
    best = best_trial(trials)
    return front if best is None or best in front else [*front, best]


def failed_alike(sweep: Path) -> bool:
    """Return whether all of a sweep's trials, some at least, failed for what is not searched."""
    trials = read_trials(sweep)
    if len(trials) < FUTILE_TRIALS or any(each.result.status != "failed" for each in trials):
        return False
    error, *others = {str(each.result.error) for each in trials}
    return not others and not any(option in error for option in searched_keys(trials))


def front_numbers(trials: Iterable[Trial]) -> set[int]:
    """Return the numbers of the Pareto-optimal trials."""
    return {trial.number for trial in pareto_trials(trials)}


def metric_of(trials: Iterable[Trial]) -> Metric:
    """Return the metric that a sweep's trials are compared by: that of the finished ones."""
    first = _first(trials)
    return METRICS["accuracy"] if first is None else first.metric


def direction_of(trials: Iterable[Trial]) -> Direction | None:
    """Return in which direction that metric is better; None where it is not known."""
    first = _first(trials)
    return "maximize" if first is None else first.objective_direction


def _first(trials: Iterable[Trial]) -> RunResult | None:
    ordered = sorted(trials, key=lambda trial: trial.result.status != "finished")
    return ordered[0].result if ordered else None


def searched_keys(trials: Iterable[Trial]) -> list[str]:
    """Return the searched options, in the order in which the trials name them."""
    return list(dict.fromkeys(key for trial in trials for key in trial.searched))


def result_of(
    directory: Path, number: int, outcome: Outcome, config: TrainConfig | None
) -> RunResult:
    """Return the result of a trial that left none which is whole, by what the search knows of it.

    Args:
        config: where the trial's folder holds none of its own; None of a program of one's own.
    """
    file = directory / CONFIG_FILE
    if file.is_file() and (config is not None or is_our_config(read_plain_config(file))):
        try:
            config = load_run_config(file)
        except ConfigError as error:  # half a file: what the sweep has in common still holds
            log.warning("Trial %d is described by the sweep's own options: %s.", number, error)
    overrides, status = read_overrides(directory), ended_as(outcome)
    program = _program(directory)
    initial = (
        RunResult(status, None, program, "unknown", seed=0, trial=number, overrides=overrides)
        if config is None
        else initial_result(config, number, overrides)
    )
    split, metric = "test" if initial.selected_on_test else "validation", initial.objective_metric
    history = history_of(read_reports(directory))
    metrics, _ = by_split(outcome.metrics)
    if config is None:  # which metric it went by is seen by its value
        named = [name for name, value in metrics.items() if value == outcome.metric_value]
        metric = named[0] if named else metric
        direction = known_direction(metric) or initial.objective_direction
        initial = replace(initial, objective_metric=metric, objective_direction=direction)
    elif outcome.metric_value is not None:
        metrics = {metric: outcome.metric_value}
    return replace(
        initial,
        status=status,
        error=None if status == "finished" else outcome.error or "it never ran",
        validation_accuracy=outcome.accuracy if split == "validation" else None,
        test_accuracy=outcome.accuracy if split == "test" else None,
        metrics={split: metrics} if metrics else {},
        energy_joules=outcome.joules,
        energy_kwh=None if outcome.joules is None else outcome.joules / JOULES_PER_KWH,
        energy_uncertainty_joules=outcome.uncertainty_joules,
        energy_quality="unmeasured" if outcome.joules is None else outcome.quality,
        energy_spent_joules=outcome.spent_joules,
        emissions_spent_kg=_emissions_kg(outcome.spent_joules, config),
        seconds=sum(each.seconds or 0.0 for each in history) if history else None,
        epochs=outcome.epochs,
        history=history,
    )


def _program(directory: Path) -> str:
    """Return the name of the program that a trial ran, as Hydra's own file has it."""
    try:
        return str(read_plain_config(directory / ".hydra" / "hydra.yaml")["hydra"]["job"]["name"])
    except (KeyError, TypeError):  # none, or half a file
        return "unknown"


def _emissions_kg(joules: float | None, config: TrainConfig | None) -> float | None:
    grid = None if joules is None or config is None else declared_grid(config.energy)
    return None if grid is None or joules is None else grid.emissions_kg(joules / JOULES_PER_KWH)


def _as_recorded(result: RunResult, kept: EndedTrial | None) -> RunResult:
    """Return a result with the end that the search gave its trial: it may refuse a finished run."""
    if kept is None or (status := ended_as(kept.outcome)) == result.status:
        return result
    return replace(result, status=status, error=kept.outcome.error)


def _key_value(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _varying(overrides: list[dict[str, str]], asked: Sequence[str] | None) -> list[str]:
    """Return the keys whose values differ between trials, in the order given.

    Of one trial those that are searched, or all. One of which nothing is known differs in nothing.
    """
    overrides = [values for values in overrides if values]
    keys = dict.fromkeys(key for values in overrides for key in values)
    if len(overrides) < 2:
        return [key for key in keys if asked is None or key in asked]
    return [key for key in keys if len({values.get(key) for values in overrides}) > 1]
