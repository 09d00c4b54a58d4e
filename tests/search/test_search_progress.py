"""What a search shows while it runs: a line for each trial, and one that redraws at a terminal."""

import re
import sys
import threading
import time
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.storages import InMemoryStorage
from searches import Search, accuracy_of, spec, task_of_epochs

from greensweep.config.sweeper import BudgetConfig
from greensweep.search.live_line import live_line
from greensweep.search.progress import progress_line, progress_shown, trial_line
from greensweep.search.records import WHOLE_RUN, Outcome
from greensweep.search.trials_so_far import trials_so_far

CONTROL = re.compile(r"[\r\x1b]")


class Terminal(TextIOWrapper):
    """What is written to a terminal."""

    def __init__(self) -> None:
        super().__init__(BytesIO(), encoding="utf-8", newline="", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def written(self) -> str:
        assert isinstance(self.buffer, BytesIO)
        return self.buffer.getvalue().decode()

    def shown(self) -> list[str]:
        """The lines that can be read on it, the last one is the cursor's."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.written.split("\n")]

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 10.0
        while text not in self.written:
            assert time.monotonic() < until, self.written
            time.sleep(0.005)


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal of 80 columns, which standard output and errors are from now on."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return made


OPTIONS = {"optimizer.learning_rate": 0.011712521383, "training.batch_size": "32"}
FINISHED = Outcome("finished", accuracy=0.70370370, metric="accuracy", joules=1414.0, seconds=2.5)


@pytest.mark.parametrize(
    ("outcome", "given", "line"),
    [
        (
            Outcome(**{**vars(FINISHED), "uncertainty_joules": 21.0}),
            {"value": 0.70370370},
            "Trial 9: accuracy 0.7037 for 1.414 ± 0.021 kJ",
        ),
        (
            Outcome(**{**vars(FINISHED), "joules": None}),
            {"value": 0.70370370},
            "Trial 9: accuracy 0.7037 in 2.5 s",
        ),
        (FINISHED, {"value": 0.5}, "Trial 9: objective 0.5000 for 1.414 kJ"),
        (FINISHED, {"value": -12.34567}, "Trial 9: objective -12.35 for 1.414 kJ"),
        (FINISHED, {"value": 0.0}, "Trial 9: objective 0.0000 for 1.414 kJ"),
        (
            Outcome("finished", metric_value=2.0, metric="rmse", joules=0.0),
            {"value": 2.0, "broken": ("seconds", WHOLE_RUN)},
            "Trial 9: RMSE 2 for 0 J, in a cheaper run, breaks seconds",
        ),
        (
            Outcome(
                "pruned", "pruned after epoch 3 by median", accuracy=0.4, metric="accuracy",
                joules=3.0,
            ),
            {},
            "Trial 9: pruned after epoch 3 by median, accuracy 0.4000 for 3 J",
        ),
        (
            Outcome(
                "pruned", "pruned after epoch 2: a finished trial reached 0.9 for 1 J",
                accuracy=0.4, metric="accuracy", joules=3.0,
            ),
            {},
            "Trial 9: pruned after epoch 2, accuracy 0.4000 for 3 J: a finished trial reached 0.9 "
            "for 1 J",
        ),
        (
            Outcome("stopped", "interrupted after epoch 1", interrupted=True, seconds=3.0),
            {},
            "Trial 9: interrupted after epoch 1, in 3 s",
        ),
        (
            Outcome("failed", "the training loss became nan in epoch 1", accuracy=0.1),
            {},
            "Trial 9 failed: the training loss became nan in epoch 1",
        ),
    ],
)  # fmt: skip
def test_a_trial_is_told_in_one_line_with_its_options(
    outcome: Outcome, given: dict[str, Any], line: str
) -> None:
    assert trial_line(9, outcome, {}, **given) == line
    assert trial_line(9, outcome, OPTIONS, **given) == (
        f"{line} (learning rate 0.0117, batch size 32)"
    )


@pytest.mark.parametrize(
    ("width", "options"),
    [(200, " (learning rate 0.0117, batch size 32)"), (70, " (learning rate 0.0117, ...)"),
     (40, "")],
)  # fmt: skip
def test_the_line_of_a_trial_has_the_options_that_fit(width: int, options: str) -> None:
    told = trial_line(9, FINISHED, OPTIONS, value=0.70370370, width=width)
    assert told == f"Trial 9: accuracy 0.7037 for 1.414 kJ{options}"


def test_the_line_says_how_the_search_stands(tmp_path: Path) -> None:
    asked = spec(tmp_path, 10, budget=BudgetConfig(joules=5000.0))
    search = Search(asked, task_of_epochs(1))
    search.run(4)
    search.take()
    best = max(search.trials[:4], key=lambda trial: trial.value or 0.0)
    spent = f"{sum(trial.params['width'] * 10.0 for trial in search.trials[:4]):.4g} J of 5 kJ"
    so_far = trials_so_far(search.study)
    name = f"best {best.value:.4g} (trial {best.number})"
    for width, line in {
        None: f"4/10 trials, 1 running, {name}, {spent}, 12 s left",
        79: f"4/10 trials, 1 running, {name}, {spent}, 12 s left",
        64: f"4/10 trials, {name}, {spent}, 12 s left",
        39: f"4/10 trials, {spent}, 12 s left",
        25: "4/10 trials, 12 s left",
        9: "4/10 tria",
    }.items():
        assert progress_line(asked, so_far, 8.0, width=width) == line


def test_a_terminal_shows_the_line_while_the_search_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    now = [100.0]
    monkeypatch.setattr(
        "greensweep.search.progress.time", SimpleNamespace(monotonic=lambda: now[0])
    )
    monkeypatch.setattr("greensweep.search.progress._EVERY_SECONDS", 0.005)
    search = Search(spec(tmp_path, 6), task_of_epochs(1), InMemoryStorage())
    search.run(1)
    with progress_shown(search.spec, search.study):
        now[0] += 8.0
        search.run(1)
        terminal.wait_for("2/6 trials")
        terminal.wait_for("32 s left")
        now[0] += 3.0
        terminal.wait_for("29 s left")
    told, below = terminal.shown()
    width, rate = (search.trials[1].params[name] for name in ("width", "rate"))
    accuracy = accuracy_of(search.trials[1].params)
    assert told == (
        f"Trial 1: accuracy {accuracy:.4f} for {10 * width} J (rate {rate:.3g}, width {width})"
    )
    assert below == ""


@pytest.mark.parametrize("where", ["a file", "a dumb terminal"])
def test_where_no_line_can_be_redrawn_each_trial_has_its_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    terminal = terminal_of(monkeypatch)
    if where == "a file":
        monkeypatch.setattr(Terminal, "isatty", lambda _: False)
    else:
        monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("greensweep.search.progress._EVERY_SECONDS", 0.005)

    search = Search(spec(tmp_path, 6), task_of_epochs(1), InMemoryStorage())
    with progress_shown(search.spec, search.study) as display:
        search.run(1)
        display.look()
        assert terminal.written.count("\n") == 1
        display.look()
        search.run(1)
    told = terminal.written.splitlines()
    assert [line.partition(":")[0] for line in told] == ["Trial 0", "Trial 1"]
    assert not CONTROL.search(terminal.written)


def test_what_a_program_prints_stands_above_the_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    with live_line() as line:
        assert line is not None
        line.draw("1/6 trials")
        print("first")
        sys.stdout.buffer.write(b"second\n")
        sys.stderr.write("third\n")
        line.draw("2/6 trials")
        assert terminal.shown() == ["first", "second", "third", "2/6 trials"]
    assert terminal.shown() == ["first", "second", "third", ""]
    print("fourth")
    assert sys.stdout is terminal


def test_the_line_waits_for_the_end_of_a_bar_that_a_program_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    with live_line() as line:
        assert line is not None
        line.draw("1/6 trials")
        for percent in (10, 20):
            sys.stderr.write(f"\repoch 1: {percent} %")
            line.draw("2/6 trials")
        assert "2/6" not in terminal.written
        sys.stderr.write("\n")
        assert terminal.shown()[-1] == "2/6 trials"


@pytest.mark.parametrize("piped", ["stdout", "stderr"])
def test_what_is_piped_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, piped: str) -> None:
    terminal_of(monkeypatch)
    monkeypatch.setattr(sys, piped, StringIO())
    with live_line() as line:
        if line is not None:
            line.draw("1/6 trials")
        print("told", file=getattr(sys, piped))
        assert getattr(sys, piped).getvalue() == "told\n"
    assert (line is None) == (piped == "stderr")


def test_a_fork_writes_without_waiting_for_its_parents_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    with live_line() as line:
        assert line is not None
        line.draw("1/6 trials")
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            with line._lock:
                held.set()
                over.wait(10.0)

        threading.Thread(target=hold).start()
        held.wait()
        monkeypatch.setattr("os.getpid", lambda: 1)
        fork = threading.Thread(target=print, args=("from the fork",), daemon=True)
        fork.start()
        fork.join(5.0)
        has_waited = fork.is_alive()
        over.set()
    assert not has_waited
    assert "from the fork" in terminal.written
