"""A trial on a node of a cluster: in the sweep's folder, or in one of the node's own.

Nodes that do not see the sweep's folder send what a trial left there home, as what its task
returns, and whoever submitted it writes it into the sweep's folder.
"""

import logging
import math
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

import cloudpickle
from platformdirs import user_cache_path

from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy.machine import is_later_total
from greensweep.energy.node import node_metered
from greensweep.errors import GreensweepError, StudyError, causes
from greensweep.executors.code import sent_folder
from greensweep.executors.probe import Needs, Node, probe
from greensweep.executors.worker import Worker
from greensweep.files import write_whole
from greensweep.messages import message_of
from greensweep.search.folders import TRIAL_FILE, is_of, trial_directories
from greensweep.search.interrupt import graceful
from greensweep.search.patience import is_full
from greensweep.search.trial import read_trial_file
from greensweep.search.trial_queue import ReservedTrial

_NAMES_PATHS = (".json", ".yaml")  # files of a trial that may name its folder
_MOST_MARK_BYTES = 2**16
_MOST_OUTPUT = 2**16  # characters of a trial's output that are printed, the last ones


@dataclass(frozen=True)
class Home:
    """Where a sweep is at home, for its trials on other nodes.

    Attributes:
        worker: runs trials, pickled.
        folder: that the command was given in.
        sweep: the sweep's.
        mark: tells that folder from another of the same path.
        paths: folders of the program's modules.
        environment: variables that trials need, without those that nodes have of their own.
        reads_output: what trials print is returned; else it goes where the engine lets it.
        needs: what a node is asked for before the first trial of a process; None: nothing.
    """

    worker: bytes
    folder: Path
    sweep: Path
    mark: str
    paths: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    reads_output: bool = True
    needs: Needs | None = None

    def marks(self) -> dict[str, bytes]:
        """Return what trials leave in the sweep's folder for each other: small files, no locks."""
        return _files_in(self.sweep, self.sweep.glob("*"), _MOST_MARK_BYTES)


class Returned(NamedTuple):
    """What a trial's task returns.

    Attributes:
        fault: what broke it outside of the program.
        output: what it printed.
        files: by their paths in the sweep's folder; None where the node sees that folder.
        host: the machine that it ran on.
        unfit: what keeps this node from running trials, so that this one is to run elsewhere; None
            of nothing.
    """

    fault: BaseException | None
    output: str = ""
    files: Mapping[str, bytes] | None = None
    host: str = ""
    unfit: str | None = None


def run_on_node(home: Home, marks: Mapping[str, bytes], trial: ReservedTrial) -> Returned:
    """Run a trial on the node that this process is of.

    Args:
        marks: of the sweep's folder, as of now.
    """
    logging.raiseExceptions = False  # of a log file on a full disk the fault itself speaks
    fault: BaseException | None = None
    unfit: str | None = None
    sweep = home.sweep
    with ExitStack() as stack:
        stack.enter_context(graceful(quiet=True))
        output = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        if home.reads_output:
            stack.enter_context(redirect_stdout(output))
            stack.enter_context(redirect_stderr(output))
        try:
            sweep = _enter(home, marks)
            unfit = _unfit(home, sweep)
            fault = None if unfit else _worker(home, sweep).run_one(trial)
        except (Exception, KeyboardInterrupt) as raised:
            fault = raised
        if not is_of(home.sweep, home.mark) and any(map(is_full, causes(fault))):
            unfit = f"has no space left for {_own_folder(home)}"
        if isinstance(fault, Exception) and not isinstance(fault, GreensweepError):
            fault = StudyError(message_of(fault))  # its class may be of this node alone
        printed = _last(output)
    files = None if sweep == home.sweep else _packed(home, sweep, trial.number)
    if files and unfit:  # it says of the trial that it failed, which its node did
        files = {name: each for name, each in files.items() if not name.endswith(TRIAL_FILE)}
    return Returned(fault, printed, files, platform.node(), unfit)


class NodeWatch:
    """Reads the node that this process is of, for a sweep, until the node is released or dies.

    Args:
        marks: of the sweep's folder, as of now.
        energy: configures the meter.
    """

    def __init__(self, home: Home, marks: Mapping[str, bytes], energy: EnergyConfig) -> None:
        self._home, self._sweep = home, _enter(home, marks)
        self._metered = ExitStack()
        self._metered.enter_context(node_metered(energy, self._sweep, all_gpus=True))

    def release(self) -> Returned:
        """End, and return what is to be brought home."""
        self._metered.close()
        if self._sweep == self._home.sweep:
            return Returned(None)
        totals = self._sweep.glob(f"machine_energy.{platform.node()}.json")
        return Returned(None, files=_files_in(self._sweep, totals))


