"""A sweep's folder belongs to one study: no other overwrites its trials, or mixes its own in."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Finished
from filelock import FileLock
from test_sweeper import QUICK, STUDY

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

TWO = (*QUICK, "training.epochs=1", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep")
OTHER_STORAGE = "hydra.sweeper.storage=sqlite:///other.db"
WARM = [each for each in TWO if each != "warmup=0"] + ["warmup=0.1"]


def delete(storage: Path) -> None:
    storage.unlink()


def empty(storage: Path) -> None:
    storage.write_bytes(b"")


def restart(storage: Path) -> None:
    """Put a new study of the same name in the place of the old one."""
    storage.unlink()
    optuna.create_study(storage=f"sqlite:///{storage}", study_name=STUDY, direction="maximize")


def keep(storage: Path) -> None:
    pass


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("original") / "sweep"


@pytest.fixture
def swept(cli: Cli, tmp_path: Path, original: Path) -> dict[str, bytes]:
    """Sweep, once for all tests, and return all results by path."""
    if original.exists():
        shutil.copytree(original, tmp_path / "sweep")
    else:
        assert cli("train.py", *TWO).status == 0
        shutil.copytree(tmp_path / "sweep", original)
    return contents(tmp_path / "sweep")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*.json")}


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (keep, [OTHER_STORAGE], f"of another study called {STUDY}, which this storage does not"),
        (keep, ["hydra.sweeper.study_name=second"], f"holds the trials of the study {STUDY}:"),
        (keep, ["hydra.sweeper.study_name=second", OTHER_STORAGE], "of the study"),
        (delete, [], "which this storage does not have"),
        (empty, [], "which this storage does not have"),
        (restart, [], f"holds the trials of another study called {STUDY}:"),
        (delete, ["hydra.sweeper.extend=true"], "which this storage does not have"),
    ],
)
def test_another_study_is_refused_before_anything_trains(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes], change: Any, more: list[str], said: str
) -> None:
    change(tmp_path / "sweep" / "optuna.db")
    refused = cli("train.py", *WARM, *more)
    assert refused.status == 1
    assert said in refused.errors
    assert "hydra.sweeper.fresh=true" in refused.errors
    assert refused.errors.count("\n") == 1
    assert refused.output == ""
    assert contents(tmp_path / "sweep") == swept
    assert not (tmp_path / "sweep" / "reference_job.json").exists()


@pytest.mark.parametrize(
    "more",
    [[OTHER_STORAGE], pytest.param(["hydra.sweeper.study_name=second"], marks=pytest.mark.slow)],
)
def test_fresh_puts_another_studys_trials_aside(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes], more: list[str]
) -> None:
    aside = cli("train.py", *TWO, *more, "hydra.sweeper.fresh=true")
    assert aside.status == 0, aside.errors
    (earlier,) = tmp_path.glob("sweep.*")
    assert contents(earlier) == swept
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["trials_by_status"] == {"finished": 2}
    assert cli("train.py", *TWO, *more).status == 0, "the same command goes on"


def test_fresh_moves_no_other_things(cli: Cli, tmp_path: Path, swept: dict[str, bytes]) -> None:
    for folder in ("work", "notes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.txt").write_text("mine")
    (tmp_path / "sweep").rename(tmp_path / "notes" / "sweep")
    fresh = [*TWO, "hydra.sweeper.fresh=true", "hydra.sweeper.n_trials=1"]
    ended = cli("train.py", *fresh, "hydra.sweep.dir=notes")
    assert ended.status == 0, ended.errors
    assert (tmp_path / "notes" / "mine.txt").is_file()
    assert contents(tmp_path / "notes" / "sweep") == swept
    before = contents(tmp_path)
    (tmp_path / "study_of.json").write_text("{}")
    refused = cli("train.py", *fresh, "hydra.sweep.dir=.")
    assert refused.status == 1
    assert "aside, where you work: set hydra.sweep.dir to a folder of its own" in refused.errors
    assert contents(tmp_path).items() >= before.items()


@pytest.mark.parametrize(
    "more", [["hydra.run.dir=kept"], ["-m", "hydra.sweep.dir=kept", "seed=1,2"]]
)
def test_a_folder_that_another_command_works_in_is_refused(
    cli: Cli, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "kept").mkdir()
    with FileLock(tmp_path / "kept" / ".command.lock"):
        refused = cli("train.py", *more)
    assert refused.status == 1
    assert "another command is at work in kept: name another folder" in refused.errors
    assert not list((tmp_path / "kept").glob("**/result.json"))


def test_a_folder_goes_on_where_it_was_moved_or_copied(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes]
) -> None:
    shutil.copytree(tmp_path / "sweep", tmp_path / "copy")
    (tmp_path / "sweep").rename(tmp_path / "moved")
    for place in ("copy", "moved"):
        again = cli("train.py", *TWO, f"hydra.sweep.dir={place}", "hydra.sweeper.n_trials=3")
        assert again.status == 0, again.errors
        study = json.loads((tmp_path / place / "study.json").read_text())
        assert study["trials"] == 3
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_from_before_folders_had_an_owner_goes_on(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes]
) -> None:
    (tmp_path / "sweep" / "study_of.json").unlink()
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/sweep/optuna.db")
    forget_folders(storage)
    assert cli("train.py", *TWO, "hydra.sweeper.n_trials=3").status == 0
    assert (tmp_path / "sweep" / "study_of.json").is_file()
    refused = cli("train.py", *TWO, "hydra.sweeper.study_name=second")
    assert refused.status == 1


def forget_folders(storage: optuna.storages.RDBStorage) -> None:
    from sqlalchemy import text

    with storage.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM study_system_attributes WHERE key LIKE :folder"),
            {"folder": "greensweep:folder:%"},
        )


@pytest.mark.slow
def test_commands_with_their_own_folders_share_a_storage(cli: Cli, tmp_path: Path) -> None:
    shared = (*TWO, "hydra.sweeper.storage=sqlite:///shared.db")
    for place, total in (("here", 1), ("there", 2), ("here", 3)):
        ended = cli(
            "train.py", *shared, f"hydra.sweep.dir={place}", f"hydra.sweeper.n_trials={total}"
        )
        assert ended.status == 0, ended.errors
    assert (tmp_path / "here" / "2" / "result.json").is_file()
    assert (tmp_path / "there" / "1" / "result.json").is_file()
    other = cli("train.py", *shared, "hydra.sweep.dir=here", "hydra.sweeper.study_name=second")
    assert other.status == 1


def test_no_password_of_a_storage_stands_in_the_folder(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes]
) -> None:
    assert set(json.loads((tmp_path / "sweep" / "study_of.json").read_text())) == {
        "study_name",
        "folder",
    }


def test_a_stock_sweep_is_kept_out_of_a_study_and_a_study_out_of_a_stock_sweep(
    cli: Cli, tmp_path: Path, swept: dict[str, bytes]
) -> None:
    stock = [each for each in TWO if "sweeper=greensweep" not in each and "pruner" not in each]
    refused = cli("train.py", *stock, "hydra/sweeper=optuna")
    assert refused.status == 1
    assert "holds the trials of another sweep" in refused.errors
    assert contents(tmp_path / "sweep") == swept
    assert cli("train.py", *stock, "hydra/sweeper=optuna", "hydra.sweep.dir=stock").status == 0
    before = contents(tmp_path / "stock")
    refused = cli("train.py", *TWO, "hydra.sweep.dir=stock")
    assert refused.status == 1
    assert "holds the trials of another study" in refused.errors
    assert contents(tmp_path / "stock") == before


DELETING = """
import shutil
from hydra.core.hydra_config import HydraConfig
from torch import nn
class Net(nn.Sequential):
    def __init__(self, num_classes, what="sweep", trial=1):
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))
        if HydraConfig.get().job.num == trial:
            shutil.rmtree(what)
