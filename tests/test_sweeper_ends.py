"""How a sweep ends early, and goes on: Ctrl-C once, Ctrl-C twice, a worker that is killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from optuna.trial import FrozenTrial
from test_sweeper import QUICK, study_in

from greensweep.search.records import counted, outcome_of, retry_history


def start(command: tuple[str, ...], folder: Path) -> subprocess.Popen[str]:
    """Start a sweep, and wait until its first trial is under way."""
    process = subprocess.Popen(command, cwd=folder, stdout=-3, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(folder.glob("multirun/*/0")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    return process


def test_ctrl_c_finishes_the_epoch(
    cli: Callable[..., Finished], tmp_path: Path, pressing: tuple[str, ...]
) -> None:
    epochs = ("training.batch_size=50", "training.epochs=100")
    ended = cli("train.py", *QUICK, *pressing, *epochs, "hydra.sweeper.n_trials=2",
                "hydra.sweeper.study_name=pressed")  # fmt: skip
    assert ended.status == 130, ended.errors
    assert ended.errors.endswith("Interrupted: what was measured so far is kept.\n")
    assert "Traceback" not in ended.errors
    folder = tmp_path / "multirun" / "pressed"
    result = json.loads((folder / "0" / "result.json").read_text())
    assert result["status"] == "stopped"
    # Of 300 images, 50 a step: the 49th step is the first of the ninth epoch.
    assert result["epochs"] == len(result["history"]) == 9
    (trial,) = study_in(tmp_path, "pressed").trials
    assert trial.state.name == "FAIL"
    summary = json.loads((folder / "study.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["search"]["ended"] == "interrupted"


# One epoch that never ends: only the second Ctrl-C can end it.
STUCK = """
    import time
    from pathlib import Path

    import hydra
    import greensweep

    @hydra.main(config_path=None, version_base=None)
    def main(config):
        greensweep.report(epoch=1, accuracy=0.5, joules=7.0, epochs=2)
        while not Path(config.free).exists():
            time.sleep(0.05)
        return config.x

    main()
"""


def program(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    """Write a program; return the command that sweeps over it with two worker processes."""
    (folder / "program.py").write_text(textwrap.dedent(text))
    sweep = ("-m", "hydra/sweeper=greensweep", "hydra.sweeper.meter=nothing")
    space = ("hydra.sweeper.direction=maximize", "+x=interval(0,1)", "hydra.sweeper.n_workers=2")
    return (sys.executable, "program.py", *sweep, *space, *overrides)


def finished(command: tuple[str, ...], folder: Path) -> tuple[list[FrozenTrial], str]:
    """Run a program's sweep to its end; return its trials and what it said."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return study_in(folder, "greensweep").trials, ended.stdout + ended.stderr


@pytest.mark.slow
def test_ctrl_c_twice_ends_at_once_and_the_next_command_goes_on(tmp_path: Path) -> None:
    command = program(tmp_path, STUCK, f"+free={tmp_path / 'free'}", "hydra.sweeper.n_trials=3")
    process = start(command, tmp_path)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one waits for the epoch"
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    summary = json.loads((tmp_path / "multirun" / "greensweep" / "study.json").read_text())
    assert summary["search"]["ended"] == "interrupted"
    stopped = study_in(tmp_path, "greensweep").trials
    # None counts or still runs. One that had only been asked for has died, and is queued already.
    assert counted(stopped) == []
    (tmp_path / "free").touch()
    trials, _ = finished(command, tmp_path)
    assert [trial.state.name for trial in counted(trials)] == ["COMPLETE"] * 3
    again = [trial for trial in counted(trials) if retry_history(trial)]
    assert {trial.params["+x"] for trial in stopped} == {trial.params["+x"] for trial in again}


# What the kernel does to a process for want of memory, to the first trial.
KILLED = """
    import os
    import signal

    import hydra
    from hydra.core.hydra_config import HydraConfig
    import greensweep

    @hydra.main(config_path=None, version_base=None)
    def main(config):
        for epoch in (1, 2):
            greensweep.report(epoch=epoch, accuracy=epoch / 4, joules=7.0 * epoch, epochs=9)
        if HydraConfig.get().job.num == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return config.x

    main()
"""


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_runs_again_in_the_same_command(tmp_path: Path) -> None:
    trials, said = finished(program(tmp_path, KILLED, "hydra.sweeper.n_trials=6"), tmp_path)
    assert [trial.state.name for trial in counted(trials)] == ["COMPLETE"] * 6
    died = [trial for trial in trials if trial.state.name == "FAIL"]
    assert {trial.number for trial in died} == {0}
    for trial in died:
        outcome = outcome_of(trial)
        assert outcome is not None
        assert outcome.error == "its process died after epoch 2"
        assert outcome.spent_joules == 14.0
        (again,) = [each for each in trials if trial.number in retry_history(each)]
        assert again.params == trial.params
        assert again.value == trial.params["+x"]
    left = json.loads((tmp_path / "multirun" / "greensweep" / "0" / "result.json").read_text())
    curve = [(each["validation_accuracy"], each["energy_joules"]) for each in left["history"]]
    assert curve == [(0.25, 7.0), (0.5, 7.0)]
    assert "A worker process ended with status -9; another takes its place." in said


# What two trials raise for want of memory: of the machine, and of a GPU, as PyTorch words it.
HUNGRY = """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    import greensweep

    class OutOfMemoryError(RuntimeError):
        pass

    @hydra.main(config_path=None, version_base=None)
    def main(config):
        greensweep.report(epoch=1, accuracy=0.5, joules=7.0, epochs=9)
        if HydraConfig.get().job.num == 0:
            raise MemoryError("Unable to allocate 2.00 GiB")
        if HydraConfig.get().job.num == 1:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\\nSee more.")
        return config.x

    main()
"""


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory_in_a_worker_fails_alone(tmp_path: Path) -> None:
    trials, said = finished(program(tmp_path, HUNGRY, "hydra.sweeper.n_trials=4"), tmp_path)
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    outcomes = [outcome_of(trial) for trial in trials[:2]]
    errors = [outcome.error for outcome in outcomes if outcome is not None]
    assert errors == [
        "MemoryError: Unable to allocate 2.00 GiB",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    ]
    assert [outcome.spent_joules for outcome in outcomes if outcome is not None] == [7.0, 7.0]
    for number, error in enumerate(errors):
        assert f"Trial {number} failed: {error} (x " in said
    assert "Traceback" not in said
    assert "another takes its place" not in said
    assert "Launching" not in said
