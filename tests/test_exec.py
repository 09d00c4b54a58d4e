"""`greensweep exec -- COMMAND`: any command is measured, recorded and searched."""

import json
import os
import pty
import re
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from PIL import Image
from test_bad_input import one_sentence

import greensweep
from greensweep.__main__ import main
from greensweep.config.schema_energy import UnmeteredConfig
from greensweep.energy.processes import Processes
from greensweep.errors import TrialEnded
from greensweep.loops import child
from greensweep.loops.command import Command, program_name, run_command
from greensweep.record.reporting import Progress, monitored_by

Result = dict[str, Any]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Result]]:
    """Run `greensweep exec` unmetered in an empty folder: its exit status, and what it left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: str, meter: str = "unmetered") -> tuple[int, Result]:
        status = main(["exec", "--meter", meter, "--directory", "run", *arguments])
        return status, json.loads((tmp_path / "run" / "result.json").read_text())

    return run


def told(*epochs: str) -> tuple[str, ...]:
    """Return a command that prints lines of metrics."""
    return ("--", "printf", "GREENSWEEP_METRIC %s\\n", *epochs)


# --- metrics ------------------------------------------------------------------------------------


def test_lines_of_metrics_are_epochs(execute: Callable[..., tuple[int, Result]]) -> None:
    lines = ("epoch=1 macro_f1=0.5 train_loss=2", "epoch=2 macro_f1=0.6", "epoch=2 val/loss=0.3")
    status, result = execute(*told(*lines, "test_macro_f1=0.55"))
    assert (status, result["status"], result["epochs"]) == (0, "finished", 2)
    assert [each["validation_macro_f1"] for each in result["history"]] == [0.5, 0.6]
    assert result["history"][0]["train_loss"] == 2
    assert result["metrics"] == {
        "validation": {"macro_f1": 0.6, "loss": 0.3},
        "test": {"macro_f1": 0.55},
    }
    assert (result["objective_metric"], result["objective_direction"]) == ("macro_f1", "maximize")


@pytest.mark.parametrize(
    ("lines", "epochs"),
    [
        (["epoch=0 accuracy=0.1", "epoch=1 accuracy=0.2"], {1: 0.1, 2: 0.2}),
        (["epoch=0", "epoch=1 accuracy=0.1"], {1: 0.1}),
        (["accuracy=0.1", "loss=3", "accuracy=0.2", "loss=2"], {1: 0.1, 2: 0.2}),
        (["epoch = 1 accuracy: 0.1", "epoch: 2, accuracy =0.2;"], {1: 0.1, 2: 0.2}),
        (["epoch=4 accuracy=0.1"], {4: 0.1}),
    ],
    ids=["from 0", "set-up", "unnumbered", "with spaces", "from 4"],
)
def test_epochs_are_counted_from_one(
    execute: Callable[..., tuple[int, Result]], lines: list[str], epochs: dict[int, float]
) -> None:
    _, result = execute(*told(*lines))
    assert {each["epoch"]: each["validation_accuracy"] for each in result["history"]} == epochs


def test_figures_that_come_after_the_metric_are_of_its_epoch(
    execute: Callable[..., tuple[int, Result]],
) -> None:
    lines = [
        f"epoch={epoch} {name}={epoch}" for epoch in (1, 2) for name in ("auroc", "train_loss")
    ]
    _, result = execute(*told(*lines))
    assert [(e["validation_auroc"], e["train_loss"]) for e in result["history"]] == [(1, 1), (2, 2)]


def test_an_epoch_ends_with_its_line(execute: Callable[..., tuple[int, Result]]) -> None:
    script = "echo GREENSWEEP_METRIC accuracy=0.1; sleep 0.4; echo GREENSWEEP_METRIC accuracy=0.2"
    _, result = execute("--", "sh", "-c", script)
    assert result["history"][1]["seconds"] >= 0.35


ROWS = "epoch,train_loss,eval_top1,note\n0,2.0,51.5,a\n1,1.0,60.0,b\n"
FILES = {
    "m.csv": ROWS,
    "m.tsv": ROWS.replace(",", "\t"),
    "m.jsonl": '{"epoch": 0, "train_loss": 2, "eval": {"top1": 51.5}}\n'
    '{"epoch": 1, "train_loss": 1, "eval": {"top1": 60}}\n',
    "list.json": '[{"train_loss": 2, "eval_top1": 51.5}, {"train_loss": 1, "eval_top1": 60}]',
    "columns.json": '{"train_loss": [2, 1], "eval_top1": [51.5, 60]}',
}


@pytest.mark.parametrize("name", FILES)
def test_metrics_are_read_from_a_file(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path, name: str
) -> None:
    (tmp_path / "given").write_text(FILES[name])
    asked = ("--metrics", name, "--metric", "eval_top1", "--direction", "maximize")
    _, result = execute(*asked, "--", "cp", "given", name)
    assert [(e["epoch"], e["train_loss"], e["validation_top1"]) for e in result["history"]] == [
        (1, 2, 51.5),
        (2, 1, 60),
    ]
    assert (result["objective_metric"], result["best_epoch"]) == ("top1", 2)


def test_beside_one_of_validation_a_bare_name_is_of_training(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path
) -> None:
    """As in what Keras's CSVLogger writes."""
    (tmp_path / "given").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.9,1,0.5,3\n")
    _, result = execute("--metrics", "m.csv", "--", "cp", "given", "m.csv")
    assert result["metrics"]["validation"] == {"accuracy": 0.5, "loss": 3}
    assert (result["history"][0]["train_accuracy"], result["history"][0]["train_loss"]) == (0.9, 1)


