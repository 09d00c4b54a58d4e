"""What `hydra/sweeper=greensweep` makes of a study: who may be the best, what begins, what not."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Finished
from optuna.distributions import FloatDistribution
from test_sweeper import QUICK, STUDY

from greensweep.search.cost_model import early_forecast
from greensweep.search.progress import progress_line
from greensweep.search.records import CurvePoint, Outcome
from greensweep.search.spec import SearchSpec
from greensweep.search.trials_so_far import trials_so_far
from greensweep.sweeper.forecast import joules_with_search

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

ONE = "hydra.sweeper.n_trials=1"


def study_file(folder: Path, name: str = STUDY) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((folder / "multirun" / name / "study.json").read_text())
    return kept


def test_a_cheaper_run_is_never_the_best_and_never_tested(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    # A cheaper run of more epochs is the more accurate one: it would win if it might.
    cheaper = "hydra.sweeper.fidelities=[{training.epochs:6}]"
    finished = cli("train.py", *QUICK, cheaper, "training.epochs=1", "hydra.sweeper.n_trials=3")
    assert finished.status == 0, finished.errors
    runs = results("multirun")
    assert [run["epochs"] for run in runs] == [1, 6, 6]
    assert max(run["validation_accuracy"] for run in runs[1:]) > runs[0]["validation_accuracy"]
    study = study_file(tmp_path)
    assert study["best_trial"] == 0
    assert study["pareto_trials"] == [0]
    assert study["search"]["best_trials"] == [0]
    assert study["trials_breaking"] == {"whole_run": 2}
    assert [run["test_accuracy"] is not None for run in runs] == [True, False, False]
    assert [run["checkpoint"] is not None for run in runs] == [True, False, False]
    assert len(list((tmp_path / "multirun").glob("**/model.pt"))) == 1
    assert finished.output.count(" cheaper run ") == 4  # lines and rows


def test_a_trial_that_breaks_a_constraint_is_never_the_best(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    bound = "+hydra.sweeper.constraints={max_accuracy: 0, min_epochs: 1}"
    finished = cli("train.py", *QUICK, bound, "hydra.sweeper.n_trials=2")
    assert finished.status == 0, finished.errors
    study = study_file(tmp_path)
    assert (study["best_trial"], study["pareto_trials"]) == (None, [])
    assert study["search"]["best_trials"] == []
    for run in results("multirun"):
        assert (run["status"], run["test_accuracy"], run["checkpoint"]) == ("finished", None, None)
    assert finished.output.count(" breaks max_accuracy ") == 4
    assert (
        "None of the finished trials is a whole run that keeps the constraints (2 broke "
        "max_accuracy), so none is the best"
    ) in finished.output


def test_a_preview_leaves_no_trace_in_the_figures_of_its_sweep(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    previewed = cli("train.py", *QUICK, ONE, "hydra.sweeper.preview=true")
    assert previewed.status == 0, previewed.errors
    assert [path.name for path in (tmp_path / "multirun").iterdir()] == [f"{STUDY}.preview"]
    assert len(results("multirun")) == 3
    assert cli("train.py", *QUICK, ONE).status == 0
    assert study_file(tmp_path)["trials_by_status"] == {"finished": 1}
    rows = (tmp_path / "multirun" / STUDY / "trials.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["trial", "0"]


def test_a_preview_counts_what_the_search_itself_costs() -> None:
    curve = (CurvePoint(1, 0.5, 15.0, 30.0, 3.0), CurvePoint(2, 0.6, 30.0, 50.0, 5.0))
    cut = Outcome(
        "stopped", spent_joules=50.0, seconds=5.0, epochs=2, epochs_planned=10, curve=curve
    )

    def joules(outcome: Outcome) -> float | None:
        attributes = {"outcome": outcome.to_json()}
        state = optuna.trial.TrialState.PRUNED
        return joules_with_search(optuna.create_trial(state=state, user_attrs=attributes))

    assert joules(cut) == 210.0
    assert joules(replace(cut, search_joules=12.0)) == 222.0
    assert joules(replace(cut, spent_joules=None, search_joules=12.0)) is None


@pytest.mark.slow
def test_a_preview_moves_no_earlier_sweep_away(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", *QUICK, ONE).status == 0
    before = study_file(tmp_path)
    asked = ("hydra.sweeper.preview=true", "hydra.sweeper.fresh=true")
    assert cli("train.py", *QUICK, ONE, *asked).status == 0
    assert study_file(tmp_path) == before


def test_a_refused_study_runs_nothing_and_says_one_sentence(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", *QUICK, ONE).status == 0
    before = study_file(tmp_path)
    metered = [each for each in QUICK if each != "warmup=0"]
    refused = cli("train.py", *metered, ONE, "warmup=0.1", "training.batch_size=32")
    assert refused.status == 1
    assert refused.output == ""
    assert refused.errors.count("\n") == 1
    assert "training.batch_size=32 is new" in refused.errors
    assert study_file(tmp_path) == before
    assert not list((tmp_path / "multirun").glob("**/reference_job.json"))


@pytest.mark.slow
def test_a_fresh_sweep_keeps_its_reference_job_and_finds_its_relative_storage(
    cli: Cli, tmp_path: Path
) -> None:
    timed = [each for each in QUICK if each != "warmup=0"]
    own = ("hydra.sweeper.study_name=own", "hydra.sweeper.storage=sqlite:///multirun/own/my.db")
    for fresh in ("false", "true"):
        ended = cli("train.py", *timed, ONE, *own, "warmup=0.1", f"hydra.sweeper.fresh={fresh}")
        assert ended.status == 0, ended.errors
        assert (tmp_path / "multirun" / "own" / "reference_job.json").is_file()
        assert study_file(tmp_path, "own")["drift"] is not None
    (aside,) = (tmp_path / "multirun").glob("own.*")
    assert (aside / "my.db").is_file() and (aside / "reference_job.json").is_file()


@pytest.mark.parametrize("name", ["", "..", "a/b"])
def test_a_study_name_that_is_no_folder_of_its_own_is_refused(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    refused = cli("train.py", *QUICK, ONE, f"hydra.sweeper.study_name={name}")
    assert refused.status == 1
    assert "hydra.sweeper.study_name must be the name of one folder" in refused.errors
    assert refused.errors.count("\n") == 1
    assert not (tmp_path / "multirun").exists()


def test_a_sampler_without_its_package_is_refused_before_anything_is_trained(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greensweep.sweeper import spec

    monkeypatch.setattr(spec, "find_spec", lambda name: None if name == "cmaes" else object())
    refused = cli("train.py", *QUICK, ONE, "hydra/sweeper/sampler=cmaes")
    assert refused.status == 1
    assert "CmaEsSampler needs the package cmaes: pip install cmaes" in refused.errors
    assert "PostgreSQL" not in refused.errors
    assert refused.errors.count("\n") == 1
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_a_log_file_on_a_full_disk_prints_no_traceback(
    script: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    full = "hydra.job_logging.handlers.file.filename=/dev/full"
    ended = script("train.py", "energy=unmetered", "tracking=local", "training.epochs=1", full)
    assert ended.returncode == 0, ended.stderr
    assert "Logging error" not in ended.stderr
    assert "Traceback" not in ended.stderr


def ended_trial(number: int, joules: float) -> optuna.trial.FrozenTrial:
    outcome = Outcome("finished", spent_joules=joules).to_json()
    trial = optuna.create_trial(value=0.9, user_attrs={"outcome": outcome})
    trial.number = number
    return trial


def test_two_trials_are_no_forecast() -> None:
    three = [ended_trial(number, 10.0) for number in range(3)]
    assert early_forecast(three[:2], 20) is None
    told = early_forecast(three, 20)
    assert told is not None
    assert (told[0], told[1].cost) == (3, 200.0)


def test_the_time_left_runs_down_while_a_trial_runs(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trials([ended_trial(0, 10.0), ended_trial(1, 10.0)])
    sampler: tuple[str, dict[str, Any]] = ("optuna.samplers.RandomSampler", {})
    spec = SearchSpec(
        tmp_path, "s", "sqlite://", ("maximize",), {"rate": FloatDistribution(0.0, 1.0)}, 5, sampler
    )
    left = [
        progress_line(spec, trials_so_far(study), 8.0 + waited, waited).rpartition(", ")[2]
        for waited in (0.0, 3.0, 20.0)
    ]
    assert left == ["12 s left", "9 s left", "0 s left"]


def test_a_sweep_that_failed_from_end_to_end_starts_anew(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("model=custom", "model.target=my_network.Net", "hydra.sweeper.n_trials=4")
    network = """import torch

