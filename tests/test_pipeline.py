"""`dvc repro`: the stages of dvc.yaml, what makes them run again, and what others get of them."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from dvc.repo import Repo
from mlflow import MlflowClient

from greensweep.__main__ import main
from greensweep.app.compose import compose_sweep
from greensweep.studies.yarally2023.cells import SIZES, set_study, study_cells
from greensweep.studies.yarally2023.check import check_length
from greensweep.study.params import read_param, read_params

BIN = Path(sys.executable).parent
SMALL = {
    "datasets": ["digits"],
    "models": ["dense_poly"],
    "strategies": {"random": 2, "grid": 1},
    "architectures": {
        "conv_layers": [1, 2],
        "linear_layers": [1, 2],
        "relu": [False, True],
        "trials": 2,
    },
    "epochs": 1,
}
SWEEP = "sweep@digits-dense_poly-paper_log"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's params.yaml in a folder of its own, which is one of git's and DVC's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".dvc").mkdir()
    return Path(shutil.copy(PROJECT / "params.yaml", tmp_path))


def change(path: Path, **values: Any) -> None:
    """Set values of a params.yaml; those of a mapping one by one."""
    known = yaml.safe_load(path.read_text())
    for name, value in values.items():
        known[name] = {**known[name], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(known, sort_keys=False))


def test_the_cells_of_a_study_are_the_outputs_of_its_stages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    outputs = [Path(str(out)) for out in Repo(str(PROJECT)).index.outs]
    swept = [path.name for path in outputs if path.parent.name == "study"]
    assert sorted(swept) == sorted(study_cells(read_params()))
    assert not any("mlruns" in path.parts for path in outputs)


def test_what_params_and_conf_both_name_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    params = read_params()
    chosen = [f"size={params['size']}", f"variant={params['variant']}"]
    sweep = compose_sweep(["experiment=rq1_strategies", *chosen])
    assert sweep.config.training.epochs == params["epochs"]
    assert sweep.config.repeats == params["repeats"]
    assert sweep.config.seed == params["seed"]
    assert sweep.config.energy.name == params["energy"]
    assert sweep.config.dataset.name in params["datasets"]
    assert params["searches"] == [sweep.config.seed]
    assert set(params["strategies"].values()) == {sweep.n_trials}
    assert params["architectures"]["trials"] == SIZES[params["size"]].layer_trials
    assert tuple(params["datasets"]) == SIZES[params["size"]].datasets
    report = yaml.safe_load((PROJECT / "conf" / "report.yaml").read_text())
    assert report.get("title", "Accuracy and energy") == params["report"]["title"]


@pytest.mark.parametrize(("size", "variant"), [("small", "faithful"), ("paper", "corrected")])
def test_a_size_of_the_papers_study_is_written_into_params(
    params: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    size: str,
    variant: str,
) -> None:
    monkeypatch.setattr("greensweep.study.forecast.seconds_of_run", lambda _: 1.0)
    change(params, models=["dense_poly"])
    params.write_text(f"# mine\n{params.read_text()}")
    assert main(["study", "--size", size, "--variant", variant]) == 0
    chosen = ["experiment=rq1_strategies", f"size={size}", f"variant={variant}"]
    sweep = compose_sweep(chosen)
    known = read_params()
    assert (known["size"], known["variant"]) == (size, variant)
    assert known["epochs"] == sweep.config.training.epochs
    bayesian = "paper_gp" if variant == "faithful" else "auto"
    assert known["strategies"] == dict.fromkeys(["random", "grid", bayesian], sweep.n_trials)
    assert sweep.config.dataset.name in known["datasets"]
    assert known["models"] == ["simple_cnn", "dense_poly", "dense_linear"]
    assert params.read_text().startswith("# mine\n"), "comments stay"
    runs = {"small": 8 * 8 + 18 * 24, "paper": 8 * 48 + 36 * 64}[size]
    assert f"size={size}, variant={variant}: {runs} trials in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"searches": []}, "searches must list 1 or more values, got []: write searches: […]"),
        ({"searches": [1, 1]}, "searches has a value twice"),
        ({"searches": [-1]}, "searches lists seeds of at least 0, got -1"),
        ({"searches": 2}, "searches must list 1 or more values, got 2"),
        ({"models": "simple_cnn"}, "models must list 1 or more values, got simple_cnn"),
        ({"datasets": []}, "datasets must list 1 or more values, got []"),
        ({"strategies": ["random", "grid"]}, "strategies must hold names with values"),
        ({"strategies": None}, "strategies must hold names with values, got None"),
        ({"architectures": {"linear_layers": [0, 7]}}, "model.linear_layers must be at least 1"),
        ({"architectures": {"relu": ["Yes", "No"]}}, "relu must be true or false, got 'Yes'"),
        ({"architectures": {"conv_layers": [1, 30]}}, "30 convolution blocks needs images"),
        ({"architectures": {"linear_layers": [3, "03"]}}, "must be a whole number, got '03'"),
        ({"size": 3}, "size must be a text, got 3"),
        ({"energy": True}, "energy must be a text, got True"),
        ({"datasets": [3]}, "each of datasets must be a text, got 3"),
        ({"models": [["simple_cnn"]]}, "each of models must be a text, got ['simple_cnn']"),
        ({"strategies": {1: 3}}, "a name among strategies must be a text, got 1"),
        ({"confirmed": None}, "confirmed must be true or false, got None"),
        ({"report": {"title": None}}, "report.title must be a text, got None"),
        ({"epochs": 0}, "training.epochs must be at least 1, got 0"),
        ({"models": ["simple_cn"]}, "no model is called 'simple_cn': did you mean simple_cnn"),
        ({"strategies": {"random": 0}}, "strategies.random must be at least 1, got 0"),
        ({"strategies": {"rndom": 2}}, "rndom"),
        ({"architectures": {"trials": 1}}, "architectures.trials must be at least 2, got 1"),
        ({"architectures": {"relu": [True]}}, "architectures.relu must list 2 or more values"),
        ({"repeats": None}, "repeats"),
        ({"datasets": None}, "datasets must list 1 or more values, got None"),
    ],
)
def test_a_study_that_cannot_run_is_refused_in_one_sentence(
    params: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: str
) -> None:
    change(params, **changed)
    assert main(["study"]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 0, "repeats": -1}, ["training.epochs must be", "repeats must be"]),
        (
            {"epochs": 0, "strategies": {"random": 0}, "searches": [-1, -2]},
            [
                "training.epochs must be at least 1, got 0",
                "strategies.random must be at least 1, got 0",
                "got -1",
                "got -2",
            ],
        ),
        (
            {"models": ["simple_cn", "dense_poly"], "datasets": ["digts"], "seed": -1},
            ["'simple_cn'", "'digts'", "seed must be"],
        ),
        (
            {"size": 3, "confirmed": 1, "report": {"title": 2}, "architectures": {"trials": 1}},
            ["size must be", "confirmed must be", "report.title must be", "architectures.trials"],
        ),
        ({"models": "x", "strategies": None}, ["models must list", "strategies must hold"]),
        (
            {"architectures": {"conv_layers": [1, 30], "linear_layers": [0, 7]}},
            ["30 conv", "linear"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_all_faults_of_a_study_are_named_at_once(
    params: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: list[str]
) -> None:
    change(params, **changed)
    assert main(["study"]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert [each for each in said if each not in printed] == []
    faults = printed.removeprefix("Error: params.yaml: ").strip().split("; ")
    assert len(faults) == len(set(faults)), "each is named once"


def test_a_data_set_names_its_runs_as_its_file_is_called(
    params: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = Path(shutil.copytree(PROJECT / "conf", params.parent / "conf"))
    monkeypatch.setattr("greensweep.app.compose.CONF", conf)
    change(params, datasets=["birds"])
    birds = conf / "dataset" / "birds.yaml"
    birds.write_text("defaults: [image_folder, _self_]\nroot: birds\n")
    assert main(["study"]) == 1
    assert "conf/dataset/birds.yaml names its runs image_folder" in capsys.readouterr().err
    birds.write_text(birds.read_text() + "name: birds\n")
    assert main(["study"]) == 0


@pytest.mark.parametrize("strategies", [{"random": 2}, {"grid": 2, "auto": 2}])
def test_strategies_are_held_against_random_search(
    params: Path, capsys: pytest.CaptureFixture[str], strategies: dict[str, int]
) -> None:
    known = yaml.safe_load(params.read_text())
    params.write_text(yaml.safe_dump({**known, "strategies": strategies}, sort_keys=False))
    assert main(["study"]) == 1
    printed = capsys.readouterr().err
    assert "strategies must be random and another to hold against it" in printed
    assert f"got {', '.join(strategies)}: set" in printed


def test_a_study_takes_networks_that_are_not_the_papers(
    params: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = Path(shutil.copytree(PROJECT / "conf", params.parent / "conf"))
    monkeypatch.setattr("greensweep.app.compose.CONF", conf)
    mine = conf / "model" / "mine.yaml"
    mine.write_text("defaults: [custom, _self_]\ntarget: networks_of_mine.Net\n")
    change(params, models=["simple_cnn", "mine", "timm", "torchvision"])
    assert main(["study"]) == 1
    assert "importing networks_of_mine failed" in capsys.readouterr().err
    Path("networks_of_mine.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.LazyLinear(10))\n"
    )
    monkeypatch.syspath_prepend(str(params.parent))
    assert main(["study"]) == 0


def test_a_study_that_would_take_days_is_forecast_and_refused(
    params: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def an_hour(config: Any) -> float:
        asked.append((config.dataset.name, config.model.name, config.repeats))
        return 3600.0

    monkeypatch.setattr("greensweep.study.forecast.seconds_of_run", an_hour)
    assert main(["study", "--size", "paper"]) == 1
    printed = capsys.readouterr().err
    # 2 data sets x 3 networks x 2 spaces x 3 strategies of 64 trials, and 8 architectures of 48.
    assert f"would take about {(36 * 64 + 8 * 48) / 24:.3g} days on this machine" in printed
    assert "set confirmed: true in params.yaml" in printed
    assert len(asked) == 2 * 3 + 8
    assert {repeats for _, _, repeats in asked} == {8}
    check_length({**read_params(), "confirmed": True})
    assert len(asked) == 2 * 3 + 8
    a_day = 24 * 3600 / (36 * 64 + 8 * 48)
    monkeypatch.setattr("greensweep.study.forecast.seconds_of_run", lambda _: 0.99 * a_day)
    check_length(read_params())


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (".git", "is no git repository, which DVC expects: call git init"),
        (".dvc", "there is no .dvc folder here"),
        ("params.yaml", "params.yaml cannot be read"),
    ],
)
def test_what_a_pipeline_needs_is_named(
    params: Path, capsys: pytest.CaptureFixture[str], missing: str, said: str
) -> None:
    Path(missing).rename("elsewhere")
    assert main(["study"]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_value_that_params_lack_is_named(params: Path) -> None:
    assert read_param("strategies.random") == read_params()["strategies"]["random"]
    with pytest.raises(Exception, match=r"params.yaml has no strategies.rndom: add it"):
        read_param("strategies.rndom")


def test_a_table_of_runs_needs_all_sweeps(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "outputs/study", "outputs/runs"]) == 1
    assert "holds no finished sweep: run dvc repro" in capsys.readouterr().err
    assert not Path("outputs/runs").exists()


def test_what_a_data_set_fetches_is_an_output_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    (stage,) = [
        each for each in Repo(str(PROJECT)).index.stages if each.addressing == "prepare@digits"
    ]
    kept = {out.def_path: out.persist for out in stage.outs}
    assert kept == {"data/prepared/digits/splits.json": False, "data/downloads/digits": True}
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        sweep = compose_sweep([f"dataset={name}"])
        assert sweep.config.dataset.root == f"data/downloads/{name}"  # type: ignore[attr-defined]


def test_a_digest_changes_with_what_is_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code/__pycache__").mkdir(parents=True)
    found = []
    for file, text in (("loop.py", "1"), ("__pycache__/loop.pyc", "1"), ("loop.py", "2")):
        Path("code", file).write_text(text)
        assert main(["digest", "out/inputs.json", "code", "code/loop.py"]) == 0
        found.append(json.loads(Path("out/inputs.json").read_text()))
    first, compiled, changed = found
    assert list(first) == ["code", "code/loop.py"]
    assert first == compiled
    assert all(first[name] != changed[name] for name in first)
    for missing in ("nowhere", "nowhere.py", "nowhere.yaml"):
        assert main(["digest", "out/inputs.json", missing]) == 1
        assert f"cannot use {missing}: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed",
    [
        "mine/loop.py",
        "mine/lazy.py",
        "mine/named.py",
        "mine/parts/deep.py",
        "mine/parts/__init__.py",
        "beside.py",
    ],
)
def test_a_digest_of_code_changes_with_all_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine/parts").mkdir(parents=True)
    for name, text in {
        "mine/__init__.py": "",
        "mine/loop.py": "import torch, beside\ndef train():\n    from mine import lazy\n",
        "mine/lazy.py": "from .parts.deep import layer\nbuilds = 'mine.named.Net'\n",
        "mine/named.py": "",
        "mine/parts/__init__.py": "",
        "mine/parts/deep.py": "layer = 1\n",
        "mine/other.py": "",
        "beside.py": "",
    }.items():
        Path(name).write_text(text)

    def digest(name: str) -> dict[str, str]:
        with Path(name).open("a") as file:
            file.write("# changed\n")
        assert main(["digest", "code.json", "mine/loop.py"]) == 0
        found: dict[str, str] = json.loads(Path("code.json").read_text())
        return found

    before, after = digest("mine/other.py"), digest(changed)
    assert {name for name in after if after[name] != before[name]} == {changed}
    assert digest("mine/other.py") == after


def inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, set[str]]:
    """The files whose digests the stage `inputs` leaves, by the names of its outputs."""
    monkeypatch.chdir(PROJECT)
    stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]["inputs"]
    found = {}
    for command in stage["cmd"]:
        output, *paths = shlex.split(command.partition(" digest ")[2])
        assert main(["digest", str(tmp_path / output), *paths]) == 0
        found[output] = set(json.loads((tmp_path / output).read_text()))
    assert sorted(found) == sorted(stage["outs"])
    return found


def test_searches_depend_on_all_that_their_runs_are_made_of_and_on_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inputs(monkeypatch, tmp_path)
    code, conf = found["outputs/inputs/code.json"], found["outputs/inputs/conf.json"]
    for name in (
        "config/schema.py",
        "data/digits.py",
        "energy/codecarbon.py",
        "energy/nvml_rapl.py",
        "models/paper.py",
        "record/result.py",
        "runs/once.py",
        "runs/repeats.py",
        "search/samplers/paper_gp.py",
        "tracking/mlflow_store.py",
        "training/loop.py",
    ):
        assert f"src/greensweep/{name}" in code
    rooms = {Path(name).parts[2].removesuffix(".py") for name in code}
    assert not rooms & {"study", "sources", "analysis", "rendering", "app", "sweeper", "__main__"}
    assert "src/greensweep/config/schema_analysis.py" not in code
    assert {"conf/train.yaml", "conf/optimizer/adam.yaml", "conf/search/greensweep.yaml"} <= conf
    groups = {Path(name).parts[1] for name in conf}
    # Each search names its own of these.
    assert not groups & {"dataset", "experiment", "model", "space", "analysis", "tracking"}


def test_a_search_names_what_its_stage_depends_on_as_what_it_is_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    made_from = re.compile(r"made_from=\[(.*?)\]")
    stages = [each for each in Repo(str(PROJECT)).index.stages if "made_from" in str(each.cmd)]
    assert {each.name.partition("@")[0] for each in stages} == {"sweep", "layers"}
    for stage in stages:
        (named,) = made_from.findall(str(stage.cmd))
        known = [Path(str(each.fs_path)) for each in stage.deps]
        for path in named.split(","):
            assert {PROJECT / path, (PROJECT / path).parent} & {*known}, path


def test_tables_analyses_and_the_page_depend_on_their_code_and_not_on_that_of_later_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = inputs(monkeypatch, tmp_path)
    code = {
        stage: found[f"outputs/inputs_{stage}/code.json"] for stage in ("runs", "analyse", "report")
    }
    for name, stages in {
        "record/result.py": {"runs", "analyse", "report"},
        "sources/study.py": {"runs", "analyse", "report"},  # which read folders, too
        "studies/yarally2023/cells.py": {"runs"},
        "analysis/tradeoff.py": {"analyse", "report"},
        "config/schema_analysis.py": {"analyse", "report"},
        "gaussian_process.py": {"runs", "analyse", "report"},
        "rendering/page.py": {"report"},
        "rendering/page.html": {"report"},
        "app/tables.py": set(),
    }.items():
        path = f"src/greensweep/{name}"
        assert (PROJECT / path).is_file()
        assert {stage for stage, files in code.items() if path in files} == stages, name


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it comes from git."""
    return copy_project(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it comes from git, with a small study."""
    folder = copy_project(tmp_path / "project")
    params = folder / "params.yaml"
    known = yaml.safe_load(params.read_text())
    params.write_text(yaml.safe_dump({**known, **SMALL}, sort_keys=False))
    commit(folder)
    return folder


def copy_project(folder: Path) -> Path:
    """Copy the project's files, as git would, into a repository of their own."""
    names = git(PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, names.split("\0")):
        if (PROJECT / name).is_file() and not name.startswith("docs/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "study")


def environment(folder: Path) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src")}


def dvc(folder: Path, *arguments: str) -> str:
    """Call DVC, and return what it says."""
    done = subprocess.run(
        ["dvc", *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def edit(code: Path) -> None:
    """Change a file of code, and nothing that it does."""
    code.write_text(f"{code.read_text()}\n# edited\n")


def stages_run(said: str) -> list[str]:
    return re.findall(r"Running stage '(.*?)'", said)


def trials(folder: Path, strategy: str) -> list[str]:
    """The runs in MLflow of a sweep's trials, in their order."""
    sweep = folder / "outputs" / "study" / f"digits-dense_poly-paper_log-{strategy}-0"
    found = [json.loads(path.read_text()) for path in sweep.glob("*/result.json")]
    return [each["mlflow_run_id"] for each in sorted(found, key=lambda each: each["trial"])]


@pytest.mark.parametrize(
    "arguments",
    [
        ("repro", "--dry"),
        pytest.param(("repro", "--dry", "report"), marks=pytest.mark.slow),
        ("metrics", "show"),
        ("metrics", "diff"),
        pytest.param(("params", "diff"), marks=pytest.mark.slow),
        ("plots", "show"),
        pytest.param(("plots", "diff"), marks=pytest.mark.slow),
        ("exp", "show", "--json"),
        ("status",),
        ("data", "status"),
        pytest.param(("dag",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_dvcs_own_commands_work_where_nothing_was_run_yet(
    clone: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    from dvc.cli import main as dvc_main

    monkeypatch.chdir(clone)
    assert dvc_main(list(arguments)) == 0
    written = capsys.readouterr()
    printed = written.out + written.err + caplog.text
    assert "failed to load" not in printed
    assert "ERROR" not in printed
    if arguments == ("repro", "--dry"):
        assert set(stages_run(printed)) >= {"prepare@digits", "inputs", "runs", "report"}
    assert git(clone, "status", "--porcelain") == ""


def test_what_stages_hang_on_is_there_before_any_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    tracked = git(PROJECT, "ls-files").splitlines()
    for stage in Repo(str(PROJECT)).index.stages:
        for dependency in stage.deps:
            path = Path(str(dependency.fs_path)).relative_to(PROJECT).as_posix()
            assert any(name == path or name.startswith(f"{path}/") for name in tracked), path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pipeline_runs_what_has_changed_and_its_outputs_travel(
    project: Path, tmp_path: Path
) -> None:
    first = stages_run(dvc(project, "repro"))
    layers = [
        f"layers@{conv}-{linear}-{relu}"
        for conv in (1, 2)
        for linear in (1, 2)
        for relu in (False, True)
    ]
    analyses = [f"analyse@{name}" for name in ("tradeoff", "strategies", "spaces", "layers")]
    sweeps = [f"{SWEEP}-random-0", f"{SWEEP}-grid-0"]
    assert sorted(first) == sorted(
        ["prepare@digits", "inputs", *sweeps, *layers, "runs", *analyses, "report"]
    )
    assert stages_run(dvc(project, "repro")) == []
    runs = pd.read_csv(project / "outputs" / "runs" / "runs.csv")
    assert list(runs["strategy"]) == ["random", "random", "grid", *["random"] * 16]
    assert runs["run_id"].is_unique and runs["commit"].nunique() == 1
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    digests = {out["path"]: out["md5"] for out in lock["stages"]["prepare@digits"]["outs"]}
    assert set(runs["data"]) == {digests["data/prepared/digits/splits.json"]}
    spaces = json.loads((project / "outputs/analysis/spaces/analysis.json").read_text())
    assert list(spaces["figures"]["ratios"]) == ["grid@paper_log"]
    page = (project / "outputs" / "report" / "index.html").read_text()
    assert f"/runs/{runs['run_id'][0]}" in page
    commit(project)

    edit(project / "src/greensweep/analysis/tradeoff.py")
    assert sorted(stages_run(dvc(project, "repro"))) == sorted(["inputs", *analyses, "report"])
    for code, stages in (
        ("runs/once.py", {*sweeps, *layers}),
        ("studies/yarally2023/cells.py", {"runs"}),
        ("rendering/page.py", {"report"}),
    ):
        edit(project / "src/greensweep" / code)
        assert stages_run(dvc(project, "repro", "inputs")) == ["inputs"]
        assert json.loads(dvc(project, "status", "--json")).keys() == stages
        git(project, "checkout", f"src/greensweep/{code}")
    dvc(project, "repro", "inputs")
    assert json.loads(dvc(project, "status", "--json")) == {}

    change(project / "params.yaml", report={"title": "It's ours: {all}"})
    assert stages_run(dvc(project, "repro")) == ["report"]
    assert "<h1>It&#39;s ours: {all}" in (project / "outputs/report/index.html").read_text()

    before = trials(project, "random")
    change(project / "params.yaml", strategies={"random": 3})
    assert stages_run(dvc(project, "repro")) == [sweeps[0], "runs", *analyses, "report"]
    assert trials(project, "random")[:2] == before
    assert len(trials(project, "random")) == 3
    cell = "outputs/metrics/searches/digits-dense_poly-paper_log-random-0.json"
    assert "search_energy_joules" in dvc(project, "metrics", "diff", "--md", "--targets", cell)
    assert "Accuracy and energy of each run" in dvc(project, "plots", "show", "--json")
    commit(project)

    change(project / "params.yaml", searches=[0, 1])
    further = [f"{SWEEP}-random-1", f"{SWEEP}-grid-1"]
    assert stages_run(dvc(project, "repro")) == [*further, "runs", *analyses, "report"]
    medians = pd.read_csv(project / "outputs/analysis/strategies/energy_to_target.csv")
    assert list(medians["searches"]) == [2, 2]
    commit(project)

    dvc(project, "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    commit(project)
    dvc(project, "push")
    elsewhere = tmp_path / "elsewhere"
    git(tmp_path, "clone", "--quiet", str(project), str(elsewhere))
    dvc(elsewhere, "pull")
    assert stages_run(dvc(elsewhere, "repro")) == []
    assert (elsewhere / "outputs/report/index.html").read_text() == (
        project / "outputs/report/index.html"
    ).read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pipeline_killed_midway_goes_on_where_it_was(project: Path) -> None:
    change(project / "params.yaml", strategies={"random": 4})
    running = subprocess.Popen(
        ["dvc", "repro"], cwd=project, env=environment(project), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: len(trials(project, "random")) >= 2)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert not (project / "outputs" / "runs" / "runs.csv").exists()
    before = trials(project, "random")[:2]
    ran = stages_run(dvc(project, "repro"))
    assert "prepare@digits" not in ran and f"{SWEEP}-random-0" in ran and "report" in ran
    assert trials(project, "random")[:2] == before
    runs = pd.read_csv(project / "outputs" / "runs" / "runs.csv")
    searched = runs[runs["experiment"].eq("rq1_strategies") & runs["strategy"].eq("random")]
    assert searched["status"].eq("finished").sum() == 4
    assert stages_run(dvc(project, "repro")) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_experiments_add_to_a_search_now_or_from_the_queue(project: Path) -> None:
    target = f"{SWEEP}-random-0"
    dvc(project, "repro", target)
    commit(project)
    before = trials(project, "random")
    dvc(project, "exp", "run", "--set-param", "strategies.random=3", "--name", "now", target)
    assert trials(project, "random")[:2] == before
    assert len(trials(project, "random")) == 3
    queued = ("exp", "run", "--queue", "--name", "later", "--set-param", "strategies.random=4")
    known = runs_in_mlflow(project)
    dvc(project, *queued, target)
    dvc(project, "queue", "start")
    until(lambda: "Success" in dvc(project, "queue", "status"), seconds=300)
    assert runs_in_mlflow(project) > known, "the queue's runs are in the project's own store"
    refs = git(project, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    by_name = {ref.rpartition("/")[2]: ref for ref in refs}
    for name, count in (("now", 3), ("later", 4)):
        lock = yaml.safe_load(git(project, "show", f"{by_name[name]}:dvc.lock"))
        assert lock["stages"][target]["params"]["params.yaml"]["strategies.random"] == count
    printed = json.loads(dvc(project, "exp", "show", "--json"))
    names = {each["name"] for row in printed for each in experiments(row)}
    assert {"now", "later"} <= names


def runs_in_mlflow(folder: Path) -> set[str]:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return {run.info.run_id for run in found}


def experiments(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for branch in row["experiments"] or () for each in branch["revs"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status",), "'./dvc.lock' is invalid"),
        (("push",), "no remote specified"),
        (("repro", "prepare@digits"), "is busy, it is being blocked by"),
    ],
)
def test_dvc_says_what_the_documentation_says_that_it_says(
    project: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert f"`{said}`" in (PROJECT / "docs" / "pipeline.md").read_text()
    if arguments == ("status",):
        (project / "dvc.lock").write_text("<<<<<<< ours\nschema: '2.0'\n=======\n")
    if arguments[0] == "repro":
        another = {"pid": os.getpid(), "cmd": "dvc repro"}
        held = {"read": {}, "write": {str(project / "data" / "prepared" / "digits"): another}}
        (project / ".dvc" / "tmp").mkdir(exist_ok=True)
        (project / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(held))
    done = subprocess.run(
        ["dvc", *arguments], cwd=project, env=environment(project), capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def until(happened: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_each_strategy_searches_once_with_each_seed(
    params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(params, strategies={"random": 2, "grid": 2, "auto": 3}, searches=[3, 5])
    assert main(["study"]) == 0
    assert f"{3 * 2 * 7 + 8 * 2} trials in {3 * 2 * 3 + 8} sweeps" in capsys.readouterr().out
    assert "digits-dense_poly-paper_log-auto-5" in study_cells(read_params())


def test_an_earlier_size_leaves_the_rest_of_params_alone(params: Path) -> None:
    change(params, seed=7, report={"title": "Mine"})
    set_study("small", "corrected", epochs=3, repeats=2, trials=9)
    known = read_params()
    assert (known["seed"], known["report"]["title"], known["repeats"]) == (7, "Mine", 2)
