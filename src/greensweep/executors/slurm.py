"""Trials in jobs of Slurm: a job is a worker, which takes trials until its time is nearly over.

The sweeper submits jobs, watches them and settles what a dead one left. It may be killed and
started again: jobs go on by themselves, and it finds them by their name.
"""

import io
import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cloudpickle
import psutil
from optuna.trial import TrialState

from greensweep.config.schema_energy import EnergyConfig
from greensweep.config.sweeper import SweeperConfig
from greensweep.energy.node import node_metered
from greensweep.errors import GreensweepError, StudyError, first_line, not_installed, plural
from greensweep.executors.probe import Needs, probe
from greensweep.executors.slurm_queue import (
    SlurmJob,
    cancel_jobs,
    died_itself,
    job_of,
    jobs_named,
    may_run,
    release_job,
    require_slurm,
    short_name,
    signal_jobs,
)
from greensweep.executors.worker import Worker
from greensweep.search.folders import mark_of
from greensweep.search.interrupt import graceful, interrupt, interrupted
from greensweep.search.records import owner_of, runs_again
from greensweep.search.trial_queue import TrialQueue
from greensweep.secrets.output import mask_output

log = logging.getLogger(__name__)

_POLL_SECONDS = 5.0
_LOOK_SECONDS = 0.2  # after which an interrupt is seen
_PATIENCE_SECONDS = 60.0  # for cancelled jobs: Slurm's KillWait is 30 s
_FUTILE_JOBS = 3  # one after another, without a trial, or without one that ended
_FOLDER = "slurm"  # in the sweep's: logs of jobs

# Slurm sends a signal to all that a job runs, those that load data and commands of `exec` among
# them. This one asks a worker to end its trial after the epoch, and nothing else ends by it.
_ASKS = signal.SIGURG
_ASKING = (_ASKS, signal.SIGUSR1, signal.SIGUSR2)  # as administrators and preemption may, too
# Why a job waits that no waiting mends.
_HOPELESS = {
    *("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints"),
    *("InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed"),
    *("AssocMaxWallDurationPerJobLimit", "QOSMaxWallDurationPerJobLimit"),
}
_ERROR = "Error: "
_NODE_ERROR = f"{_ERROR}node "  # which ends no sweep that runs elsewhere
_KILLED = re.compile(
    r"srun: error: .*: (Killed|Out Of Memory)$|slurmstepd\S*: error: .*(oom| DUE TO )"
)


@dataclass(frozen=True)
class _Job:
    """What submitit pickles; the worker is loaded once signals are heard.

    Attributes:
        seconds: of the job's time in which it may train.
        needs: of each node; None where they are not asked for.
        energy: configures the meter of the node.
        sweep: the folder that has its totals.
    """

    worker: bytes
    seconds: float
    needs: Needs | None
    energy: EnergyConfig
    sweep: Path

    def __call__(self) -> None:
        logging.raiseExceptions = False
        mask_output()
        with graceful(quiet=True), suppress(KeyboardInterrupt):
            for each in _ASKING:  # of which submitit takes one for a reason to requeue
                signal.signal(each, lambda *_: interrupt())
            with node_metered(self.energy, self.sweep):
                self._work()

    def _work(self) -> None:
        load = partial(cloudpickle.loads, self.worker)
        if self.needs is not None and (node := probe(self.needs, load)).fault is not None:
            sys.exit(f"{_NODE_ERROR}{node.name} {node.fault}")
        worker: Worker = load()
        try:
            worker(self.seconds - (time.time() - psutil.Process().create_time()))
        except GreensweepError as error:
            sys.exit(f"{_ERROR}{error}")


