"""A search of short trials, faults to play during it, and the check of its end, for all engines."""

import asyncio
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import mlflow
import optuna
import psutil
import pytest
from servers import Postgres, free_port
from sqlalchemy.engine import make_url

from greensweep.energy.machine import machine_totals
from greensweep.record.result import RunResult, read_results
from greensweep.search.folders import trial_directories
from greensweep.search.records import counted, outcome_of

STUDY = "greensweep"
EPOCHS = 4

CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: greensweep
  - override hydra/sweeper/sampler: random
rate: 0.5
epochs: 4
pause: 0.25
begun: ???
hydra:
  sweeper:
    n_trials: 40
    n_workers: 4
    direction: maximize
    metric: score
    pruner: none
    seed: 0
    params: {rate: "interval(0.1,1.0)"}
"""

PROGRAM = """
import json, os, platform, time
import hydra
from hydra.core.hydra_config import HydraConfig
import greensweep

@hydra.main(config_path=".", config_name="config", version_base=None)
def main(config):
    node = os.environ.get("SLURMD_NODENAME", platform.node())
    began = {"trial": HydraConfig.get().job.num, "pid": os.getpid(), "node": node}
    with open(config.begun, "a") as file:
        print(json.dumps(began), file=file, flush=True)
    for epoch in range(1, config.epochs + 1):
        time.sleep(config.pause)
        greensweep.report(epoch=epoch, epochs=config.epochs, score=config.rate * epoch / 4)
    return config.rate

