"""Which run is that of the final model: the best of those that finished, or the one asked for."""

from collections.abc import Sequence

from greensweep.analysis.statement_parts import TRAINING
from greensweep.config.metrics import directed_metric
from greensweep.errors import AnalysisError, unknown
from greensweep.sources.tracked_runs import ENDED, TrackedRun


def final_run(
    runs: Sequence[TrackedRun], asked: str | None
) -> tuple[TrackedRun | None, str | None]:
    """Return the run of the final model, or None and why there is none.

    Args:
        asked: its name, trial number or key; None is the best of those that finished.

    Raises:
        AnalysisError: `asked` is none of them, or several.
    """
    if asked is not None:
        named = [run for run in runs if asked in (run.key, run.name, _number(run))]
        if not named:
            raise AnalysisError("final: " + unknown("run", asked, [run.key for run in runs]))
        if len(named) > 1:
            keys = " or ".join(run.key for run in named[:2])
            raise AnalysisError(f"final={asked} names {len(named)} runs: set final={keys}")
        return named[0], None
    finished = [run for run in runs if run.status in ("finished", ENDED)]
    if len(finished) == 1:
        return finished[0], None
    if not finished:
        why = {0: "No run is recorded", 1: "The run did not finish"}
        none = why.get(len(runs), f"None of the {len(runs)} runs finished")
        return None, f"{none}, so there is no final training."
    scored = [
        (score, run) for run in finished if run.is_feasible and (score := _score(run)) is not None
    ]
    if not scored:
        is_table = any(run.status == ENDED for run in finished)
        join = ", or join the table that has one (join=metrics.csv on=run_id)" if is_table else ""
        return None, (
            "No finished run has a metric by which it could be chosen, so none is the final one: "
            f"name it by final=RUN{join}."
        )
    if len(kinds := sorted({_compared_by(run) for _, run in scored})) > 1:
        return None, (
            f"The runs are of several kinds ({'; '.join(kinds)}), so none is the final one: name "
            "it by final=RUN."
        )
    best = max(scored, key=lambda each: (each[0], -each[1].metrics.get(TRAINING, 0.0)))
    return best[1], None


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
