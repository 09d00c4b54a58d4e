"""The table of a sweep's trials on a terminal, in the width that there is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from greensweep.decision.sentences import option_names, value_text
from greensweep.energy.units import energies_text
from greensweep.errors import plural, rounded
from greensweep.messages import spelled
from greensweep.record.reported import OBJECTIVE
from greensweep.search.records import WHOLE_RUN
from greensweep.study.trials import Trial, finished, front_numbers, metric_of, searched_keys

_MOST_ROWS = 20


@dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
        is_dispensable: it may be left out where the terminal is too narrow for all.
        may_wrap: its cells are words.
    """

    header: str
    cells: Sequence[str]
    is_dispensable: bool = False
    may_wrap: bool = False

    def width(self, *, wrapped: bool) -> int:
        """Return the characters that it takes; wrapped, with a word of its header in each line."""
        words = self.header.split() if wrapped else [self.header]
        cells = [word for cell in self.cells for word in cell.split()]
        shown = cells if wrapped and self.may_wrap else self.cells
        return max(map(len, [*words, *shown]), default=0)


def trials_table(
    trials: Sequence[Trial],
    width: int,
    encoding: str = "utf-8",
    *,
    chosen: int | None = None,
    best: int | None = None,
) -> tuple[str, Table, list[str]]:
    """Return a heading, the table of a sweep's trials, and sentences on what it leaves out.

    It has at most 20 rows: of more trials the Pareto-optimal ones, marked by `*`, with the chosen
    and the best, by their energy.

    Args:
        encoding: of the terminal.
        width: in characters; what does not fit are seconds, net energy, and the last options.
        chosen, best: the numbers of these trials.
    """
    front = front_numbers(trials)
    shown = _shown(trials, front, {chosen, best})
    marks = {chosen: "take", best: "best"} | ({chosen: "take"} if chosen is not None else {})
    columns = [
        replace(column, cells=[spelled(cell, encoding) for cell in column.cells])
        for column in _columns(trials, shown, front, marks)
    ]
    left_out: list[str] = []
    for column in _in_order_of_dispensability(columns):
        if _width(columns, wrapped=True) > width:
            columns.remove(column)
            left_out.insert(0, column.header)
    metric = metric_of(trials)
    better = "more accurate" if metric.name == "accuracy" else f"better by {metric.label}"
    heading = f"Trials (* = no other is {better} and cheaper)"
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    wrapped = _width(columns, wrapped=False) > width
    for column in columns:
        table.add_column(
            column.header,
            justify="left" if column.may_wrap else "right",
            overflow="fold",
            width=column.width(wrapped=wrapped),
        )
    for trial, cells in zip(
        shown, zip(*(column.cells for column in columns), strict=True), strict=True
    ):
        table.add_row(*map(escape, cells), style="bold" if trial.number == chosen else None)
    return heading, table, _left_out(trials, shown, left_out)


def _shown(trials: Sequence[Trial], front: set[int], named: set[int | None]) -> Sequence[Trial]:
    if len(trials) <= _MOST_ROWS:
        return trials
    ordered = sorted(trials, key=lambda trial: trial.cost)
    kept = [trial for trial in ordered if trial.number in front or trial.number in named]
    places = range(len(kept)) if len(kept) <= _MOST_ROWS else _spread(len(kept), _MOST_ROWS - 2)
    return [trial for place, trial in enumerate(kept) if place in places or trial.number in named]


def _spread(count: int, wanted: int) -> set[int]:
    """Return so many places, at least two, from the first of `count` to the last."""
    return {round(each * (count - 1) / (wanted - 1)) for each in range(wanted)}


def _columns(
    trials: Sequence[Trial],
    shown: Sequence[Trial],
    front: set[int],
    marks: dict[int | None, str],
) -> list[_Column]:
    metric, searched = metric_of(trials), searched_keys(trials)
    results = [trial.result for trial in shown]
    nets = [each.energy_net_joules for each in results]
    is_metered = any(each.energy_joules is not None for each in results)
    has_net = any(each is not None for each in nets)
    unit, energies = energies_text(
        [(each.energy_joules, each.energy_uncertainty_joules) for each in results]
    )
    net_unit, net_energies = energies_text([(each, None) for each in nets])
    seconds = ["-" if each.seconds is None else rounded(each.seconds, 4) for each in results]
    names = option_names(searched)
    return [
        _Column("trial", [str(trial.number) for trial in shown]),
        _Column("", [", ".join(_notes(trial, front, marks)) for trial in shown], may_wrap=True),
        _Column(_metric_name(trials), [metric.text(each.objective_value) for each in results]),
        *([_Column(f"{'gross ' * has_net}energy {unit}", energies)] if is_metered else []),
        *([_Column(f"net energy {net_unit}", net_energies, True)] if has_net else []),
        _Column("seconds", seconds, True),
        *(
            _Column(name, [value_text(trial.searched.get(key, "-")) for trial in shown], True)
            for key, name in names.items()
        ),
    ]


def _width(columns: Sequence[_Column], *, wrapped: bool) -> int:
    """Return the characters of a row: each cell has one to its right, and one between cells."""
    return sum(column.width(wrapped=wrapped) + 2 for column in columns) - 1


def _in_order_of_dispensability(columns: Sequence[_Column]) -> list[_Column]:
    """Return what can be left out: the seconds, the net energy, then options from the last."""
    can_go = [column for column in columns if column.is_dispensable]
    options = can_go[[column.header for column in can_go].index("seconds") + 1 :]
    return [*can_go[: len(can_go) - len(options)][::-1], *options[::-1]]


def _left_out(trials: Sequence[Trial], shown: Sequence[Trial], columns: Sequence[str]) -> list[str]:
    """Say what of the trials the table does not show."""
    sentences = []
    folded = [trial for trial in trials if trial not in shown]
    if folded:
        statuses = Counter(str(trial.result.status) for trial in folded)
        by_status = ", ".join(f"{count} {name}" for name, count in statuses.items())
        sentences.append(
            f"Folded: {plural(len(folded), 'more trial')} ({by_status}); trials.csv has all "
            f"{len(trials)}."
        )
    if columns:
        sentences.append(f"Left out for want of width (trials.csv has all): {', '.join(columns)}.")
    return sentences


def _metric_name(trials: Sequence[Trial]) -> str:
    """Return what the metric that the trials go by is called."""
    label = metric_of(trials).label
    if label == OBJECTIVE:  # what a program returns is of whichever split it says
        return label
    on_test = {trial.result.selected_on_test for trial in finished(trials)}
    if len(on_test) > 1:
        return label
    return f"test {label}" if True in on_test else f"validation {label}"


def _notes(trial: Trial, front: set[int], marks: dict[int | None, str]) -> Iterator[str]:
    """Yield what a trial is among the others, and why it cannot be the best."""
    mark = marks.get(trial.number, "") + "*" * (trial.number in front)
    if mark:
        yield mark
    if trial.result.status != "finished":
        yield "killed" if trial.killed else str(trial.result.status)
        return
    if not trial.result.energy_comparable:
        yield "energy does not compare"
    if WHOLE_RUN in trial.broken:
        yield "cheaper run"
    bounds = [name for name in trial.broken if name != WHOLE_RUN]
    if bounds:
        yield f"breaks {', '.join(bounds)}"