class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.LazyLinear({outputs}))
"""
    ends = []
    for outputs in (2, 10):  # the digits have ten classes
        (tmp_path / "my_network.py").write_text(network.format(outputs=outputs))
        monkeypatch.delitem(sys.modules, "my_network", raising=False)
        importlib.invalidate_caches()
        ends.append(cli("train.py", *QUICK, *own))
    failed, mended = ends
    assert failed.status == 1
    assert "no trial of 3 finished" in failed.errors
    assert mended.status == 0, mended.errors
    assert "Starting anew: all trials of the study had failed." in mended.output
    assert study_file(tmp_path, "digits-custom-accuracy")["trials_by_status"] == {"finished": 4}


def test_a_sweep_starts_anew_where_what_it_was_made_from_has_changed(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "images.txt").write_text("1")
    made = "hydra.sweeper.made_from=[images.txt]"
    assert cli("train.py", *QUICK, ONE, made).status == 0
    assert cli("train.py", *QUICK, made, "hydra.sweeper.n_trials=2").status == 0
    assert study_file(tmp_path)["trials"] == 2
    (tmp_path / "images.txt").write_text("2")
    anew = cli("train.py", *QUICK, ONE, made)
    assert "Starting anew: images.txt changed since the study began" in anew.output
    assert study_file(tmp_path)["trials"] == 1
    for other in ("training.batch_size=32", "hydra.sweeper.pruner=none"):
        assert (
            "Starting anew: the configuration changed"
            in cli("train.py", *QUICK, ONE, made, other).output
        )
    assert len(list((tmp_path / "multirun").glob("*.*/study.json"))) == 3
