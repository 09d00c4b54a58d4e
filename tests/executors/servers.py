"""PostgreSQL, MariaDB and MLflow servers on this machine, for tests that need real ones.

Each binds to 127.0.0.1 alone, has a folder of its own, and is ended whatever happens.
"""

import ctypes
import getpass
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_PATIENCE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_USER = getpass.getuser()
_POSTGRES_ACCOUNT = "postgres"  # PostgreSQL refuses to be run by root


class Absent(Exception):
    """What a server needs is not installed here."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


class Postgres:
    """A PostgreSQL server, which can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        places = [Path(each) for each in Path("/usr/lib/postgresql").glob("*/bin")]
        found = shutil.which(
            "initdb", path=os.pathsep.join(map(str, [*places, *os.get_exec_path()]))
        )
        if found is None:
            raise Absent("PostgreSQL is not installed")
        self._programs = Path(found).parent
        self._data, self.port = folder / "postgres", free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._account = _POSTGRES_ACCOUNT if os.geteuid() == 0 else None
        folder.mkdir(parents=True, exist_ok=True)
        self._data.mkdir(mode=0o700)
        if self._account is not None:
            try:
                account = pwd.getpwnam(self._account)
            except KeyError as error:
                raise Absent(f"PostgreSQL needs an account {self._account} beside root") from error
            os.chown(self._data, account.pw_uid, account.pw_gid)
            self._let_in()
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", self._data)

    @property
    def url(self) -> str:
        """The storage's address."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def _let_in(self) -> None:
        """Let its account get to its data."""
        for parent in self._data.parents:
            with suppress(PermissionError):
                if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o711)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self._account is not None:
            self._let_in()  # another run of pytest has closed the folder of them all by now
        self._server = subprocess.Popen(
            [
                self._programs / "postgres", "-D", self._data, "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                "-c", "max_connections=400",
            ],
            user=self._account, cwd=self._data, start_new_session=True, preexec_fn=_end_with_parent,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for_port(self.port, self._server, "PostgreSQL")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:  # after a stop it answers before it takes anybody
            try:
                self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port))
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """End it as a machine that is shut down does; its data stays."""
        if self._server is not None:
            _end(self._server, signal.SIGINT)
            self._server = None

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            user=self._account, cwd=self._data, check=True, capture_output=True,
            timeout=_PATIENCE_SECONDS,
        )  # fmt: skip


class MariaDB:
    """A MariaDB server, which speaks MySQL's protocol, with one database and its user."""

    def __init__(self, folder: Path, name: str) -> None:
        path = os.pathsep.join([*os.get_exec_path(), "/usr/sbin"])
        programs = ("mariadbd", "mariadb-install-db", "mariadb")
        if absent := [each for each in programs if shutil.which(each, path=path) is None]:
            raise Absent(f"{absent[0]} is not installed")
        self._server_program = shutil.which("mariadbd", path=path)
        self._folder, self._socket = folder, folder / "s.sock"
        self.name, self.port, self.password = name, free_port(), secrets.token_hex(8)
        self._server: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """The storage's address."""
        return f"mysql+pymysql://{self.name}:{self.password}@127.0.0.1:{self.port}/{self.name}"

    def start(self) -> None:
        """Make its database, start it, and wait until it answers."""
        data = ("--no-defaults", f"--user={_USER}", f"--datadir={self._folder / 'data'}")
        own = ("--auth-root-authentication-method=socket", "--skip-test-db")
        subprocess.run(["mariadb-install-db", *data, *own], check=True, capture_output=True)
        self._server = subprocess.Popen(
            [
                str(self._server_program), *data, f"--socket={self._socket}",
                "--bind-address=127.0.0.1", f"--port={self.port}",
                f"--pid-file={self._folder / 'm.pid'}", "--innodb-buffer-pool-size=64M",
                "--innodb-lock-wait-timeout=900",
            ],
            start_new_session=True, preexec_fn=_end_with_parent,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for_port(self.port, self._server, "MariaDB")
        grants = "".join(
            f"create user {self.name}@'{host}' identified by '{self.password}';"
            f"grant all on {self.name}.* to {self.name}@'{host}';"
            for host in ("127.0.0.1", "localhost")
        )
        subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self._socket}", f"--user={_USER}"],
            input=f"create database {self.name}; {grants}", check=True, text=True,
        )  # fmt: skip

    def stop(self) -> None:
        """End it."""
        if self._server is not None:
            _end(self._server, signal.SIGTERM)
            self._server = None


class MlflowServer:
    """An MLflow server that takes artifacts, too; it can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder / "mlflow", free_port()
        self._folder.mkdir(parents=True)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port",
                str(self.port), "--workers", "1", "--serve-artifacts",
                "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db",
                "--artifacts-destination", str(self._folder / "artifacts"),
            ],
            cwd=self._folder, start_new_session=True, preexec_fn=_end_with_parent,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # ten processes
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for_port(self.port, self._server, "the MLflow server")
        with urllib.request.urlopen(f"{self.url}/health", timeout=_PATIENCE_SECONDS) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        """End it; what it holds stays."""
        if self._server is not None:
            _end(self._server, signal.SIGTERM)
            self._server = None


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL server while the block runs.

    Raises:
        Absent: PostgreSQL is not installed.
    """
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """An MLflow server while the block runs."""
    server = MlflowServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_server(tmp_path: Path) -> Iterator[Postgres]:
    """A PostgreSQL server; a test without one is skipped."""
    pytest.importorskip("psycopg", reason="its driver, psycopg, is not installed")
    try:
        with postgres(tmp_path) as server:
            yield server
    except Absent as reason:
        pytest.skip(str(reason))


@pytest.fixture
def mysql_server(tmp_path: Path) -> Iterator[MariaDB]:
    """A MariaDB server; a test without one is skipped."""
    pytest.importorskip("pymysql", reason="its driver, PyMySQL, is not installed")
    try:
        server = MariaDB(tmp_path / "mariadb", "optuna")
    except Absent as reason:
        pytest.skip(str(reason))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[MlflowServer]:
    """An MLflow server that takes artifacts."""
    with mlflow_server(tmp_path) as server:
        yield server


def _wait_for_port(port: int, server: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"{name} ended with status {server.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        if time.monotonic() > deadline:
            _end(server, signal.SIGKILL)
            raise RuntimeError(f"{name} did not answer within {_PATIENCE_SECONDS:g} s")
        time.sleep(0.1)


def _end_with_parent() -> None:
    """Let a server get SIGTERM when who started it dies, however that is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(server: subprocess.Popen[bytes], by: signal.Signals) -> None:
    """End a server and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, by)
    try:
        server.wait(20.0)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # children that outlived it
