"""Hydra's own suite for plugins, and what it asks of sweepers, on `hydra/sweeper=greensweep`.

Of `hydra.test_utils`, `IntegrationTestSuite` runs as it is. `LauncherTestSuite` and
`BatchedSweeperTestSuite` ask for the jobs that `sweep()` returns, in the order of a product: like
Hydra's other searching sweepers, this one returns none, and its order is the strategy's. What they
say of a job is here said of its folder. The tests of Hydra's Optuna sweeper follow, but for its
`custom_search_space` and `motpe`, which this one does not have.
"""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils import test_utils
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite
from hydra.test_utils.test_utils import SweepTaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from greensweep.sweeper.space import read_space

GREENSWEEP = ("hydra/sweeper=greensweep", "hydra.sweeper.meter=nothing")
Runner = Callable[..., SweepTaskFunction]

pytest.mark.slow(IntegrationTestSuite.test_custom_task_name)


@pytest.fixture(autouse=True, scope="module")
def plugins() -> Plugins:
    """Let Hydra look for plugins before its own fixture keeps, and restores, what it has found."""
    return Plugins.instance()


def test_hydra_finds_the_sweeper() -> None:
    assert "GreensweepSweeper" in [each.__name__ for each in Plugins.instance().discover(Sweeper)]


