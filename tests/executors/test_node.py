"""Nodes that see no shared folder: what they are sent, and how what a trial left comes home."""

import errno
import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from greensweep.errors import StudyError
from greensweep.executors import code
from greensweep.executors.code import gather_code, program_folders, sent_folder
from greensweep.executors.node import Home, Returned, run_on_node, take_home
from greensweep.executors.probe import Needs
from greensweep.files import write_json
from greensweep.nested import to_json
from greensweep.search.records import Outcome
from greensweep.search.trial import EndedTrial
from greensweep.search.trial_queue import ReservedTrial


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_code_and_configuration_are_sent_and_neither_data_nor_results(tmp_path: Path) -> None:
    program, sent = tmp_path / "program", tmp_path / "sent"
    for name in (
        *("train.py", "networks/mlp.py", "conf/train.yaml", "vocabulary.txt"),
        *(
            "data/images.npy",
            "multirun/first/0/result.json",
            ".env",
            ".venv/x.py",
            "env/pyvenv.cfg",
        ),
        *("env/lib/torch.py", "model.pt", "__pycache__/train.cpython-311.pyc"),
    ):
        (program / name).parent.mkdir(parents=True, exist_ok=True)
        (program / name).touch()
    packages = [Path(each) for each in gather_code([str(program)], sent)]
    assert [each.name for each in packages] == ["greensweep", "hydra_plugins", "greensweep_sent"]
    assert (sent / "greensweep" / "executors" / "node.py").is_file()
    assert (sent / "greensweep" / "conf" / "train.yaml").is_file()
    assert (sent / "hydra_plugins/greensweep_sweeper/greensweep_sweeper.py").is_file()
    assert not list((sent / "hydra_plugins").glob("__init__.py"))
    assert files_below(sent / "greensweep_sent" / "0") == {
        "train.py", "networks/mlp.py", "conf/train.yaml", "vocabulary.txt",
    }  # fmt: skip


def test_what_was_sent_is_found_by_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    (program / "conf").mkdir(parents=True)
    (program / "conf" / "train.yaml").touch()
    gather_code([str(program)], tmp_path / "sent")
    assert sent_folder(str(program)) is None  # here nothing was sent
    monkeypatch.syspath_prepend(tmp_path / "sent")
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "greensweep_sent", raising=False)
    found = sent_folder(str(program / "conf"))
    assert found is not None and files_below(Path(found)) == {"train.yaml"}
    assert sent_folder(str(tmp_path / "other")) is None
    monkeypatch.delitem(sys.modules, "greensweep_sent", raising=False)


def test_more_code_than_ray_sends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "long.py").write_text("#" * 1000)
    monkeypatch.setattr(code, "_MOST_BYTES", 500)
    with pytest.raises(StudyError, match="holds more code and configuration than Ray sends"):
        gather_code([str(tmp_path / "program")], tmp_path / "sent")


def test_the_modules_of_a_script_are_those_of_its_folder_and_of_the_commands(
    tmp_path: Path,
) -> None:
    (tmp_path / "scripts").mkdir()
    asked = "from pathlib import Path; from greensweep.executors.code import program_folders"
    script = f"{asked}; print(program_folders(Path('/work')))"
    (tmp_path / "scripts" / "train.py").write_text(script)
    said = subprocess.run(
        [sys.executable, "scripts/train.py"], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout  # fmt: skip
    assert said.strip() == str([str(tmp_path / "scripts"), "/work"])
    assert program_folders(tmp_path) == [str(tmp_path)]  # pytest is a command of the environment


def test_results_are_written_whole_into_the_sweeps_folder(tmp_path: Path) -> None:
    home = Home(b"", tmp_path, tmp_path, "a1")
    write_json(tmp_path / "study_of.json", {"folder": "a1"})
    total = '{"seconds": 2.0, "machine_joules": 20.0}'
    files = {
        "0/result.json": b"{}",
        "0/model.pt": b"\x80weights",
        "study_of.json": b"of the node's own making",
        "machine_energy.n2.json": total.encode(),
    }
    assert take_home(home, Returned(None, "", files))
    assert (tmp_path / "0" / "model.pt").read_bytes() == b"\x80weights"
    assert "a1" in (tmp_path / "study_of.json").read_text()  # what is at home stays
    earlier = b'{"seconds": 1.0, "machine_joules": 10.0}'  # of a trial that is heard of later
    take_home(home, Returned(None, "", {"machine_energy.n2.json": earlier}))
    assert (tmp_path / "machine_energy.n2.json").read_text() == total
    assert not take_home(home, Returned(None))  # the node sees the folder


def test_only_small_files_are_shown_to_other_trials(tmp_path: Path) -> None:
    (tmp_path / ".mlflow_parent").write_text("run")
    (tmp_path / "optuna.db").write_text("study")
    (tmp_path / ".claim.lock").touch()
    (tmp_path / "large.csv").write_bytes(bytes(2**17))
    assert Home(b"", tmp_path, tmp_path, "").marks() == {".mlflow_parent": b"run"}


def run_one_trial(home: Home, fault: BaseException | None = None) -> Returned:
    """Run trial 0 of a program that leaves two files, and may break outside of its task."""

    class Program:
        spec = SimpleNamespace(directory=home.sweep)

        def move(self, sweep: Path, here: Any) -> None:
            self.spec = SimpleNamespace(directory=sweep)

        def run_one(self, trial: ReservedTrial) -> BaseException | None:
            folder = self.spec.directory / "0"
            folder.mkdir(parents=True)
            ended = EndedTrial(0, Outcome("failed", "no space left"), None)
            write_json(folder / "trial.json", to_json(ended))
            write_json(folder / "result.json", {})
            return fault

    home = replace(home, worker=cloudpickle.dumps(Program()))
    return run_on_node(home, {}, ReservedTrial(0, {}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the command, from where a trial that runs in this process finds back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    write_json(tmp_path / "sweep" / "study_of.json", {"study_name": "s", "folder": "a1"})
    return tmp_path


def test_a_node_that_lacks_what_trials_need_says_so_and_runs_none(here: Path) -> None:
    sweep = here / "sweep"
    needs = Needs(sweep, "a1", f"sqlite:///{here / 'optuna.db'}", python="3.1")
    home = Home(b"", here, sweep, needs.mark, needs=needs)
    unfit = run_one_trial(home).unfit
    assert unfit is not None and unfit.endswith("and this command 3.1: give both the same")
    assert not [*sweep.glob("0")]
    fit = Needs(sweep, needs.mark, needs.storage)
    assert run_one_trial(replace(home, needs=fit)).unfit is None
    assert [*sweep.glob("0")]


def test_a_nodes_full_disk_is_no_failure_of_its_trial(here: Path) -> None:
    home = Home(b"", here, here / "away" / "sweep", "another", needs=None)
    full = OSError(errno.ENOSPC, "No space left on device")
    returned = run_one_trial(home, full)
    assert returned.unfit is not None
    assert returned.unfit.startswith(f"has no space left for {here / 'cache'}")
    # What says that the trial failed stays away.
    assert {*(returned.files or ())} == {"0/result.json"}
    other = run_one_trial(home, OSError(errno.EACCES, "Permission denied"))
    assert other.unfit is None
    assert {*(other.files or ())} == {"0/result.json", "0/trial.json"}
