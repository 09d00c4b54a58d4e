"""What a search cost: what was spent on what, what is left, and what it bought."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import optuna
from optuna.trial import TrialState

from greensweep.energy import shared_quality
from greensweep.files import read_json, write_json
from greensweep.nested import from_json
from greensweep.search.best import best_trials
from greensweep.search.budget import between_trials, spent
from greensweep.search.cost_model import Figure, early_forecast, whole_cost
from greensweep.search.folders import STUDY_FILE
from greensweep.search.records import (
    SEARCH_QUALITY,
    Outcome,
    counted,
    ended_as,
    kept_of_study,
    outcome_of,
    spent_of,
)
from greensweep.search.spec import SearchSpec

_SECTION = "search"
_TRACKED = (
    *(
        "spent_joules",
        "spent_kg",
        "pruned_joules",
        "stopped_joules",
        "failed_joules",
        "search_joules",
    ),
    *("saved_joules", "saved_seconds", "hours", "left_joules"),
)


@dataclass(frozen=True)
class SearchCost:
    """What a search cost, over all the commands that ran it. Energy is gross, in joules.

    Attributes:
        trials: that count; `trials_total` are asked for.
        trials_by_status: of these, and of those that run again, which do not count.
        spent_joules: of everything below; None where nothing was metered.
        spent_kg: CO2e of these joules, on the grid declared now; None without one.
        finished_joules, pruned_joules, stopped_joules, failed_joules: of trials that ended so, in
            all their phases; those of trials that run again, since they
            died or were interrupted, are among the stopped.
        running_joules: of trials that still run, elsewhere, by their last reports.
        search_joules: of drawing trials and keeping their records.
        overhead_joules: of all this, what was not the training of finished trials.
        best_joules: training of the best trial; `search_ratio` is `spent_joules` over it.
        saved_joules, saved_seconds: by pruning: what the pruned trials' remaining epochs would
            have cost at their own pace. An estimate.
        trials_joules: of all trials that count.
        forecast_joules, forecast_low, forecast_high: what the first `forecast_trials` of them, a
            tenth, let expect of all, with the 90 % interval; of a search that ran to its end.
        hours: in which trials ran.
        budget_joules, budget_hours: what it might cost, and `left_joules`, `left_hours` of it.
        quality: of the joules; of a search of unmetered trials that of its own.
    """

    trials: int
    trials_total: int
    trials_by_status: Mapping[str, int]
    spent_joules: float | None = None
    spent_kg: float | None = None
    finished_joules: float = 0.0
    pruned_joules: float = 0.0
    stopped_joules: float = 0.0
    failed_joules: float = 0.0
    running_joules: float = 0.0
    search_joules: float = 0.0
    overhead_joules: float | None = None
    best_trials: tuple[int, ...] = ()
    best_joules: float | None = None
    search_ratio: float | None = None
    saved_joules: float = 0.0
    saved_seconds: float = 0.0
    trials_joules: float = 0.0
    forecast_trials: int = 0
    forecast_joules: float | None = None
    forecast_low: float | None = None
    forecast_high: float | None = None
    hours: float = 0.0
    budget_joules: float | None = None
    left_joules: float | None = None
    budget_hours: float | None = None
    left_hours: float | None = None
    quality: str = "unmeasured"
    ended: str | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Return the figures under the names that MLflow shows."""
        named = {name: getattr(self, name) for name in _TRACKED} | {
            "ratio_to_best": self.search_ratio
        }
        return {f"search/{name}": float(each) for name, each in named.items() if each is not None}


def search_cost(spec: SearchSpec, study: optuna.Study, ended: str | None = None) -> SearchCost:
    """Return what a search has cost as it stands.

    Args:
        ended: why it ended before all trials that were asked for.
    """
    trials = study.get_trials(deepcopy=False)
    outcomes = {each.number: outcome for each in trials if (outcome := outcome_of(each))}
    joules: dict[str, float] = defaultdict(float)
    for outcome in outcomes.values():
        joules[ended_as(outcome)] += outcome.spent_joules or 0.0
    searching = between_trials(study) + sum(each.search_joules or 0.0 for each in outcomes.values())
    used = spent(study, trials)
    metered = [each for each in outcomes.values() if each.spent_joules is not None]
    everything = used.joules if used.joules or metered else None
    counting = [trial for trial in counted(trials) if trial.number in outcomes]
    # A search that begins with cheaper runs forecasts nothing of its whole ones by them.
    early = early_forecast(counting, spec.total) if ended is None and not spec.fidelities else None
    known, expected = early or (0, None)
    best = best_trials(trials, study)
    best_joules = outcomes[best[0].number].joules if best else None
    budget = spec.budget_joules
    pruned = [each for each in outcomes.values() if each.status == "pruned"]
    trained = sum(each.joules or 0.0 for each in outcomes.values() if each.status == "finished")
    return SearchCost(
        trials=len(counting),
        trials_total=spec.total,
        trials_by_status=dict(
            Counter(ended_as(each) for each in outcomes.values() if each.status != "withdrawn")
        ),
        spent_joules=everything,
        spent_kg=spec.emissions_kg(everything),
        finished_joules=joules["finished"],
        pruned_joules=joules["pruned"],
        stopped_joules=joules["stopped"],
        failed_joules=joules["failed"],
        running_joules=sum(spent_of(each) for each in trials if each.state == TrialState.RUNNING),
        search_joules=searching,
        overhead_joules=None if everything is None else everything - trained,
        best_trials=tuple(trial.number for trial in best),
        best_joules=best_joules,
        search_ratio=everything / best_joules if everything and best_joules else None,
        saved_joules=_saved(pruned, "spent_joules"),
        saved_seconds=_saved(pruned, "seconds"),
        trials_joules=sum(outcomes[each.number].spent_joules or 0.0 for each in counting),
        forecast_trials=known,
        forecast_joules=expected.cost if expected else None,
        forecast_low=expected.low if expected else None,
        forecast_high=expected.high if expected else None,
        hours=used.hours,
        budget_joules=budget,
        left_joules=None if budget is None else max(budget - used.joules, 0.0),
        budget_hours=spec.budget.hours,
        left_hours=None if spec.budget.hours is None else max(spec.budget.hours - used.hours, 0.0),
        quality=(
            shared_quality(each.quality for each in metered)
            if metered
            else kept_of_study(study).get(SEARCH_QUALITY, "unmeasured")
        ),
        ended=ended,
        constraints=dict(spec.constraints),
    )


def _saved(pruned: Sequence[Outcome], figure: Figure) -> float:
    """Return what the pruned trials' remaining epochs would have cost."""
    wholes = [(whole_cost(each, figure), getattr(each, figure)) for each in pruned]
    return float(sum(whole - spent for whole, spent in wholes if whole is not None))


def write_search_cost(found: SearchCost, directory: Path) -> None:
    """Write the cost into `study.json`, beside what stands there already."""
    path = directory / STUDY_FILE
    known = read_json(path) or {}
    write_json(path, {**known, _SECTION: asdict(found)})


def read_search_cost(directory: Path) -> SearchCost | None:
    """Read the cost from `study.json`; None where another sweeper ran."""
    kept = (read_json(directory / STUDY_FILE) or {}).get(_SECTION)
    try:
        return from_json(SearchCost, kept) if kept else None
    except TypeError:
        return None  # an older one
