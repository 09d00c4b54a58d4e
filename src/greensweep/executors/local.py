"""Worker processes side by side: each takes its own trials, and one that dies is replaced."""

import logging
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from io import FileIO
from typing import IO

import cloudpickle

from greensweep.errors import GreensweepError, StorageLost, StudyError
from greensweep.resources import usable_cores
from greensweep.search.interrupt import graceful, interrupted
from greensweep.search.patience import STORAGE_FAULTS, hurried, is_away
from greensweep.secrets.output import mask_output

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<Q")
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 10.0
_DRAIN_SECONDS = 1.0
_STORAGE_LOST = os.EX_TEMPFAIL  # status of a worker whose storage was away for too long
_FUTILE_DEATHS = 3  # of one worker after another, without a trial between them


def run_workers(
    job: Callable[[], None],
    workers: int,
    on_death: Callable[[], int],
    *,
    read_output: bool = False,
) -> None:
    """Run `job` in so many processes until all have ended.

    A worker that dies, as for want of memory, is replaced. At an interrupt all get the signal, and
    are waited for; when this process dies, they end at once.

    Args:
        job: pickled by value where it is no part of a module.
        on_death: recovers the trials of a dead worker; returns how many they were.
        read_output: print what they print in this process, line by line.

    Raises:
        StudyError: workers die without running anything, or one found an error.
        KeyboardInterrupt: a second interrupt.
    """
    # Not pickle: the program's own function lives in __main__, which a worker does not have.
    payload = cloudpickle.dumps(job)
    running: list[subprocess.Popen[bytes]] = []

    signalled: set[int] = set()
    readers: list[threading.Thread] = []

    def start() -> None:
        process = _start(payload, workers, subprocess.PIPE if read_output else None)
        running.append(process)
        if process.stdout is not None:
            reader = threading.Thread(target=_pass_on, args=(process.stdout,), daemon=True)
            readers.append(reader)
            reader.start()

    def interrupt_all() -> None:
        for process in running:
            if process.pid not in signalled:  # a second signal would end it at once
                signalled.add(process.pid)
                process.send_signal(signal.SIGINT)

    futile, failed = 0, False
    gone: list[subprocess.Popen[bytes]] = []  # whose trials are yet to be settled
    with graceful(interrupt_all):
        try:
            for _ in range(workers):
                start()
            while running or gone:
                time.sleep(_POLL_SECONDS)
                if interrupted():
                    interrupt_all()  # those too that were being started when it came
                for process in [each for each in running if each.poll() is not None]:
                    running.remove(process)
                    if process.returncode != 0:
                        gone.append(process)
                if not gone:
                    continue
                try:
                    with hurried() if running else nullcontext():
                        left = on_death()
                except STORAGE_FAULTS as fault:
                    if running and is_away(fault):
                        continue  # what runs needs no storage before it ends
                    raise
                futile = 0 if left else futile + len(gone)
                failed = failed or any(each.returncode == 1 for each in gone)
                ended, gone = gone, []
                if interrupted() or failed or futile >= _FUTILE_DEATHS:
                    continue
                for process in ended:
                    if process.returncode != _STORAGE_LOST:
                        log.warning(
                            "A worker process ended with status %d; another takes its place.",
                            process.returncode,
                        )
                    start()
        except BaseException:
            _end(running)
            on_death()
            raise
        finally:
            for reader in readers:
                reader.join(_DRAIN_SECONDS)  # what a worker has started may hold it open
    if interrupted():
        return
    if failed:
        raise StudyError("a worker could not go on, for the reason above; the others finished")
    if futile >= _FUTILE_DEATHS:
        raise StudyError(
            f"{futile} worker processes died one after another before they ran a trial: set "
            "hydra.sweeper.n_workers=1 to see why"
        )


def cores_per_worker(workers: int) -> int:
    """Return the CPU cores that each of so many workers may use."""
    return max(usable_cores() // workers, 1)


def _start(payload: bytes, workers: int, output: int | None) -> subprocess.Popen[bytes]:
    threads = str(cores_per_worker(workers))
    environment = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "LOKY_MAX_CPU_COUNT": threads,  # what usable_cores() is there
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from greensweep.executors.local import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is dead already, and is found so
        process.stdin.write(_LENGTH.pack(len(payload)) + payload)
        process.stdin.flush()
    return process


def _pass_on(output: IO[bytes]) -> None:
    with output:
        for line in output:
            with suppress(OSError):  # where nobody reads what is printed here
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve() -> None:
    """Run the job that stands on standard input; the life of a worker process."""
    # Unbuffered: a thread that waits in a buffered read would block the end of the process.
    stream = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    payload = _read(stream, length)
    threading.Thread(target=_end_with_parent, args=(stream,), daemon=True).start()
    logging.raiseExceptions = False  # of a log file on a full disk the fault itself speaks
    mask_output()
    with graceful(quiet=True):
        try:
            job = cloudpickle.loads(payload)
            job()
        except KeyboardInterrupt:
            sys.exit(130)
        except StorageLost:
            sys.exit(_STORAGE_LOST)  # who started it finds the same, and says it once
        except GreensweepError as error:
            print(f"Error: {error}", file=sys.stderr)
            sys.exit(1)


def _read(stream: FileIO, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = stream.read(size - len(parts))
        if not part:
            os._exit(1)  # the parent died before it had said what to do
        parts += part
    return bytes(parts)


def _end_with_parent(stream: FileIO) -> None:
    """Wait for the parent to close the pipe, which it does at the latest when it dies."""
    stream.read(1)
    os._exit(1)
