"""What a process logs and prints is masked, by the secrets that it knows from the start."""

import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from greensweep.secrets.data import forget, learn_environment, learn_overrides, mask_text

_PRIVATE = 0o600


def mask_command_output(overrides: Iterable[str]) -> None:
    """Begin a command: forget an earlier one's secrets, know its own, and mask what it prints."""
    forget()
    learn_overrides(overrides)
    mask_output()


def mask_output() -> None:
    """Mask all that this process logs and prints from now on, of whatever library.

    Log records are masked with their tracebacks, so that files are, too; on the streams pass
    warnings, uncaught errors and what libraries print.
    """
    learn_environment()
    logging.setLogRecordFactory(_record)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _MaskedStream):
            setattr(sys, name, _MaskedStream(stream))


def private(path: Path) -> None:
    """Make an empty file that only its owner may read, where there is none.

    For what other programs write into: a database, a log.

    Raises:
        OSError: it cannot be made.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, _PRIVATE))


class PrivateLog(logging.FileHandler):
    """A log file that only its owner may read: it holds what other people's code says."""

    def _open(self) -> Any:
        private(Path(self.baseFilename))
        return super()._open()


class _MaskedStream:
    """A text stream that masks what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask_text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    try:
        record.msg, record.args = mask_text(record.getMessage()), ()
    except Exception:
        return record  # its arguments do not fit: whoever formats it will say so
    if record.exc_info:
        record.exc_text = mask_text(logging.Formatter().formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = mask_text(record.stack_info)
    return record
