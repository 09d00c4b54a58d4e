"""Worker processes: replaced when they die, told when to end, never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from greensweep.errors import StudyError
from greensweep.executors.local import run_workers
from greensweep.search.interrupt import graceful, interrupted


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def named(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    folder, deaths = str(tmp_path), []

    def job() -> None:
        import os
        import signal
        from pathlib import Path

        try:
            (Path(folder) / "first").touch(exist_ok=False)
        except FileExistsError:
            (Path(folder) / f"done-{os.getpid()}").touch()
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def on_death() -> int:
        deaths.append(1)
        return 1

    run_workers(job, 1, on_death)
    assert deaths == [1]
    assert len(named(tmp_path, "done-*")) == 1


def test_what_workers_print_can_be_printed_here_line_by_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def job() -> None:
        import sys

        print("a line", flush=True)
        print("a fault", file=sys.stderr, flush=True)
        print("the last, without an end", end="")

    run_workers(job, 2, lambda: 1, read_output=True)
    told = capsys.readouterr()
    assert told.err == ""
    assert [told.out.count(each) for each in ("a line\n", "a fault\n", "the last")] == [2, 2, 2]


def test_workers_that_die_without_a_trial_end_the_search_with_a_sentence(tmp_path: Path) -> None:
    folder = str(tmp_path)

    def job() -> None:
        import os
        import signal
        from pathlib import Path

        (Path(folder) / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    ran = iter([1, 0, 0, 0])  # the first worker died in a trial
    with pytest.raises(StudyError, match="3 worker processes died one after another before"):
        run_workers(job, 1, lambda: next(ran))
    assert len(named(tmp_path, "*")) == 4


def test_a_worker_that_finds_an_error_is_not_replaced_and_the_others_finish(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path)

    def job() -> None:
        import os
        import time
        from pathlib import Path

        try:
            (Path(folder) / "first").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(0.5)
            (Path(folder) / f"done-{os.getpid()}").touch()
            return
        raise SystemExit(1)

    with pytest.raises(StudyError, match="a worker could not go on, for the reason above"):
        run_workers(job, 2, lambda: 0)
    assert len(named(tmp_path, "done-*")) == 1


def test_an_interrupt_lets_workers_finish_what_they_are_at(tmp_path: Path) -> None:
    folder = str(tmp_path)

    def job() -> None:
        import os
        import time
        from pathlib import Path

        from greensweep.search.interrupt import interrupted

        (Path(folder) / f"began-{os.getpid()}").touch()
        while not interrupted():
            time.sleep(0.02)
        (Path(folder) / f"done-{os.getpid()}").touch()

    def interrupt() -> None:
        wait_for(lambda: len(named(tmp_path, "began-*")) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run_workers(job, 2, lambda: 0)
    thread.join()
    assert len(named(tmp_path, "done-*")) == 2


@pytest.mark.parametrize("options", [{}, {"quiet": True}])
def test_the_first_interrupt_says_what_it_does_and_the_second_ends(
    options: dict[str, bool], capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []
    with pytest.raises(KeyboardInterrupt), graceful(lambda: asked.append(True), **options):
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        os.kill(os.getpid(), signal.SIGINT)
    assert asked == [True]
    said = "Interrupted: the running epoch is finished and recorded; once more ends at once."
    assert capfd.readouterr().err.split("\n") == ([""] if options else ["", said, ""])


def test_a_batch_system_that_sends_its_signal_several_times_asks_once() -> None:
    with graceful(quiet=True):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_interrupt_ends_all_at_once(tmp_path: Path) -> None:
    folder, settled = str(tmp_path), []

    def job() -> None:
        import os
        import time
        from pathlib import Path

        (Path(folder) / f"began-{os.getpid()}").touch()
        time.sleep(60.0)  # an epoch that takes long

    def interrupt() -> None:
        wait_for(lambda: len(named(tmp_path, "began-*")) == 2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_workers(job, 2, lambda: settled.append(1) or 0)
    thread.join()
    assert settled
    for name in named(tmp_path, "began-*"):
        assert not psutil.pid_exists(int(name.removeprefix("began-")))


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    program = f"""
        from greensweep.executors.local import run_workers
        def job():
            import os, time
            from pathlib import Path
            (Path({str(tmp_path)!r}) / f"began-{{os.getpid()}}").touch()
            time.sleep(60)
        run_workers(job, 2, lambda: 0)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    wait_for(lambda: len(named(tmp_path, "began-*")) == 2)
    workers = [int(name.removeprefix("began-")) for name in named(tmp_path, "began-*")]
    parent.kill()
    parent.wait()

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_for(lambda: all(map(gone, workers)), 3.0)
