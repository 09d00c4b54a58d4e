"""The energy of any block of code: `with greensweep.measure() as energy: …`."""

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar, Unpack

from greensweep.config.energy_options import EnergyOptions, energy_config
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import EnergyReading, Grid, Meter, Phases, Window, build_meter, declared_grid
from greensweep.errors import ConfigError
from greensweep.record.block import Begins
from greensweep.record.left_open import left_open_ended

log = logging.getLogger(__name__)

_LATER = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction

P = ParamSpec("P")
T = TypeVar("T")

# What reads the outermost block's meter, and the blocks, each around the next.
_open: ContextVar[tuple[Phases, tuple[Window, ...]] | None] = ContextVar("_open", default=None)

# The blocks of a fork's parent are read by the parent: the fork's own have a meter of theirs.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _open.set(None))


class Measurement(Begins, AbstractContextManager[Window]):
    """A block that is measured, or a function of which each call is."""

    begun_by = "with greensweep.measure(…) as energy:"

    def __init__(self, config: EnergyConfig) -> None:
        self._config = config
        self._grid = declared_grid(config)
        self._blocks: list[AbstractContextManager[Window]] = []

    def __enter__(self) -> Window:
        outer = _open.get()
        meter = build_meter(self._config) if outer is None else outer[0]
        self._blocks.append(measured_by(meter, self._grid))
        return self._blocks[-1].__enter__()

    def __exit__(self, *raised: object) -> None:
        self._blocks.pop().__exit__(*raised)  # type: ignore[arg-type]

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Measure each call of a function, and log what it used.

        Raises:
            ConfigError: it is a generator or a coroutine, of which a call does no work yet.
        """
        if any(is_one(function) for is_one in _LATER):
            raise ConfigError(
                f"a call of {function.__qualname__} does nothing yet, since that is a generator or "
                "a coroutine: put `with greensweep.measure():` around what it does, inside of it"
            )

        @wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            with Measurement(self._config) as window:
                returned = function(*args, **kwargs)
            log.info("%s: %s", function.__qualname__, window)
            return returned

        return measured


def measure(energy: EnergyConfig | None = None, /, **options: Unpack[EnergyOptions]) -> Measurement:
    """Measure the energy of a block, or of each call of a function.

    >>> with measure(meter="unmetered") as energy:
    ...     total = sum(range(1000))
    >>> energy.joules is None  # nothing is metered
    True

    `with measure(country="NLD") as energy: train()` gives `energy.joules`, `.uncertainty_joules`,
    `.emissions_kg`, `.seconds`, `.quality` and, by component, `.components`. `@measure()` above a
    function logs what each call used. Blocks nest: an inner one reads the outer one's meter,
    whatever its own options say. Those of another thread are beside it, with a meter of their own.

    Args:
        energy: the meter's configuration as an object, or as the `energy` group of a Hydra
            configuration; CodeCarbon with its defaults when left out.
        options: of the meter: `meter`, `country`, `region`, `grams_co2e_per_kwh`, `gpus`,
            `baseline`, `calibration` and others of `greensweep.config.energy_options`.

    Returns:
        What, as a context manager, gives a window. It holds the whole block once that has ended,
        and what was read so far before.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        EnergyError: the meter cannot start or fails, or the grid is not known.
    """
    if callable(energy):
        raise ConfigError("measure stands above a function with brackets: @greensweep.measure()")
    return Measurement(energy_config(energy, **options))


@contextmanager
def measured_by(meter: Meter | Phases, grid: Grid | None = None) -> Iterator[Window]:
    """Measure a block with a meter that is at hand; inside of another, with that one's."""
    outer = _open.get()
    if outer is not None:
        with reading(outer[0], grid) as window:
            yield window
        return
    assert not isinstance(meter, Phases)
    phases = Phases(meter)
    phases.start()
    try:
        with reading(phases, grid) as window, left_open_ended():
            yield window
    finally:
        phases.stop()


@contextmanager
def reading(phases: Phases, grid: Grid | None = None) -> Iterator[Window]:
    """Open a window of a meter that runs, which blocks inside of it read too."""
    _, outer = _open.get() or (None, ())
    with phases.window(grid) as window:
        before = _open.set((phases, (*outer, window)))
        try:
            yield window
        finally:
            _open.reset(before)


class OuterMeter:
    """The meter of the block that is open, for what counts laps of its own in it."""

    def __init__(self, outer: Phases) -> None:
        self._outer = outer
        self._window: Window | None = None
        self._block: AbstractContextManager[Window] | None = None

    def start(self) -> None:
        self._block = self._outer.window()
        self._window = self._block.__enter__()

    def lap(self, computes: bool = True) -> EnergyReading:
        assert self._window is not None
        self._outer.read()
        lap, self._window.reading = self._window.reading, EnergyReading()
        return lap

    def stop(self) -> None:
        if self._block is not None:
            self._block.__exit__(None, None, None)
            self._block = None


def meter_here(config: EnergyConfig) -> Meter:
    """Return the meter of the block that is open, else the one that `config` describes."""
    outer = _open.get()
    return build_meter(config) if outer is None else OuterMeter(outer[0])


def open_windows() -> tuple[Window, ...]:
    """Return the open blocks, each around the next, read up to now; none outside of any."""
    phases, windows = _open.get() or (None, ())
    if phases is not None:
        phases.read()
    return windows
