"""Folders: their names, what relative paths are meant from, and that nothing in them is lost."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from conftest import Finished
from mlflow import MlflowClient
from PIL import Image

from greensweep.__main__ import main
from greensweep.config.folders import sqlite_file, sqlite_url
from greensweep.search.folders import trial_directories
from greensweep.study.winners import drop_beaten_weights
from greensweep.tracking.mlflow_places import artifact_root, tracking_uri
from greensweep.tracking.mlflow_store import MlflowStore

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

RUN = ("training.epochs=1", "dataset.train_limit=100", "energy=unmetered", "inference.seconds=0")
RUN = (*RUN, "model=dense_linear", "warmup=0", "training.batch_size=16")
SLOW = pytest.mark.slow
LOCAL = (*RUN, "tracking=local")
SWEEP = ("-m", "space={optimizer.learning_rate:{low:1e-3,high:1e-1}}", "hydra.sweeper.n_trials=2")
OWN = (*SWEEP, "hydra/sweeper=greensweep", "hydra.sweeper.pruner=none")
STOCK = (*SWEEP, "hydra/sweeper=optuna")

ALL = "p%20q?x #ü;a:b'c'{e}=f,g&h$i\\j\\"
NAMES = [
    "pct%20dir",
    "q?x",
    "h#x",
    "two words",
    "ü",
    "a;b",
    "it's",
    '"a"',
    "a:b",
    "a{b}",
    "50%",
    ALL,
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a folder of this name, alone in its own, and go there."""

    def make(name: str) -> Path:
        folder = tmp_path / "projects" / name
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        return folder

    return make


