"""The end of a sweep on the terminal: its table, the answer, what that rests on, and its bill."""

from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from greensweep.messages import spelled
from greensweep.study.sentences import answer_text, selection_sentence
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial
from greensweep.study.trials_table import trials_table

_FILE_WIDTH = 160  # columns where the output is no terminal


def print_summary(
    summary: StudySummary,
    trials: Sequence[Trial],
    paragraphs: Sequence[Sequence[str | None]],
    places: Sequence[str] = (),
) -> None:
    """Print the table, the answer, what it rests on, and where things are.

    A terminal shows paragraphs, so that a small one has the answer and all below it in sight; a
    file has a line for each sentence.

    Args:
        paragraphs: of sentences: what the answer rests on, the bill.
        places: sentences with addresses and commands, whose lines are broken by the terminal
            alone, so that they can be copied.
    """
    console = Console(highlight=False)
    is_terminal = console.is_terminal
    if not is_terminal:
        console = Console(width=_FILE_WIDTH, highlight=False)
    elif console.no_color:
        console = Console(color_system=None, highlight=False)

    def say(sentences: Sequence[str | None], style: str = "") -> None:
        told = [spelled(sentence, console.encoding) for sentence in sentences if sentence]
        for text in [" ".join(told)] if told and is_terminal else told:
            console.print(Text(text, style), soft_wrap=not is_terminal)

    with suppress(SystemExit):  # of rich, where the reader has closed the pipe: the sweep is done
        if trials:
            table, left_out = trials_table(
                trials,
                console.width,
                console.encoding,
                chosen=summary.chosen_trial,
                best=summary.best_trial,
            )
            console.print()
            console.print(table)
            say(left_out)
            console.print()
        say([answer_text(summary)], "bold")
        say([selection_sentence(summary), *(paragraphs[0] if paragraphs else ())])
        for paragraph in paragraphs[1:]:
            say(paragraph)
        for place in places:
            console.print(Text(place), soft_wrap=True)
