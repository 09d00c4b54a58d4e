"""A command as a child process: its output passes through live, and signals reach it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from types import FrameType

import psutil

from greensweep.energy.build import UNDER_EXEC
from greensweep.energy.processes import adopting_orphans
from greensweep.errors import CommandError

# As shells tell it (POSIX, Shell Command Language, 2.8.2).
_NOT_FOUND, _NOT_STARTED, _OF_SIGNAL = 127, 126, 128

# Between SIGTERM and SIGKILL: time for a checkpoint.
_GRACE_SECONDS = 10.0
_DEATH_SECONDS = 2.0  # after SIGKILL; who waits for a disk that is gone dies later
_POLL_SECONDS = 0.05
# What it wrote last has been read by then; who else holds its output is not waited for.
_DRAIN_SECONDS = 0.5
_LONGEST_LINE = 1 << 16

_FORWARDED = [getattr(signal, f"SIG{name}", None) for name in ("INT", "TERM", "HUP", "QUIT")]


class Child:
    """A command as a process, from its start to its end.

    Args:
        apart: from this process's terminal: who sees to Ctrl-C here tells it when to end.

    Attributes:
        signalled: it was sent a signal to end, by whoever runs this program.
    """

    def __init__(self, words: Sequence[str], *, apart: bool) -> None:
        self.signalled = False
        self._words, self._apart = words, apart
        # At a terminal it is in this process's own group, as of any program that is run there.
        self._has_group = apart or not _in_foreground()
        self._before = set(_children())
        self._events: SimpleQueue[str | None] = SimpleQueue()
        self._early: list[int] = []  # signals that came before it was started
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it.

        Raises:
            CommandError: it cannot be started.
        """
        source, sink = _terminal() if sys.stdout.isatty() else os.pipe()
        try:
            self._started = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL if self._apart else None,
                stdout=sink,
                # Python holds lines for a pipe back until there are 8 KiB of them.
                env={"PYTHONUNBUFFERED": "1", **os.environ, UNDER_EXEC: str(os.getpid())},
                process_group=0 if self._has_group else None,
            )
        except OSError as error:
            os.close(source)
            raise _not_started(self._words[0], error) from error
        finally:
            os.close(sink)
        for number in self._early:
            self._send(number)
        reader = threading.Thread(target=self._pass_on, args=[source], daemon=True)
        reader.start()
        threading.Thread(target=self._wait, args=[reader], daemon=True).start()

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._started is not None
        return self._started

    def lines(self, pause: float | None) -> Iterator[str | None]:
        """Yield the lines that it writes as they come, until it has ended.

        Args:
            pause: seconds without a line, after which None is yielded; None waits.
        """
        while True:
            try:
                line = self._events.get(timeout=pause)
            except Empty:
                yield None
                continue
            if line is None:
                return
            yield line

    @property
    def status(self) -> int:
        """How it ended, as a shell tells it."""
        code = self._process.wait()
        return code if code >= 0 else _OF_SIGNAL - code

    @property
    def killed_by(self) -> str | None:
        """The name of the signal that ended it."""
        code = self._process.wait()
        return None if code >= 0 else signal.Signals(-code).name

    def left(self) -> list[psutil.Process]:
        """Return what it has started and left running; its dead are buried."""
        adopted = [each for each in _children() if each not in self._before]
        for number in adopted:
            if number != self._process.pid:
                with suppress(OSError):
                    os.waitpid(number, os.WNOHANG)
        return _running(_descendants(adopted))

    @contextmanager
    def forwarding(self) -> Iterator[None]:
        """Send the signals that this process gets to the command, and go on until it has ended.

        Ctrl-C at a terminal reaches both from there; of the first one no second copy is sent.
        """

        def forward(number: int, frame: FrameType | None) -> None:
            from_terminal = number != signal.SIGTERM and not self._has_group
            if not from_terminal or self.signalled:
                self._send(number)
            self.signalled = True

        before = {}
        for number in filter(None, _FORWARDED):
            if (
                signal.getsignal(number) != signal.SIG_IGN
            ):  # nohup's, say, which the command has too
                before[number] = signal.signal(number, forward)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def end(self) -> None:
        """End it with all that it has started: SIGTERM first, and SIGKILL after some seconds."""
        alive = family = _descendants([self._process.pid])
        until = time.monotonic() + _GRACE_SECONDS
        self._send(signal.SIGTERM)
        try:
            while alive and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
                alive = _running([*family, *self.left()])
        finally:  # also when somebody presses Ctrl-C once more
            until = time.monotonic() + _DEATH_SECONDS
            while (alive := _running([*alive, *self.left()])) and time.monotonic() < until:
                for each in alive:
                    with suppress(psutil.Error):
                        each.kill()
                time.sleep(_POLL_SECONDS)
            self.left()

    def _send(self, number: int) -> None:
        if self._started is None:
            self._early.append(number)
            return
        with suppress(ProcessLookupError):
            if self._has_group:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def _wait(self, reader: threading.Thread) -> None:
        self._process.wait()
        reader.join(_DRAIN_SECONDS)
        self._events.put(None)

    def _pass_on(self, source: int) -> None:
        """Write what the command writes as it comes, unchanged, and take its lines."""
        output, rest = sys.stdout.buffer, b""
        with open(source, "rb", buffering=0) as stream, suppress(OSError):
            while data := stream.read(_LONGEST_LINE):  # raises where a terminal has been closed
                output.write(data)  # raises where nobody reads, which the command then meets itself
                output.flush()
                *lines, rest = (rest + data.replace(b"\r", b"\n")).split(b"\n")
                for line in lines:
                    self._events.put(line.decode(errors="replace"))
                rest = rest[-_LONGEST_LINE:]
        self._events.put(rest.decode(errors="replace"))


@contextmanager
def running(words: Sequence[str], *, apart: bool) -> Iterator[Child]:
    """Run a command; it has ended when the block has, however that ends.

    Raises:
        CommandError: it cannot be started.
    """
    with adopting_orphans():
        child = Child(words, apart=apart)
        with nullcontext() if apart else child.forwarding():
            child.start()
            try:
                yield child
            except BaseException:
                child.end()
                raise


def _not_started(program: str, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError) and shutil.which(program) is None:
        return CommandError(
            f"there is no command {program}: write after -- what you would write to run it",
            _NOT_FOUND,
        )
    reason = error.strerror or str(error)
    return CommandError(
        f"{program} cannot be started ({reason}): let it be executable, and its first line name "
        "a program that is there, or write that program before it",
        _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED,
    )


def _in_foreground() -> bool:
    """Tell whether Ctrl-C at a terminal reaches this process."""
    try:
        with open("/dev/tty", "rb") as terminal:  # noqa: PTH123
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _terminal() -> tuple[int, int]:
    """Return both ends of a terminal of the size of this one, which changes nothing of its text."""
    import pty
    import termios
    import tty

    source, sink = pty.openpty()
    tty.setraw(sink)
    with suppress(OSError, termios.error):
        termios.tcsetwinsize(sink, termios.tcgetwinsize(sys.stdout.fileno()))
    return source, sink


def _children() -> list[int]:
    return [each.pid for each in psutil.Process().children()]


def _descendants(numbers: Sequence[int]) -> list[psutil.Process]:
    found = []
    for number in numbers:
        with suppress(psutil.Error):
            process = psutil.Process(number)
            found += [process, *process.children(recursive=True)]
    return found


def _running(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    found = []
    for each in processes:
        with suppress(psutil.Error):
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found
