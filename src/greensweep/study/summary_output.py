"""The end of a sweep on the terminal: its table, the answer, what that rests on, and its bill."""

from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from greensweep.errors import plural
from greensweep.messages import spelled
from greensweep.search.cost import SearchCost
from greensweep.search.sentences import cost_sentences
from greensweep.study.sentences import (
    answer_text,
    beside_sentence,
    caveats,
    nodes_sentence,
    selection_sentence,
)
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial
from greensweep.study.trials_table import trials_table

_FILE_WIDTH = 160  # columns where the output is no terminal


def print_summary(
    summary: StudySummary,
    trials: Sequence[Trial],
    places: Sequence[str] = (),
    all_by: str | None = None,
) -> None:
    """Print the table, the answer, what it rests on, the bill, and where things are.

    A terminal shows paragraphs, and of them no more than lets the answer stay in sight; a file has
    a line for each sentence.

    Args:
        places: sentences with addresses and commands, whose lines are broken by the terminal
            alone, so that they can be copied.
        all_by: the command that prints all; None where nothing may be left out.
    """
    console = Console(highlight=False)
    is_terminal = console.is_terminal
    if not is_terminal:
        console = Console(width=_FILE_WIDTH, highlight=False)
    elif console.no_color:
        console = Console(color_system=None, highlight=False)

    def say(sentences: Sequence[str], style: str = "") -> None:
        told = [spelled(sentence, console.encoding) for sentence in sentences]
        for text in [" ".join(told)] if told and is_terminal else told:
            console.print(Text(text, style), soft_wrap=not is_terminal)

    answer, paragraphs = answer_text(summary), _paragraphs(summary, trials)
    if is_terminal and all_by is not None:
        paragraphs = _in_sight(console, answer, paragraphs, places, all_by)
    with suppress(SystemExit):  # of rich, where the reader has closed the pipe: the sweep is done
        if trials:
            heading, table, left_out = trials_table(
                trials,
                console.width,
                console.encoding,
                chosen=summary.chosen_trial,
                best=summary.best_trial,
            )
            console.print()
            say([heading])
            console.print(table)
            say(left_out)
            console.print()
        say([answer], "bold")
        for paragraph in paragraphs:
            say(paragraph)
        for place in places:
            console.print(Text(place), soft_wrap=True)


def _paragraphs(summary: StudySummary, trials: Sequence[Trial]) -> list[list[str]]:
    """Return what the answer rests on, and the bill, in sentences."""
    rests_on = [selection_sentence(summary), *(caveats(summary, trials) if trials else [])]
    bill: list[str | None] = []
    if summary.search is not None:
        cost = cost_sentences(SearchCost(**summary.search))
        bill = [*cost, beside_sentence(summary), nodes_sentence(summary)]
    return [[each for each in paragraph if each] for paragraph in (rests_on, bill)]


def _in_sight(
    console: Console,
    answer: str,
    paragraphs: Sequence[Sequence[str]],
    places: Sequence[str],
    all_by: str,
) -> list[list[str]]:
    """Return so much of some paragraphs, from the first on, as leaves the answer on the screen."""

    def rows(text: str) -> int:
        return len(Text(text).wrap(console, console.width))

    room = console.height - 1 - rows(answer)  # a prompt follows
    room -= sum(-(-len(place) // console.width) for place in places)
    kept, left_out = [[*paragraph] for paragraph in paragraphs], 0
    while True:
        more = [f"{plural(left_out, 'more sentence')}: {all_by}"] if left_out else []
        told = [*(" ".join(paragraph) for paragraph in kept if paragraph), *more]
        if not any(kept) or sum(map(rows, told)) <= room:
            return [*kept, more]
        next(paragraph for paragraph in reversed(kept) if paragraph).pop()
        left_out += 1
