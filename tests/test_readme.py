"""Every command of the README works as written."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT, Finished
from pages import SMALLER, blocks, smaller, write_files

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = [command for block in blocks("README.md") for command in block.commands]
SCRIPTS = [line for line in COMMANDS if line.startswith("python ")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all commands: making one takes a second or two."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="module")
def searched() -> list[str]:
    """The strategies whose sweeps are in the store."""
    return []


@pytest.fixture
def reader_folder(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader of the README has it: own module, own images, a finished run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    write_files("README.md", tmp_path)
    monkeypatch.delitem(sys.modules, "my_package", raising=False)  # another page's
    return tmp_path


@pytest.mark.parametrize("command", [c for c in SCRIPTS if "src/" in c and "joblib" not in c])
def test_command_of_the_readme_works(
    cli: Callable[..., Finished], reader_folder: Path, searched: list[str], command: str
) -> None:
    if "outputs/my_run" in command:
        cli("train.py", "hydra.run.dir=outputs/my_run", *SMALLER["train.py"])
    if "analyse.py" in command or "report.py" in command:
        for sampler in {"random", "tpe"} - set(searched):
            small = [text for text in SMALLER["train.py"] if text != "energy=unmetered"]
            sweep = ("-m", "hydra/sweeper=greensweep", f"hydra/sweeper/sampler={sampler}")
            study = f"hydra.sweeper.study_name={sampler}"
            small += [*SMALLER["-m"], *SMALLER["sweeper"], "inference.seconds=0"]
            assert cli("train.py", *sweep, study, *small).status == 0
            searched.append(sampler)
    script = Path(shlex.split(command)[1]).name
    ended = cli(script, *smaller(command))
    assert ended.status == 0, ended.errors
    assert ended.output


def test_commands_on_results_work(
    cli: Callable[..., Finished],
    reader_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from greensweep.__main__ import main

    arguments = [shlex.split(c)[3:] for c in SCRIPTS if c.startswith("python -m greensweep")]
    results = ["outputs/my_run", "outputs/sweep"]
    assert arguments == [
        ["doctor"], ["upload", results[0]], ["study"], ["summarise", results[1]],
    ]  # fmt: skip
    small = (*SMALLER["train.py"], *SMALLER["-m"])
    cli("train.py", "hydra.run.dir=outputs/my_run", "tracking=local", *small)
    cli("train.py", "-m", "seed=1,2", "hydra.sweep.dir=outputs/sweep", *small)
    arguments[0].append("energy=unmetered")  # its check of a meter takes seconds
    assert [main(each) for each in arguments if each != ["study"]] == [0, 0, 0]
    monkeypatch.chdir(PROJECT)
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    assert "A sweep will run here." in printed
    assert "Take trial " in printed
    assert "params.yaml: size=smoke, variant=corrected" in printed


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("make")}))
def test_make_target_of_the_readme_exists(command: str) -> None:
    ended = subprocess.run(
        [*shlex.split(command), "--dry-run"], cwd=PROJECT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_make_alone_lists_every_target() -> None:
    # Without MAKEFLAGS: this test may itself be run by make.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    ended = subprocess.run(
        ["make"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    listed = {line.split()[0] for line in ended.stdout.splitlines()}
    phony = re.search(r"\.PHONY: (.*)", (PROJECT / "Makefile").read_text())
    assert phony is not None
    assert listed == set(phony.group(1).split())


def test_every_image_of_the_readme_is_there() -> None:
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (PROJECT / path).stat().st_size > 10_000, path


def test_config_map_names_every_option_and_nothing_else() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|", README, re.M)
    assert len(rows) == 13
    for group, options in rows:
        found = {path.stem for path in (PROJECT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", options)) == found, group
