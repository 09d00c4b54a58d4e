"""The energy of any block of code: `with greensweep.measure() as energy: …`."""

from collections.abc import Iterator
from contextlib import contextmanager

from greensweep.config.schema_energy import CodeCarbonConfig, EnergyConfig
from greensweep.energy import Meter, Phases, Window, build_meter

_open: Phases | None = None
_windows: list[Window] = []


@contextmanager
def measure(energy: EnergyConfig | None = None) -> Iterator[Window]:
    """Measure the energy of a block.

    Blocks nest: an inner one reads the outer one's meter, whatever its own `energy` says.

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
    global _open
    outer = _open
    phases = outer or Phases(meter)
    if outer is None:
        phases.start()
        _open = phases
    try:
        with phases.window() as window:
            _windows.append(window)
            try:
                yield window
            finally:
                _windows.pop()
    finally:
        if outer is None:
            _open = None
            phases.stop()


def open_windows() -> tuple[Window, ...]:
    """Return the open blocks, each around the next, read up to now; none outside of any."""
    if _open is not None:
        _open.read()
    return tuple(_windows)