@pytest.mark.slow
def test_what_timm_writes_is_read(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    (tmp_path / "train.py").write_text(
        "from timm.utils import update_summary\n"
        "for epoch in range(2):\n"
        "    train, tested = {'loss': 2.0 - epoch}, {'loss': 1.5, 'top1': 50.0 + epoch}\n"
        "    update_summary(epoch, train, tested, 'summary.csv', lr=0.1, write_header=not epoch)\n"
    )
    asked = ("--metrics", "summary.csv", "--metric", "eval_top1", "--direction", "maximize")
    _, result = execute(*asked, "--", sys.executable, "train.py")
    assert [(e["epoch"], e["train_loss"], e["validation_top1"]) for e in result["history"]] == [
        (1, 2, 50),
        (2, 1, 51),
    ]


def test_what_stood_in_the_file_before_is_left_out(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("loss\n3\n2\n")
    _, result = execute("--metrics", "m.csv", "--", "sh", "-c", "echo 1 >> m.csv")
    assert [each["validation_loss"] for each in result["history"]] == [1]


def test_a_result_that_is_written_again_the_same_counts(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path
) -> None:
    (tmp_path / "m.json").write_text('{"accuracy": 0.5}')
    os.utime(tmp_path / "m.json", (0, 0))
    write = """echo '{"accuracy": 0.5}' > m.json; printf '{"accuracy": 0.5}' > m.json"""
    _, result = execute("--metrics", "m.json", "--", "sh", "-c", write)
    assert result["validation_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("true", "m.json: the command did not write it"),
        ("echo '{' > m.json", "No metrics from m.json: "),
        (r"printf '\377\376{' > m.json", "No metrics from m.json: it is no UTF-8 text."),
        ("echo GREENSWEEP_METRIC accuracy=high", "accuracy='high' in"),
        ("echo GREENSWEEP_METRIC 0.9", "names no metric: write GREENSWEEP_METRIC NAME=VALUE"),
        ("echo Top 5", "--pattern 'Acc (?P<top1>.*)' matched no line of the command's standard"),
        ("echo GREENSWEEP_METRIC epoch=1e400 epochs=nan accuracy=1", "epoch=inf is no number of"),
        ("echo '{}' > m.json", "m.json: it holds no number"),
        ("echo '{\"epoch\": 1}' > m.json; sleep 0.3", "m.json: it holds no number beside a name."),
    ],
)
def test_what_cannot_be_read_is_told_and_costs_nothing_else(
    execute: Callable[..., tuple[int, Result]],
    caplog: pytest.LogCaptureFixture,
    script: str,
    said: str,
) -> None:
    asked = ("--metrics", "m.json", "--pattern", "Acc (?P<top1>.*)")
    status, result = execute(*asked, "--", "sh", "-c", script)
    assert (status, result["status"]) == (0, "finished")
    assert said in caplog.text


def test_a_pattern_reads_the_output_of_a_program_as_it_is(
    execute: Callable[..., tuple[int, Result]],
) -> None:
    pattern = r"Acc@1 (?P<top1>[\d.]+) Acc@5 (?P<top5>[\d.]+)"
    asked = ("--pattern", pattern, "--metric", "top1", "--direction", "maximize")
    lines = ["Test:  Acc@1 50.125 Acc@5 80.5", "Epoch: [1] eta: 0:00", "Test:  Acc@1 60 Acc@5 90"]
    _, result = execute(*asked, "--", "printf", r"%s\n", *lines)
    assert [each["validation_top1"] for each in result["history"]] == [50.125, 60]
    assert result["metrics"]["validation"] == {"top1": 60, "top5": 90}


# --- the command --------------------------------------------------------------------------------


def test_output_passes_unchanged_and_the_run_is_told_in_a_line(
    execute: Callable[..., tuple[int, Result]], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    execute("--name", "noise", "--", "sh", "-c", r"printf 'a\r\n\377\0b'; printf c >&2")
    output, errors = capfdbinary.readouterr()
    assert output == b"a\r\n\xff\x00b"
    assert errors.startswith(b"cnoise: ")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["nowhere", "--lr", "1"], 127, "there is no command nowhere"),
        (["./a_file"], 126, "./a_file cannot be started (Permission denied)"),
        (["./no_interpreter"], 127, "./no_interpreter cannot be started"),
        (["sh", "-c", "exit 3"], 3, "the command ended with status 3"),
        (["sh", "-c", "kill -9 $$"], 137, "the command was killed by SIGKILL, as the system does"),
    ],
    ids=["missing", "no program", "no interpreter", "failed", "killed"],
)
def test_a_command_that_fails_leaves_a_sentence_and_its_status(
    execute: Callable[..., tuple[int, Result]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    error: str,
) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "no_interpreter").write_text("#!/nowhere\n")
    (tmp_path / "no_interpreter").chmod(0o700)
    ended, result = execute("--", *words)
    assert (ended, result["status"]) == (status, "failed")
    assert result["error"].startswith(error)
    (line,) = capfd.readouterr().err.splitlines()
    assert f"failed: {error}" in line


