"""`greensweep` runs the programs of src/, and ends as they do: one sentence, and a status."""

import logging
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from test_bad_input import one_sentence

from greensweep.__main__ import main
from greensweep.config.folders import CONF
from greensweep.config.reference import sections
from greensweep.config.register import PROGRAMS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upload", "nowhere"], "nowhere"),
        (["upload", "a_file"], "a_file"),
        (["summarise", "nowhere"], "nowhere holds no trials: name the directory of a sweep"),
        (["summarise", "a_file"], "a_file holds no trials: name the directory of a sweep"),
        (["runs", "nowhere", "out"], "params.yaml cannot be read"),
        (["digest", "out.json", "nowhere"], "cannot use nowhere: No such file or directory"),
        (["digest", "a_folder", "a_file"], "a_folder: Is a directory"),
        (["digest", "a_file/out.json", "a_file"], "cannot use a_file: File exists"),
        (["study"], "change to the project's folder"),
        (["doctor", "training.epochs=0"], "training.epochs must be at least 1"),
        (["doctor", "="], "Could not override"),
        (["doctor", "training.epochs=[1"], "cannot be read: write OPTION=VALUE"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("no result")
    (tmp_path / "a_folder").mkdir()
    assert main(arguments) == 1
    errors = one_sentence(capsys.readouterr().err)
    assert said in errors
    assert "hydra.run.dir" not in errors


def test_a_fault_that_nobody_foresaw_is_one_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Path, "mkdir", fail)
    assert main(["digest", str(tmp_path / "out.json"), str(tmp_path)]) == 1
    assert "ZeroDivisionError" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    "command",
    [["src/train.py"], ["src/analyse.py", "source=mlflow"], ["src/report.py"], ["src/prepare.py"],
     ["src/evaluate.py"], ["src/predict.py"], ["-m", "greensweep", "study"]],
    ids=" ".join,
)  # fmt: skip
def test_ctrl_c_while_a_program_imports_ends_with_130_and_no_traceback(
    command: list[str], tmp_path: Path
) -> None:
    pressed = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "yaml.py").write_text(pressed)  # which all of them import
    path = f"{tmp_path}{os.pathsep}{PROJECT / 'src'}"
    ended = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, "Interrupted.\n")


def test_ctrl_c_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", press)
    assert main(["digest", str(tmp_path / "out.json"), str(tmp_path)]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["src/prepare.py"], ["-m", "greensweep", "study"]])
def test_a_reader_that_closes_the_pipe_is_no_fault(command: list[str], tmp_path: Path) -> None:
    """As `| head` does; a study that is refused still says so."""
    read, write = os.pipe()
    os.close(read)
    if command[0].endswith(".py"):
        command = [str(PROJECT / command[0])]
    ended = subprocess.run(
        [sys.executable, *command], stdout=write, stderr=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")}, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    refused = "study" in command
    assert ended.returncode == refused
    assert len(ended.stderr.splitlines()) == refused, ended.stderr


# --- greensweep train, sweep, and their like --------------------------------------------------

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def greensweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `greensweep` in this process and an empty folder; gives its exit status and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["greensweep", *arguments])
        handlers = logging.getLogger().handlers[:]
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            logging.getLogger().handlers[:] = handlers
        captured = capsys.readouterr()
        code, said = ended.value.code, captured.out + captured.err
        return (1, f"{said}{code}\n") if isinstance(code, str) else (code or 0, said)

    return run


def test_the_help_fits_on_a_screen_and_names_every_command(greensweep: Command) -> None:
    status, said = greensweep("--help")
    assert status == 0
    assert len(said.splitlines()) <= 30
    for command in ("train", "sweep", "evaluate", "predict", "prepare", "analyse", "report",
                    "doctor", "upload", "summarise", "runs", "digest", "study"):  # fmt: skip
        assert re.search(rf"^ +{command} ", said, re.M), command


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("swep", "no command is called 'swep': did you mean sweep?"),
        ("Analyze", "no command is called 'Analyze': did you mean analyse?"),
        ("qqq", "no command is called 'qqq', nor anything close to it"),
    ],
)
def test_a_command_that_is_mistyped_names_the_closest(
    typed: str, said: str, greensweep: Command
) -> None:
    status, told = greensweep(typed)
    assert (status, told.splitlines()[-1]) == (2, f"greensweep: error: {said}")


