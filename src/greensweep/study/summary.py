"""What a sweep came to: one table, one sentence, `study.json` and `trials.csv`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from greensweep.config.metrics import Direction, Metric, directed_metric
from greensweep.csv_files.cells import write_rows
from greensweep.decision.sentences import answer
from greensweep.energy import shared_quality, sum_joules
from greensweep.energy.accounts import SweepTotal
from greensweep.energy.reading import sum_where_all
from greensweep.files import read_json, write_json
from greensweep.nested import from_json
from greensweep.record.result import RunResult
from greensweep.search.cost import SearchCost
from greensweep.search.folders import STUDY_FILE
from greensweep.study.decision import decide_between
from greensweep.study.drift import Drift
from greensweep.study.nodes import NODE_FIGURES, NodeEnergy, idle_nodes, node_energies
from greensweep.study.trials import (
    Trial,
    best_trial,
    direction_of,
    finished,
    front_numbers,
    metric_of,
    nondominated_trials,
    searched_keys,
)

TRIALS_FILE = "trials.csv"

_FIGURES = (
    "status",
    "validation_accuracy",
    "test_accuracy",
    "selected_on_test",
    "energy_joules",
    "energy_net_joules",
    "energy_uncertainty_joules",
    "energy_spent_joules",
    "energy_quality",
    "energy_measured_share",
    "energy_basis",
    "energy_comparable",
    "energy_contended",
    "energy_contended_by",
    "energy_neighbours",
    "emissions_kg",
    "emissions_spent_kg",
    "objective_low",
    "objective_high",
    "seconds",
    "epochs",
    "repeats",
    "parameters",
    "flops",
    "model",
    "dataset",
    "seed",
    "mlflow_run_id",
)
_SPREADS = ("validation_accuracy", "test_accuracy", "energy_joules")
_INTERVAL = ("objective_low", "objective_high")
_SPLITS = ("validation", "test")
_ACCURACIES = ("validation_accuracy", "test_accuracy")
_NAMED = ("best", "chosen")


@dataclass(frozen=True)
class StudySummary:
    """A sweep in figures, as `study.json` holds it.

    Attributes:
        status: finished, or interrupted.
        trials: how many ended, in whatever way; `trials_by_status` says how.
        trials_breaking: how many finished trials break each constraint of the search, so that
            they are never the best; `whole_run` counts the cheaper runs.
        trials_not_comparable: how many finished trials have joules that do not compare with the
            others', so that they are on no front.
        trials_not_told_apart: numbers of candidates that are off the front since they are cheaper
            than a more accurate one by less than their energies' uncertainty.
        trials_selected_on_test: how many finished trials were selected on the test split.
        objective_metric, objective_direction: what the trials are compared by; None of single runs
            by a metric whose direction is not known.
        best_trial: number of the best candidate by it; None without one.
        best_figures: of it, by name; `study.json` has them as `best_energy_joules`,
            `best_validation_macro_f1` and so on.
        answer: which trial to take, what it gives up, what it saves, and how sure that is; None
            where there is none.
        chosen_trial: number of the trial to take; `chosen_figures` likewise.
        decision: what the choice rests on, as `Decision.figures` has it.
        pareto_trials: numbers of the trials that none beats in the metric and energy together.
        energy_spent_joules: of all trials and phases; None where nothing was metered.
        emissions_spent_kg: CO2e of these joules; None without a declared grid.
        energy_test_joules: of testing the winners.
        energy_reference_joules: of the reference job before and after.
        energy_machine_joules: of the machines on which trials ran side by side, while the sweep had
            them; None where each trial had one to itself.
        energy_remainder_joules: of these, what neither trials nor the search were charged.
        energy_neighbours: most metered runs beside a trial.
        energy_nodes: what each node used from when the sweep had it until it was released.
        energy_idle_nodes_joules: of these, what neither trials nor the search were charged:
            waiting, starting, and others' work; None where that is not known.
        energy_idle_nodes_uncertainty_joules, energy_idle_nodes_quality: of that figure.
        drift: relative change of the reference job's energy per step from before to after, of its
            time where no counter measures the energy.
        drift_notable: the changes that are too large for chance, of energy and of time.
        space: that was searched: its name, and the ranges that the command line set.
        search: the cost of a search by `hydra/sweeper=greensweep`; None for other sweepers.
    """

    status: str
    trials: int
    trials_by_status: Mapping[str, int]
    trials_breaking: Mapping[str, int] = field(default_factory=dict)
    trials_not_comparable: int = 0
    trials_not_told_apart: tuple[int, ...] = ()
    trials_selected_on_test: int = 0
    objective_metric: str = "accuracy"
    objective_direction: Direction | None = "maximize"
    best_trial: int | None = None
    best_figures: Mapping[str, float | None] = field(default_factory=dict)
    best_energy_comparable: bool = True
    answer: str | None = None
    chosen_trial: int | None = None
    chosen_figures: Mapping[str, float | None] = field(default_factory=dict)
    decision: Mapping[str, float | None] = field(default_factory=dict)
    pareto_trials: tuple[int, ...] = ()
    energy_spent_joules: float | None = None
    emissions_spent_kg: float | None = None
    energy_test_joules: float | None = None
    energy_quality: str = "unmeasured"
    energy_constant_share: float | None = None
    energy_reference_joules: float | None = None
    energy_machine_joules: float | None = None
    energy_remainder_joules: float | None = None
    energy_neighbours: int = 0
    energy_nodes: Mapping[str, NodeEnergy] = field(default_factory=dict)
    energy_idle_nodes_joules: float | None = None
    energy_idle_nodes_uncertainty_joules: float | None = None
    energy_idle_nodes_quality: str | None = None
    drift: float | None = None
    drift_notable: Mapping[str, float] = field(default_factory=dict)
    mlflow_run_id: str | None = None
    space: str | None = None
    search: Mapping[str, Any] | None = None

    @property
    def selected_on_test(self) -> bool:
        """All finished trials were selected on the test split."""
        return 0 < self.trials_selected_on_test == self.trials_by_status.get("finished", 0)

    @property
    def metric(self) -> Metric:
        """What the trials are compared by."""
        return directed_metric(self.objective_metric, self.objective_direction or "maximize")

    @property
    def selected_by(self) -> str:
        """The figure that the trials are compared by, such as `validation_accuracy`."""
        return f"{'test' if self.selected_on_test else 'validation'}_{self.objective_metric}"

    def metrics(self) -> dict[str, float]:
        """Return the figures of the sweep under the names that MLflow shows."""
        named = {
            "sweep/trials": self.trials,
            "sweep/trials_finished": self.trials_by_status.get("finished", 0),
            "sweep/energy_spent_joules": self.energy_spent_joules,
            "sweep/emissions_spent_kg": self.emissions_spent_kg,
            "sweep/energy_test_joules": self.energy_test_joules,
            "sweep/energy_reference_joules": self.energy_reference_joules,
            "sweep/energy_machine_joules": self.energy_machine_joules,
            "sweep/energy_remainder_joules": self.energy_remainder_joules,
            "sweep/energy_idle_nodes_joules": self.energy_idle_nodes_joules,
            **{
                f"sweep/nodes/{name}/{figure}": getattr(node, figure)
                for name, node in self.energy_nodes.items()
                for figure in NODE_FIGURES
            },
            "sweep/drift": self.drift,
            **{f"best/{name}": value for name, value in self.best_figures.items()},
            **{f"chosen/{name}": value for name, value in self.chosen_figures.items()},
            **{f"decision/{name}": value for name, value in self.decision.items()},
        }
        figures = {name: float(value) for name, value in named.items() if value is not None}
        return figures | (SearchCost(**self.search).metrics() if self.search else {})


def summarise(
    trials: Sequence[Trial],
    *,
    interrupted: bool = False,
    test_joules: float | None = None,
    machines: Mapping[str, SweepTotal] | None = None,
    drifted: Drift | None = None,
    mlflow_run_id: str | None = None,
    space: str | None = None,
    search_cost: SearchCost | None = None,
    points_per_halving: float = 1.0,
) -> StudySummary:
    """Return the figures of a sweep.

    Args:
        machines: what it left about its machines, by their names.
        drifted: the reference job before and after.
        search_cost: as the search left it.
        points_per_halving: as for `greensweep.decision.choice.decide`.
    """
    metric = metric_of(trials)
    total = sum((machines or {}).values(), start=SweepTotal())
    shared, nodes = total if total.neighbours else None, node_energies(machines or {})
    idle = idle_nodes(nodes, [trial.result for trial in trials])
    best, front = best_trial(trials), front_numbers(trials)
    decision, chosen = decide_between(trials, points_per_halving)
    return StudySummary(
        status="interrupted" if interrupted else "finished",
        trials=len(trials),
        trials_by_status=dict(Counter(str(trial.result.status) for trial in trials)),
        trials_breaking=dict(Counter(name for trial in finished(trials) for name in trial.broken)),
        trials_not_comparable=sum(not trial.result.energy_comparable for trial in finished(trials)),
        trials_not_told_apart=tuple(
            sorted({trial.number for trial in nondominated_trials(trials)} - front)
        ),
        trials_selected_on_test=sum(trial.result.selected_on_test for trial in finished(trials)),
        energy_spent_joules=sum_joules(trial.result.energy_spent_joules for trial in trials),
        emissions_spent_kg=_emissions_kg(trials),
        energy_test_joules=test_joules,
        energy_quality=shared_quality(
            trial.result.energy_quality
            for trial in trials
            if trial.result.energy_joules is not None
        ),
        energy_constant_share=_constant_share(trials),
        energy_reference_joules=drifted.joules if drifted else None,
        energy_machine_joules=shared.machine_joules if shared else None,
        energy_remainder_joules=shared.machine_joules - shared.trials_joules if shared else None,
        energy_neighbours=shared.neighbours if shared else 0,
        energy_nodes=nodes,
        energy_idle_nodes_joules=idle.joules if idle else None,
        energy_idle_nodes_uncertainty_joules=idle.uncertainty_joules if idle else None,
        energy_idle_nodes_quality=idle.quality if idle else None,
        drift=drifted.change if drifted else None,
        drift_notable=drifted.notable if drifted else {},
        objective_metric=metric.name,
        objective_direction=direction_of(trials),
        mlflow_run_id=mlflow_run_id,
        best_trial=best.number if best else None,
        best_figures=_figures_of(best, metric),
        best_energy_comparable=best is None or best.result.energy_comparable,
        answer=answer(decision) if decision else None,
        chosen_trial=chosen.number if chosen else None,
        chosen_figures=_figures_of(chosen, metric),
        decision=decision.figures() if decision else {},
        pareto_trials=tuple(sorted(front)),
        space=space,
        search=asdict(search_cost) if search_cost else None,
    )


def emitted(cost: SearchCost, trials: Sequence[Trial]) -> SearchCost:
    """Return a search's cost with its emissions, on the grid that its program's runs declare."""
    joules = sum_joules(trial.result.energy_spent_joules for trial in trials)
    kilograms = _emissions_kg(trials)
    if cost.spent_kg is not None or cost.spent_joules is None or not joules or kilograms is None:
        return cost
    return replace(cost, spent_kg=cost.spent_joules * kilograms / joules)


def _emissions_kg(trials: Sequence[Trial]) -> float | None:
    return sum_where_all(
        trial.result.emissions_spent_kg
        for trial in trials
        if trial.result.energy_spent_joules is not None
    )


def _figures_of(trial: Trial | None, metric: Metric) -> dict[str, float | None]:
    """Return the figures of the best or the chosen trial by name; None without one."""
    own = [f"{split}_{metric.name}" for split in _SPLITS]
    names = dict.fromkeys([*_ACCURACIES, "energy_joules", "energy_uncertainty_joules", *own])
    return {name: _figure(trial.result, name) if trial else None for name in names}


def write_summary(summary: StudySummary, trials: Sequence[Trial], directory: Path) -> list[Path]:
    """Write `trials.csv` (figures unrounded), then `study.json`, and return their paths.

    Each is written whole or not at all: a sweep with a `study.json` has its table.

    Raises:
        OSError: the directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    study, table = directory / STUDY_FILE, directory / TRIALS_FILE
    write_rows(trial_rows(trials), table)
    kept = asdict(summary)
    for which in _NAMED:
        figures = kept.pop(f"{which}_figures")
        kept |= {f"{which}_{name}": value for name, value in figures.items()}
    write_json(study, kept)
    return [study, table]