@pytest.mark.parametrize("name", NAMES)
def test_a_database_may_lie_in_any_folder(project: Callable[[str], Path], name: str) -> None:
    folder = project(name)
    url = sqlite_url(folder / "made" / "a.db")
    assert sqlite_file(url) == folder / "made" / "a.db"
    (folder / "made").mkdir()
    optuna.create_study(storage=url, study_name="first")
    store = MlflowStore(tracking_uri("sqlite:///mlruns/b.db"), "mine", artifact_root("kept"))
    run_id = store.create_run("first", {}, parent=None)
    store.log_files(run_id, [folder / "made" / "a.db"])
    assert (folder / "kept" / run_id / "artifacts" / "a.db").is_file()
    assert {path.name for path in folder.iterdir()} == {"made", "mlruns", "kept"}
    assert [path.name for path in folder.parent.iterdir()] == [name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pct%20dir", pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_project_may_have_any_name(
    cli: Cli, project: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = project(name)
    for command in ((*RUN, *OWN), (*LOCAL, *STOCK), (*OWN, *LOCAL, "hydra.sweeper.preview=true")):
        ended = cli("train.py", *command)
        assert ended.status == 0, ended.errors
    assert [each.name for each in folder.parent.iterdir()] == [name]
    runs = MlflowClient(sqlite_url(folder / "mlruns" / "mlflow.db")).search_runs(["1"])
    assert len(runs) == 3
    assert len(list((folder / "mlruns" / "artifacts").glob("*/artifacts/result.json"))) == 2
    (study,) = (folder / "multirun").glob("*-accuracy/optuna.db")
    assert len(optuna.load_study(study_name=None, storage=sqlite_url(study)).trials) == 2
    analysed = cli("analyse.py", "source=mlflow", "columns.energy=seconds")
    assert "no MLflow store" not in analysed.errors


@pytest.mark.parametrize("sweeper", [OWN, pytest.param(STOCK, marks=SLOW)])
def test_a_sweep_may_lie_in_any_folder(cli: Cli, tmp_path: Path, sweeper: tuple[str, ...]) -> None:
    quoted = ALL.replace("\\", "").replace("'", "\\'")
    ended = cli("train.py", *sweeper, *LOCAL, f"hydra.sweep.dir='{quoted}'")
    assert ended.status == 0, ended.errors
    (folder,) = [each for each in tmp_path.iterdir() if each.name != "outputs"]
    assert folder.name == ALL.replace("\\", "")
    assert {"0", "1", "optuna.db", "study.json"} <= {each.name for each in folder.iterdir()}


CHDIR = "hydra.job.chdir=true"


@pytest.mark.parametrize(
    "sweeper", [OWN, pytest.param(STOCK, marks=SLOW), pytest.param(("-m", "seed=1,2"), marks=SLOW)]
)
def test_runs_that_work_in_their_own_folders_share_one_store(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeper: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine/store.db")
    ended = cli("train.py", *sweeper, *RUN, CHDIR, "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.errors
    assert sorted(tmp_path.glob("**/*store.db")) == [tmp_path / "mine" / "store.db"]
    assert list(tmp_path.glob("**/mlruns")) == [tmp_path / "mlruns"]
    assert (tmp_path / "sweep" / "study.json").is_file()
    store = MlflowClient(f"sqlite:///{tmp_path}/mine/store.db")
    runs = store.search_runs(["1"])
    assert sorted(run.info.run_name for run in runs)[1:] == ["trial 0", "trial 1"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_options_that_are_paths_are_meant_from_the_commands_folder(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    for shade in range(40):
        image = tmp_path / "images" / "train" / str(shade % 2) / f"{shade}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), shade).save(image)
    (tmp_path / "joules.csv").write_text("joules\n" + "1.5\n" * 9)
    (tmp_path / "nets_of_folders.py").write_text(  # a name of its own: modules stay imported
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))\n"
        "        open('note.txt', 'w').close()\n"
    )
    data = ("dataset=image_folder", "dataset.root=images", "dataset.cache=kept")
    more = (
        "model=custom",
        "model.target=nets_of_folders.Net",
        "energy=replay",
        "energy.path=joules.csv",
    )
    run = [each for each in LOCAL if not each.startswith(("model=", "energy="))]
    ended = cli("train.py", *run, *data, *more, CHDIR, "hydra.run.dir=run")
    assert ended.status == 0, ended.errors
    assert (tmp_path / "run" / "note.txt").is_file(), "a program's own files are its own affair"
    assert list((tmp_path / "kept").glob("*.npz"))
    tested = cli("evaluate.py", "checkpoint=run/model.pt", "energy=unmetered", CHDIR)
    assert f"test accuracy {results('run')[0]['test_accuracy']:.4f}" in tested.output
    prepared = cli("prepare.py", *data, "output=lists", CHDIR)
    assert prepared.status == 0, prepared.errors
    assert list((tmp_path / "lists").iterdir())


def test_a_folder_that_hydra_cannot_read_is_refused(
    cli: Cli, project: Callable[[str], Path]
) -> None:
    folder = project("a${b}")
    ended = cli("train.py", *LOCAL)
    assert ended.status == 1
    assert "has ${ in its name" in ended.errors
    assert ended.errors.count("\n") == 1
    assert not list(folder.iterdir())


def test_only_a_sweeps_own_trial_folders_are_trials(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = ("tracking.artifacts=sweep/kept", "report.auto=true", CHDIR)
    ended = cli("train.py", "-m", "seed=1,2", *RUN, *inside, "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.errors
    sweep = tmp_path / "sweep"
    assert len(list(sweep.glob("**/result.json"))) == 4
    study = json.loads((sweep / "study.json").read_text())
    assert study["trials_by_status"] == {"finished": 2}
    rows = (sweep / "trials.csv").read_text()
    # What a user keeps beside the trials is none of them.
    shutil.copytree(sweep, tmp_path / "before")
    (tmp_path / "before").rename(sweep / "before")
    shutil.copytree(sweep / "1", sweep / "1.copy")
    weights = list(sweep.glob("*/*/model.pt"))
    drop_beaten_weights(sweep, None)
    assert list(sweep.glob("*/*/model.pt")) == weights
    assert main(["summarise", "sweep"]) == main(["upload", "sweep"]) == 0
    assert (sweep / "trials.csv").read_text() == rows
    assert "Everything is in MLflow already." in capsys.readouterr().out


@pytest.mark.parametrize(
    "subdir", [pytest.param("t${hydra.job.num}", marks=SLOW), "${seed}/of/${model.name}"]
)
def test_trial_folders_may_be_named_by_the_user(cli: Cli, tmp_path: Path, subdir: str) -> None:
    inside = ("tracking.artifacts=sweep", f"'hydra.sweep.subdir=\"{subdir}\"'"[1:-1])
    ended = cli("train.py", "-m", "seed=1,2", *RUN, *inside, "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.errors
    assert len(trial_directories(tmp_path / "sweep")) == 2
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["trials_by_status"] == {"finished": 2}


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all folders be named by the same second."""
    from greensweep.sweeper import forecast

    second = datetime(2026, 11, 27, 10, 11, 12)
    monkeypatch.setattr("hydra.core.utils.datetime", SimpleNamespace(now=lambda: second))
    monkeypatch.setattr(forecast, "time", SimpleNamespace(strftime=second.strftime))


@pytest.mark.usefixtures("stopped_clock")
def test_commands_of_one_second_have_folders_of_their_own(cli: Cli, tmp_path: Path) -> None:
    for _ in range(3):
        assert cli("train.py", *LOCAL).status == 0
        assert cli("train.py", *LOCAL, *STOCK, "hydra.sweeper.n_trials=1").status == 0
    for parent in ("outputs", "multirun"):
        names = ["10-11-12", "10-11-12-2", "10-11-12-3"]
        folders = sorted((tmp_path / parent / "2026-11-27").iterdir())
        assert [folder.name for folder in folders] == names
        for folder in folders:
            (result,) = folder.glob("**/result.json")
            assert json.loads(result.read_text())["status"] == "finished"
            assert parent == "outputs" or (folder / "study.json").is_file()
            assert list(folder.glob("**/train.log"))


@pytest.mark.slow
@pytest.mark.usefixtures("stopped_clock")
def test_previews_and_questions_of_one_second_too(cli: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        asked = (*LOCAL, *OWN, "hydra.sweeper.preview=true")
        assert cli("train.py", *asked).status == 0
        assert cli("prepare.py", "dataset=digits").status == 0
    (previews,) = (tmp_path / "multirun").iterdir()
    assert len(list(previews.iterdir())) == 2
    assert len(list(tmp_path.glob("outputs/2026-11-27/*/prepare.log"))) == 2


def test_a_named_folder_with_a_result_is_not_written_again(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", *LOCAL, "hydra.run.dir=mine").status == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    refused = cli("train.py", *LOCAL, "hydra.run.dir=mine", "seed=1")
    assert refused.status == 1
    assert "hydra.run.dir=mine holds the result of another run" in refused.errors
    assert refused.errors.count("\n") == 1
    assert before == {path: path.read_bytes() for path in before}
    # What has none may be shared, as by an analysis that is asked again.
    for _ in range(2):
        assert cli("prepare.py", "dataset=digits", "hydra.run.dir=logs").status == 0


def test_a_refused_sweep_leaves_no_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", "-m", *LOCAL).status == 1
    assert not (tmp_path / "multirun").exists()


@pytest.mark.parametrize(
    "sweeper", [OWN, pytest.param(STOCK, marks=SLOW), pytest.param(("-m", "seed=1,2"), marks=SLOW)]
)
def test_one_folder_for_all_trials_is_refused(
    cli: Cli, tmp_path: Path, sweeper: tuple[str, ...]
) -> None:
    refused = cli("train.py", *sweeper, *LOCAL, "hydra.sweep.subdir=all")
    assert refused.status == 1
    assert "hydra.sweep.subdir=all may give several trials one folder" in refused.errors
    assert refused.errors.count("\n") == 1
    assert not list(tmp_path.glob("**/result.json"))


def test_a_trial_whose_folder_is_another_trials_overwrites_nothing(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    named = "hydra.sweep.subdir=${model.name}"
    ended = cli("train.py", "-m", "seed=1,2", *LOCAL, named, "hydra.sweep.dir=sweep")
    assert ended.status == 1
    assert "holds the result of another trial" in ended.errors
    assert [result["seed"] for result in results("sweep")] == [1]
