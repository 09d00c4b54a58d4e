"""What is asked of a node before trials are sent to it, and the sentence where it lacks that."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from greensweep.errors import StudyError
from greensweep.executors.probe import Needs, check_node, probe
from greensweep.files import write_json
from greensweep.search.folders import OWNER_FILE
from greensweep.search.planned_run import Input

SERVER = "postgresql+psycopg://ada:pa55@127.0.0.1:1/study"


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    write_json(tmp_path / OWNER_FILE, {"study_name": "first", "folder": "a1"})
    return Needs(tmp_path, "a1", f"sqlite:///{tmp_path / 'optuna.db'}")


def refused(needs: Needs, load: Callable[[], object] = lambda: None) -> str:
    with pytest.raises(StudyError) as raised:
        check_node("n2", probe(needs, load).fault)
    return str(raised.value)


def test_a_node_with_all_that_trials_need_is_taken(needs: Needs, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    found = probe(
        replace(
            needs,
            tracking=f"sqlite:///{tmp_path / 'mlflow.db'}",
            inputs=(Input("dataset.root", data), Input("dataset.cache", data / "new", True)),
            shares_folder=True,
        ),
        lambda: None,
    )
    check_node(found.name, found.fault)
    assert found.sees_folder


def test_a_folder_of_the_same_path_on_another_machine_is_not_the_sweeps(needs: Needs) -> None:
    assert not probe(replace(needs, mark="b2"), lambda: None).sees_folder


ELSEWHERE = ("laptop", "another boot")
LACKS = {
    "python": ({"python": "3.9"}, "node n2 has Python 3.", "and this command 3.9"),
    "version": ({"version": "9.9"}, "and this command 9.9", "pip install greensweep==9.9"),
    "folder": ({"mark": "b2", "shares_folder": True}, "does not see", "hydra.sweep.dir"),
    "a journal": (
        {"storage": "/nowhere/journal.log"},
        "does not see the study's journal /nowhere/journal.log",
        "hydra.sweeper.storage",
    ),
    "a study in a file": (
        {"machine": ELSEWHERE},
        "does not share the study with laptop, a SQLite file there",
        "hydra.sweeper.storage=postgresql+psycopg://",
    ),
    "runs in a file": (
        {"machine": ELSEWHERE, "storage": None, "tracking": "sqlite:////home/ada/mlflow.db"},
        "does not share MLflow's store with laptop",
        "MLFLOW_TRACKING_URI=",
    ),
    "an MLflow server": (
        {"tracking": "http://127.0.0.1:1"},
        "does not reach MLflow at http://127.0.0.1:1 (ConnectionError)",
        "tracking=local",
    ),
    "data": (
        {"inputs": (Input("dataset.root", Path("/nowhere/cifar10")),)},
        "has no /nowhere/cifar10, which runs read",
        "set dataset.root to",
    ),
    "data that nobody may make": (
        {"inputs": (Input("dataset.root", Path("/dev/null/cifar10"), True),)},
        "has no /dev/null/cifar10",
        "set dataset.root to",
    ),
    "GPUs": ({"gpus": 99}, "and a trial takes 99", "gpus_per_worker=0"),
}


@pytest.mark.parametrize("what", LACKS)
def test_what_a_node_lacks_is_said_with_the_way_out(
    needs: Needs, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, said, way_out = LACKS[what]
    if what == "runs in a file":  # the study is on a server, which answers
        monkeypatch.setattr("greensweep.executors.probe.open_storage", lambda _: None)
        changes = {**changes, "storage": SERVER}
    sentence = refused(replace(needs, **changes))
    assert said in sentence
    assert way_out in sentence


def test_a_server_that_a_node_does_not_reach_is_named_without_its_password(needs: Needs) -> None:
    pytest.importorskip("psycopg")
    sentence = refused(replace(needs, storage=SERVER))
    assert "does not reach the study in postgresql+psycopg://" in sentence
    assert "pa55" not in sentence


def test_servers_that_are_away_keep_no_later_worker_from_a_node(needs: Needs) -> None:
    pytest.importorskip("psycopg")
    away = replace(needs, storage=SERVER, tracking="http://127.0.0.1:1", servers=False)
    assert probe(away, lambda: None).fault is None


def test_a_program_that_a_node_cannot_load_is_said(needs: Needs) -> None:
    def load() -> None:
        import no_such_module_of_anybody  # type: ignore[import-not-found]  # noqa: F401

    sentence = refused(needs, load)
    assert "cannot load the program (ModuleNotFoundError: No module named" in sentence
