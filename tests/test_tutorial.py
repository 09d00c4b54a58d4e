"""A reader goes through the tutorial: each file as it is shown, each command in its turn."""

import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished
from pages import IN_ORDER, Block, blocks


@pytest.fixture
def enter(
    cli: Callable[..., Finished],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[str], str]:
    """Run a command of the page in the reader's folder and return what it prints."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    interpreter = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{interpreter}{os.pathsep}{os.environ['PATH']}")

    def run(command: str) -> str:
        program, *words = shlex.split(command)
        if program == "greensweep":
            ended = cli("greensweep/__main__.py", *words)
            assert ended.status == 0, ended.errors
            return ended.output
        assert program == "python", command
        few = ["hydra.sweeper.n_trials=3"] if "-m" in words else []
        monkeypatch.setattr(sys, "argv", [*words, *few])
        runpy.run_path(str(tmp_path / words[0]), run_name="__main__")
        return capsys.readouterr().out

    return run


def write(block: Block, folder: Path) -> None:
    """Write a file that the page shows, with few epochs."""
    assert block.path is not None
    (folder / block.path).parent.mkdir(exist_ok=True)
    few = re.sub(r"(EPOCHS = .*|epochs: )20$", r"\g<1>2", block.code, flags=re.M)
    assert few != block.code or "config.epochs" in few
    (folder / block.path).write_text(few, encoding="utf-8")


@pytest.mark.parametrize("with_slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("page", IN_ORDER)
def test_a_reader_comes_from_a_loop_to_a_decision(
    enter: Callable[[str], str], tmp_path: Path, page: str, with_slow: bool
) -> None:
    printed = {}
    for block in blocks(page):
        if block.path is not None:
            write(block, tmp_path)
        elif block.is_run and (with_slow or block.mark != "slow"):
            printed |= {command: enter(command) for command in block.commands}
    assert all(printed.values()), printed
    assert [*tmp_path.glob("outputs/mlp/*/result.json")]
    trials = pd.read_csv(tmp_path / "multirun" / "digits" / "trials.csv")
    assert {"validation_macro_f1", "energy_joules", "emissions_kg", "learning_rate"} <= set(trials)
    assert (tmp_path / "outputs" / "statement" / "statement.md").is_file()
    assert (tmp_path / "outputs" / "report" / "index.html").is_file() == with_slow
