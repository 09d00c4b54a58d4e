"""A run or a sweep in words, for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from greensweep.result import RunResult
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial, front_numbers, searched_keys

_FILE_WIDTH = 160  # columns where the output is no terminal

_SOURCES = {
    "rapl": "RAPL counters",
    "nvml": "NVML counters",
    "powermetrics": "powermetrics",
    "cpu_load_model": "a model of CPU load and rated power (TDP)",
    "constant_power": "a constant power",
}


def joules_text(joules: float | None) -> str:
    """Return energy with four digits and a unit that scales: J, kJ, MJ.

    >>> joules_text(12345.6)
    '12.35 kJ'
    """
    if joules is None:
        return "not metered"
    for unit, size in (("MJ", 1e6), ("kJ", 1e3)):
        if abs(joules) >= size:
            return f"{joules / size:.4g} {unit}"
    return f"{joules:.4g} J"


def run_line(result: RunResult) -> str:
    """Return one run in one line."""
    parts = [
        f"{result.model} on {result.dataset}: {result.status}",
        f"validation accuracy {_accuracy(result.validation_accuracy)}",
    ]
    if result.test_accuracy is not None:
        parts.append(f"test accuracy {_accuracy(result.test_accuracy)}")
    parts.append(f"training energy {joules_text(result.energy_joules)} ({result.energy_quality})")
    if result.emissions_kg is not None:
        parts.append(f"{result.emissions_kg * 1000:.3g} g CO2e ({result.emissions_grid})")
    parts.append(f"{result.seconds or 0.0:.1f} s, {result.epochs} epochs")
    return ", ".join(parts)


def trust_sentence(
    components: dict[str, str], quality: str, constant_share: float | None
) -> str | None:
    """Say what energy figures rest on, where they are not all measured.

    Args:
        components: source of each component.
        quality: quality that they share.
        constant_share: share of the joules that is a constant power times the seconds.
    """
    if quality not in ("estimated", "mixed"):
        return None
    origins = ", ".join(
        f"{name} from {_SOURCES.get(source, source)}" for name, source in components.items()
    )
    words = "estimates, not measurements" if quality == "estimated" else "partly estimates"
    share = ""
    if constant_share:
        share = f"; {constant_share:.0%} of the joules is a constant times the time"
    return f"Energy figures are {words} here: {origins}{share}."


def sources(result: RunResult) -> dict[str, str]:
    """Return the source of each energy component of a run."""
    return {name: str(part["source"]) for name, part in result.energy_components.items()}


def trials_table(trials: Sequence[Trial]) -> Table:
    """Return the table of a sweep's trials; `*` marks the Pareto-optimal ones."""
    searched, front = searched_keys(trials), front_numbers(trials)
    table = Table(title="Trials (* = no other is more accurate and cheaper)")
    for name in ("trial", "", "validation accuracy", "energy J", "seconds"):
        table.add_column(name, justify="right")
    for key in searched:
        table.add_column(key, justify="right", overflow="fold")
    for trial in trials:
        result = trial.result
        table.add_row(
            str(trial.number),
            "*" if trial.number in front else "",
            _accuracy(result.validation_accuracy)
            + ("" if result.status == "finished" else f" {result.status}"),
            "-" if result.energy_joules is None else f"{result.energy_joules:.1f}",
            "-" if result.seconds is None else f"{result.seconds:.2f}",
            *(_short(trial.searched.get(key, "-")) for key in searched),
        )
    return table


def recommendation(summary: StudySummary) -> str:
    """Return one sentence: the best trial, and the cheapest within one point of its accuracy."""
    if summary.best_trial is None:
        return "No trial finished."
    best = (
        f"Trial {summary.best_trial} is the most accurate "
        f"({_accuracy(summary.best_validation_accuracy)} for "
        f"{joules_text(summary.best_energy_joules)})"
    )
    if summary.bargain_trial == summary.best_trial:
        return f"{best}, and no cheaper trial comes within one point of it."
    saved = ""
    if summary.best_energy_joules and summary.bargain_energy_joules is not None:
        saved = f", {summary.bargain_energy_joules / summary.best_energy_joules:.0%} of the energy"
    return (
        f"{best}; trial {summary.bargain_trial} is the cheapest within one point of it "
        f"({_accuracy(summary.bargain_validation_accuracy)} for "
        f"{joules_text(summary.bargain_energy_joules)}{saved})."
    )


def print_summary(summary: StudySummary, trials: Sequence[Trial], notes: Sequence[str]) -> None:
    """Print the table, the recommendation and further notes to standard output."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH, highlight=False)
    if trials:
        console.print(trials_table(trials))
    for sentence in (recommendation(summary), *notes):
        console.print(sentence, markup=False, soft_wrap=True)


def _accuracy(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _short(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return value if number == int(number) else f"{number:.4g}"
