"""What the idle machine draws: measured once, kept, and used again while it holds."""

import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from greensweep.energy.counters import Counter
from greensweep.energy.notices import warn_once
from greensweep.energy.processes import Processes
from greensweep.files import read_as, write_json
from greensweep.messages import message_of

log = logging.getLogger(__name__)

# Above this share of busy cores a machine is not idle.
_IDLE_LOAD = 0.1
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class IdleRecord:
    """One measurement of the idle machine: the watts by counter, and how busy it was meanwhile."""

    machine: str
    watts: Mapping[str, float]
    load: float  # share of busy cores, 0 to 1
    seconds: float
    measured_at: float  # since 1970


class IdleBaseline:
    """Gives the idle machine's watts, from its record or by measuring.

    Args:
        seconds: how long to measure.
        fresh_hours: for how long a record holds.
        measures: measure where no record holds; otherwise there is no figure then.
        file: where the record is kept; by default in the user's cache folder.
    """

    def __init__(
        self,
        seconds: float,
        fresh_hours: float,
        *,
        measures: bool = True,
        file: Path | None = None,
        processes: Processes | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds, self._fresh_hours, self._measures = seconds, fresh_hours, measures
        self._file = file or user_cache_path("greensweep") / "idle_baseline.json"
        self._processes = processes or Processes()
        self._clock, self._sleep = clock, sleep

    def watts(self, counters: Mapping[str, Counter]) -> Mapping[str, float]:
        """Return watts by counter; empty, with a warning, where there are none."""
        try:
            return self._kept_or_measured(counters)
        except OSError as error:
            warn_once(f"No net joules: the idle baseline cannot be kept ({message_of(error, '')}).")
            return {}

    def _kept_or_measured(self, counters: Mapping[str, Counter]) -> Mapping[str, float]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            record = read_as(IdleRecord, self._file)
            fault = record and self._fault(record, counters)
            if record is None or fault is not None:
                if not self._measures:
                    return {}
                if fault is not None:
                    warn_once(f"The idle baseline in {self._file} {fault}: measured anew.")
                record = self._measure(counters)
                if record.load > _IDLE_LOAD:
                    warn_once(
                        f"No net joules: the machine was more than {_IDLE_LOAD:.0%} busy while its "
                        "idle power was to be measured; stop what runs on it and try again."
                    )
                    return {}
                write_json(self._file, asdict(record))
        return {key: watts for key, watts in record.watts.items() if key in counters}

    def _fault(self, record: IdleRecord, counters: Mapping[str, Counter]) -> str | None:
        if record.machine != machine_name():
            return f"is of another machine ({record.machine})"
        hours = (time.time() - record.measured_at) / _SECONDS_PER_HOUR
        if not 0 <= hours <= self._fresh_hours:
            return f"is {hours:.0f} hours old, and baseline_hours is {self._fresh_hours:g}"
        if not counters.keys() <= record.watts.keys():
            return "was measured with other counters"
        return None

    def _measure(self, counters: Mapping[str, Counter]) -> IdleRecord:
        log.info("Measuring the idle machine for %g s.", self._seconds)
        began, busy = self._clock(), self._processes.busy_seconds()
        before = _values(counters)
        self._sleep(self._seconds)
        after = _values(counters)
        seconds = self._clock() - began
        return IdleRecord(
            machine=machine_name(),
            watts={
                key: counters[key].since(before[key], value, seconds).joules / seconds
                for key, value in after.items()
                if key in before
            },
            load=(self._processes.busy_seconds() - busy) / seconds / self._processes.cores(),
            seconds=seconds,
            measured_at=time.time(),
        )


def _values(counters: Mapping[str, Counter]) -> dict[str, float]:
    """Read the counters that can be read; the meter says which cannot."""
    values = {}
    for key, counter in counters.items():
        with suppress(Exception):
            values[key] = counter.read()
    return values


def machine_name() -> str:
    return f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores"
