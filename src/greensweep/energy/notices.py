"""What a meter cannot read is told once: not by each trial of a sweep, in each of its processes."""

import hashlib
import logging
from pathlib import Path

log = logging.getLogger(__name__)

_told: set[tuple[Path | None, str]] = set()


def warn_once(sweep: Path | None, sentence: str) -> None:
    """Warn, unless this process or another one of the sweep has said the same.

    Args:
        sweep: its folder, which keeps a mark; None outside of any.
    """
    if (sweep, sentence) in _told:
        return
    _told.add((sweep, sentence))
    if sweep is not None:
        digest = hashlib.sha256(sentence.encode()).hexdigest()
        try:
            (sweep / f".told-{digest[:12]}").touch(exist_ok=False)
        except FileExistsError:
            return
        except OSError:
            pass  # better twice than never
    log.warning(sentence)