def test_a_signal_reaches_the_command_and_leaves_the_result(
    execute: Callable[..., tuple[int, Result]],
) -> None:
    saves = "trap 'echo GREENSWEEP_METRIC epoch=2 accuracy=0.6; exit 5' TERM"
    waits = "echo GREENSWEEP_METRIC epoch=1 accuracy=0.5; kill -TERM $PPID; sleep 9 & wait"
    status, result = execute("--", "sh", "-c", f"{saves}; {waits}")
    assert (status, result["status"]) == (5, "stopped")
    assert result["validation_accuracy"] == 0.6


def test_at_a_terminal_it_has_one_and_ctrl_c_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import sys, time\n"
        "try:\n"
        "    print('a terminal' if sys.stdout.isatty() else 'none')\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(0.3)\n"  # which a second one would end
        "    sys.exit('saved')\n"
    )
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(PROJECT / "src")
        command = ["exec", "--meter", "unmetered", "--directory", "run", "--"]
        python = [sys.executable, "-m", "greensweep", *command, sys.executable, "train.py"]
        os.execv(sys.executable, python)
    output, is_pressed = b"", 0
    try:
        while data := os.read(terminal, 1024):
            output += data
            if b"a terminal" in output and not is_pressed:
                is_pressed = os.write(terminal, b"\x03")
    except OSError:  # it has been closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
    assert b"a terminal" in output and b"saved" in output
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "stopped"


BURN = "import time\nwhile time.process_time() < 0.2: pass"


@pytest.mark.parametrize(
    "script",
    ['{0} -c "$1" & wait', '({0} -c "$1" &) ; sleep 0.6', 'sh -c \'{0} -c "$1" & wait\' _ "$1"'],
    ids=["a child", "an orphan", "a grandchild"],
)
def test_the_work_of_all_that_it_starts_is_the_runs(
    execute: Callable[..., tuple[int, Result]], script: str
) -> None:
    """By CPU time a machine's energy is shared out: an idle parent's children count with it."""

    def spent() -> float:
        return Processes().cpu_times({os.getpid()}).processes[os.getpid()]

    before = spent()
    execute("--", "sh", "-c", script.format(sys.executable), "_", BURN)
    assert spent() - before >= 0.2


def test_what_it_leaves_running_is_told(
    execute: Callable[..., tuple[int, Result]], caplog: pytest.LogCaptureFixture
) -> None:
    _, result = execute("--", "sh", "-c", "sleep 9 > /dev/null & echo $! > left")
    left = int(Path("left").read_text())
    os.kill(left, signal.SIGKILL)
    assert f"left processes running, {left} among them" in caplog.text
    assert result["status"] == "finished"


