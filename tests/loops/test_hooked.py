"""What the callbacks of libraries share: a run without a block, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest
from search import searched

import greensweep
from greensweep.errors import ConfigError, TrialEnded
from greensweep.loops.hooked import HookedRun
from greensweep.record.left_open import end_left_open
from greensweep.record.result import find_result, read_result


def hooked(folder: Path) -> HookedRun:
    return HookedRun({"directory": folder, "meter": "unmetered"})


def test_a_run_ends_with_the_training_and_goes_on_with_the_test(tmp_path: Path) -> None:
    run = hooked(tmp_path)
    with searched():
        run.begin(name="a")
        run.enter("training")
        run.report(1, 1, {"val/acc": 0.5, "train/loss": 1.0})
        run.end()
        trained = read_result(tmp_path)
        run.go_on("test")
        run.log({"test_acc": 0.4})
        run.end()
    tested = read_result(tmp_path)
    assert trained.metrics == {"validation": {"acc": 0.5}}
    assert tested.metrics == {"validation": {"acc": 0.5}, "test": {"acc": 0.4}}
    assert tested.energy_joules == trained.energy_joules is not None
    assert set(tested.energy_phases) == {"setup", "training", "test", "other"}


def test_options_win_over_what_the_library_tells(tmp_path: Path) -> None:
    run = HookedRun({"directory": tmp_path, "meter": "unmetered", "metric": "f1", "seed": 3})
    run.begin(name="a", metric="loss", direction="maximize", seed=1)
    run.end()
    result = read_result(tmp_path)
    assert (result.objective_metric, result.seed) == ("f1", 3)


def test_an_option_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="no option is called 'contry': did you mean country"):
        HookedRun({"contry": "NLD"})  # type: ignore[typeddict-unknown-key]


def test_the_run_around_is_reported_to_and_goes_on(tmp_path: Path) -> None:
    run = hooked(tmp_path / "own")
    with searched() as search, greensweep.run("a", directory=tmp_path / "around") as around:
        run.begin(name="b")
        run.enter("evaluation")
        run.report(1, 1, {"accuracy": 0.5})
        run.end()
        joules = around.joules
        run.go_on("test")
        run.end()
    assert joules is not None and around.joules is not None and around.joules > joules
    assert len(search.reports) == 1 and around.result.epochs == 1
    assert {"evaluation", "test"} < set(around.result.energy_phases)
    assert find_result(tmp_path / "own") is None


def test_trainings_in_one_run_around_count_their_epochs_on(tmp_path: Path) -> None:
    run = hooked(tmp_path / "own")
    with searched() as search, greensweep.run("folds", directory=tmp_path):
        for fold in range(2):
            run.begin(name="a")
            run.report(1, 2, {"accuracy": 0.5})
            run.report(2, 2, {"accuracy": 0.5 + fold / 10})
            run.end()
    assert [(each.epoch, each.epochs) for each in search.reports] == [
        (1, 2),
        (2, 2),
        (3, 4),
        (4, 4),
    ]


def test_what_is_evaluated_before_the_training_belongs_to_it(tmp_path: Path) -> None:
    run = hooked(tmp_path)
    run.go_on("evaluation", name="a")
    run.log({"val_acc": 0.1})
    run.end()
    run.begin(name="a")
    run.report(1, 1, {"val_acc": 0.5})
    run.end()
    result = read_result(tmp_path)
    assert (result.epochs, result.metrics) == (1, {"validation": {"acc": 0.5}})
    assert {"evaluation", "setup"} < set(result.energy_phases)


def test_a_second_training_is_a_run_of_its_own(tmp_path: Path) -> None:
    run = HookedRun({"meter": "unmetered"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for _ in range(2):
            run.begin(name="a")
            run.report(1, 1, {"acc": 0.5})
            run.end()
    results = [read_result(path.parent) for path in tmp_path.glob("outputs/a/*/result.json")]
    assert [each.epochs for each in results] == [1, 1]


def test_a_run_that_the_search_ends_has_ended_and_is_not_tested(tmp_path: Path) -> None:
    run = hooked(tmp_path)
    with searched(ends_after=1), pytest.raises(TrialEnded):
        run.begin(name="a")
        run.report(1, 2, {"accuracy": 0.5})
    result = read_result(tmp_path)
    assert (result.status, result.epochs) == ("pruned", 1)
    run.go_on("test")
    run.log({"test_accuracy": 0.4})
    run.end()
    assert read_result(tmp_path) == result


def test_what_breaks_off_without_a_word_ends_with_the_next_run(tmp_path: Path) -> None:
    first, second = hooked(tmp_path / "first"), hooked(tmp_path / "second")
    first.begin(name="a")
    with greensweep.run("b", directory=tmp_path / "b", meter="unmetered"):
        pass  # nothing of the first is left around it
    second.begin(name="c")
    second.end()
    broken = read_result(tmp_path / "first")
    assert broken.status == "failed"
    assert "of which its library told nothing" in str(broken.error)
    assert read_result(tmp_path / "second").status == "finished"


def test_a_training_that_broke_off_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = HookedRun({"meter": "unmetered"})
    for _ in range(2):  # as in a notebook
        run.begin(name="a")
        run.report(1, 1, {"acc": 0.5})
    with greensweep.run("around", meter="unmetered") as around:
        run.begin(name="a")
    run.begin(name="a")
    run.report(1, 1, {"acc": 0.5})
    run.end()
    results = [read_result(path.parent) for path in sorted(tmp_path.glob("outputs/a/*/*.json"))]
    assert sorted(each.status for each in results) == ["failed", "failed", "finished"]
    assert all(each.error is None or "its library told nothing" in each.error for each in results)
    assert around.result.status == "finished"


def test_a_metric_called_epoch_is_no_obstacle(tmp_path: Path) -> None:
    run = hooked(tmp_path)
    run.begin(name="a")
    run.report(1, 2, {"epoch": 0.0, "acc": 0.5})
    run.end()
    assert [each.epoch for each in read_result(tmp_path).history] == [1]


def test_what_breaks_off_in_a_trial_ends_with_its_exception(tmp_path: Path) -> None:
    run = hooked(tmp_path)
    run.begin(name="a")
    run.report(1, 2, {"accuracy": 0.5})
    end_left_open(ValueError("no such label"))
    result = read_result(tmp_path)
    assert (result.status, result.error) == ("failed", "ValueError: no such label")
    assert result.validation_accuracy == 0.5


def test_what_breaks_off_in_a_measured_block_ends_with_it(tmp_path: Path) -> None:
    run = HookedRun({"directory": tmp_path})
    with pytest.raises(ValueError, match="no such label"), searched():
        run.begin(name="a")
        with greensweep.measure(meter="unmetered"):
            pass  # an inner block ends nothing
        run.report(1, 2, {"accuracy": 0.5})
        raise ValueError("no such label")
    result = read_result(tmp_path)
    assert (result.status, result.error) == ("failed", "ValueError: no such label")
    assert result.energy_spent_joules and result.epochs == 1


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        ("ValueError('no such label')", "failed", "ValueError: no such label"),
        ("KeyboardInterrupt", "stopped", "interrupted in epoch 1"),
    ],
)
def test_what_breaks_off_ends_with_the_program(
    tmp_path: Path, raised: str, status: str, error: str
) -> None:
    code = f"""
from greensweep.loops.hooked import HookedRun
HookedRun({{"directory": {str(tmp_path)!r}, "meter": "unmetered"}}).begin(name="a")
raise {raised}
"""
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False)
    assert ended.returncode != 0
    result = read_result(tmp_path)
    assert (result.status, result.error) == (status, error)
