"""The end of a sweep on terminals: wide and narrow ones, with and without colours and UTF-8."""

import os
import pty
import re
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import PROJECT

from greensweep.messages import spell_output, spelled
from greensweep.record.result import RunResult
from greensweep.record.summaries import ComponentSummary
from greensweep.search.cost import SearchCost
from greensweep.study.summary import summarise
from greensweep.study.summary_output import print_summary
from greensweep.study.trials import Trial

OPTIONS = {
    "optimizer.learning_rate": "0.011712521383007", "training.batch_size": "32",
    "model.dropout": "0.25", "optimizer.weight_decay": "1.2345e-05",
    "training.label_smoothing": "0",
    "model.activation": "gelu", "scheduler.name": "one_cycle", "model.hidden": "256",
}  # fmt: skip
COST = SearchCost(
    trials=60, trials_total=60, trials_by_status={"finished": 50, "pruned": 10},
    spent_joules=5000.0, finished_joules=4000.0, pruned_joules=900.0, search_joules=100.0,
    best_trials=(0,), best_joules=1000.0, search_ratio=5.0, saved_joules=300.0, saved_seconds=20.0,
    trials_joules=4900.0, forecast_trials=6, forecast_joules=5200.0, forecast_low=4000.0,
    forecast_high=6000.0, quality="estimated",
)  # fmt: skip
CAVEAT, BILL = "Energy is estimated, not measured.", "The bill: "
PLACE = (
    "Open http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=greensweep&workflowType=ml"
)


def trial(
    number: int, accuracy: float, joules: float, options: int = 2, **changes: object
) -> Trial:
    result = RunResult(
        status="finished", error=None, model="m", dataset="d", seed=0, trial=number,
        validation_accuracy=accuracy, energy_joules=joules, energy_spent_joules=joules,
        energy_uncertainty_joules=joules / 30, energy_quality="estimated", seconds=12.3456,
    )  # fmt: skip
    searched = dict([*OPTIONS.items()][:options])
    return replace(Trial(number, Path(str(number)), result, searched), **changes)


def few(options: int = 2) -> list[Trial]:
    return [
        trial(0, 0.95, 1000.0, options),
        trial(1, 0.94, 100.0, options),
        trial(2, 0.90, 500.0, options),
        trial(3, 0.93, 30.0, options, broken=("max_seconds",)),
    ]


def many() -> list[Trial]:
    """Twelve on the front, of 60; the others end early, or are beaten."""
    front = [trial(number, 0.8 + number / 100, 100.0 * 1.5**number) for number in range(12)]
    beaten = [trial(number, 0.5, 90_000.0) for number in range(12, 50)]
    results = [replace(each.result, status="pruned") for each in beaten[:10]]
    pruned = [
        replace(each, number=each.number + 38, result=result)
        for each, result in zip(beaten[:10], results, strict=True)
    ]
    return [*front, *beaten, *pruned]


def shown(
    trials: Sequence[Trial],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    *,
    encoding: str = "utf-8",
    is_terminal: bool = True,
    places: Sequence[str] = (PLACE,),
    beside: Mapping[str, float] = MappingProxyType({}),
    **environment: str,
) -> str:
    """What such a terminal of so many columns gets."""
    stream = TextIOWrapper(BytesIO(), encoding=encoding, newline="", write_through=True)
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(columns), **environment}.items():
        monkeypatch.setenv(name, value)
    spell_output()
    summary = replace(summarise(trials, search_cost=COST), **beside)
    print_summary(summary, trials, places, "greensweep summarise sweep")
    assert isinstance(stream.buffer, BytesIO)
    return stream.buffer.getvalue().decode(encoding)


def table_of(output: str) -> list[str]:
    """The lines of the table, from its title to what it leaves out."""
    return [each.rstrip() for each in output.partition("Take ")[0].strip().splitlines()]


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal_but_what_is_to_be_copied(
    monkeypatch: pytest.MonkeyPatch, columns: int, encoding: str
) -> None:
    for trials in (few(8), many()):
        output = shown(trials, monkeypatch, columns, encoding=encoding, NO_COLOR="1")
        *lines, place = output.rstrip().splitlines()
        assert max(map(len, lines)) <= columns
        assert place == PLACE
        assert "\x1b" not in output


