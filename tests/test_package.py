"""The package in the user's own environment: its wheel, its extras, its types."""

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT

import greensweep
from greensweep.errors import ConfigError, install_command

# Modules with examples in them.
EXAMPLES = sorted(
    ".".join(path.relative_to(PROJECT / "src").with_suffix("").parts)
    for path in (PROJECT / "src" / "greensweep").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = METADATA["optional-dependencies"]


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;]", each)[0].strip().lower() for each in requirements}


def imported() -> set[str]:
    """The libraries that src/ imports, wherever it does."""
    found = set()
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    found |= {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"greensweep", "hydra_plugins"}


# --- extras -----------------------------------------------------------------------------------

# Imported only where their own objects are handed over, by who has them.
OF_CALLBACKS = {"lightning", "transformers", "xgboost", "lightgbm", "keras", "pillow_heif"}


@pytest.fixture(scope="module")
def distributions() -> Mapping[str, list[str]]:
    """The installed distributions that bring a library, by its name."""
    return packages_distributions()


@pytest.mark.parametrize("library", sorted(imported() - OF_CALLBACKS))
def test_a_library_is_of_the_core_or_its_extra_is_known(
    library: str, distributions: Mapping[str, list[str]]
) -> None:
    brings = {each.lower() for each in distributions[library]}
    command = install_command(library)
    if command is None:
        assert brings & named(METADATA["dependencies"])
    else:
        (extra,) = re.findall(r"\[(\w+)\]", command)
        assert brings & named(EXTRAS[extra])


def test_all_has_every_extra_but_those_of_developers() -> None:
    (everything,) = EXTRAS["all"]
    listed = set(re.findall(r"\w+", everything)) - {"greensweep"}
    assert listed == set(EXTRAS) - {"all", "dev", "integrations"}
    assert "greensweep[all]" in EXTRAS["dev"]


TABLE = "dataset,model,accuracy,energy_joules\n" + "".join(
    f"digits,m{number},0.{90 + number},{10 + number}\n" for number in range(6)
)


