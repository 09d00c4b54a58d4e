"""Every command of the README works as written."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, Finished
from PIL import Image

README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
SCRIPTS = [line for line in COMMANDS if line.startswith("python ")]
# The README's commands at a size that fits a test: these come last, so they win.
SMALLER = {
    "train.py": ["training.epochs=1", "dataset.train_limit=120", "energy=unmetered"],
    "-m": ["hydra.sweeper.n_trials=2", "warmup=0"],
    "evaluate.py": [],
    "prepare.py": [],
    "analyse.py": [],
    "report.py": [],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all commands: making one takes a second or two."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def reader_folder(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader of the README has it: own module, own images, a finished run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    (code,) = re.findall(r"```python\n# my_package\.py\n(.*?)```", README, re.S)
    (tmp_path / "my_package.py").write_text(code)
    for name in ("cat", "dog"):
        folder = tmp_path / "my_images" / "train" / name
        folder.mkdir(parents=True)
        for index in range(80):
            pixels = np.random.default_rng(index).integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


def smaller(command: str) -> list[str]:
    """The command's arguments with overrides that make it quick."""
    arguments = shlex.split(command)[2:]
    script = Path(shlex.split(command)[1]).name
    extra = list(SMALLER[script])
    if "optuna" in command or "greensweep" in command:
        extra += SMALLER["-m"]
    if "objective=" in command or "energy." in command:
        extra.remove("energy=unmetered")
    given = {argument.partition("=")[0] for argument in arguments}
    return arguments + [text for text in extra if text.partition("=")[0] not in given]


@pytest.mark.parametrize("command", [c for c in SCRIPTS if "src/" in c and "joblib" not in c])
def test_command_of_the_readme_works(
    cli: Callable[..., Finished], reader_folder: Path, command: str
) -> None:
    if "outputs/my_run" in command:
        cli("train.py", "hydra.run.dir=outputs/my_run", *SMALLER["train.py"])
    if "analyse.py" in command or "report.py" in command:
        for sampler in ("random", "tpe"):
            small = [text for text in SMALLER["train.py"] if text != "energy=unmetered"]
            sweep = ("-m", "hydra/sweeper=greensweep", f"hydra/sweeper/sampler={sampler}")
            study = f"hydra.sweeper.study_name={sampler}"
            cli("train.py", *sweep, study, "inference.seconds=0", *small, *SMALLER["-m"])
    script = Path(shlex.split(command)[1]).name
    ended = cli(script, *smaller(command))
    assert ended.status == 0, ended.errors
    assert ended.output


def test_commands_on_results_work(
    cli: Callable[..., Finished], reader_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from greensweep.__main__ import main

    arguments = [shlex.split(c)[3:] for c in SCRIPTS if c.startswith("python -m greensweep")]
    results = ["outputs/my_run", "outputs/sweep"]
    assert arguments == [["doctor"], ["upload", results[0]], ["summarise", results[1]]]
    cli("train.py", "hydra.run.dir=outputs/my_run", "tracking=local", *SMALLER["train.py"])
    cli("train.py", "-m", "seed=1,2", "hydra.sweep.dir=outputs/sweep", *SMALLER["train.py"])
    assert [main(each) for each in arguments] == [0, 0, 0]
    printed = capsys.readouterr().out
    assert "A sweep will run here." in printed
    assert "is the most accurate" in printed


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
    assert len(rows) == 11
    for group, options in rows:
        found = {path.stem for path in (PROJECT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", options)) == found, group


@pytest.mark.slow
def test_the_pipeline_reproduces_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}

    def repro() -> str:
        ended = subprocess.run(
            ["dvc", "repro"], cwd=clone, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    repro()
    assert (clone / "outputs" / "summary" / "study.json").is_file()
    assert "up to date" in repro()
