"""What a sweep prints while it runs: a line for each trial, whoever searches, and nothing else."""

import re
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
from conftest import Finished

from greensweep.__main__ import main

Cli = Callable[..., Finished]

QUICK = (
    "-m", "training.epochs=1", "dataset.train_limit=300", "tracking=local", "energy=unmetered",
    "warmup=0", "inference.seconds=0", "report.auto=false", "hydra.sweep.dir=sweep",
)  # fmt: skip
TRIAL = r"Trial {}: accuracy 0\.\d{{4}} in [\d.]+ s \(learning rate [\d.e-]+, batch size \d+\)"
SWEEPERS = {
    "greensweep": ("hydra/sweeper=greensweep", "hydra.sweeper.n_trials=2"),
    "optuna": ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"),
    "basic": ("optimizer.learning_rate=0.01,0.1",),
}


def told(output: str) -> list[str]:
    """What is printed before the table."""
    return [*takewhile(str.strip, output.splitlines())]


@pytest.mark.parametrize("sweeper", ["greensweep", "optuna"])
def test_each_trial_has_one_line_and_hydra_none(cli: Cli, sweeper: str) -> None:
    ended = cli("train.py", *QUICK, *SWEEPERS[sweeper])
    assert (ended.status, ended.errors) == (0, "")
    first, second = told(ended.output)
    assert re.fullmatch(TRIAL.format(0), first)
    assert re.fullmatch(TRIAL.format(1), second)
    assert not re.search(r"\.\d{9}|HYDRA|Launching|#0", ended.output)


def test_trials_of_a_plain_multirun_have_lines_too(cli: Cli) -> None:
    first, second = told(cli("train.py", *QUICK, *SWEEPERS["basic"]).output)
    assert first.startswith("Trial 0: accuracy 0.") and first.endswith(" s (learning rate 0.01)")
    assert second.startswith("Trial 1: accuracy 0.") and second.endswith(" s (learning rate 0.1)")


@pytest.mark.parametrize("sweeper", SWEEPERS)
def test_verbose_brings_the_lines_of_hydra_back(cli: Cli, sweeper: str) -> None:
    one = [] if sweeper == "basic" else ["hydra.sweeper.n_trials=1"]
    ended = cli("train.py", *QUICK, *SWEEPERS[sweeper], *one, "hydra.verbose=true")
    assert re.search(r"\[HYDRA\] Launching \d jobs locally", ended.output)
    assert re.search(r"#0 : .*optimizer.learning_rate=0\.0", ended.output)


@pytest.mark.parametrize("sweeper", ["greensweep", "optuna"])
def test_a_trial_that_fails_is_told_once_with_its_number(cli: Cli, sweeper: str) -> None:
    searched = ("hydra/sweeper/sampler=grid", "training.batch_size=32,64", "space=default")
    ended = cli(
        "train.py", *QUICK, *SWEEPERS[sweeper], *searched, "optimizer.learning_rate=0.01",
        "model=custom", "model.target=torch.nn.Linear",
    )  # fmt: skip
    lines = [line for line in ended.output.splitlines() if "failed" in line]
    assert lines[0].startswith("Trial 0 failed: ") and "(batch size " in lines[0]
    assert lines[1].startswith("Trial 1 failed: ")
    assert "Failed experiment" not in ended.output


def test_a_sweep_of_a_command_shows_what_it_prints_and_a_line_for_each_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    command = ("sh", "-c", "echo GREENSWEEP_METRIC epoch=1 macro_f1={lr}")
    with pytest.raises(SystemExit) as ended:
        main(["exec", "--meter", "unmetered", "--metric", "macro_f1", "-m", "lr=0.125,0.25",
              "hydra.sweeper.n_trials=2", "--", *command])  # fmt: skip
    assert ended.value.code == 0
    lines = told(capfd.readouterr().out)
    assert len(lines) == 4
    for number, (printed, line) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        value = float(printed.partition("macro_f1=")[2])
        assert re.fullmatch(
            rf"Trial {number}: macro F1 {value:.4f} in [\d.]+ s \(lr {value:g}\)", line
        )


def test_summarise_tells_again_what_a_sweep_ended_with(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = cli("train.py", *QUICK, *SWEEPERS["greensweep"])
    table_to_bill = ended.output.partition("\n\n")[2].partition("\nTrials, study.json")[0]
    assert "2 trials: 2 finished; not metered." in table_to_bill
    assert main(["summarise", "sweep"]) == 0
    assert capsys.readouterr().out == f"\n{table_to_bill}\n"