def trial_rows(trials: Sequence[Trial]) -> list[list[Any]]:
    """Return the rows of `trials.csv`, the names of its columns first."""
    metrics = _metric_columns(trials)
    repeated = {name for trial in trials for name in trial.result.spread}
    names = [*_FIGURES, *metrics]
    spreads = [*_SPREADS, *(name for name in metrics if name in repeated)]
    accuracies = [trial.result.accuracy for trial in trials]
    if metric_of(trials).name != "accuracy" and set(accuracies) == {None}:  # there is none
        names = [name for name in names if name not in _ACCURACIES]
        spreads = [name for name in spreads if name not in _ACCURACIES]
    header = ["trial", "pareto_optimal", "infeasible", "starting_point", *names]
    header += [f"{name}_std" for name in spreads]
    # A seed that was searched, say, stands among the figures.
    searched = [key for key in searched_keys(trials) if key not in header]
    front = front_numbers(trials)
    rows: list[list[Any]] = [[*header, *searched]]
    for trial in trials:
        figures = [_figure(trial.result, name) for name in names]
        spread = trial.result.spread
        figures += [each.std if (each := spread.get(name)) else None for name in spreads]
        values = [trial.searched.get(key) for key in searched]
        broken = ", ".join(trial.broken)
        labels = [trial.number, trial.number in front, broken, trial.enqueued]
        rows.append([*labels, *figures, *values])
    return rows


