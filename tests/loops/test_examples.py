"""The examples with other libraries run, and are as small as their pages say."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from pages import blocks
from search import needs

from greensweep.record.result import read_result

EXAMPLES = PROJECT / "examples"
LIBRARIES = {
    "scikit_learn.py": "sklearn",
    "xgboost_rounds.py": "xgboost",
    "lightgbm_rounds.py": "lightgbm",
    "huggingface_trainer.py": "transformers",
    "keras_fit.py": "keras",
    "lightning_project/train.py": "lightning",
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_an_example_has_at_most_40_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[needs(library), *([] if library == "sklearn" else [pytest.mark.slow])],
            id=library,
        )
        for name, library in LIBRARIES.items()
    ],
)
def test_an_example_leaves_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = EXAMPLES / name
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    (left,) = tmp_path.glob("outputs/**/result.json")
    result = read_result(left.parent)
    assert (result.status, result.emissions_grid) == ("finished", "NLD")
    assert result.energy_joules and result.history and result.metrics["validation"]
    assert f"python examples/{name}\n" in path.read_text(encoding="utf-8")


def test_pages_show_the_examples_as_they_are() -> None:
    shown = 0
    for page in sorted((PROJECT / "docs").glob("*.md")):
        for each in blocks(f"docs/{page.name}"):
            first, _, code = each.code.partition("\n")
            if first.startswith("# examples/"):
                shown += 1
                assert code in (PROJECT / first.removeprefix("# ")).read_text(encoding="utf-8")
    assert shown >= 6


def test_a_lightning_project_changes_by_the_lines_that_its_page_shows(tmp_path: Path) -> None:
    (diff,) = [each.code for each in blocks("docs/lightning.md") if each.language == "diff"]
    changed = re.findall(r"^[+-](?!\+\+|--).*", diff, re.M)
    assert len(changed) <= 5
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    apply = ["git", "apply", "-R", "-p0", "-"]
    subprocess.run(apply, cwd=tmp_path, input=diff, text=True, check=True)
    before = tmp_path / "examples" / "lightning_project"
    for path in [*before.rglob("*.yaml"), *before.rglob("*.py")]:
        _, _, code = path.read_text(encoding="utf-8").rpartition('"""')
        assert "greensweep" not in code, path


def test_the_commands_of_the_lightning_page_are_those_of_the_project() -> None:
    said = (EXAMPLES / "lightning_project" / "train.py").read_text(encoding="utf-8")
    commands = [each for block in blocks("docs/lightning.md") for each in block.commands]
    own = [each for each in commands if shlex.split(each)[0] == "python"]
    assert own and all(each in said for each in own)
