"""What Slurm says of a sweep's jobs, by squeue and scancel, which need no accounting."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from signal import Signals
from typing import NamedTuple

from greensweep.errors import StudyError

_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT", "GONE"),
}
_WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_FIELDS = {"JobArrayID": 40, "State": 20, "RestartCnt": 10, "Reason": 260, "NodeList": 100}
_PATIENCE_SECONDS = 60


class SlurmJob(NamedTuple):
    """A job as squeue tells it.

    Attributes:
        id: 12, or 12_3 of an array.
        state: GONE: no longer told of.
        restarts: how often Slurm has put it back into its queue.
        reason: why it waits.
    """

    id: str
    state: str
    restarts: int
    reason: str = "None"
    node: str = ""

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED

    @property
    def is_held(self) -> bool:
        """It is kept from running since its node could not start it, as with a full disk."""
        return self.waits and self.reason.replace("_", " ").startswith("launch failed")

    @property
    def waits(self) -> bool:
        return self.state in _WAITS

    def may_run(self, restarts: int) -> bool:
        """Tell whether what it ran after so many restarts may still run."""
        if self.state == "COMPLETING":  # what ran before a restart is given time to end
            return True
        return not (self.has_ended or self.waits) and restarts >= self.restarts


def may_run(jobs: Mapping[str, SlurmJob], mark: str) -> bool:
    """Tell whether a process may still run that had this mark: its job's name and restarts.

    One of a job that nothing is known of may.
    """
    name, restarts = job_of(mark)
    return name not in jobs or jobs[name].may_run(restarts)


def died_itself(jobs: Mapping[str, SlurmJob], mark: str) -> bool:
    """Tell whether a process that had this mark ended its job, and was not ended with it."""
    name, restarts = job_of(mark)
    job = jobs[name]
    return job.state in ("FAILED", "OUT_OF_MEMORY") and job.restarts == restarts


def job_of(mark: str) -> tuple[str, int]:
    """Return the name of the job that a process runs in, and the restarts that it had by then.

    Args:
        mark: of the process, as `search.records.Owner` has it.
    """
    name, _, restarts = mark.rpartition(":")
    return name, int(restarts)


def require_slurm() -> None:
    """Raise StudyError where no job can be submitted."""
    for command in ("sbatch", "srun"):
        if shutil.which(command) is None:
            raise StudyError(
                f"there is no {command} here, which hydra.sweeper.executor=slurm needs: give the "
                "command on a login node of the cluster, or leave executor out to train here"
            )


def jobs_named(name: str) -> dict[str, SlurmJob] | None:
    """Return this user's jobs of a name, those that ended of late too; None of no answer."""
    told = _ask("squeue", "--noheader", "--array", "--states=all", f"--name={name}", _format())
    return None if told is None else read_jobs(told)


def read_jobs(told: str) -> dict[str, SlurmJob]:
    """Read what squeue prints of jobs, by their names."""
    jobs = {}
    for line in told.splitlines():
        fields, begin = [], 0
        for width in _FIELDS.values():
            fields.append(line[begin : begin + width].strip())
            begin += width
        name, state, restarts, reason, node = fields
        if name:
            jobs[name] = SlurmJob(name, state, int(restarts or 0), reason, node)
    return jobs


def signal_jobs(jobs: Iterable[SlurmJob], signal: Signals) -> None:
    """Send a signal to what jobs run."""
    _cancel(jobs, f"--signal={short_name(signal)}")


def short_name(signal: Signals) -> str:
    """Return a signal's name as Slurm has it: URG."""
    return signal.name.removeprefix("SIG")


def release_job(job: SlurmJob) -> None:
    """Let a job that is held be started again."""
    _ask("scontrol", "release", job.id)


def cancel_jobs(jobs: Iterable[SlurmJob]) -> None:
    """Take jobs from the queue, and end those that run within Slurm's KillWait."""
    _cancel(jobs)


def _cancel(jobs: Iterable[SlurmJob], *options: str) -> None:
    names = [job.id for job in jobs]
    if names:
        _ask("scancel", "--quiet", *options, *names)


def _format() -> str:
    return "--Format=" + ",".join(f"{name}:{width}" for name, width in _FIELDS.items())


def _ask(command: str, *arguments: str) -> str | None:
    user = [f"--user={os.getuid()}"] if command == "squeue" else []
    try:
        done = subprocess.run(
            [command, *user, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
            start_new_session=True,  # Ctrl-C is for the sweeper alone
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