def test_the_table_of_a_default_sweep_fits_80_columns_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert table_of(shown(few(), monkeypatch, 80, NO_COLOR="1")) == [
        "Trials (* = no other is more accurate and cheaper)",
        "                    validation                            learning  batch",
        "trial                 accuracy        energy kJ  seconds      rate   size",
        "──────────────────────────────────────────────────────────────────────────",
        "    0  best*            0.9500    1.000 ± 0.033    12.35    0.0117     32",
        "    1  take*            0.9400  0.1000 ± 0.0033    12.35    0.0117     32",
        "    2                   0.9000    0.500 ± 0.017    12.35    0.0117     32",
        "    3  breaks           0.9300    0.030 ± 0.001    12.35    0.0117     32",
        "       max_seconds",
    ]


def test_the_end_of_a_default_sweep_fits_one_screen_of_80_by_24(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine that does other work, at that: its answer, what that rests on, and the bill."""
    figures = [(0.9167, 19.4, 2.5), (0.9352, 11.2, 1.7), (0.963, 16.5, 3.9), (0.9537, 7.1, 2.7),
               (0.9028, 7.1, 3.3), (0.875, 0.9, 1.5)]  # fmt: skip
    parts = {"ram": "constant_power", "cpu": "cpu_load_model"}
    trials = [
        replace(
            each := trial(number, accuracy, joules, 3),
            enqueued=number == 0,
            result=replace(
                each.result, energy_uncertainty_joules=off, energy_quality="attributed",
                energy_contended=True, energy_constant_share=0.8,
                samples={"validation": 216},
                energy_components={
                    name: ComponentSummary(source=source) for name, source in parts.items()
                },
            ),
        )
        for number, (accuracy, joules, off) in enumerate(figures)
    ]  # fmt: skip
    places = [
        "Trials, study.json and kept weights: multirun/default",
        "Compare the runs in the MLflow UI: mlflow ui --backend-store-uri "
        "sqlite:///mlruns/mlflow.db, then open http://127.0.0.1:5000/#/experiments/1/runs?"
        f"viewStateShareKey={32 * 'e'}&workflowType=machine_learning",
        "Train it anew: greensweep train --from multirun/default/study.json",
    ]
    beside = {"energy_reference_joules": 155.0, "energy_test_joules": 12.5}
    output = shown(trials, monkeypatch, 80, NO_COLOR="1", LINES="24", places=places, beside=beside)
    lines = ("Take " + output.partition("\nTake ")[2]).splitlines()
    rows = sum(-(-len(line) // 80) for line in lines)
    assert rows < 24, "a prompt follows"
    assert "more sentence" not in output
    for begins in ("Against the start", "a shared machine", "The bill", "Forecast", "Not in"):
        assert begins in " ".join(lines)


def test_a_narrow_terminal_says_which_columns_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = shown(few(8), monkeypatch, 200, NO_COLOR="1")
    assert "label smoothing" in wide and "Left out" not in wide
    narrow = " ".join(table_of(shown(few(8), monkeypatch, 80, NO_COLOR="1")))
    assert narrow.endswith(
        "Left out for want of width (trials.csv has all): weight decay, label smoothing, "
        "activation, scheduler, hidden, seconds."
    )
    assert all(name in narrow for name in ("learning", "batch", "dropout"))


def test_rows_beyond_20_are_folded_to_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = many()
    lines = table_of(shown(trials, monkeypatch, 80, NO_COLOR="1"))
    rule = next(place for place, line in enumerate(lines) if line.startswith("──"))
    *rows, folded = lines[rule + 1 :]
    assert [int(row.split()[0]) for row in rows] == [*range(12)]
    assert folded == "Folded: 48 more trials (38 finished, 10 pruned); trials.csv has all 60."


def test_a_front_beyond_20_is_shown_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial(number, 0.5 + number / 200, 100.0 * 1.2**number) for number in range(60)]
    summary = summarise(trials)
    lines = table_of(shown(trials, monkeypatch, 80, NO_COLOR="1"))
    rows = [int(row.split()[0]) for row in lines if re.match(r" +\d+  ", row)]
    assert rows == sorted(rows) and len(rows) <= 20
    assert {0, 59, summary.chosen_trial, summary.best_trial} <= {*rows}


def test_the_answer_follows_the_table_and_places_come_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = shown(few(), monkeypatch, 80, NO_COLOR="1")
    parts = ["Trials (", "Take trial 1", CAVEAT, BILL, PLACE]
    assert [output.count(part) for part in parts] == [1] * 5
    assert sorted(parts, key=output.index) == parts


@pytest.mark.parametrize("rows", [6, 9, 12, 24])
def test_the_answer_stays_in_sight(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    whole = shown(many(), monkeypatch, 80, NO_COLOR="1", LINES="99").splitlines()
    lines = shown(many(), monkeypatch, 80, NO_COLOR="1", LINES=str(rows)).splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("Take trial "))
    in_sight = lines[place:]
    wrapped = len(PLACE) > 80
    assert len(in_sight) + wrapped <= max(rows - 1, 7)
    left_out = [line for line in in_sight if line.endswith(": greensweep summarise sweep")]
    assert len(left_out) == (lines != whole)
    assert (rows > 6) == (CAVEAT in " ".join(in_sight))


@pytest.mark.parametrize(
    ("environment", "has_colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_the_answer_is_bold_where_colours_are(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], has_colours: bool
) -> None:
    output = shown(few(), monkeypatch, 200, **environment)
    assert ("\x1b[1mTake trial 1" in output) == has_colours
    assert ("\x1b" in output) == has_colours


def test_a_file_has_a_line_for_each_sentence_and_the_whole_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = shown(few(8), monkeypatch, 40, is_terminal=False)
    lines = output.splitlines()
    assert "\x1b" not in output
    assert "label smoothing" in output and "Left out" not in output
    place = next(place for place, line in enumerate(lines) if line.startswith("Take trial 1 ("))
    answer, caveat, bill, *_, last = lines[place:]
    assert (caveat, last) == (CAVEAT, PLACE)
    assert answer.endswith(".") and bill.startswith(BILL)
    assert all(each.endswith(".") for each in lines[place:-1])


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1.4 ± 0.3 J", "1.4 +/- 0.3 J"), ("12 µg, R²", "12 ug, R2"), ("über…", "uber..."),
     ("≥ 3 × 2", ">= 3 x 2"), ("日本", "??"), ("plain", "plain")],
)  # fmt: skip
def test_what_an_encoding_lacks_is_spelled(text: str, plain: str) -> None:
    assert spelled(text, "ascii") == plain
    assert spelled(text, "utf-8") == text


SWEEP = (
    "-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=2", "training.epochs=1",
    "dataset.train_limit=300", "tracking=local", "energy=unmetered", "warmup=0",
    "inference.seconds=0", "report.auto=false",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_sweep_at_a_terminal(tmp_path: Path, term: str) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.environ |= {"TERM": term, "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}
        os.environ.pop("COLUMNS", None)
        os.execv(sys.executable, [sys.executable, str(PROJECT / "src" / "train.py"), *SWEEP])
    termios.tcsetwinsize(terminal, (24, 80))
    output = b""
    try:
        while data := os.read(terminal, 1024):
            output += data
    except OSError:  # it has been closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    text = output.decode("ascii").replace("\r\n", "\n")
    lines = [line.rpartition("\r\x1b[K")[2] for line in text.split("\n")]
    assert [line.partition(":")[0] for line in lines[:3]] == ["Trial 0", "Trial 1", ""]
    assert all(len(line) <= 80 for line in lines if not line.startswith("Train it anew: "))
    assert ("2 trials, 1 running" in text.partition("Trial 0")[0]) == (term == "xterm")
    assert ("\x1b" in text) == (term == "xterm")


def test_a_killed_trial_is_called_so_and_has_the_energy_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished, other = few()[:2]
    stopped = replace(other.result, status="stopped", error="its process died after epoch 2")
    trials = [finished, replace(other, result=stopped, killed=True)]
    killed = table_of(shown(trials, monkeypatch, 80, NO_COLOR="1"))[-1]
    assert killed.split()[:6] == ["1", "killed", "0.9400", "0.1000", "±", "0.0033"]  # kJ