def _metric_columns(trials: Sequence[Trial]) -> list[str]:
    """Return the columns of metrics that the trials have beside accuracy."""
    found = {
        f"{split}_{name}"
        for trial in trials
        for split, figures in trial.result.metrics.items()
        for name in figures
        if name != "accuracy" and "/" not in name
    }
    own = metric_of(trials).name != "accuracy"
    return [*sorted(found), *(["objective_metric", "objective_direction"] if own else [])]


def _figure(result: RunResult, name: str) -> Any:
    if name in _INTERVAL:
        return (result.objective_interval or (None, None))[_INTERVAL.index(name)]
    split, _, metric = name.partition("_")
    if split in _SPLITS and metric != "accuracy":
        return result.metrics.get(split, {}).get(metric)
    return getattr(result, name)


def read_summary(directory: Path) -> StudySummary | None:
    """Read `study.json` of a sweep, or return None where there is none (or an older one)."""
    values = read_json(directory / STUDY_FILE) or {}
    fields = StudySummary.__dataclass_fields__
    for which in _NAMED:
        figures = [name for name in values if name.startswith(f"{which}_") and name not in fields]
        values[f"{which}_figures"] = {
            name.removeprefix(f"{which}_"): values.pop(name) for name in figures
        }
    try:
        return from_json(StudySummary, values)
    except TypeError:
        return None


def _constant_share(trials: Sequence[Trial]) -> float | None:
    """Share of all training joules that is a constant power times the seconds."""
    metered = [
        (t.result.energy_joules, t.result.energy_constant_share)
        for t in trials
        if t.result.energy_joules and t.result.energy_constant_share is not None
    ]
    total = sum(joules for joules, _ in metered)
    return sum(joules * share for joules, share in metered) / total if total else None
