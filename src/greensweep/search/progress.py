"""A search while it runs: a line for each trial as it ends, and on a terminal how it stands."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from greensweep.config.metrics import metric_called
from greensweep.decision.sentences import option_texts
from greensweep.energy.units import duration_text, energy_text, joules_text
from greensweep.errors import first_line, rounded
from greensweep.messages import drop_output
from greensweep.record.reported import OBJECTIVE
from greensweep.search.cost_model import seconds_left
from greensweep.search.live_line import LiveLine, live_line
from greensweep.search.patience import PATIENCE_SECONDS, STORAGE_FAULTS, hurried, is_away
from greensweep.search.records import MOST_DEATHS, WHOLE_RUN, Outcome, outcome_of
from greensweep.search.spec import SearchSpec
from greensweep.search.trials_so_far import TrialsSoFar, trials_so_far
from greensweep.secrets.data import mask_text

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0  # between two looks at a search that runs
_DISPENSABLE = ("failed", "pruned", "running", "best", "joules")  # on a narrow terminal, in order


class ProgressDisplay:
    """Shows how a search goes, from now on.

    Args:
        line: of a terminal; None where there is none.
    """

    def __init__(self, spec: SearchSpec, study: optuna.Study, line: LiveLine | None) -> None:
        self._spec, self._study, self._line = spec, study, line
        self._lock = threading.Lock()
        so_far = trials_so_far(study)
        self._told = len(so_far.ended)
        self._earlier = _ended(so_far)
        self._began = self._last = time.monotonic()
        self._is_away = False

    @property
    def has_terminal(self) -> bool:
        """It keeps a line at the bottom of a terminal."""
        return self._line is not None

    def look(self) -> None:
        """Print a line for each trial that has ended since the last look; draw the live one."""
        with self._lock:
            try:
                with hurried():
                    so_far = trials_so_far(self._study, reports=self._line is not None)
            except STORAGE_FAULTS as fault:
                self._tell_away(fault)
                return
            if self._is_away:
                self._is_away = False
                log.info("The study's storage answers again.")
            now = time.monotonic()
            ended = so_far.ended[self._told :]
            self._told += len(ended)
            for trial in ended:
                self._last = now
                _print_ended(trial)
            if self._line is not None:
                standing = progress_line(
                    self._spec,
                    so_far,
                    now - self._began,
                    now - self._last,
                    self._earlier,
                    self._line.width,
                )
                self._line.draw(standing)

    def _tell_away(self, fault: Exception) -> None:
        """Say once of a server that is away what it means; whoever needs another storage will."""
        if is_away(fault) and not self._is_away and not self._spec.storage.startswith("sqlite"):
            self._is_away = True
            log.warning(
                "The study's storage does not answer (%s): trials that run go on, and it is waited "
                "for, %d s at most.",
                mask_text(first_line(fault.__cause__ or fault)),
                PATIENCE_SECONDS,
            )


@contextmanager
def progress_shown(spec: SearchSpec, study: optuna.Study) -> Iterator[ProgressDisplay]:
    """Show how a search goes while the block runs."""
    over = threading.Event()
    with live_line() as line:
        display = ProgressDisplay(spec, study, line)

        def watch() -> None:
            while not over.wait(_EVERY_SECONDS):
                display.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield display
        finally:
            over.set()
            thread.join()
            display.look()


def trial_line(
    number: int,
    outcome: Outcome,
    options: Mapping[str, object],
    *,
    value: float | None = None,
    broken: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return what a trial came to, in one line.

    Args:
        options: that were chosen for it.
        value: of the first objective; None of a trial that did not finish.
        broken: the constraints that it breaks.
        width: characters that it may have where options can be left out for it; None for any.
    """
    error = outcome.error or ""
    is_ending = error.startswith((outcome.status, "interrupted"))
    parts = [] if outcome.status == "failed" else [_figures(outcome, value)]
    parts += ["in a cheaper run"] if WHOLE_RUN in broken else []
    bounds = [name for name in broken if name != WHOLE_RUN]
    parts += [f"breaks {', '.join(bounds)}"] if bounds else []
    began = f"Trial {number}: "
    if outcome.status != "finished" and not is_ending:
        began = f"Trial {number} {outcome.status}: "
    ending, colon, reason = error.partition(": ") if is_ending else (error, "", "")
    said = began + ", ".join([ending] * bool(ending) + parts)
    if width is None or len(said + colon + reason) <= width:
        said += colon + reason
    texts = [f"{name} {text}" for name, text in option_texts(options).items()]
    shown = len(texts)
    while shown and width is not None and len(_with(said, texts, shown)) > width:
        shown -= 1
    return _with(said, texts, shown)


