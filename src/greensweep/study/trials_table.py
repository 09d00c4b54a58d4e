"""A sweep on the terminal: the table of its trials, and sentences."""

import math
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from greensweep.record.reported import OBJECTIVE
from greensweep.search.records import WHOLE_RUN
from greensweep.study.sentences import answer_text, selection_sentence
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial, finished, front_numbers, metric_of, searched_keys

FILE_WIDTH = 160  # columns where the output is no terminal


def trials_table(trials: Sequence[Trial]) -> Table:
    """Return the table of a sweep's trials; `*` marks the Pareto-optimal candidates."""
    searched, front = searched_keys(trials), front_numbers(trials)
    metric = metric_of(trials)
    better = "more accurate" if metric.name == "accuracy" else f"better by {metric.label}"
    table = Table(title=f"Trials (* = no other is {better} and cheaper)")
    has_net = any(trial.result.energy_net_joules is not None for trial in trials)
    energies = ["gross energy J", "net energy J"] if has_net else ["gross energy J"]
    for name in ("trial", "", _column_name(trials), *energies, "seconds"):
        table.add_column(name, justify="right", overflow="fold")
    for key in searched:
        table.add_column(key, justify="right", overflow="fold")
    for trial in trials:
        result = trial.result
        table.add_row(
            str(trial.number),
            "*" if trial.number in front else "",
            metric.text(result.objective_value) + _remark(trial),
            _joules(result.energy_joules, result.energy_uncertainty_joules),
            *([_joules(result.energy_net_joules)] if has_net else []),
            "-" if result.seconds is None else f"{result.seconds:.2f}",
            *(_short(trial.searched.get(key, "-")) for key in searched),
        )
    return table


def print_summary(
    summary: StudySummary, trials: Sequence[Trial], notes: Sequence[str | None]
) -> None:
    """Print the table, the recommendation, on which split it rests, and further notes."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH, highlight=False)
    sentences = [answer_text(summary), selection_sentence(summary), *notes]
    with suppress(SystemExit):  # of rich, where the reader has closed the pipe: the sweep is done
        if trials:
            console.print(trials_table(trials))
        for sentence in filter(None, sentences):
            console.print(sentence, markup=False, soft_wrap=True)


def _column_name(trials: Sequence[Trial]) -> str:
    """Return what the metric that the trials go by is called."""
    label = metric_of(trials).label
    if label == OBJECTIVE:  # what a program returns is of whichever split it says
        return label
    on_test = {trial.result.selected_on_test for trial in finished(trials)}
    if len(on_test) > 1:
        return label
    return f"test {label}" if True in on_test else f"validation {label}"


def _remark(trial: Trial) -> str:
    """Say, behind its metric, why a trial cannot be the best."""
    if trial.result.status != "finished":
        return f" {trial.result.status}"
    remarks = [] if trial.result.energy_comparable else ["energy does not compare"]
    remarks += ["cheaper run"] if WHOLE_RUN in trial.broken else []
    bounds = [name for name in trial.broken if name != WHOLE_RUN]
    remarks += [f"breaks {', '.join(bounds)}"] if bounds else []
    return "".join(f" {remark}" for remark in remarks)


def _joules(value: float | None, uncertainty: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if uncertainty is None else f"{value:.1f} ± {uncertainty:.1f}"


def _short(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return escape(value)
    return value if not math.isfinite(number) or number == int(number) else f"{number:.4g}"
