"""The processes of a run on several devices, by torchrun's launcher: started, asked and ended."""

import logging
import multiprocessing
import signal
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory
from typing import Any

from greensweep.errors import GreensweepError, TrainingError, describe
from greensweep.runs.rank import Failure, Job, receive, send, work

# A rank that hears nothing of the others for so long, in a step, gives them up.
PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 0.5
# The launcher looks every 0.1 s whether a rank has died.
_NOTICE_SECONDS = 1.0
_END_SECONDS = 30.0


class Ranks:
    """So many processes that train together, children of this one.

    Args:
        job: what each is to train.

    Raises:
        GreensweepError: one of them cannot; all have ended.
    """

    def __init__(self, job: Job, count: int) -> None:
        self._before = set(map(id, multiprocessing.active_children()))
        context = multiprocessing.get_context("spawn")
        ends = [context.Pipe() for _ in range(count)]
        self._pipes = [own for own, _ in ends]
        self._patience_seconds = job.patience_seconds
        self._failed: BaseException | None = None
        resource_tracker.ensure_running()  # which lets signals through that `_launch` blocks
        theirs = [other for _, other in ends]
        self._launcher = threading.Thread(target=self._launch, args=(theirs,), daemon=True)
        self._launcher.start()
        try:
            self._answers()
            for other in theirs:
                other.close()
            for pipe in self._pipes:
                self._send(pipe, job)
            self._answers()
        except BaseException:
            self.end()
            raise

    def ask(self, what: str, given: Any = None) -> list[Any]:
        """Ask all ranks for something, and return their answers.

        Raises:
            GreensweepError: one of them failed or died; all have ended.
        """
        for pipe in self._pipes:
            self._send(pipe, (what, given))
        return self._answers()

    def end(self) -> None:
        """End all at once: what they have is the run's already, and to end by itself takes long."""
        try:
            self._kill()
        finally:  # and who is left ends without them
            for pipe in self._pipes:
                pipe.close()

    def _kill(self) -> None:
        until = time.monotonic() + _END_SECONDS
        while self._launcher.is_alive() and time.monotonic() < until:
            for each in multiprocessing.active_children():
                # The launcher may be about to start others.
                if isinstance(each, SpawnProcess) and id(each) not in self._before:
                    each.kill()
            self._launcher.join(0.05)

    def _launch(self, pipes: Sequence[Connection]) -> None:
        """Run the ranks to their end, by a rendezvous at a port that is free."""
        from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        for name in ("torch.distributed.elastic", "torch.multiprocessing"):
            launcher = logging.getLogger(name)  # what it would say, the run says in a sentence
            launcher.propagate = False
            launcher.addHandler(logging.NullHandler())
        # What this thread starts inherits that: a terminal sends Ctrl-C to the ranks, too.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=len(pipes),
                run_id=uuid.uuid4().hex,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",
                max_restarts=0,
                start_method="spawn",
                logs_specs=DefaultLogsSpecs(log_dir=folder),
            )
            try:
                elastic_launch(config, work)(pipes)
            except BaseException as error:
                self._failed = error

    def _send(self, pipe: Connection, value: Any) -> None:
        with suppress(OSError):  # it has died, which is found when it does not answer
            send(pipe, value)

    def _answers(self) -> list[Any]:
        answers: dict[int, Any] = {}
        while len(answers) < len(self._pipes):
            asked = {each: n for n, each in enumerate(self._pipes) if n not in answers}
            ready = wait(list(asked), _LOOK_SECONDS)
            if not ready and not self._launcher.is_alive():
                raise self._lost(None)
            for pipe in ready:
                rank = asked[pipe]  # type: ignore[index] # a Connection
                answers[rank] = self._answer(rank)
                if isinstance(answers[rank], Failure):
                    raise self._fault(rank, answers[rank])
        return [answers[rank] for rank in range(len(self._pipes))]

    def _answer(self, rank: int) -> Any:
        try:
            return receive(self._pipes[rank])
        except (EOFError, OSError):
            raise self._lost(rank) from None

    def _fault(self, rank: int, failure: Failure) -> GreensweepError:
        """Return why a rank failed; of one that missed the others, what became of them."""
        if not failure.follows:
            return failure.error
        others = [each for number, each in enumerate(self._pipes) if number != rank]
        until = time.monotonic() + 2 * _NOTICE_SECONDS
        while others and (left := until - time.monotonic()) > 0:
            for pipe in wait(others, left):
                others.remove(pipe)  # type: ignore[arg-type] # a Connection
                answer = self._answer(self._pipes.index(pipe))  # type: ignore[arg-type]
                if isinstance(answer, Failure) and not answer.follows:
                    return answer.error
        return TrainingError(
            f"training failed on {len(self._pipes)} devices: that of rank {rank} heard nothing of "
            f"another for {self._patience_seconds:g} s: look at what its process waits for, or set "
            "training.devices=1"
        )

    def _lost(self, rank: int | None) -> GreensweepError:
        """Return how a rank ended that did not answer any more."""
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        self._launcher.join(_NOTICE_SECONDS)
        self._kill()
        how = "ended" if self._failed is None else f"ended ({describe(self._failed)})"
        if isinstance(self._failed, ChildFailedError):
            rank, failure = self._failed.get_first_failure()
            how = f"ended with status {failure.exitcode}"
            if failure.exitcode < 0:
                how = f"was ended by {signal.Signals(-failure.exitcode).name}"
        out = ": look at what it printed"
        if how.endswith("SIGKILL"):
            out = ", as systems do for want of memory: set training.batch_size lower"
        return TrainingError(
            f"training failed on {len(self._pipes)} devices: the process of rank {rank} {how}{out}"
        )
