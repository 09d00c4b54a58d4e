"""`python -m greensweep` ends as the scripts do: one sentence, and a status that says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from test_bad_input import one_sentence

from greensweep.__main__ import main


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
