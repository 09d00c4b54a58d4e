"""`greensweep.run(…)`: a loop of one's own leaves what our own runs leave."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import greensweep
from greensweep.__main__ import main
from greensweep.app.compose import compose_sweep
from greensweep.energy import ScriptedMeter
from greensweep.errors import ConfigError, GreensweepError, StudyError, TrialEnded
from greensweep.loops.live_run import Run
from greensweep.loops.run import again
from greensweep.record.measuring import measured_by
from greensweep.record.reporting import Progress, monitored_by
from greensweep.record.result import read_result


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def recorded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


class Seen:
    def __init__(self) -> None:
        self.reports: list[Progress] = []

    def on_epoch(self, progress: Progress) -> None:
        self.reports.append(progress)

    def on_repeat(self, progress: Progress) -> None:
        pass


class Kept(Seen):
    def on_epoch(self, progress: Progress) -> None:
        super().on_epoch(progress)
        if progress.epoch == 2:
            raise TrialEnded("pruned", "pruned after epoch 2")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "f1"])
def test_a_metric_that_never_comes_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, metric: str
) -> None:
    with greensweep.run("mlp", directory=tmp_path, meter="unmetered", metric=metric) as run:
        run.report(epoch=1, macro_f1=0.5, val_loss=1.0)
    said = f"No {metric} was reported, by which the run is to be compared: report it, or name one"
    assert (f"{said} of macro_f1, loss." in caplog.messages) is (metric != "macro_f1")


def test_a_run_leaves_its_metrics_by_epoch_and_split(tmp_path: Path) -> None:
    with greensweep.run("mlp", directory=tmp_path, meter="unmetered") as run:
        run.report(epoch=1, macro_f1=0.5, val_loss=1.0, train_loss=2.0, train_accuracy=0.4)
        run.report(epoch=2, macro_f1=0.4, val_loss=0.9, train_loss=1.0, train_accuracy=0.6)
        run.log(test_macro_f1=0.45)
    result = recorded(tmp_path)
    assert result["metrics"] == {
        "validation": {"macro_f1": 0.4, "loss": 0.9},
        "test": {"macro_f1": 0.45},
    }
    assert (result["status"], result["epochs"], result["best_epoch"]) == ("finished", 2, 1)
    assert (result["objective_metric"], result["objective_direction"]) == ("macro_f1", "maximize")
    first = result["history"][0]
    assert (first["train_loss"], first["validation_loss"], first["train_accuracy"]) == (2, 1, 0.4)
    assert read_result(tmp_path) == run.result


def test_a_run_without_epochs_goes_by_the_metric_that_it_logs(tmp_path: Path) -> None:
    with greensweep.run("forest", directory=tmp_path, meter="unmetered") as run:
        run.log(leaves=300, macro_f1=0.5, test_macro_f1=0.4)
    assert (run.result.objective_metric, run.result.objective_value) == ("macro_f1", 0.5)


def test_the_best_epoch_is_kept_where_asked(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered", keep="best") as run:
        for loss in (0.5, 0.2, 0.9):
            run.report(loss=loss)
    assert run.result.metrics["validation"] == {"loss": 0.2}
    assert (run.result.best_epoch, run.result.epochs) == (2, 3)
    assert run.result.objective_direction == "minimize"


def test_what_is_in_no_phase_is_training(tmp_path: Path) -> None:
    meter = ScriptedMeter([(1.0, 1.0)])
    with measured_by(meter) as block, greensweep.run("a", directory=tmp_path) as run:
        with run.phase("setup"):
            pass
        run.report(epoch=1, accuracy=0.5)
        with run.phase("evaluation"):
            pass
    phases = {name: each.joules for name, each in run.result.energy_phases.items()}
    assert phases["setup"] == phases["evaluation"] == 1.0
    assert run.result.energy_joules == phases["training"] == run.joules
    assert run.result.energy_spent_joules == sum(phases.values())
    assert block.joules is not None and block.joules > run.result.energy_spent_joules
    assert run.result.history[0].energy_joules == 2.0  # of the epoch, and not of what follows it


def test_a_run_that_has_finished_goes_on_with_a_test(tmp_path: Path) -> None:
    with measured_by(ScriptedMeter([(1.0, 1.0)])):
        with greensweep.run("a", directory=tmp_path) as run:
            run.enter("setup")
            run.enter()
            run.report(epoch=1, accuracy=0.5)
        first = run.result
        with again(run, "test") as tested:
            tested.log(test_accuracy=0.4)
    result = read_result(tmp_path)
    assert (result.status, result.metrics["test"], result.test_accuracy) == (
        "finished", {"accuracy": 0.4}, 0.4,
    )  # fmt: skip
    assert (result.metrics["validation"], result.history) == ({"accuracy": 0.5}, first.history)
    assert result.energy_joules == first.energy_joules is not None
    assert result.energy_phases["setup"] == first.energy_phases["setup"]
    assert result.energy_phases["test"].joules is not None
    assert result.energy_spent_joules > first.energy_spent_joules is not None


def test_a_trial_that_a_search_ends_is_recorded_as_it_ended(tmp_path: Path) -> None:
    search = Kept()
    with (
        pytest.raises(TrialEnded),
        monitored_by(search),
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        for epoch in range(1, 4):
            run.report(epoch=epoch, epochs=3, macro_f1=epoch / 10)
    assert [each.objective_value for each in search.reports] == [0.1, 0.2]
    assert (run.result.status, run.result.epochs) == ("pruned", 2)


def test_a_loop_that_catches_everything_is_recorded_as_the_search_ended_it(tmp_path: Path) -> None:
    with (
        pytest.raises(TrialEnded),
        monitored_by(Kept()),
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        for epoch in range(1, 4):
            with suppress(BaseException):
                run.report(epoch=epoch, macro_f1=epoch / 10)
    assert (recorded(tmp_path)["status"], recorded(tmp_path)["epochs"]) == ("pruned", 3)


def test_a_loop_in_a_thread_may_report(tmp_path: Path) -> None:
    with (
        ThreadPoolExecutor() as pool,
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        pool.submit(run.report, epoch=1, accuracy=0.5).result()
    assert run.result.validation_accuracy == 0.5


def test_a_run_alone_needs_no_direction_and_is_not_compared_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        with greensweep.run(name, directory=tmp_path / name, meter="unmetered") as run:
            run.report(epoch=1, smoothness=0.5)
            run.report(epoch=2, smoothness=0.6)
    result = read_result(tmp_path / "first")
    assert [each.metrics for each in result.history] == [{"smoothness": 0.5}, {"smoothness": 0.6}]
    assert (result.objective_metric, result.objective_direction) == ("smoothness", None)
    main(["summarise", str(tmp_path)])
    said = capsys.readouterr().out
    assert "The direction of smoothness is not known, so none is the best: record it by" in said
    assert "best" not in said.partition("The direction")[0].replace("no other is better", "")


def test_a_metric_of_known_direction_goes_before_one_without(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered") as run:
        run.report(epoch=1, smoothness=0.5)
        run.report(epoch=2, smoothness=0.5, val_loss=0.3)
    assert (run.result.objective_metric, run.result.objective_direction) == ("loss", "minimize")


def test_a_direction_against_the_metrics_name_is_doubted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered", direction="maximize") as run:
        run.report(epoch=1, val_loss=0.5)
    assert "direction=maximize seeks the highest loss, whose name tells" in caplog.text
    assert run.result.objective_direction == "maximize"


@pytest.mark.parametrize(
    ("code", "status"), [(None, "finished"), (0, "finished"), (1, "failed"), ("why", "failed")]
)
def test_a_program_that_ends_itself_well_has_finished(
    tmp_path: Path, code: str | int | None, status: str
) -> None:
    with (
        pytest.raises(SystemExit) as ended,
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        run.report(epoch=1, accuracy=0.5)
        sys.exit(code)
    assert (ended.value.code, recorded(tmp_path)["status"]) == (code, status)
    assert code != "why" or recorded(tmp_path)["error"] == "the program ended itself: why"


def test_an_exception_leaves_what_was_measured(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), greensweep.run("a", directory=tmp_path) as run:
        run.report(epoch=1, accuracy=0.5)
        print(1 / 0)
    result = recorded(tmp_path)
    assert (result["status"], result["error"]) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )
    assert result["energy_joules"] > 0
    assert run.result.validation_accuracy == 0.5


@dataclass
class Options:
    rate: float = 0.1


@pytest.mark.parametrize(
    "params", [Options(), {"rate": 0.1}, Namespace(rate=0.1)], ids=["class", "mapping", "argparse"]
)
def test_options_are_recorded(tmp_path: Path, params: object) -> None:
    with greensweep.run("a", params=params, directory=tmp_path, meter="unmetered"):
        pass
    assert (tmp_path / "config.yaml").read_text() == "rate: 0.1\n"


def test_an_option_that_is_an_object_is_recorded_as_text(tmp_path: Path) -> None:
    params = {
        "root": Path("data"), "rate": np.float64(0.5), "loss": max, "device": torch.device("cpu"),
        "net": torch.nn.Sequential(torch.nn.ReLU()), "sizes": (1, np.int64(2)), "kind": Options,
    }  # fmt: skip
    with greensweep.run("a", params=params, directory=tmp_path, meter="unmetered"):
        pass
    assert (tmp_path / "config.yaml").read_text().splitlines() == [
        "root: data", "rate: 0.5", "loss: <built-in function max>", "device: cpu",
        "net: Sequential", "sizes:", "- 1", "- 2", "kind: test_own_run.Options",
    ]  # fmt: skip


def test_runs_outside_of_hydra_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with greensweep.run("mlp", meter="unmetered"):
            pass
    assert len([*Path("outputs/mlp").glob("*/result.json")]) == 2


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "a/b", "x" * 400])
def test_a_run_without_a_directory_stays_below_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with greensweep.run(name, meter="unmetered") as run:
        pass
    assert len(run.directory.parts) == 3 and run.directory.parts[0] == "outputs"
    assert len([*tmp_path.glob("outputs/*/*/result.json")]) == 1


def test_an_error_is_kept_without_the_codes_of_terminals(tmp_path: Path) -> None:
    with suppress(ValueError), greensweep.run("a", directory=tmp_path, meter="unmetered"):
        raise ValueError("\x1b[1;31mno\x1b[0m \x1b]0;title\x07such\x00 file")
    assert recorded(tmp_path)["error"] == "ValueError: no such file"


def test_a_configuration_that_was_only_composed_is_no_job_of_hydras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compose_sweep([])  # as a notebook does that composes with Hydra's own configuration
    with greensweep.run("mlp", meter="unmetered") as run:
        pass
    assert run.directory.parent == Path("outputs/mlp")


def test_a_run_in_mlflow_has_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    params = {"rate": 0.1, "size{a}": 1, "/b//c": 2, "long" * 100: 3}
    with greensweep.run("mlp", params=params, directory=tmp_path / "run") as run:
        run.report(epoch=1, macro_f1=0.5, train_accuracy=0.4, **{"val/top@5/": 0.3})
    assert not recorded(tmp_path / "run")["mlflow_incomplete"]
    kept = MlflowClient(uri).get_run(str(run.result.mlflow_run_id))
    assert kept.data.params.items() >= {"rate": "0.1", "size_a_": "1", "b/c": "2"}.items()
    assert kept.data.metrics["validation/top_5"] == 0.3
    assert kept.data.metrics["validation/macro_f1"] == 0.5
    assert kept.data.metrics["train/accuracy"] == 0.4
    assert kept.data.metrics["energy/spent_joules"] == run.result.energy_spent_joules


def nested(folder: Path) -> None:
    with (
        greensweep.run("outer", directory=folder / "outer", meter="unmetered"),
        greensweep.run("inner", directory=folder / "inner", meter="unmetered"),
    ):
        pass


def twice_in_a_folder(folder: Path) -> None:
    for _ in range(2):
        with greensweep.run("a", directory=folder, meter="unmetered"):
            pass


def unknown_direction(folder: Path) -> None:
    with greensweep.run("a", directory=folder, meter="unmetered", keep="best") as run:
        run.report(epoch=1, smoothness=0.5)


def run_without_with(folder: Path) -> None:
    run: Any = greensweep.run("a", directory=folder, meter="unmetered")
    run.report(epoch=1, accuracy=0.5)


def measure_without_with(folder: Path) -> None:
    energy: Any = greensweep.measure(meter="unmetered")
    print(energy.joules)


def worst_macro_f1(folder: Path) -> None:
    with greensweep.run("a", directory=folder, meter="unmetered", direction="minimize") as run:
        run.report(epoch=1, macro_f1=0.5)


def metric_of_test(folder: Path) -> None:
    with greensweep.run("a", directory=folder, meter="unmetered", metric="test_f1"):
        pass


def below_a_file(folder: Path) -> None:
    (folder / "file").touch()
    with greensweep.run("a", directory=folder / "file" / "run", meter="unmetered"):
        pass


def misspelt_keyword(directory: Path) -> None:
    wrong: Any = {"parms": {"width": 16}}
    with greensweep.run("a", directory=directory, **wrong):
        pass


def options_of_a_text(folder: Path) -> None:
    with greensweep.run("a", params="rate=0.1", directory=folder, meter="unmetered"):
        pass


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (nested, StudyError, "run 'inner' begins inside of another run: end that one first"),
        (
            twice_in_a_folder,
            StudyError,
            "holds the result of another run: choose another directory",
        ),
        (worst_macro_f1, ConfigError, "direction=minimize, but macro_f1 is better the higher"),
        (metric_of_test, ConfigError, "metric=test_f1 is of the test split, by which"),
        (unknown_direction, ConfigError, "is smoothness better the higher or the lower it is"),
        (run_without_with, StudyError, r"no report before .*: write `with greensweep\.run\(…\) as"),
        (measure_without_with, StudyError, "no joules before .*: write `with greensweep.measure"),
        (below_a_file, StudyError, r"cannot be written \(Not a directory\): name another"),
        (options_of_a_text, ConfigError, "params must be options by name"),
        (misspelt_keyword, ConfigError, "^no option is called 'parms': did you mean params"),
    ],
)
def test_a_wrong_use_is_refused_in_a_sentence(
    tmp_path: Path, wrong: Any, error: type[GreensweepError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        wrong(tmp_path)


def test_a_metric_that_is_no_number_is_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: Any = "0.5 or so"
    with greensweep.run("a", directory=tmp_path, meter="unmetered") as run:
        run.report(epoch=1, accuracy=wrong, macro_f1=0.5)
        run.report(epoch=2, accuracy=0.6)
        run.log(accuracy=wrong + " again", test_loss=torch.tensor([0.1, 0.2]))  # type: ignore[arg-type]
        run.log(accuracy=0.6)
    told = [each for each in caplog.messages if "accuracy" in each]
    assert told == ["accuracy is no number but of type str, and left out of the record."]
    assert run.result.metrics["test"] == {"loss": None}
    assert [each.metrics for each in run.result.history] == [
        {"accuracy": None, "macro_f1": 0.5},
        {"accuracy": 0.6},
    ]
    assert run.result.metrics["validation"] == {"accuracy": 0.6, "macro_f1": 0.5}


def reported(run: Run) -> dict[int, Any]:
    """The epochs of a run, with their macro F1."""
    return {each.epoch: each.metrics.get("macro_f1") for each in run.result.history}


def test_numbers_of_any_library_and_as_text_are_taken(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered") as run:
        given: Any = {"macro_f1": "0.9", "epochs": np.int32(3)}
        run.report(epoch=np.int64(1), **given)  # type: ignore[arg-type]
        half: Any = torch.tensor(0.5, requires_grad=True)
        run.report(epoch=torch.tensor(2), macro_f1=half)  # type: ignore[arg-type]
        run.report(epoch=3.0, macro_f1=np.float32(0.25))  # type: ignore[arg-type]
    assert reported(run) == {1: 0.9, 2: 0.5, 3: 0.25}
    assert recorded(tmp_path)["epochs"] == 3


@pytest.mark.parametrize("epoch", ["one", 1.5, -1, float("nan"), [1]])
def test_an_epoch_that_is_no_whole_number_is_refused(tmp_path: Path, epoch: Any) -> None:
    with (
        pytest.raises(StudyError, match="epoch counts what is done: it must be a whole number"),
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        run.report(epoch=epoch, macro_f1=0.5)
    assert recorded(tmp_path)["error"].startswith("epoch counts what is done")


def test_a_loop_that_counts_from_0_or_begins_anew_loses_no_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search = Seen()
    with (
        monitored_by(search),
        greensweep.run("a", directory=tmp_path, meter="unmetered") as run,
    ):
        run.report(epoch=0)  # its set-up
        for macro_f1 in (0.1, 0.5):
            for epoch in range(2):
                run.report(epoch=epoch, epochs=2, macro_f1=macro_f1 + epoch / 10)
    assert reported(run) == {1: 0.1, 2: 0.2, 3: 0.5, 4: 0.6}
    assert (run.result.epochs, run.result.best_epoch) == (4, 4)
    counted = [(each.epoch, each.epochs) for each in search.reports]
    assert counted == [(0, None), (1, 2), (2, 2), (3, 4), (4, 4)]
    assert caplog.messages == ["Epoch 0 was reported after epoch 1: it is counted as epoch 3."]


def test_an_epoch_that_is_reported_in_parts_is_one(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered", keep="best") as run:
        for epoch in (1, 2):
            run.report(epoch=epoch, train_loss=1 / epoch)
            run.report(epoch=epoch, macro_f1=1 / epoch)
        run.amend(recall=0.3)
    first, second = run.result.history
    assert (first.epoch, first.train_loss, first.metrics) == (1, 1.0, {"macro_f1": 1.0})
    assert second.metrics == {"macro_f1": 0.5, "recall": 0.3}
    assert (run.result.best_epoch, run.result.metrics) == (1, {"validation": {"macro_f1": 1.0}})


def test_a_fork_does_not_end_its_parents_run(tmp_path: Path) -> None:
    code = f"""