@pytest.mark.parametrize("task_launcher_cfg", [{}], ids=[""])
@pytest.mark.parametrize(
    "extra_flags",
    [["-m", *GREENSWEEP, "hydra.sweeper.n_trials=1", "hydra.sweeper.fresh=true", "+searched=1,2"]],
    ids=["greensweep"],
)
class TestIntegration(IntegrationTestSuite):
    """Names and folders of jobs, and from where paths are told."""

    @pytest.fixture(autouse=True)
    def in_this_process(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Run the suite's programs without seconds of imports for each."""
        if "override_dirname" in request.node.name:
            pytest.skip("a folder that several trials may share is refused: tests/test_folders.py")

        def run(command: list[str], env: dict[str, str]) -> None:
            monkeypatch.setattr(sys, "argv", command[1:])
            runpy.run_path(command[1], run_name="__main__")

        monkeypatch.setattr(test_utils.subprocess, "check_call", run)

    def generate_custom_cmd(self) -> Callable[..., list[str]]:
        def returning(command: list[str], filename: str) -> list[str]:
            """Let the suite's program return a number, which a search needs."""
            program = Path(command[1])
            text = program.read_text().replace("\nif __name__", "    return 1.0\n\nif __name__")
            program.write_text(text)
            return command

        return returning


# What LauncherTestSuite says of jobs


def sweep_of(
    runner: Runner,
    folder: Path,
    config_name: str,
    overrides: list[str],
    task: Callable[[DictConfig], Any] | None = None,
) -> SweepTaskFunction:
    """A sweep of every point, by one of the suite's configurations."""
    return runner(
        calling_file=None,
        calling_module="hydra.test_utils.a_module",
        task_function=task,
        config_path="configs",
        config_name=config_name,
        overrides=[*GREENSWEEP, "hydra/sweeper/sampler=grid", *overrides],
        temp_dir=folder / "sweep",
    )


def jobs_in(folder: Path) -> list[tuple[set[str], Any]]:
    """Return what each job was given, and its configuration, as its folder says."""
    folders = {each.parent.name: each.parent for each in folder.glob("*/.hydra")}
    assert folders.keys() == {str(number) for number in range(len(folders))}
    assert all((each / "a_module.log").is_file() for each in folders.values())
    read = [
        [OmegaConf.to_container(OmegaConf.load(each / ".hydra" / name)) for name in KEPT]
        for each in folders.values()
    ]
    return [(set(overrides), config) for overrides, config in read]


KEPT = ("overrides.yaml", "config.yaml")
MYSQL = {"driver": "mysql", "password": "***", "user": "someone"}
POSTGRESQL = {"driver": "postgresql", "password": "***", "timeout": 10, "user": "someone"}


@pytest.mark.usefixtures("hydra_restore_singletons")
@pytest.mark.parametrize(
    ("config_name", "overrides", "jobs"),
    [
        pytest.param(
            "compose",
            ["+a=0,1"],
            [({f"+a={a}"}, {"foo": 10, "bar": 100, "a": a}) for a in (0, 1)],
            id="an added option",
        ),
        pytest.param(
            "compose",
            ["group1=file1,file2", "bar=100,200"],
            [
                ({f"group1={group}", f"bar={bar}"}, {"foo": foo, "bar": bar})
                for group, foo in (("file1", 10), ("file2", 20))
                for bar in (100, 200)
            ],
            id="a group and an option",
        ),
        pytest.param(
            "unspecified_mandatory_default",
            ["group1=file1,file2"],
            [({"group1=file1"}, {"foo": 10}), ({"group1=file2"}, {"foo": 20})],
            id="a group without a default",
        ),
        pytest.param(
            "db_conf",
            ["db=mysql,postgresql", "db.user=someone"],
            [
                ({"db=mysql", "db.user=someone"}, {"db": MYSQL}),
                ({"db=postgresql", "db.user=someone"}, {"db": POSTGRESQL}),
            ],
            id="an option that comes with a choice",
        ),
    ],
)
def test_a_job_gets_its_options_and_leaves_them_in_its_folder(
    hydra_sweep_runner: Runner,
    tmp_path: Path,
    config_name: str,
    overrides: list[str],
    jobs: list[tuple[set[str], Any]],
) -> None:
    with sweep_of(hydra_sweep_runner, tmp_path, config_name, overrides) as sweep:
        assert sweep.returns is None
        found = jobs_in(tmp_path / "sweep")
        assert len(found) == len(jobs)
        assert all(job in found for job in jobs)


@pytest.mark.usefixtures("hydra_restore_singletons")
def test_a_job_has_the_resolvers_of_its_program(hydra_sweep_runner: Runner, tmp_path: Path) -> None:
    OmegaConf.register_resolver("my_custom_resolver", lambda: "foo")
    seen = []

    def task(config: DictConfig) -> float:
        seen.append(config.x)
        return 1.0

    with sweep_of(hydra_sweep_runner, tmp_path, "custom_resolver", ["+a=0,1"], task):
        assert seen == ["foo", "foo"]
    OmegaConf.clear_resolver("my_custom_resolver")


@pytest.mark.usefixtures("hydra_restore_singletons")
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.verbose=true,false", "Sweeping over Hydra's configuration is not supported"),
        ("boo=bar", "boo"),
    ],
)
def test_what_cannot_be_composed_is_refused_by_its_name(
    hydra_sweep_runner: Runner, tmp_path: Path, override: str, said: str
) -> None:
    sweep = sweep_of(hydra_sweep_runner, tmp_path, "compose", ["+a=0,1", override])
    with pytest.raises(HydraException, match=said), sweep:
        pass
    assert not list((tmp_path / "sweep").glob("*/.hydra"))


# What the tests of Hydra's Optuna sweeper say


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("key=choice(1,2)", CategoricalDistribution([1, 2])),
        ("key=choice(true, false)", CategoricalDistribution([True, False])),
        ("key=choice('hello', 'world')", CategoricalDistribution(["hello", "world"])),
        ("key=shuffle(range(1,3))", IntDistribution(1, 2)),
        ("key=range(1,3)", IntDistribution(1, 2)),
        ("key=interval(1, 5)", FloatDistribution(1, 5)),
        ("key=int(interval(1, 5))", IntDistribution(1, 5)),
        ("key=tag(log, interval(1, 5))", FloatDistribution(1, 5, log=True)),
        ("key=tag(log, int(interval(1, 5)))", IntDistribution(1, 5, log=True)),
        ("key=range(0.5, 5.5, step=1)", FloatDistribution(0.5, 4.5, step=1)),
    ],
)
def test_a_range_means_what_it_means_to_the_optuna_sweeper(
    override: str, expected: BaseDistribution
) -> None:
    space, shared = read_space({}, [override, "fixed=5", "~z", "~y=10"], OmegaConf.create())
    assert space.distributions == {"key": expected}
    assert shared == ["fixed=5", "~z", "~y=10"]