def test_a_program_that_measures_itself_too_is_told(
    execute: Callable[..., tuple[int, Result]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, result = execute("--pattern", "(?P<loss>[0-9]+)", "--", "sh", "-c", "echo $GREENSWEEP_EXEC")
    assert result["metrics"]["validation"]["loss"] == os.getpid()
    monkeypatch.setenv("GREENSWEEP_EXEC", "1")
    with greensweep.measure():
        pass
    assert "under greensweep exec, which measures it too" in caplog.text


def test_its_energy_is_in_the_result(execute: Callable[..., tuple[int, Result]]) -> None:
    _, result = execute("--country", "NLD", *told("epoch=1 accuracy=0.5"), meter="codecarbon")
    assert result["energy_joules"] > 0
    assert result["emissions_kg"] > 0
    assert result["history"][0]["energy_joules"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lr=1", "--", "touch", "ran"], "the command has no place for it: write {lr} where"),
        (["lr=[1", "--", "echo", "{lr}"], "lr"),
        (["--metric", "smoothness", "--", "touch", "ran"], "say --direction maximize"),
        (["--metric", "train_loss", "--", "touch", "ran"], "train_loss is of the train split"),
        (["--country", "Holland", "--", "touch", "ran"], "--country=Holland is no ISO 3166"),
        (["--region=texas", "--", "touch", "ran"], "set --country=USA, say"),
        (["--cpu_tdp_watts=-1", "--", "touch", "ran"], "--cpu_tdp_watts must be above 0"),
        (["--gpus", "[99]", "--", "touch", "ran"], "--gpus names GPU 99"),
        (["--pattern", "(", "--", "touch", "ran"], "--pattern '(' is no regular expression"),
        (["--pattern", "loss", "--", "touch", "ran"], "names no metric"),
        (["-cn", "nowhere"], "nowhere"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_sentence_and_nothing_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["exec", *arguments]) == 1
    assert said.lower() in one_sentence(capfd.readouterr().err).lower()
    assert not (tmp_path / "ran").exists()


def test_without_a_command_it_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["exec", "--country", "NLD"])
    assert "greensweep exec -- python train.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("true", "true"),
        ("/usr/bin/env true", "env"),
        ("python3 -u train.py --lr 1", "train"),
        ("torchrun --nproc-per-node 2 train_net.py", "train_net"),
        ("python -m my_project.train", "train"),
    ],
)
def test_a_run_is_called_as_its_program(words: str, name: str) -> None:
    assert program_name(words.split()) == name


# --- options and sweeps -------------------------------------------------------------------------


def test_an_option_is_recorded_and_filled_in(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = ["awk", "BEGIN {print ARGV[1]}", "{model.lr}/{fast}/{directory}/{other}"]
    execute("model.lr=0.01", "fast=true", "--", *program)
    assert capfd.readouterr().out == f"0.01/true/{tmp_path}/run/{{other}}\n"
    recorded = (tmp_path / "run" / "config.yaml").read_text()
    assert "model.lr: 0.01\nfast: true\n" in recorded


class Pruning:
    """A search that ends its trial after the second epoch."""

    def on_epoch(self, progress: Progress) -> None:
        if progress.epoch == 2:
            raise TrialEnded("pruned", "pruned after epoch 2")

    def on_repeat(self, progress: Progress) -> None:
        pass


@pytest.mark.parametrize("trap", ["echo saved; exit", ""], ids=["asked", "killed"])
def test_a_pruned_command_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], trap: str
) -> None:
    monkeypatch.setattr(child, "_GRACE_SECONDS", 2.0 if trap else 0.3)
    epochs = "for e in 1 2 3; do echo GREENSWEEP_METRIC epoch=$e accuracy=0.5; sleep 0.4; done"
    starts = f"setsid sleep 9 > /dev/null & echo $! > {tmp_path}/child"
    script = f"trap '{trap}' TERM; {starts}; {epochs}; wait"
    command = Command(
        ["sh", "-c", script], directory=str(tmp_path / "run"), energy=UnmeteredConfig()
    )
    with pytest.raises(TrialEnded), monitored_by(Pruning()):
        run_command(command, {})
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["epochs"]) == ("pruned", 2)
    assert ("saved" in capfd.readouterr().out) == bool(trap)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), 0)


