"""What the sweeper makes of what Slurm says of its jobs."""

from pathlib import Path

import pytest

from greensweep.config.sweeper import SlurmConfig
from greensweep.errors import StudyError
from greensweep.executors.slurm import last_sentence
from greensweep.executors.slurm_queue import (
    SlurmJob,
    died_itself,
    may_run,
    read_jobs,
    require_slurm,
)


def line(*fields: str) -> str:
    widths = (40, 20, 10, 260, 100)
    return "".join(field.ljust(width) for field, width in zip(fields, widths, strict=True))


def test_jobs_are_read_as_squeue_prints_them() -> None:
    told = "\n".join(
        [
            line("12", "RUNNING", "0", "None", "n1"),
            line("13_0", "PENDING", "2", "ReqNodeNotAvail, UnavailableNodes:n2", ""),
            "",
        ]
    )
    assert read_jobs(told) == {
        "12": SlurmJob("12", "RUNNING", 0, "None", "n1"),
        "13_0": SlurmJob("13_0", "PENDING", 2, "ReqNodeNotAvail, UnavailableNodes:n2", ""),
    }
    assert read_jobs("") == {}


@pytest.mark.parametrize(
    ("mark", "state", "restarts", "runs"),
    [
        ("12:0", "RUNNING", 0, True),
        ("12:0", "SUSPENDED", 0, True),
        ("12:0", "COMPLETING", 0, True),
        ("12:0", "COMPLETING", 1, True),  # put back into the queue, and not yet ended
        ("12:0", "PENDING", 1, False),
        ("12:0", "RUNNING", 1, False),  # what runs now is another process
        ("12:1", "RUNNING", 1, True),
        ("12:0", "NODE_FAIL", 0, False),
        ("12:0", "COMPLETED", 0, False),
        ("12:0", "GONE", 0, False),
        ("11:0", "RUNNING", 0, True),  # another's job, which its heartbeats tell of
        ("12_1:0", "FAILED", 0, True),  # another element of an array
    ],
)
def test_a_process_is_gone_with_the_job_and_the_restart_that_it_ran_in(
    mark: str, state: str, restarts: int, runs: bool
) -> None:
    assert may_run({"12": SlurmJob("12", state, restarts)}, mark) == runs


@pytest.mark.parametrize(
    ("mark", "state", "restarts", "died"),
    [
        ("12:0", "FAILED", 0, True),
        ("12:0", "OUT_OF_MEMORY", 0, True),
        ("12:0", "TIMEOUT", 0, False),
        ("12:0", "NODE_FAIL", 0, False),
        ("12:0", "FAILED", 1, False),  # what failed is what ran after the restart
    ],
)
def test_a_process_that_ended_its_job_died_itself(
    mark: str, state: str, restarts: int, died: bool
) -> None:
    assert died_itself({"12": SlurmJob("12", state, restarts)}, mark) == died


def test_a_job_is_held_that_a_node_could_not_start() -> None:
    held = SlurmJob("12", "PENDING", 1, "launch failed requeued held")
    assert held.is_held
    assert not held._replace(state="RUNNING").is_held
    assert not held._replace(reason="JobHeldUser").is_held


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("a line\nModuleNotFoundError: No module named 'mine'\n\n", "ModuleNotFoundError: No mod"),
        ("Error: no data\nsrun: error: n1: task 0: Exited with exit code 1\n", "Error: no data"),
        ("epoch 1\nsrun: error: n1: task 0: Killed\n", "srun: error: n1: task 0: Killed"),
        (
            "slurmstepd-n1: error: *** STEP 4.0 ON n1 CANCELLED AT 10:41 DUE TO TIME LIMIT ***\nup",
            "slurmstepd-n1: error: *** STEP 4.0 ON n1 CANCELLED AT 10:41 DUE TO TIME LIMIT ***",
        ),
        ("srun: error: execve(): /py: No such file or directory\n", "srun: error: execve(): /py"),
        ("", None),
        (None, None),
    ],
)
def test_the_last_sentence_of_a_job_is_its_own(
    tmp_path: Path, left: str | None, said: str | None
) -> None:
    if left is not None:
        (tmp_path / "log").write_text(left)
    found = last_sentence(tmp_path / "log")
    assert (found or "").startswith(said or "") and (found is None) == (said is None)


def test_without_slurm_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StudyError, match="there is no sbatch here, which"):
        require_slurm()


def test_a_job_has_more_time_than_it_takes_to_end() -> None:
    assert not [*SlurmConfig().faults("slurm.")]
    (fault,) = SlurmConfig(timeout_min=2, signal_delay_s=120).faults("slurm.")
    assert fault.startswith("slurm.signal_delay_s must be less than a job's time, 2 min, got 120 s")
