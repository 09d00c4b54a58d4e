"""The trial of a sweep to take."""

from collections.abc import Sequence

from greensweep.decision.candidate import Candidate
from greensweep.decision.choice import Decision, decide
from greensweep.study.trials import Trial, candidates, metric_of


def decide_between(
    trials: Sequence[Trial], points_per_halving: float
) -> tuple[Decision, Trial] | tuple[None, None]:
    """Choose between the candidates of a sweep, and return the trial to take; None without one."""
    known = [each for each in candidates(trials) if each.result.objective_value is not None]
    known.sort(key=lambda trial: trial.cost)  # of equals the first is the best, as of `best_trial`
    found = [candidate_of(trial) for trial in known]
    decision = decide(found, metric_of(trials), points_per_halving)
    if decision is None:
        return None, None
    return decision, known[found.index(decision.chosen)]


def candidate_of(trial: Trial) -> Candidate:
    """Return a finished trial as one of the configurations to choose between."""
    result = trial.result
    value = result.objective_value
    assert value is not None
    return Candidate(
        f"trial {trial.number}",
        value,
        result.energy_joules if result.energy_comparable else None,
        result.energy_uncertainty_joules,
        result.objective_interval,
        trial.searched,
        trial.enqueued,
        result.energy_contended,
    )