def test_a_file_is_read_while_the_command_writes_it_and_talks(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    epochs = f"for e in 1 2; do echo $e,0.$e >> {file}; sleep 0.3; done"
    script = f"echo epoch,accuracy > {file}; {epochs}; while sleep 0.01; do echo on; done"
    command = Command(
        ["sh", "-c", script],
        file=str(file),
        directory=str(tmp_path / "run"),
        energy=UnmeteredConfig(),
    )
    with pytest.raises(TrialEnded), monitored_by(Pruning()):
        run_command(command, {})


SEARCHED = """
lr=$1
for epoch in 1 2 3; do
    awk "BEGIN {print \\"GREENSWEEP_METRIC epoch=$epoch epochs=3 macro_f1=\\" $lr * $epoch}"
done
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | str | None]:
    """Run `greensweep exec -m` over `train.sh` in an empty folder, to its exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    (tmp_path / "train.sh").write_text(SEARCHED)

    def run(*arguments: str) -> int | str | None:
        with pytest.raises(SystemExit) as ended:
            main(["exec", "--meter", "unmetered", "-m", *arguments])
        return ended.value.code

    return run


COMMAND = ("--", "sh", "train.sh", "{lr}")


@pytest.mark.parametrize(
    "space",
    [
        ["lr=interval(0.1,0.3)"],
        ['hydra.sweeper.params={lr: "interval(0.1,0.3)"}'],
        ["hydra/sweeper/sampler=grid", "lr=0.1,0.3"],
    ],
    ids=["a range", "in params", "choices"],
)
def test_options_of_a_command_are_searched(
    sweep: Callable[..., int | str | None],
    results: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
    space: list[str],
) -> None:
    assert sweep("--metric", "macro_f1", "hydra.sweeper.n_trials=2", *space, *COMMAND) == 0
    found = results("multirun/train")  # by its program, as other programs' sweeps are by theirs
    assert [each["trial"] for each in found] == [0, 1]
    assert {each["status"] for each in found} == {"finished"}
    best = max(found, key=lambda each: each["metrics"]["validation"]["macro_f1"])
    study = json.loads((tmp_path / "multirun/train/study.json").read_text())
    assert study["search"]["best_trials"] == [best["trial"]]


def test_a_file_of_ones_own_describes_the_search(
    sweep: Callable[..., int | str | None], results: Callable[..., list[dict[str, Any]]]
) -> None:
    Path("search.yaml").write_text(
        "defaults: [{override hydra/sweeper: greensweep}, _self_]\n"
        "lr: 0.2\n"
        "command: [sh, train.sh, '${lr}']\n"
        "hydra:\n"
        "  sweeper: {metric: macro_f1, direction: maximize, n_trials: 2,\n"
        "    params: {lr: 'interval(0.1,0.3)'}}\n"
    )
    assert sweep("-cn", "search", "--directory", "found") == 0
    first, second = results("found")
    assert first["metrics"]["validation"]["macro_f1"] == pytest.approx(0.6)
    assert second["metrics"]["validation"]["macro_f1"] != pytest.approx(0.6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lr=0.1,0.2"], "say --metric NAME"),
        (["--metric", "loss", "lr=0.1,0.2"], "the command told no loss"),
        (["--metric", "macro_f1", "lr=0.1,0.2", "hydra.sweeper.direction=minimize"], "the higher"),
        (["--metric", "macro_f1", "rate=1,2", "lr=1"], "{rate}"),
        (
            ["--metric", "macro_f1", "lr=1,2", "hydra.sweeper.direction=[maximize,minimize]"],
            "the second objective is the command's energy, and nothing is metered",
        ),
        (["--metric", "macro_f1"], "there is nothing to search"),
        (["--metric", "f1", "lr=1,2", "hydra.sweeper.n_trial=3"], "mean hydra.sweeper.n_trials?"),
    ],
    ids=["no metric", "not told", "direction", "unused", "unmetered", "no range", "misspelt"],
)
def test_a_wrong_sweep_is_refused_in_a_sentence(
    sweep: Callable[..., int | str | None], arguments: list[str], said: str
) -> None:
    command = COMMAND if "lr=" in " ".join(arguments) else ("--", "true")
    assert said in str(sweep(*arguments, "hydra.sweeper.n_trials=2", *command))
    assert len([*Path("multirun").glob("**/result.json")]) <= 1  # no other would go better