@pytest.mark.parametrize("asked", ["sqlite:///mlflow.db", True])
def test_a_run_without_mlflow_says_how_to_install_it(
    asked: str | bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with (
        pytest.raises(ConfigError, match=r"mlflow is not installed: pip install 'greensweep\["),
        greensweep.run("mine", mlflow=asked, meter="unmetered"),
    ):
        pass


# --- names, types and examples ----------------------------------------------------------------


def test_the_package_shows_its_names_and_imports_them_when_they_are_asked_for() -> None:
    code = (
        "import sys, greensweep; print(*greensweep.__all__); print(*dir(greensweep));"
        "print(*[name for name in sys.modules if name.startswith('greensweep.')]);"
        "print(greensweep.run.__doc__.splitlines()[0])"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    names, shown, loaded, documented = listed.stdout.splitlines()
    assert set(names.split()) == set(greensweep._PUBLIC) <= set(shown.split())
    assert loaded == ""
    assert documented.startswith("Record what the block does as one run")


@pytest.mark.parametrize("name", greensweep.__all__)
def test_a_public_name_shows_an_example(name: str) -> None:
    assert ">>> " in getattr(greensweep, name).__doc__
    assert f"greensweep.{greensweep._PUBLIC[name]}" in EXAMPLES


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_do_what_they_show(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


USER = """
import greensweep

with greensweep.measure(country="NLD") as energy:
    joules: float | None = energy.joules

with greensweep.run("mlp", params={"width": 8}) as run:
    run.report(epoch=1, macro_f1=0.5)

@greensweep.measure()
def train(epochs: int) -> float:
    return 1.0 * epochs

reveal_type(train(3))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", ""),
        ("greensweep.mesure()", 'Module has no attribute "mesure"; maybe "measure"'),
        ("greensweep.measure(contry='NLD')", 'Unexpected keyword argument "contry" for "measure"'),
        ("greensweep.run('x', modle='y')", 'Unexpected keyword argument "modle" for "run"'),
        ("greensweep.report(epoch='1')", 'Argument "epoch" to "report" has incompatible type'),
        ("train('three')", 'Argument 1 to "train" has incompatible type "str"'),
    ],
)
def test_a_type_checker_sees_what_is_wrong(line: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"{USER}{line}\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "mine.py"]
    checked = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={PROJECT}/.mypy_cache/user"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(PROJECT / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'Revealed type is "float"' in checked.stdout
    assert checked.returncode == bool(fault), checked.stdout
    assert fault in checked.stdout


# --- the wheel in an empty environment --------------------------------------------------------

Run = Callable[..., subprocess.CompletedProcess[str]]
OLDER_HYDRA = "1.3.2"  # which most projects pin

LOOP = """
import hydra
import greensweep

@hydra.main(config_path="conf", config_name="loop", version_base="1.3")
def main(config):
    with greensweep.measure(country="NLD") as energy:
        for epoch in range(1, config.epochs + 1):
            sum(map(float, range(config.width * 20_000)))
            accuracy = 1 - 1 / (epoch + config.width)
            greensweep.report(epoch=epoch, accuracy=accuracy, epochs=config.epochs)
    return accuracy, energy.joules

main()
"""
CONF = """
defaults: [_self_, override hydra/sweeper: greensweep]
rate: 0.1
width: 1
epochs: 4
output: ${hydra:runtime.output_dir}  # as templates have it, which a job alone knows
hydra:
  sweep: {dir: sweep}
  sweeper:
    direction: [maximize, minimize]
    n_trials: 8
    params: {rate: 'interval(0.1, 1)', width: 'range(1, 20)'}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built of what git would keep of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    parts = ["src", "conf", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"]
    listed = ["git", "ls-files", "-co", "--exclude-standard", *parts]
    files = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in files.stdout.splitlines():
        copy = folder / "project" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((PROJECT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "project")
    (built,) = folder.glob("*.whl")
    return built


# A user's, who has no checkout.
OUTSIDE = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}


def pip(*arguments: object, python: str | Path = sys.executable) -> str:
    command = [python, "-m", "pip", *map(str, arguments), "-q", "--disable-pip-version-check"]
    return subprocess.run(command, env=OUTSIDE, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", params=[OLDER_HYDRA, "1.4.0rc3"])
def run(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Run a command of an empty environment with the wheel alone, in a folder of its own."""
    folder = tmp_path_factory.mktemp("own")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip("install", wheel, f"hydra-core=={request.param}", python=folder / "venv" / "bin" / "python")
    (folder / "mine" / "conf").mkdir(parents=True)
    (folder / "mine" / "loop.py").write_text(LOOP)
    (folder / "mine" / "conf" / "loop.yaml").write_text(CONF)
    (folder / "mine" / "runs.csv").write_text(TABLE)

    def command(name: str, *arguments: str, fails: bool = False) -> Any:
        ended = subprocess.run(
            [folder / "venv" / "bin" / name, *arguments],
            cwd=folder / "mine", env={**OUTSIDE, "COLUMNS": "200", "XDG_CACHE_HOME": str(folder)},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
        return ended

    return command


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestTheWheelAlone:
    def test_it_brings_no_trainer(self, run: Run) -> None:
        listed = run("pip", "list").stdout.lower()
        assert "greensweep" in listed
        assert "py.typed" in run("pip", "show", "-f", "greensweep").stdout
        for name in ("torch", "mlflow", "dvc", "matplotlib", "pyarrow"):
            assert f"\n{name} " not in listed

    def test_a_block_is_measured_in_a_program_without_hydra(self, run: Run) -> None:
        code = "import greensweep\nwith greensweep.measure(country='NLD') as energy:\n    pass"
        run("python", "-c", f"{code}\nassert energy.seconds > 0")

    def test_a_loop_of_ones_own_is_swept_under_a_budget_and_has_a_front(self, run: Run) -> None:
        swept = run("python", "loop.py", "-m", "hydra.sweeper.budget.joules=100000")
        assert "* = no other" in swept.stdout
        assert "Of the budget of 100 kJ" in swept.stdout
        assert re.search(r"The bill: .* \(\d finished", swept.stdout)

    def test_what_it_used_is_stated(self, run: Run) -> None:
        said = run("greensweep", "statement", "source=sweep", "country=NLD").stdout
        assert "geographical_location: NLD" in said
        assert "* = no other" in run("greensweep", "summarise", "sweep").stdout

    def test_tables_are_analysed(self, run: Run) -> None:
        said = run("greensweep", "analyse", "source=runs.csv").stdout
        assert "Tables: outputs/analysis/tradeoff" in said

    def test_a_report_says_what_it_needs_and_is_written_with_it(
        self, run: Run, wheel: Path
    ) -> None:
        said = run("greensweep", "report", "source=runs.csv", fails=True).stderr
        assert said == "Error: matplotlib is not installed: pip install 'greensweep[report]'\n"
        run("python", "-m", "pip", "install", "-q", f"{wheel}[report]")
        assert "Report: outputs/report" in run("greensweep", "report", "source=runs.csv").stdout

    def test_the_doctor_examines_the_machine(self, run: Run) -> None:
        said = run("greensweep", "doctor").stdout
        assert "pip install 'greensweep[train]'" in said
        assert "A sweep will run here." in said

    def test_training_says_what_it_needs(self, run: Run) -> None:
        said = run("greensweep", "train", "training.epochs=1", fails=True).stderr
        assert "pip install 'greensweep[train]'" in said
        assert len(said.splitlines()) == 1

    def test_a_launcher_of_an_extra_is_named(self, run: Run) -> None:
        said = run("greensweep", "analyse", "-m", "hydra/launcher=ray", "output=a,b", fails=True)
        assert "hydra/launcher=ray is not installed: pip install 'greensweep[ray]'" in said.stderr


# --- our trainer under the Hydra that most projects pin ---------------------------------------


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the older Hydra and what it needs, for the front of PYTHONPATH."""
    folder = tmp_path_factory.mktemp("older")
    pip("install", "--target", folder, f"hydra-core=={OLDER_HYDRA}")
    return folder


SHORT = ["training.epochs=1", "dataset.train_limit=100", "energy=unmetered", "tracking=local"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["train", *SHORT], "simple_cnn on digits: finished"),
        (["sweep", *SHORT, "hydra.sweeper.n_trials=2"], "2 trials: 2 finished"),
        (["train", "-m", "seed=1,2", *SHORT], "kept weights: multirun/"),
        (["sweep", "experiment=rq1_strategies", "size=smoke", "--cfg", "hydra"], "pruner: none"),
        (["sweep", "hydra/sweeper/sampler=tpe", "--cfg", "hydra"], "n_startup_trials: 4"),
    ],
    ids=" ".join,
)
def test_our_trainer_runs_under_an_older_hydra(
    command: list[str], said: str, older: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(older), str(PROJECT / "src")])
    ended = subprocess.run(
        [sys.executable, "-m", "greensweep", *command],
        cwd=tmp_path, env={**OUTSIDE, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stdout + ended.stderr