def test_usage_names_the_command_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["somewhere/greensweep/__main__.py", "train", "--epochs"])
    monkeypatch.delitem(sys.modules, "greensweep.__main__")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("greensweep", run_name="__main__")
    assert capsys.readouterr().err.startswith("usage: greensweep [--help]")


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_help_has_every_option_of_the_program_by_subject(program: str, greensweep: Command) -> None:
    status, said = greensweep(program, "--help")
    said = " ".join(said.split())
    assert status == 0
    assert "schema/" not in said
    for section in sections(program):
        assert f"{section.title or 'options'}:" in said
        for choice in section.choices:
            assert f"{section.title}={choice.name} {choice.what}".strip() in said
        for _, options in section.options:
            for each in options:
                kind = f"{each.kind} {each.bounds}".strip().replace("`", "")
                assert f"{each.name}={each.default or ''} {each.doc} (" in said
                assert f"{kind})" in said


def test_help_of_answers_names_no_optimizer_and_that_of_a_sweep_the_stock_sweeper(
    greensweep: Command,
) -> None:
    assert "optimizer" not in greensweep("analyse", "--help")[1]
    said = greensweep("sweep", "-h")[1]
    assert "hydra/sweeper=optuna takes the stock sweeper" in " ".join(said.split())
    assert "hydra.sweeper.budget.joules" in said


def test_sweep_searches_with_our_sweeper(
    greensweep: Command, results: Callable[..., list[dict[str, Any]]]
) -> None:
    status, said = greensweep(
        "sweep", "hydra.sweeper.n_trials=2", "training.epochs=1", "dataset.train_limit=100",
        "warmup=0", "inference.seconds=0", "tracking=local", "energy=unmetered",
    )  # fmt: skip
    assert status == 0, said
    assert [each["trial"] for each in results("multirun/digits-simple_cnn-accuracy")] == [0, 1]


@pytest.mark.parametrize(
    ("chosen", "used"),
    [([], "GreensweepSweeper"), (["hydra/sweeper=optuna"], "OptunaSweeper")],
)
def test_sweep_takes_another_sweeper_and_flags_of_hydra(
    greensweep: Command, chosen: list[str], used: str
) -> None:
    status, said = greensweep("sweep", *chosen, "--cfg", "hydra", "--package", "hydra.sweeper")
    assert status == 0
    assert f".{used}" in said


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("greensweep ", "train sweep evaluate predict prepare analyse report statement doctor "),
        ("greensweep train optimizer=ad", "optimizer=adam optimizer=adamw"),
        ("greensweep train seed=1 training.ep", "training.epochs="),
        ("greensweep sweep hydra.sweeper.bud", "hydra.sweeper.budget"),
        ("greensweep analyse analysis=s", "analysis=strategies"),
    ],
)
def test_a_shell_completes_commands_groups_choices_and_options(
    typed: str,
    offered: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_LINE", typed)
    monkeypatch.setattr("sys.argv", ["greensweep", "-sc", "query=bash"])
    with suppress(SystemExit):
        main()
    assert capsys.readouterr().out.startswith(offered)


def test_the_completion_of_a_shell_is_installed_for_the_command(greensweep: Command) -> None:
    status, said = greensweep("-sc", "install=bash")
    assert (status, said.split()[-2:]) == (0, ["hydra_bash_completion", "greensweep"])


def test_a_program_takes_choices_of_a_folder_of_ones_own(
    greensweep: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "slow.yaml").write_text(
        "defaults: [sgd, _self_]\nlearning_rate: 1e-6\n"
    )
    status, said = greensweep("train", "--config-dir", "mine", "optimizer=slow", "--cfg", "job")
    assert status == 0, said
    assert "learning_rate: 1.0e-06" in said


def test_a_fault_of_a_program_is_one_sentence(greensweep: Command) -> None:
    status, said = greensweep("train", "training.epochs=0")
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("Error: training.epochs must be at least 1")


def test_a_wheel_has_the_configurations_of_a_checkout(tmp_path: Path) -> None:
    """Which a program finds there: `test_package.py` installs it."""
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    built = {str(path.relative_to(tmp_path / "greensweep")) for path in tmp_path.rglob("*.yaml")}
    assert built == {str(path.relative_to(PROJECT)) for path in (PROJECT / "conf").rglob("*.yaml")}
    assert CONF == PROJECT / "conf"


@pytest.mark.parametrize(
    ("library", "command", "extra"),
    [
        ("matplotlib", ["report", "source=runs.csv"], "report"),
        ("jinja2", ["report", "source=runs.csv"], "report"),
        ("pyarrow", ["analyse", "source=runs.parquet"], "parquet"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    library: str,
    command: list[str],
    extra: str,
    greensweep: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "runs.csv").write_text(
        "dataset,model,accuracy,energy_joules\nd,a,0.9,1\nd,b,0.8,2\n"
    )
    (tmp_path / "runs.parquet").write_bytes(b"")
    for name in [*sys.modules]:
        if name.partition(".")[0] == library or name.startswith("greensweep.rendering"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    status, said = greensweep(*command)
    expected = f"Error: {library} is not installed: pip install 'greensweep[{extra}]'"
    assert (status, said.splitlines()[-1]) == (1, expected)
