"""A search for the tests of callbacks, and what their runs leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from greensweep.energy import ScriptedMeter
from greensweep.errors import TrialEnded
from greensweep.record.measuring import measured_by
from greensweep.record.reporting import Progress, monitored_by


def needs(library: str) -> pytest.MarkDecorator:
    """Skip a file's tests where a library is not there; importing it would slow all others."""
    reason = f"{library} is not installed: pip install 'greensweep[integrations]'"
    return pytest.mark.skipif(find_spec(library) is None, reason=reason)


class Search:
    """Keeps reports, and prunes after one of them."""

    def __init__(self, ends_after: int | None = None) -> None:
        self.reports: list[Progress] = []
        self._ends_after = ends_after

    def on_epoch(self, progress: Progress) -> None:
        self.reports.append(progress)
        if len(self.reports) == self._ends_after:
            raise TrialEnded("pruned", "pruned after this report")

    def on_repeat(self, progress: Progress) -> None:
        pass


@contextmanager
def searched(ends_after: int | None = None) -> Iterator[Search]:
    """Let a search look at the block, which a meter of one joule a lap reads."""
    search = Search(ends_after)
    with monitored_by(search), measured_by(ScriptedMeter([(1.0, 1.0)])):
        yield search
