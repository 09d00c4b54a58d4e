"""The energy of any block of code: `with greensweep.measure() as energy: …`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from greensweep.config.schema_energy import CodeCarbonConfig, EnergyConfig
from greensweep.energy import Meter, Phases, Window, build_meter

# What reads the outermost block's meter, and the blocks, each around the next.
_open: ContextVar[tuple[Phases, tuple[Window, ...]] | None] = ContextVar("_open", default=None)


@contextmanager
def measure(energy: EnergyConfig | None = None) -> Iterator[Window]:
    """Measure the energy of a block.

    Blocks nest: an inner one reads the outer one's meter, whatever its own `energy` says. Those of
    another thread are beside it, with a meter of their own.

    Args:
        energy: the meter; CodeCarbon with its defaults when left out.

    Returns:
        Its `joules`, `seconds` and `reading` hold the whole block once that has ended, and what
        was read so far before.

    Raises:
        EnergyError: the meter cannot start, or fails.
    """
    with measured_by(build_meter(energy or CodeCarbonConfig())) as window:
        yield window


@contextmanager
def measured_by(meter: Meter) -> Iterator[Window]:
    """Measure a block with a meter that is at hand; inside of another, with that one's."""
    outer = _open.get()
    phases, windows = outer or (Phases(meter), ())
    if outer is None:
        phases.start()
    try:
        with phases.window() as window:
            before = _open.set((phases, (*windows, window)))
            try:
                yield window
            finally:
                _open.reset(before)
    finally:
        if outer is None:
            phases.stop()


def open_windows() -> tuple[Window, ...]:
    """Return the open blocks, each around the next, read up to now; none outside of any."""
    phases, windows = _open.get() or (None, ())
    if phases is not None:
        phases.read()
    return windows
