"""A sweep in MLflow at its end: its figures, the answer as its description, its trials' view."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from greensweep.decision.sentences import energy_change_text, option_texts
from greensweep.energy.units import energy_text
from greensweep.record.tracked_names import (
    CUMULATIVE_JOULES,
    TRAINING_JOULES,
    UNCERTAINTY_JOULES,
    tracked_name,
)
from greensweep.study.decision import candidate_of
from greensweep.study.sentences import answer_text
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial, searched_keys
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.view import SweepView, run_page, sweep_page

_DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a run's description
_MOST_ROWS = 12

_SAVED, _VERDICT, _ENERGY = "energy/saved_percent_of_best", "verdict", "training energy"


def finish_tracked_sweep(
    store: MlflowStore,
    run_id: str,
    summary: StudySummary,
    trials: Sequence[Trial],
    files: Sequence[Path],
) -> None:
    """Give a sweep's run in MLflow its figures, description and files, and end it.

    Its trials' runs get what the end of the sweep tells of them, and a view of their own. It ends
    also where MLflow refuses one of these.
    """
    try:
        _tell_sweep(store, run_id, summary, trials)
        store.log_files(run_id, files)
    finally:
        store.close(run_id, "KILLED" if summary.status == "interrupted" else "FINISHED")


def _tell_sweep(
    store: MlflowStore, run_id: str, summary: StudySummary, trials: Sequence[Trial]
) -> None:
    for trial in trials:
        if trial.result.mlflow_run_id is not None:
            saved = _saved_percent(trial, summary)
            metrics = {} if saved is None else {_SAVED: saved}
            store.amend(trial.result.mlflow_run_id, metrics, _tags(trial, summary))
    store.log_now(run_id, summary.metrics())
    tags = {_DESCRIPTION: _description(store.experiment_id, run_id, summary, trials)}
    tags |= {"selected_on_test": "true"} if summary.selected_on_test else {}
    tags |= {"space": summary.space} if summary.space is not None else {}
    store.log(run_id, [], tags)
    view = _view(store, summary, trials)
    store.client.set_experiment_tag(store.experiment_id, *view.tag(run_id))


def _tags(trial: Trial, summary: StudySummary) -> dict[str, str]:
    result = trial.result
    value, joules = result.objective_value, result.energy_joules
    tags = {_VERDICT: _verdict(trial, summary)}
    if value is not None:
        tags[_rounded(summary)] = summary.metric.text(value)
    if joules is not None:
        tags[_ENERGY] = energy_text(joules, result.energy_uncertainty_joules)
    tags |= {"infeasible": ", ".join(trial.broken)} if trial.broken else {}
    return tags | ({"starting_point": "true"} if trial.enqueued else {})


def _rounded(summary: StudySummary) -> str:
    """Return the tag that has the metric that decides, as people read it."""
    return _metric_name(summary).replace("/", " ", 1)


def _metric_name(summary: StudySummary) -> str:
    split = "test" if summary.selected_on_test else "validation"
    return tracked_name(split, summary.objective_metric)


def _verdict(trial: Trial, summary: StudySummary) -> str:
    """Say in two or three words what a trial is among those of its sweep."""
    number, result = trial.number, trial.result
    if result.status != "finished":
        return result.status
    if trial.broken:
        return "infeasible"
    if number == summary.chosen_trial:
        return "chosen, the best" if number == summary.best_trial else "chosen"
    if number == summary.best_trial:
        return "the best"
    if number in summary.pareto_trials:
        return "Pareto-optimal"
    if not result.energy_comparable:
        return "energy does not compare"
    return "within uncertainty" if number in summary.trials_not_told_apart else "dominated"


def _saved_percent(trial: Trial, summary: StudySummary) -> float | None:
    """Return how much less training energy a trial took than the best, %; None if not known.

    A run that was stopped took less because it did less, which saves nothing: it has no saving.
    """
    best, joules = summary.best_figures.get("energy_joules"), trial.result.energy_joules
    compares = summary.best_energy_comparable and trial.result.energy_comparable
    if trial.result.status != "finished" or not compares or not best or joules is None:
        return None
    return round(100 * (1 - joules / best), 1)


def _view(store: MlflowStore, summary: StudySummary, trials: Sequence[Trial]) -> SweepView:
    tracked = [trial for trial in trials if trial.result.mlflow_run_id is not None]
    results = [trial.result for trial in tracked]
    is_metered = any(each.energy_joules is not None for each in results)
    is_unsure = any(each.energy_uncertainty_joules is not None for each in results)
    saves = any(_saved_percent(trial, summary) is not None for trial in tracked)
    found = (store.params(str(each.mlflow_run_id)) for each in results)
    params = next(filter(None, found), {})
    # What a config group chose is an option of its own: model=mlp is model.name.
    names = [name for key in searched_keys(tracked) for name in (key, f"{key}.name")]
    columns = [("tags", _rounded(summary)), *([("tags", _ENERGY)] if is_metered else [])]
    columns += [*([("metrics", _SAVED)] if saves else []), ("tags", _VERDICT)]
    return SweepView(
        metric=_metric_name(summary),
        direction=summary.metric.direction,
        energy=TRAINING_JOULES if is_metered else None,
        energy_by_epoch=CUMULATIVE_JOULES,
        columns=columns,
        options=[name for name in names if name in params],
        last=[UNCERTAINTY_JOULES] if is_unsure else [],
    )


def _description(
    experiment_id: str, run_id: str, summary: StudySummary, trials: Sequence[Trial]
) -> str:
    """Return the answer, the front as a table with links, and where all trials are; in Markdown."""
    numbers = {summary.chosen_trial, summary.best_trial, *summary.pareto_trials}
    shown = [trial for trial in trials if trial.number in numbers]
    shown.sort(key=lambda trial: trial.number != summary.chosen_trial)
    table = "\n".join(_table(experiment_id, summary, shown))
    everything = f"[All trials, side by side]({sweep_page(experiment_id, run_id)})"
    return "\n\n".join(filter(None, [answer_text(summary), table, everything]))


def _table(experiment_id: str, summary: StudySummary, shown: Sequence[Trial]) -> Iterator[str]:
    if not shown:
        return
    front = sorted(shown[:_MOST_ROWS], key=lambda trial: -trial.result.score)
    keys = searched_keys(shown)
    options = [option_texts({key: each.searched.get(key, "") for key in keys}) for each in front]
    label = front[0].result.objective_label
    best = next((each for each in shown if each.number == summary.best_trial), None)
    heads = ["", "", label, "training energy", "against the best", *options[0]]
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for trial, texts in zip(front, options, strict=True):
        result, change = trial.result, ""
        if best is not None and trial is not best:
            change = energy_change_text(candidate_of(trial), candidate_of(best))
        name = f"trial {trial.number}"
        if result.mlflow_run_id is not None:
            name = f"[{name}]({run_page(experiment_id, result.mlflow_run_id)})"
        yield _row(
            [
                name,
                _verdict(trial, summary),
                summary.metric.text(result.objective_value),
                energy_text(result.energy_joules, result.energy_uncertainty_joules),
                change,
                *texts.values(),
            ]
        )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
