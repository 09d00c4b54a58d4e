"""What a sweep leaves in its folder, and whether anything came of it."""

from collections.abc import Sequence
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.grammar import read_kept
from greensweep.errors import StudyError
from greensweep.files import write_text
from greensweep.search.cost import search_cost, write_search_cost
from greensweep.search.interrupt import interrupted
from greensweep.search.records import outcome_of
from greensweep.search.spec import SearchSpec


def write_results_of(spec: SearchSpec, study: optuna.Study, ended: str | None) -> None:
    """Write what the search cost into `study.json`, and `optimization_results.yaml`.

    The best trials stand in the latter as the stock sweeper writes them.

    Args:
        ended: why it ended before all trials were done.
    """
    cost = search_cost(spec, study, ended)
    write_search_cost(cost, spec.directory)
    best = [study.get_trials(deepcopy=False)[number] for number in cost.best_trials]
    solutions: Any = [
        {
            "params": {name: read_kept(value) for name, value in each.params.items()},
            "values": each.values,
        }
        for each in best
    ]
    found = {"solutions": solutions}
    if len(study.directions) == 1 and best:
        found = {"best_params": solutions[0]["params"], "best_value": best[0].value}
    text = OmegaConf.to_yaml(OmegaConf.create({"name": "greensweep", **found}))
    write_text(spec.directory / "optimization_results.yaml", text)


def require_finished(trials: Sequence[FrozenTrial]) -> None:
    """Raise StudyError where trials ended, but none of them well."""
    if interrupted() or any(trial.state == TrialState.COMPLETE for trial in trials):
        return
    outcomes = [outcome for trial in trials if (outcome := outcome_of(trial)) is not None]
    if any(each.status == "stopped" for each in outcomes):
        return  # by a budget, which did what it was asked to
    errors = [each.error for each in outcomes if each.error]
    if errors:
        raise StudyError(f"no trial of {len(errors)} finished; the first: {errors[0]}")