@pytest.mark.parametrize(
    ("metric", "script", "states", "said"),
    [
        ("f1", SEARCHED, ["failed"], "told no f1, by which --metric compares: it told macro_f1; d"),
        ("f1", "true", ["failed"], "told no f1, nor any other metric: let it print GREENSWEEP_ME"),
        ("macro_f1", SEARCHED + "exit $((lr))", ["finished", "failed"], ""),
        ("macro_f1", "[ $1 = 0 ] || exit 0\n" + SEARCHED, ["finished", "failed"], ""),
    ],
    ids=["another", "none", "a trial breaks off", "a trial tells none"],
)
def test_a_metric_that_the_first_trial_does_not_tell_ends_the_search(
    sweep: Callable[..., int | str | None],
    results: Callable[..., list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    metric: str,
    script: str,
    states: list[str],
    said: str,
) -> None:
    Path("train.sh").write_text(script)
    points = "hydra.sweeper.enqueue=[{lr: 0}, {lr: 1}]"
    code = sweep("--metric", metric, "lr=0,1", points, *COMMAND)
    assert [each["status"] for each in results("multirun/train")] == states
    assert said in str(code) if said else code == 0
    assert Path("multirun/train/trials.csv").is_file()


@pytest.mark.slow
def test_a_trial_that_falls_behind_is_pruned_while_its_command_runs(
    sweep: Callable[..., int | str | None], results: Callable[..., list[dict[str, Any]]]
) -> None:
    Path("train.sh").write_text(SEARCHED.replace("done", "    sleep 0.3\ndone"))
    points = "hydra.sweeper.enqueue=[{lr: 3}, {lr: 1}]"
    early = ("hydra.sweeper.pruning.min_finished=1", "hydra.sweeper.pruning.grace_epochs=0")
    asked = ("--metric", "macro_f1", "lr=interval(1,3)", "hydra.sweeper.n_trials=2")
    assert sweep(*asked, points, *early, *COMMAND) == 0
    better, worse = results("multirun/train")
    assert (better["status"], better["epochs"]) == ("finished", 3)
    assert (worse["status"], worse["epochs"]) == ("pruned", 1)


@pytest.mark.slow
def test_a_run_is_in_mlflow_where_that_is_asked_for(
    execute: Callable[..., tuple[int, Result]], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    _, result = execute("--mlflow", uri, "lr=1", *told("macro_f1={lr}"))
    kept = MlflowClient(uri).get_run(result["mlflow_run_id"])
    assert kept.data.metrics["validation/macro_f1"] == 1
    assert kept.data.params["lr"] == "1"


@pytest.mark.slow
def test_a_sweep_is_in_mlflow_with_its_trials(
    sweep: Callable[..., int | str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which the test gives back as it was
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sweep("--mlflow", uri, "--metric", "macro_f1", "lr=1,2", *COMMAND) == 0
    runs = MlflowClient(uri).search_runs(["1"])
    parents = [each.data.tags.get("mlflow.parentRunId") for each in runs]
    assert len(runs) == 3
    assert {each for each in parents if each} == {runs[parents.index(None)].info.run_id}
    assert {each.info.status for each in runs} == {"FINISHED"}


# --- examples -----------------------------------------------------------------------------------


def commands_in(example: str) -> list[list[str]]:
    """Return the commands that the first lines of an example show, each as words."""
    text = re.sub(r"\\\n#?", "", (PROJECT / "examples" / example).read_text())
    lines = [line.lstrip("# ") for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("greensweep exec")]


@pytest.mark.parametrize(
    ("example", "number", "metric"),
    [
        pytest.param("line.awk", 0, "rmse"),
        pytest.param("line.awk", 1, "rmse"),
        pytest.param("image_folder.py", 0, "macro_f1", marks=pytest.mark.slow),
        pytest.param("image_folder.py", 1, "macro_f1", marks=pytest.mark.slow),
    ],
)
def test_an_example_runs_as_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Callable[..., list[Result]],
    example: str,
    number: int,
    metric: str,
) -> None:
    words = commands_in(example)[number]
    at = words.index("--")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    for index, name in enumerate(["cat", "dog"] * 8):
        (tmp_path / "my_images/train" / name).mkdir(parents=True, exist_ok=True)
        shade = (100 * (name == "dog") + index,) * 3
        Image.new("RGB", (20, 24), shade).save(tmp_path / f"my_images/train/{name}/{index}.png")
    few = ["hydra.sweeper.n_trials=2"] if "-m" in words[:at] else []
    with suppress(SystemExit):
        assert main([*words[1:at], "--meter", "unmetered", *few, *words[at:]]) == 0
    found = results()
    assert len(found) == (2 if few else 1)
    assert all(each["metrics"]["validation"][metric] >= 0 for each in found)