def _with(said: str, options: Sequence[str], shown: int) -> str:
    """Return a sentence with the first of some options."""
    if not shown:
        return said
    return f"{said} ({', '.join([*options[:shown], *(['...'] if options[shown:] else [])])})"


def _figures(outcome: Outcome, value: float | None) -> str:
    """Return a trial's metric for its energy, or for its time where that is not metered."""
    told = outcome.accuracy if outcome.metric == "accuracy" else outcome.metric_value
    reported = {told, *(point.value for point in outcome.curve)}
    name = outcome.metric if value is None or value in reported else None
    value = told if value is None else value
    metric = metric_called(name or OBJECTIVE, "maximize")
    assert metric is not None
    cost = (
        f"in {duration_text(outcome.seconds)}"
        if outcome.joules is None
        else f"for {energy_text(outcome.joules, outcome.uncertainty_joules)}"
    )
    return cost if value is None else f"{metric.label} {metric.text(value)} {cost}"


def _print_ended(trial: FrozenTrial) -> None:
    outcome = outcome_of(trial)
    # One that died is told by whoever finds that out; one that is withdrawn has never begun.
    if outcome is None or outcome.status in (*MOST_DEATHS, "withdrawn"):
        return
    console = Console()
    line = trial_line(
        trial.number,
        outcome,
        trial.params,
        value=trial.values[0] if trial.values else None,
        broken=[name for name, excess in trial.constraints.items() if excess > 0],
        # Where there is no ±, +/- stands for it.
        width=console.width - 2 * console.options.ascii_only if console.is_terminal else None,
    )
    try:
        print(line, flush=True)
    except BrokenPipeError:
        drop_output()


def progress_line(
    spec: SearchSpec,
    so_far: TrialsSoFar,
    seconds: float,
    since_last: float = 0.0,
    earlier: int = 0,
    width: int | None = None,
) -> str:
    """Return how a search stands: trials, the best, energy of the budget, time left.

    Args:
        seconds: since this command began, in which it ran trials; from which the time left follows.
        since_last: of these, those since a trial ended: the trials that run have come so far.
        earlier: trials that had ended before this command.
        width: characters that it may have; None for any.
    """
    states, done, total = so_far.states, _ended(so_far), spec.total
    parts = {"done": f"{done}/{total} trials"}
    names = {TrialState.RUNNING: "running", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    parts |= {name: f"{states[state]} {name}" for state, name in names.items() if states[state]}
    if so_far.best:
        best = so_far.best[0]
        parts["best"] = f"best {rounded(best.values[0], 4)} (trial {best.number})"
    used, limit = so_far.spent().joules, spec.budget_joules
    if used or limit:
        parts["joules"] = joules_text(used) + (f" of {joules_text(limit)}" if limit else "")
    if done > earlier and total > done:
        left = seconds_left(done - earlier, total - done, seconds, since_last)
        parts["left"] = f"{duration_text(round(left), digits=2)} left"
    line = ", ".join(parts.values())
    for name in _DISPENSABLE:
        if width is not None and len(line) > width:
            parts.pop(name, None)
            line = ", ".join(parts.values())
    return line[:width]


def _ended(so_far: TrialsSoFar) -> int:
    return so_far.counted - so_far.states[TrialState.RUNNING]
