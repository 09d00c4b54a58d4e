"""Which process still runs: told by its birth, which no clock, reboot or reused id confuses."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greensweep.energy import processes
from greensweep.energy.processes import Processes


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its standard input to close."""
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def birth_of(process: int) -> str:
    found = processes._birth(process)
    assert found is not None
    return found


def test_a_process_is_alive_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    own, born = Processes().own()
    assert own == os.getpid()
    assert Processes().alive(own, born)
    other = birth_of(child.pid)
    assert Processes().alive(child.pid, other)
    assert not Processes().alive(own, other)  # the id was another's before
    child.communicate()
    assert not Processes().alive(child.pid, other)


def test_the_first_process_of_torchrun_counts_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert Processes().own() == (os.getppid(), birth_of(os.getppid()))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes().own() == (os.getpid(), birth_of(os.getpid()))


def test_a_killed_process_that_nobody_waited_for_is_dead(child: subprocess.Popen[bytes]) -> None:
    born = birth_of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not Processes().alive(child.pid, born)


@pytest.mark.parametrize("seconds", [1.0, -1.0, 60.0, -3600.0, 86400.0, -86400.0])
def test_a_clock_that_is_set_changes_no_birth(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    own, born = Processes().own()
    before, started = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: before + seconds)
    monkeypatch.setattr("time.time", lambda: before + seconds)
    if psutil.LINUX:  # what psutil tells then shows that the test sets it
        assert psutil.Process().create_time() == pytest.approx(started + seconds)
    assert Processes().own() == (own, born)
    assert Processes().alive(own, born)


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere a birth is a date, which no boot repeats")
def test_a_process_of_an_earlier_boot_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    own, born = Processes().own()
    monkeypatch.setattr(processes, "_boot", lambda: "the next")
    assert not Processes().alive(own, born)


def test_a_name_with_brackets_and_spaces_hides_no_birth(tmp_path: Path) -> None:
    named = tmp_path / "a) Z (b"
    named.symlink_to("/bin/sleep")
    child = subprocess.Popen([named, "60"])
    try:
        assert Processes().alive(child.pid, birth_of(child.pid))
    finally:
        child.kill()
        child.wait()


def test_without_proc_a_birth_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(psutil, "LINUX", False)
    born = birth_of(child.pid)
    assert Processes().alive(child.pid, born)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not Processes().alive(child.pid, born)
    child.wait()
    assert not Processes().alive(child.pid, born)


def test_a_family_is_a_process_with_all_that_it_started(child: subprocess.Popen[bytes]) -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    try:
        sleeping = int(shell.stdout.readline())
        found = Processes().families({os.getpid()})
        assert {os.getpid(), child.pid, shell.pid, sleeping} <= found
        os.kill(sleeping, signal.SIGKILL)
    finally:
        shell.communicate()