import os, greensweep
with greensweep.run("a", directory={str(tmp_path)!r}, meter="unmetered") as run:
    child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    assert recorded(tmp_path)["status"] == "finished"


def test_nothing_is_reported_to_a_run_that_has_ended(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path, meter="unmetered") as run:
        run.report(accuracy=0.5)
    for late in (run.report, run.log, run.amend):
        with pytest.raises(StudyError, match="run 'a' records nothing here, since it has ended"):
            late(accuracy=0.6)
    assert run.result.epochs == 1


def test_a_fork_reports_to_no_run_of_its_parent_and_may_begin_its_own(tmp_path: Path) -> None:
    with greensweep.run("a", directory=tmp_path / "a", meter="unmetered") as run:
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                with pytest.raises(StudyError, match="another process began it"):
                    run.report(accuracy=0.1)
                with greensweep.run("b", directory=tmp_path / "b", meter="unmetered") as own:
                    own.report(accuracy=0.2)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    assert recorded(tmp_path / "b")["metrics"] == {"validation": {"accuracy": 0.2}}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"direction": "up"}, "direction must be maximize or minimize, got 'up'"),
        ({"keep": "first"}, "keep must be last or best, got 'first'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    tmp_path: Path, option: dict[str, Any], said: str
) -> None:
    with (
        pytest.raises(ConfigError, match=said),
        greensweep.run("a", directory=tmp_path, meter="unmetered", **option),
    ):
        pass
