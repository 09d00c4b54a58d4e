"""Slurm on this machine: two nodes with GPUs that are none, for tests that need the real one.

munge, MariaDB, slurmdbd, slurmctld and two slurmd in a folder of their own, which bind to 127.0.0.1
alone and are ended whatever happens. Each node has a host's name and a folder for temporary files
of its own, as machines have.
"""

import ctypes
import os
import platform
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from servers import MariaDB

NODES = ("n1", "n2")
_DAEMONS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")

_GRES = """\
AutoDetect=off
NodeName=n1 Name=gpu File={folder}/dev/n1gpu[0-1]
NodeName=n2 Name=gpu File={folder}/dev/n2gpu[0-1]
"""

# What a node's jobs have in their environment beside what they were submitted with.
_PROLOG = """\
#!/bin/sh
echo "export TMPDIR={folder}/spool/$SLURMD_NODENAME/tmp"
cat {folder}/environment/$SLURMD_NODENAME
"""

_SLURM = """\
ClusterName=scale
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[slurmctld]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[slurmdbd]}
AccountingStoragePass={folder}/munge/munge.socket
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=30
InactiveLimit=0
KillWait=5
MinJobAge=300
SlurmdParameters=config_overrides
GresTypes=gpu
TaskProlog={folder}/etc/prolog.sh
NodeName=DEFAULT CPUs={cpus} RealMemory=4000 Gres=gpu:2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[n1]}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[n2]}
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=n1,n2 MaxTime=10 State=UP
PartitionName=urgent Nodes=n1,n2 MaxTime=10 PriorityTier=10 PreemptMode=OFF State=UP
"""

_SLURMDBD = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[slurmdbd]}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb.port}
StorageUser={mariadb.name}
StoragePass={mariadb.password}
StorageLoc={mariadb.name}
"""


def wait_for(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what or condition
        time.sleep(0.1)


class Slurm:
    """A Slurm of two nodes on this machine, in a folder."""

    def __init__(self, folder: Path, cpus: int = 1) -> None:
        self.folder, self._cpus = folder, cpus
        self._ports = _free_ports("slurmctld", "slurmdbd", *NODES)
        self._mariadb = MariaDB(folder / "db", "slurm")
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command needs to find it."""
        return {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def call(self, *command: str) -> str:
        """Run a command of Slurm's, and return what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        self._write()
        self._start_munge()
        self._mariadb.start()
        self._daemon("slurmdbd", "-D")
        wait_for(lambda: _answers(self._ports["slurmdbd"]), what="slurmdbd does not answer")
        self._daemon("slurmctld", "-D")
        wait_for(lambda: _answers(self._ports["slurmctld"]), what="slurmctld does not answer")
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.states() == {"idle"}, what="its nodes do not come up")

    def states(self) -> set[str]:
        """Return the states that its nodes are in."""
        return {*self.call("sinfo", "--noheader", "--Format=StateLong").split()}

    def start_node(self, node: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a node, or bring it back, with variables that its jobs have."""
        given = (environment or {}).items()
        lines = "".join(f"export {name}={value}\n" for name, value in given)
        (self.folder / "environment" / node).write_text(lines)
        (self.spool(node) / "tmp").mkdir(exist_ok=True)
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', node)
        self._daemon("slurmd", "-D", "-N", node, before=named)
        self.call("scontrol", "ping")

    def spool(self, node: str) -> Path:
        """The node's own disk: what slurmd and jobs write that no other node sees."""
        return self.folder / "spool" / node

    def kill_node(self, node: str) -> None:
        """Kill a node with all that runs on it, as if its power was cut."""
        while processes := self._processes(node):
            for process in processes:
                with suppress(psutil.Error):
                    process.kill()

    def end(self) -> None:
        for node in NODES:
            self.kill_node(node)
        for process in reversed(self._started):
            process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._mariadb.stop()

    def _processes(self, node: str) -> list[psutil.Process]:
        """Return a node's slurmd and its steps, which write one log, and what they run."""
        log, found = str(self.folder / "log" / f"slurmd-{node}.log"), []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name().startswith(("slurmd", "slurmstepd")) and any(
                    file.path == log for file in process.open_files()
                ):
                    found += [process, *process.children(recursive=True)]
        return found

    def _write(self) -> None:
        for name in ("etc", "state", "log", "run", "dev", "munge", "mungekey", "environment"):
            (self.folder / name).mkdir(parents=True)
        for node in NODES:
            self.spool(node).mkdir(parents=True, exist_ok=True)
            for gpu in (0, 1):  # as /dev/null is one; a plain file would be no device
                device = self.folder / "dev" / f"{node}gpu{gpu}"
                os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        known = {
            "folder": self.folder,
            "host": platform.node(),
            "ports": self._ports,
            "mariadb": self._mariadb,
            "cpus": self._cpus,
        }
        for name, text, mode in (
            ("gres.conf", _GRES, 0o644),
            ("slurm.conf", _SLURM, 0o644),
            ("slurmdbd.conf", _SLURMDBD, 0o600),
            ("prolog.sh", _PROLOG, 0o755),
        ):
            file = self.folder / "etc" / name
            file.write_text(text.format(**known))
            file.chmod(mode)

    def _start_munge(self) -> None:
        key, folder = self.folder / "mungekey" / "munge.key", self.folder / "munge"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        key.parent.chmod(0o700)
        folder.chmod(0o755)
        # It is as safe as the folders above its own, which here are a test's.
        self._daemon(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={folder / 'munge.socket'}",
            f"--pid-file={folder / 'munged.pid'}",
            f"--log-file={folder / 'munged.log'}",
            f"--seed-file={folder / 'munged.seed'}",
            "--num-threads=2",
        )
        wait_for((folder / "munge.socket").exists, what="munged does not start")

    def _daemon(self, *command: str, before: Sequence[str] = ()) -> None:
        name = f"{command[0]}-{command[-1]}.out" if command[0] == "slurmd" else f"{command[0]}.out"
        with (self.folder / "log" / name).open("ab") as file:
            process = subprocess.Popen(
                [
                    *before,
                    shutil.which(command[0]) or f"/usr/sbin/{command[0]}",
                    *command[1:],
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._started.append(process)


def _end_with_parent() -> None:
    """Let a daemon end when the tests are killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _free_ports(*names: str) -> dict[str, int]:
    """Return a free port for each name; all are held until all are known."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    try:
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def require_slurm() -> None:
    """Skip a test where a Slurm of its own lacks something."""
    pytest.importorskip("submitit")
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in _DAEMONS if shutil.which(name, path=path) is None]
    if absent:
        pytest.skip(f"no {absent[0]}: install slurm-wlm, munge, slurmdbd and mariadb-server")
    if os.getuid() != 0:
        pytest.skip("its devices and its slurmd need root")


@contextmanager
def running_slurm(folder: Path, cpus: int = 1) -> Iterator[Slurm]:
    """A Slurm that runs until the block ends, whose nodes have so many CPUs."""
    slurm = Slurm(folder, cpus)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.end()


@pytest.fixture(scope="module")
def slurm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Slurm]:
    """A Slurm of two nodes, each with two GPUs that are none and a CPU, or a parameter's number."""
    require_slurm()
    with running_slurm(tmp_path_factory.mktemp("slurm"), getattr(request, "param", 1)) as found:
        yield found
