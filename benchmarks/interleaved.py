"""Interleaved measurements of two programs, trial by trial: one works while the other waits.

Each runs in a process of its own, as users run them, and both see the same minutes of a machine
whose speed drifts.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

_VARIABLE = "GREENSWEEP_BENCHMARK_TURN"
_LOG_LINES = 20

Record = dict[str, Any]


class Turn:
    """The side of a program that takes turns: `wait`, work, `hand_over`, and again."""

    def __init__(self) -> None:
        self._peer = socket.socket(fileno=int(os.environ[_VARIABLE])).makefile("rw")

    def wait(self) -> None:
        """Wait for the program's turn."""
        if not self._peer.readline():
            raise SystemExit("the benchmark has gone")

    def hand_over(self, record: Record) -> None:
        """End the turn with what was measured in it."""
        self._peer.write(json.dumps(record) + "\n")
        self._peer.flush()


def run_interleaved(
    programs: Mapping[str, Sequence[str]], work: Path, rounds: int, environment: Mapping[str, str]
) -> dict[str, list[Record]]:
    """Start Python programs at once, give each a turn in so many rounds, and return their records.

    Args:
        programs: name to script and arguments; each runs in a folder of its name below `work`.
        environment: variables that they get besides this process's.

    Raises:
        RuntimeError: a program ended early; the end of its output says why.
    """
    with ExitStack() as open_programs:
        running = {
            name: open_programs.enter_context(_Program(command, work / name, environment))
            for name, command in programs.items()
        }
        records: dict[str, list[Record]] = {name: [] for name in programs}
        for number in range(rounds):
            # Every second round backwards: neither always comes first.
            for name in running if number % 2 == 0 else reversed(running):
                records[name].append(running[name].turn())
    return records


class _Program:
    """One program and the line to it."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self._log = folder / "output.txt"
        here, there = socket.socketpair()
        variables = {**os.environ, **environment, _VARIABLE: str(there.fileno())}
        variables.pop("MLFLOW_TRACKING_URI", None)  # tracks into the folder, not the user's store
        with self._log.open("w") as log, there:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[there.fileno()],
            )
        self._socket = here
        self._stream: TextIO = here.makefile("rw")

    def turn(self) -> Record:
        try:
            self._stream.write("go\n")
            self._stream.flush()
            line = self._stream.readline()
        except OSError:
            line = ""
        if not line:
            self._process.wait()
            last = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            raise RuntimeError("\n".join(["a program ended before its last turn:", *last]))
        record = json.loads(line)
        assert isinstance(record, dict)
        return record

    def __enter__(self) -> "_Program":
        return self

    def __exit__(self, *_: object) -> None:
        # What follows the last turn, a sweep's summary say, is not measured.
        self._process.kill()
        self._process.wait()
        self._stream.close()
        self._socket.close()