class SlurmJobs:
    """The jobs of a sweep.

    Args:
        needs: what trials need of a node.

    Raises:
        StudyError: none can be submitted from here.
    """

    def __init__(
        self, worker: Worker, queue: TrialQueue, options: SweeperConfig, needs: Needs
    ) -> None:
        try:
            import submitit  # noqa: F401
        except ModuleNotFoundError as error:
            raise StudyError(not_installed("submitit") or str(error)) from error
        require_slurm()
        spec = queue.spec
        self._queue, self._options, self._gpus = queue, options.slurm, options.gpus_per_worker
        self._folder = spec.directory / _FOLDER
        study = re.sub(r"[^\w.-]", "-", spec.study_name)[:40]
        self._name = f"{study}-{mark_of(spec.directory)[:8]}"
        seconds = 60.0 * options.slurm.timeout_min - options.slurm.signal_delay_s
        asked = needs if options.check_nodes else None
        self._job = _Job(cloudpickle.dumps(worker), seconds, asked, worker.energy, spec.directory)
        self._jobs: dict[str, SlurmJob] = {}
        self._told: set[str] = set()  # ended ones that were seen to, and reasons to wait
        self._asked: set[str] = set()  # to end
        self._withdrawn: set[str] = set()  # for which no trial was left
        self._cancelled = self._futile = self._cut_off = 0
        self._answers = True
        self._fault: str | None = None

    def run(self, workers: int) -> None:
        """Keep so many jobs in Slurm's queue while trials are left, and see that all end.

        Raises:
            StudyError: Slurm takes no job, or jobs end without running a trial.
            KeyboardInterrupt: a second interrupt; all jobs are cancelled.
        """
        try:
            self._begin()
            while self._goes_on(workers):
                until = time.monotonic() + _POLL_SECONDS
                was_interrupted = interrupted()
                while time.monotonic() < until and interrupted() == was_interrupted:
                    time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            self._cancel_all()
            raise
        if self._fault is not None:
            raise StudyError(self._fault)

    def _begin(self) -> None:
        """Find the jobs that an earlier command submitted and that run on."""
        self._jobs = jobs_named(self._name) or {}
        self._told = {job.id for job in self._jobs.values() if job.has_ended}
        if joined := len(self._jobs) - len(self._told):
            log.info(f"Going on with what an earlier command submitted: {plural(joined, 'job')}.")

    def _goes_on(self, workers: int) -> bool:
        """Look at the jobs, submit what is missing; tell whether there is anything to wait for."""
        if not self._look():
            self._wait_for_slurm()
            return True
        present = [job for job in self._jobs.values() if not job.has_ended]
        self._see_to_waiting([job for job in present if job.waits])
        if interrupted() or self._fault is not None:
            self._end(present)
            return bool(present)
        left, most = self._queue.left(), workers - self._cancelled
        busy = {job_of(mark)[0] for mark in self._queue.jobs_of_running().values()}
        idle = sum(job.id not in busy for job in present)
        missing = min(most - len(present), left - idle)
        if missing > 0:
            self._submit(missing)
        elif not present and left:
            raise StudyError(
                "all jobs of the sweep were cancelled: give the same command again, which goes on "
                "where it stopped"
            )
        elif not left and not busy:
            waiting = [job for job in present if job.waits]
            self._withdrawn.update(job.id for job in waiting)
            cancel_jobs(waiting)
        return missing > 0 or bool(present)

    def _wait_for_slurm(self) -> None:
        """Tell once that Slurm does not answer."""
        if self._answers:
            self._answers = False
            log.warning("Slurm does not answer: the sweep waits for it, and its jobs go on.")

    def _look(self) -> bool:
        """Ask Slurm for the jobs, and settle what those left that ended; False of no answer."""
        running = self._queue.jobs_of_running()  # first: each of them has begun by then
        found = jobs_named(self._name)
        if found is None:
            return False
        self._answers = True
        gone = {
            name: job if job.has_ended else SlurmJob(name, "GONE", job.restarts)
            for name, job in self._jobs.items()
        }
        self._jobs = gone | found
        lost = [number for number, mark in running.items() if not may_run(self._jobs, mark)]
        died = [number for number in lost if died_itself(self._jobs, running[number])]
        self._queue.finish_lost(died)
        self._queue.finish_lost(lost, "its job ended", "lost")
        for job in self._jobs.values():
            if job.has_ended and job.id not in self._told:
                self._told.add(job.id)
                self._see_to(job)
        self._queue.recover_dead()
        return True

    def _see_to(self, job: SlurmJob) -> None:
        """Tell how a job ended, and see whether another one would end better."""
        for name in (f"{job.id}_submitted.pkl", f"{job.id}_0_result.pkl"):  # configuration
            (self._folder / name).unlink(missing_ok=True)
        if interrupted() or self._fault is not None or job.id in self._withdrawn:
            return
        if job.state == "CANCELLED":
            self._cancelled += 1
            log.warning("Job %s was cancelled: no other takes its place.", job.id)
            return
        trials = self._queue.study.get_trials(deepcopy=False)
        own = [
            trial
            for trial in trials
            if (owner := owner_of(trial)) and owner.job and job_of(owner.job)[0] == job.id
        ]
        is_cut_off = bool(own) and all(map(runs_again, own)) and job.state != "PREEMPTED"
        self._cut_off = self._cut_off + 1 if is_cut_off else 0
        if self._cut_off >= _FUTILE_JOBS:
            self._fault = (
                f"the time of {self._cut_off} jobs one after another was over before a trial was: "
                f"set hydra.sweeper.slurm.timeout_min to more than {self._options.timeout_min}"
            )
        if job.state in ("COMPLETED", "PREEMPTED", "GONE"):
            return
        said = last_sentence(self._log_of(job))
        has_run = any(trial.state == TrialState.COMPLETE for trial in trials)
        is_of_node = said is not None and said.startswith(_NODE_ERROR)
        if said is not None and said.startswith(_ERROR) and not (has_run and is_of_node):
            self._fault = said.removeprefix(_ERROR)
            return
        self._futile = 0 if own else self._futile + 1
        where = f"job {job.id}{f' on {job.node}' if job.node else ''} ({job.state})"
        left = said or (
            f"it left no log in {self._folder}, which all nodes must see: set hydra.sweep.dir"
        )
        if self._futile >= _FUTILE_JOBS:
            self._fault = (
                f"{self._futile} jobs one after another ended before they ran a trial; the last "
                f"was {where}: {left}"
            )
        else:
            log.warning("Another takes the place of %s: %s.", where, left)

    def _see_to_waiting(self, waiting: Collection[SlurmJob]) -> None:
        """Tell why jobs wait, each reason once; one that will not pass ends the sweep."""
        for job in waiting:
            if job.is_held:
                self._release(job)
            elif job.reason in _HOPELESS:
                self._fault = self._fault or (
                    f"Slurm will not start job {job.id} ({job.reason}): {self._remedy()}"
                )
            elif job.reason not in ("", "None") and job.reason not in self._told:
                self._told.add(job.reason)
                log.info(f"Slurm lets {plural(len(waiting), 'job')} wait ({job.reason}).")

    def _release(self, job: SlurmJob) -> None:
        """Let Slurm try again to start a job that a node could not start, unless it did often."""
        if job.restarts > _FUTILE_JOBS:
            self._fault = self._fault or (
                f"Slurm could not start job {job.id}, {job.restarts} times: see sinfo -R for what "
                "its nodes lack"
            )
        else:
            log.warning("A node could not start job %s: Slurm is asked to try again.", job.id)
            release_job(job)

    def _remedy(self) -> str:
        named = ("partition", "account", "qos", "timeout_min")
        given = {name: getattr(self._options, name) for name in named}
        asked = ", ".join(f"{name}={each}" for name, each in given.items() if each is not None)
        return f"change hydra.sweeper.slurm ({asked}); sinfo lists partitions and their limits"

    def _submit(self, count: int) -> None:
        import submitit

        options = self._options
        self._folder.mkdir(mode=0o700, exist_ok=True)
        threads = "${SLURM_CPUS_ON_NODE:-1}"
        asked = {
            "name": self._name,
            "timeout_min": options.timeout_min,
            "stderr_to_stdout": True,
            "cpus_per_task": options.cpus_per_task,
            "mem_gb": options.mem_gb,
            "gpus_per_node": self._gpus or None,
            "slurm_partition": options.partition,
            "slurm_account": options.account,
            "slurm_qos": options.qos,
            "slurm_additional_parameters": {
                "signal": f"{short_name(_ASKS)}@{options.signal_delay_s}",
                **(options.additional_parameters or {}),
            },
            "slurm_setup": [
                f"export PYTHONPATH={shlex.quote(os.pathsep.join(filter(None, sys.path)))}",
                f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{threads}}}",
                f"export MKL_NUM_THREADS=${{MKL_NUM_THREADS:-{threads}}}",
                f"export LOKY_MAX_CPU_COUNT={threads}",
                *options.setup,
            ],
        }
        job = self._job
        if job.needs and self._queue.study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE,)
        ):
            job = replace(job, needs=replace(job.needs, servers=False))  # they may be away a while
        executor = submitit.AutoExecutor(folder=self._folder, cluster="slurm")
        executor.update_parameters(**{k: each for k, each in asked.items() if each is not None})
        try:
            # What sbatch says is said in one sentence.
            with redirect_stderr(io.StringIO()), _outside_of_jobs(), executor.batch():
                jobs = [executor.submit(job) for _ in range(count)]
        except submitit.core.utils.FailedJobError as error:
            if jobs_named(self._name) is None:
                self._wait_for_slurm()
                return
            told = re.findall(r"^sbatch: (?:error: )?(.+)", str(error), re.MULTILINE)
            said = told[-1] if told else first_line(error)
            raise StudyError(f"Slurm took no job ({said}): {self._remedy()}") from error
        for submitted in jobs:  # until Slurm tells more of them
            self._jobs[submitted.job_id] = SlurmJob(submitted.job_id, "PENDING", 0)
        names = jobs[0].job_id if count == 1 else f"{jobs[0].job_id} to {jobs[-1].job_id}"
        log.info(f"Submitted {plural(count, 'job')} ({names}); logs are in {self._folder}.")

    def _end(self, present: Collection[SlurmJob]) -> None:
        """Cancel what waits, and ask once what runs to end after its epoch."""
        cancel_jobs([job for job in present if job.waits])
        if interrupted():
            running = [job for job in present if not job.waits and job.id not in self._asked]
            self._asked.update(job.id for job in running)
            signal_jobs(running, _ASKS)

    def _cancel_all(self) -> None:
        """End all jobs, wait until they have, and settle what they left."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        cancel_jobs((jobs_named(self._name) or self._jobs).values())
        while time.monotonic() < deadline:
            if self._look() and all(job.has_ended for job in self._jobs.values()):
                return
            time.sleep(_LOOK_SECONDS)

    def _log_of(self, job: SlurmJob) -> Path:
        return self._folder / f"{job.id}_0_log.out"


def last_sentence(log_file: Path) -> str | None:
    """Return why a job ended, by its log; None of none.

    It is the last line that it left itself, or what Slurm says of one that was killed.
    """
    try:
        lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    said = [line.strip() for line in lines if line.strip()]
    own = [line for line in said if not line.startswith(("srun:", "slurmstepd"))]
    killed = [line for line in said if _KILLED.match(line)]
    return next(reversed(killed or own or said), None)


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Submit as from a login node where this is a job itself: its variables are not for others."""
    kept: Mapping[str, str] = {}
    if "SLURM_JOB_ID" in os.environ:
        own = [
            name
            for name in os.environ
            if name.startswith(("SLURM_", "SUBMITIT_", "SLURMD_")) and name != "SLURM_CONF"
        ]
        kept = {name: os.environ.pop(name) for name in own}
    try:
        yield
    finally:
        os.environ.update(kept)
