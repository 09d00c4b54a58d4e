"""What a meter cannot read is told once: not by each trial of a sweep, in each of its processes."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_told: set[tuple[Path | None, str]] = set()
_sweep: Path | None = None


@contextmanager
def told_once(sweep: Path | None) -> Iterator[None]:
    """Let the meters of the block say what all processes of a sweep say but once.

    Args:
        sweep: its folder, which keeps the marks; None leaves everything as it is.
    """
    global _sweep
    before, _sweep = _sweep, sweep or _sweep
    try:
        yield
    finally:
        _sweep = before


def warn_once(sentence: str) -> None:
    """Warn, unless this process, or another one of its sweep, has said the same."""
    if (_sweep, sentence) in _told:
        return
    _told.add((_sweep, sentence))
    if _sweep is not None:
        digest = hashlib.sha256(sentence.encode()).hexdigest()
        try:
            (_sweep / f".told-{digest[:12]}").touch(exist_ok=False)
        except FileExistsError:
            return
        except OSError:
            pass  # better twice than never
    log.warning(sentence)