main()
"""


_CLOCK = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) { const char *said = getenv("CLOCK_AHEAD"); return said ? atol(said) : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int status = syscall(SYS_clock_gettime, clock, now);
    if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return status;
}

int gettimeofday(struct timeval *now, void *zone) {
    int status = syscall(SYS_gettimeofday, now, zone);
    if (!status) now->tv_sec += ahead();
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class Search:
    """A program of one's own in a folder, searched by a command as a user gives it.

    Args:
        storage: where the study is kept, as `hydra.sweeper.storage` names it.
        tracking: the address of MLflow's store.
        options: of the command, an engine's own say.
        environment: of the command, beside this process's.
    """

    def __init__(
        self,
        folder: Path,
        storage: str,
        tracking: str,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.storage, self.tracking = folder, storage, tracking
        self.options = options
        self.environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking, **(environment or {})}
        self.command: subprocess.Popen[bytes] | None = None
        self.played: list[str] = []  # what happened when
        self._began = time.monotonic()
        self._said = folder / "said.txt"
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "program.py").write_text(PROGRAM)

    @property
    def sweep(self) -> Path:
        return self.folder / "multirun" / STUDY

    def start(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Give the command; what it says is in `said` from the first on."""
        asked = [f"hydra.sweeper.storage={self.storage}", f"begun={self.folder / 'begun.jsonl'}"]
        with self._said.open("ab") as file:
            self.command = subprocess.Popen(
                [sys.executable, "program.py", "-m", *asked, *self.options, *options],
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, status: int = 0, seconds: float = 400.0) -> str:
        """Wait for the command's end; return all that commands have said."""
        assert self.command is not None
        assert self.command.wait(seconds) == status, self.story
        return self.said

    def kill(self) -> None:
        """Kill the command, the sweeper, and nothing else."""
        assert self.command is not None
        self.command.kill()
        self.command.wait()

    def close(self) -> None:
        """End what a failed test has left."""
        if self.command is not None and self.command.poll() is None:
            self.kill()
        for pid in {each["pid"] for each in self.begun}:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.cwd().startswith(str(self.folder)):
                    process.kill()

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace") if self._said.is_file() else ""

    @property
    def story(self) -> str:
        """What happened when, and what the commands said."""
        return "\n".join([*self.played, self.said])

    def play(self, trials: int, name: str, fault: Callable[[], object]) -> None:
        """Let a fault happen once so many further trials have begun."""
        self.wait_for(trials)
        at = time.monotonic() - self._began
        began = len(self.begun)
        fault()
        took = time.monotonic() - self._began - at
        self.played.append(f"{at:6.1f} s, {began:3} begun: {name} ({took:.1f} s)")

    @property
    def begun(self) -> list[dict[str, Any]]:
        """The trials that have begun, in order: `trial`, `pid`, `node`."""
        file = self.folder / "begun.jsonl"
        return [*map(json.loads, file.read_text().splitlines())] if file.is_file() else []

    def wait_for(self, trials: int, seconds: float = 180.0) -> None:
        """Wait until so many further trials have begun."""
        wanted, deadline = len(self.begun) + trials, time.monotonic() + seconds
        while len(self.begun) < wanted:
            assert time.monotonic() < deadline, f"no {wanted} trials began\n{self.story}"
            assert self.command is None or self.command.poll() is None, self.story
            time.sleep(0.05)

    def kill_worker(self, node: str | None = None) -> None:
        """Kill the process of the trial that began last, on a node say, as for want of memory."""
        there = [each["pid"] for each in self.begun if node in (None, each["node"])]
        with suppress(ProcessLookupError):
            os.kill(there[-1], signal.SIGKILL)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        storage = optuna.storages.get_storage(self.storage)
        return optuna.load_study(study_name=STUDY, storage=storage).get_trials(deepcopy=False)

    def results(self) -> dict[int, RunResult]:
        """The results of the trials that finished, by number."""
        found = read_results(trial_directories(self.sweep)).values()
        return {int(each.trial or 0): each for each in found if each.status == "finished"}

    def tracked(self) -> dict[int, Mapping[str, float]]:
        """The metrics in MLflow of the trials that finished, by number; each has one run."""
        client = mlflow.MlflowClient(self.tracking)
        experiment = client.get_experiment_by_name("greensweep")
        assert experiment is not None, self.story
        runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
        found = [
            (int(str(run.info.run_name).removeprefix("trial ")), run.data.metrics)
            for run in runs
            if "mlflow.parentRunId" in run.data.tags
        ]
        assert max(Counter(number for number, _ in found).values()) == 1, self.story
        return dict(found)

    def upload(self) -> None:
        """Send to MLflow what could not be sent while its server was away."""
        done = subprocess.run(
            [sys.executable, "-m", "greensweep", "upload", str(self.sweep)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.story}"

    def holds(self, trials: int = 40) -> None:
        """Hold file, storage and MLflow against each other: each trial is there, and once."""
        self.upload()
        study = self.trials()
        ended = counted(study)
        assert Counter(trial.state.name for trial in ended) == {"COMPLETE": trials}, self.story
        assert not {trial.state.name for trial in study} & {"RUNNING", "WAITING"}, self.story
        assert len({trial.params["rate"] for trial in ended}) == trials, self.story
        # Each number in file, storage and MLflow.
        kept = {trial.number: (trial.values[0], _joules(trial)) for trial in ended}
        filed = {
            n: (each.objective_value, each.energy_joules) for n, each in self.results().items()
        }
        tracked = {
            number: (metrics["validation/score"], metrics["energy/training_joules"])
            for number, metrics in self.tracked().items()
        }
        for place, found in (("files", filed), ("MLflow", tracked)):
            other = {*found.items()} ^ {*kept.items()}
            assert not other, f"{place} and storage differ: {sorted(other)}\n{self.story}"
        # What each was charged of its node's energy, which has shares where a node had several.
        left = read_results(trial_directories(self.sweep)).values()
        charged = [each.energy_charged_joules or each.energy_spent_joules for each in left]
        spent = sum(filter(None, charged))
        assert spent > 0
        machines = machine_totals(self.sweep)
        total = sum(each.machine_joules for each in machines.values())
        assert machines and spent <= total, f"{spent} J > {total} J\n{self.story}"


def _joules(trial: optuna.trial.FrozenTrial) -> float | None:
    outcome = outcome_of(trial)
    return None if outcome is None else outcome.joules


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


def restart(server: Server, seconds: float) -> None:
    """Stop a server, and start it after so long."""
    server.stop()
    time.sleep(seconds)
    server.start()


class Proxy:
    """Stands between clients and a server on this machine, and delays its answers when asked to.

    Attributes:
        seconds: by which each answer comes later.
    """

    def __init__(self, port: int) -> None:
        self.seconds, self.port, self._server_port = 0.0, free_port(), port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def url(self, storage: str) -> str:
        """The address of a storage behind it."""
        return make_url(storage).set(port=self.port).render_as_string(hide_password=False)

    def start(self) -> None:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @contextmanager
    def slow(self, seconds: float = 0.2) -> Iterator[None]:
        """Delay each answer while the block runs."""
        self.seconds = seconds
        try:
            yield
        finally:
            self.seconds = 0.0

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, asked = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pass_on(reader, asked, is_answer=False),
            self._pass_on(answers, writer, is_answer=True),
        )

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while said := await source.read(65536):
                if is_answer and self.seconds:
                    await asyncio.sleep(self.seconds)
                sink.write(said)
                await sink.drain()
        sink.close()


@pytest.fixture
def proxy(postgres_server: Postgres) -> Iterator[Proxy]:
    """A proxy before PostgreSQL."""
    proxy = Proxy(postgres_server.port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextmanager
def small_disk(folder: Path, megabytes: int = 16) -> Iterator[Path]:
    """A disk of its own at a folder, while the block runs; a test without root is skipped."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={megabytes}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill a small disk, and free it when the block ends."""
    file = disk / ".filled"
    try:
        with suppress(OSError), file.open("wb", buffering=0) as filling:
            for size in (2**20, 2**12, 1):
                with suppress(OSError):
                    while filling.write(b"\0" * size):
                        pass
        yield
    finally:
        file.unlink(missing_ok=True)


def clock_off(seconds: int) -> dict[str, str]:
    """Return the environment of a machine whose clock is so far ahead, or behind."""
    return {"LD_PRELOAD": _other_clock(), "CLOCK_AHEAD": str(seconds)}


@cache
def _other_clock() -> str:
    """Build a library that answers with another time of day, and leaves other clocks alone.

    libfaketime has either Python's sleep fail, or the clock that counts from the machine's start
    jump to the year 2026, by which runs of one machine divide its energy.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build another clock with")
    folder = Path(tempfile.mkdtemp(prefix="clock"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "clock.c").write_text(_CLOCK)
    library = folder / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c"], check=True, timeout=60
    )
    return str(library)
