"""A machine's energy from when a sweep has it until it is released, whatever runs on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from greensweep.config.schema_energy import EnergyConfig, MachineEnergyConfig
from greensweep.energy.accounts import SweepTotal
from greensweep.energy.build import build_source
from greensweep.energy.counters import Source
from greensweep.energy.ledger import Ledger, open_machine_ledger
from greensweep.energy.machine import MachineMeter, write_total
from greensweep.energy.reading import shared_quality
from greensweep.errors import EnergyError

# So old may the totals be of a machine that dies.
_WRITE_SECONDS = 10.0


class NodeMeter(MachineMeter):
    """Reads the machine for a sweep's totals, and is charged nothing.

    However many processes of a sweep do so on one machine, and whichever runs share it, the ledger
    counts each joule once.
    """

    def __init__(self, source: Source, ledger: Ledger, sweep: Path, **options: object) -> None:
        super().__init__(source, ledger, sweep=sweep, watches=True, **options)  # type: ignore[arg-type]
        self._folder = sweep
        self._written_at = 0.0

    def start(self) -> None:
        super().start()
        counters = self._counters.values()
        begun = SweepTotal(
            watches=1,
            quality=shared_quality(each.quality for each in counters),
            update_seconds=max(each.update_seconds or 0.0 for each in counters),
            model_error=max(each.model_error for each in counters),
        )
        self._write(begun)

    def stop(self) -> None:
        if self._is_running():
            super().stop()
            # What a counter gave before it failed is a part of the whole.
            self._write(SweepTotal(releases=1, quality="estimated" if self._lost else None))

    def _sample(self) -> None:
        super()._sample()
        if time.monotonic() - self._written_at >= _WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Bring the sweep's file of this machine up to the last reading."""
        self._write()

    def _write(self, own: SweepTotal | None = None) -> None:
        with self._ledger.open() as state:
            write_total(state, self._folder, own)
        self._written_at = time.monotonic()


def build_node_meter(
    config: EnergyConfig, sweep: Path, *, all_gpus: bool = False
) -> NodeMeter | None:
    """Return what reads this machine for a sweep; None where only runs can be metered.

    Args:
        config: of the meter of the sweep's runs.
        all_gpus: of the machine, where the configuration names none; else those that CUDA shows.

    Raises:
        EnergyError: a file that the meter reads is missing or wrong.
    """
    if isinstance(config, MachineEnergyConfig) and config.gpus is None and all_gpus:
        config = replace(config, gpus="all")
    source = build_source(config) if config.of_machine else None
    return None if source is None else NodeMeter(source, open_machine_ledger(), sweep)


@contextmanager
def node_metered(config: EnergyConfig, sweep: Path, *, all_gpus: bool = False) -> Iterator[None]:
    """Read this machine for a sweep while the block lasts; as `build_node_meter`."""
    meter = build_node_meter(config, sweep, all_gpus=all_gpus)
    if meter is not None:
        with suppress(EnergyError):  # which runs meet, too, and tell
            meter.start()
    try:
        yield
    finally:
        if meter is not None:
            meter.stop()
