"""A search on the terminal while it runs: how it stands."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live

from greensweep.energy.units import joules_text
from greensweep.search.budget import spent
from greensweep.search.cost import best_trials
from greensweep.search.cost_model import seconds_left
from greensweep.search.records import counted
from greensweep.search.sentences import duration_text
from greensweep.search.spec import SearchSpec

_EVERY_SECONDS = 1.0  # between two looks at a search that runs


def progress_line(
    spec: SearchSpec,
    study: optuna.Study,
    trials: list[FrozenTrial],
    seconds: float,
    since_last: float = 0.0,
    earlier: int = 0,
) -> str:
    """Return how a search stands: trials, the best, energy of the budget, time left.

    Args:
        seconds: since this command began, in which it ran trials; from which the time left follows.
        since_last: of these, those since a trial ended: the trials that run have come so far.
        earlier: trials that had ended before this command.
    """
    states = Counter(trial.state for trial in counted(trials))
    done, total = _ended(trials), spec.total
    parts = [f"{done}/{total} trials"]
    names = {TrialState.RUNNING: "running", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    parts += [f"{states[state]} {name}" for state, name in names.items() if states[state]]
    best = best_trials(trials, study)
    if best:
        values = ", ".join(f"{value:.4g}" for value in best[0].values)
        parts.append(f"best {values} (trial {best[0].number})")
    used, limit = spent(study, trials).joules, spec.budget_joules
    if used or limit:
        parts.append(joules_text(used) + (f" of {joules_text(limit)}" if limit else ""))
    if done > earlier and total > done:
        left = seconds_left(done - earlier, total - done, seconds, since_last)
        parts.append(f"about {duration_text(left)} left")
    return ", ".join(parts)


def _ended(trials: list[FrozenTrial]) -> int:
    return sum(trial.state != TrialState.RUNNING for trial in counted(trials))


@contextmanager
def progress_shown(spec: SearchSpec, study: optuna.Study) -> Iterator[None]:
    """Show the status line on a terminal while the block runs; nothing where there is none."""
    if not sys.stderr.isatty():
        yield
        return
    began, over = time.monotonic(), threading.Event()
    earlier = _ended(study.get_trials(deepcopy=False))

    def watch(live: Live) -> None:
        ended, last = 0, 0.0
        while not over.wait(_EVERY_SECONDS):
            trials = study.get_trials(deepcopy=False)
            seconds = time.monotonic() - began
            now_ended = sum(trial.state.is_finished() for trial in trials)
            if now_ended != ended:
                ended, last = now_ended, seconds
            line = progress_line(spec, study, trials, seconds, seconds - last, earlier)
            live.update(line)

    with Live(console=Console(stderr=True, highlight=False), transient=True) as live:
        thread = threading.Thread(target=watch, args=(live,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