"""


@pytest.fixture
def deleting(tmp_path: Path) -> tuple[str, ...]:
    """The options of a model that deletes the sweep's folder as trial 1 begins."""
    (tmp_path / "deleting.py").write_text(DELETING)
    return ("model=custom", "model.target=deleting.Net", "hydra.sweeper.n_trials=3")


@pytest.mark.parametrize(
    ("sweeper", "trial"),
    [
        pytest.param("greensweep", 1, marks=pytest.mark.slow),
        ("greensweep", 2),
        ("optuna", 1),
        pytest.param("basic", 2, marks=pytest.mark.slow),
    ],
)
def test_a_folder_that_was_deleted_midway_is_told(
    cli: Cli, tmp_path: Path, deleting: tuple[str, ...], sweeper: str, trial: int
) -> None:
    own = {
        "greensweep": TWO,
        "optuna": [each for each in TWO if "pruner" not in each],
        "basic": [*(each for each in TWO if ".sweeper" not in each), "seed=1,2,3"],
    }
    chosen = [f"hydra/sweeper={sweeper}", f"+model.kwargs.trial={trial}"]
    network = deleting[:2] if sweeper == "basic" else deleting
    ended = cli("train.py", *own[sweeper], *network, *chosen)
    assert ended.status == 1
    assert ended.errors.splitlines()[-1].endswith(
        "sweep was deleted or moved while its sweep ran, with the results of its trials: put it "
        "back, or give the same command again to begin anew"
    )
    assert "finished;" not in ended.output, "no summary of what is not there"
    assert not list((tmp_path / "sweep").glob("study.json"))


@pytest.mark.slow
def test_workers_of_a_deleted_folder_end(
    script: Callable[..., subprocess.CompletedProcess[str]], deleting: tuple[str, ...]
) -> None:
    ended = script("train.py", *TWO, *deleting, "hydra.sweeper.n_workers=2")
    assert ended.returncode == 1
    assert "was deleted or moved while its sweep ran" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
