"""The example of a program of one's own: run once, and searched, as its first lines say."""

import ast
import json
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

EXAMPLE = PROJECT / "examples" / "own_loop.py"


def commands() -> list[list[str]]:
    text = ast.get_docstring(ast.parse(EXAMPLE.read_text())) or ""
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("python ")]
    assert [line[:2] for line in lines] == [["python", "examples/own_loop.py"]] * 2
    return [line[2:] for line in lines]


@pytest.mark.parametrize("arguments", commands(), ids=["once", "searched"])
def test_the_example_runs_as_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["epochs=2", *(["hydra.sweeper.n_trials=2"] if "-m" in arguments else [])]
    monkeypatch.setattr(sys, "argv", ["own_loop.py", *arguments, *few])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert ("The bill: " in capsys.readouterr().out) == ("-m" in arguments)
    # Without the option too: the configuration names its sweeper.
    sweep = tmp_path / "multirun" / "greensweep"
    assert sweep.is_dir() == ("-m" in arguments)
    assert (sweep / "trials.csv").is_file() == ("-m" in arguments)
    results = [json.loads(each.read_text()) for each in tmp_path.glob("**/result.json")]
    assert len(results) == (2 if "-m" in arguments else 1)
    for each in results:
        assert (each["status"], each["objective_metric"], each["epochs"]) == (
            "finished",
            "macro_f1",
            2,
        )