def probe_node(home: Home, marks: Mapping[str, bytes], needs: Needs) -> Node:
    """Probe the node that this process is of, from where its trials will run."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
        sweep = _enter(home, marks)
        return probe(needs, lambda: _worker(home, sweep))


def take_home(home: Home, returned: Returned) -> bool:
    """Write what a trial left on a node into the sweep's folder; False where it is there.

    Raises:
        OSError: it cannot be written.
    """
    if returned.files is None:
        return False
    for name, content in returned.files.items():
        path = home.sweep / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != home.sweep or not path.exists() or is_later_total(content, path):
            _write(path, content)
    return True


def _enter(home: Home, marks: Mapping[str, bytes]) -> Path:
    """Work where the command was given, or in a folder of this node's; return the sweep's there."""
    os.environ.update(home.environment or {})
    is_shared = is_of(home.sweep, home.mark)
    own = _own_folder(home)
    here = _here(home, is_shared)
    for path in reversed(home.paths):
        if (each := here(path)) not in sys.path:
            sys.path.insert(0, each)
    if is_shared and home.folder.is_dir():
        os.chdir(home.folder)
        return home.sweep
    (own / "work").mkdir(parents=True, exist_ok=True)
    os.chdir(own / "work")
    if is_shared:
        return home.sweep
    sweep = own / "sweep"
    sweep.mkdir(exist_ok=True)
    for name, content in marks.items():
        if not (sweep / name).exists():
            _write(sweep / name, content)
    return sweep


def _own_folder(home: Home) -> Path:
    """Return where a node works that does not see the sweep's folder."""
    return user_cache_path("greensweep") / "sweeps" / home.mark / platform.node()


def _here(home: Home, is_shared: bool) -> Callable[[str], str]:
    """Return what finds a folder of the program's: it, or its copy that was sent."""

    def here(folder: str) -> str:
        return folder if is_shared and Path(folder).is_dir() else sent_folder(folder) or folder

    return here


def _worker(home: Home, sweep: Path) -> Worker:
    worker = _unpickled(home.worker)
    if sweep not in (home.sweep, worker.spec.directory):
        worker.move(sweep, _here(home, is_shared=False))
    return worker


_fit = set[bytes]()  # workers whose needs this process has found to be met


def _unfit(home: Home, sweep: Path) -> str | None:
    """Return what this node lacks, which may have joined after others were probed."""
    if home.needs is None or home.worker in _fit:
        return None
    found = probe(home.needs, lambda: _worker(home, sweep)).fault
    if found is None:
        _fit.add(home.worker)
    return found


@lru_cache(1)  # of the sweep that this process runs trials of
def _unpickled(worker: bytes) -> Worker:
    return cloudpickle.loads(worker)  # type: ignore[no-any-return]


def _packed(home: Home, sweep: Path, number: int) -> dict[str, bytes]:
    """Return the files of a trial, which are then gone here, and what it left for others."""
    files = _files_in(sweep, sweep.glob("*"), _MOST_MARK_BYTES)
    for folder in trial_directories(sweep):
        ended = read_trial_file(folder)
        if str(number) != folder.name and (ended is None or ended.number != number):
            continue
        for name, content in _files_in(sweep, folder.rglob("*")).items():
            if name.endswith(_NAMES_PATHS):
                content = content.replace(str(sweep).encode(), str(home.sweep).encode())
            files[name] = content
        shutil.rmtree(folder, ignore_errors=True)
    return files


def _files_in(top: Path, paths: Iterable[Path], most_bytes: float = math.inf) -> dict[str, bytes]:
    found = {}
    for path in paths:
        with suppress(OSError):  # another trial's that is gone by now
            is_kept = path.is_file() and path.suffix not in (".lock", ".db")
            if is_kept and path.stat().st_size <= most_bytes:
                found[path.relative_to(top).as_posix()] = path.read_bytes()
    return found


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda part: part.write_bytes(content))


def _last(output: IO[str]) -> str:
    output.flush()
    output.seek(0)
    return output.read()[-_MOST_OUTPUT:]