SPHERE = """
import hydra

@hydra.main(config_path=".", config_name="config")
def sphere(config):
    if config.error:
        raise RuntimeError("config.error is True")
    squares = config.x**2 + config.y**2, (config.x - 5)**2 + (config.y - 5)**2
    return squares if config.both else squares[0]

if __name__ == "__main__":
    sphere()
"""
CONFIG = """
defaults: [_self_, override hydra/sweeper: greensweep]
hydra:
  output_subdir: null
  sweep: {dir: sweep}
  sweeper:
    meter: nothing
    direction: minimize
    n_trials: 3
    params:
      x: range(-5.5, 5.5, step=0.5)
      y: choice(-5, 0, 5)
x: 1
y: 1
z: 1
error: false
both: false
"""


@pytest.fixture
def sphere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Search the example of Hydra's Optuna sweeper; return its `optimization_results.yaml`."""
    (tmp_path / "sphere.py").write_text(SPHERE)
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def search(*overrides: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["sphere.py", "-m", *overrides])
        runpy.run_path(str(tmp_path / "sphere.py"), run_name="__main__")
        return OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")

    return search


def study() -> optuna.Study:
    return optuna.load_study(study_name=None, storage="sqlite:///sweep/optuna.db")


@pytest.mark.parametrize("overrides", [(), ("x=choice(0,1,2)", "y=0", "~z")])
def test_the_best_of_one_objective_is_that_of_the_study(
    sphere: Callable[..., Any], overrides: tuple[str, ...]
) -> None:
    results = sphere(*overrides)
    best = study().best_trial
    assert results.name == "greensweep"
    assert results.best_value == best.value
    assert dict(results.best_params) == best.params
    assert ("y" in best.params) == (not overrides)


@pytest.mark.parametrize("n_trials", [20, 1])
def test_a_grid_ends_at_its_size(sphere: Callable[..., Any], n_trials: int) -> None:
    results = sphere(
        "hydra/sweeper/sampler=grid",
        "x=choice(-1,1)",
        "y=range(-1.0,1.0,step=1)",
        f"hydra.sweeper.n_trials={n_trials}",
    )
    points = [tuple(trial.params.values()) for trial in study().trials]
    assert len(points) == len(set(points)) == min(n_trials, 4)
    if n_trials > 1:
        assert (results.best_value, results.best_params.y) == (1.0, 0.0)


def test_no_solution_of_two_objectives_dominates_another(sphere: Callable[..., Any]) -> None:
    results = sphere(
        "both=true",
        "hydra.sweeper.direction=[minimize,minimize]",
        "hydra/sweeper/sampler=random",
        "x=range(0,5,step=0.5)",
        "y=range(0,3,step=0.5)",
    )
    values = [tuple(each["values"]) for each in results.solutions]
    assert values
    assert set(values) == {tuple(trial.values) for trial in study().best_trials}


@pytest.mark.parametrize(("rate", "failed"), [(0.5, 1), (1.0, 3)])
def test_failures_end_a_sweep_where_they_are_too_many(
    sphere: Callable[..., Any], capsys: pytest.CaptureFixture[str], rate: float, failed: int
) -> None:
    with pytest.raises(SystemExit) as ended:
        sphere("error=true", f"hydra.sweeper.max_failure_rate={rate}")
    assert ended.value.code == 1
    assert [trial.state.name for trial in study().trials] == ["FAIL"] * failed
    captured = capsys.readouterr()
    assert "RuntimeError: config.error is True" in captured.out + captured.err
    assert "Traceback" not in captured.err
