"""The meter held against itself: twice as long must be twice as much, and parts must add up."""

import time

from greensweep.app.doctor.computing import device_meant, known_load
from greensweep.app.doctor.findings import Finding, SelfCheck
from greensweep.config.schema_energy import EnergyConfig
from greensweep.decision.sentences import percent_text
from greensweep.energy import EnergyReading, Meter
from greensweep.energy.build import build_source
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.processes import Processes
from greensweep.energy.uncertainty import STEADY_PERIODS
from greensweep.energy.units import joules_text

_IDLE_SECONDS = 1.0
_SHORT_SECONDS = 1.0
_EDGES = 20
_TOLERANCE = 0.1
_BUSY = 0.1


def check_meter(config: EnergyConfig, device: str) -> SelfCheck | None:
    """Read the machine at rest, then under the reference job for one second and for two.

    Two meters with sources of their own read it side by side, so that the sum of the one's parts
    can be held against the other's whole.

    Raises:
        EnergyError: the meter cannot start.
    """
    computes_on = device_meant(device)
    parts, whole = _private_meter(config, computes_on), _private_meter(config, computes_on)
    if parts is None or whole is None:
        return None
    compute = known_load(device)
    compute(_SHORT_SECONDS / 2)
    processes = Processes()
    parts.start()
    whole.start()
    try:
        busy, began = processes.busy_seconds(), time.monotonic()
        time.sleep(_IDLE_SECONDS)
        idle = parts.lap()
        idle_load = (processes.busy_seconds() - busy) / (time.monotonic() - began)
        whole.lap()
        began = time.perf_counter()
        for _ in range(_EDGES):
            parts.lap()
        edge_seconds = (time.perf_counter() - began) / _EDGES
        parts.lap()
        whole.lap()
        compute(_SHORT_SECONDS)
        short = parts.lap()
        time.sleep(_SHORT_SECONDS / 4)
        pause = parts.lap()
        compute(2 * _SHORT_SECONDS)
        long = parts.lap()
        outer = whole.lap()
    finally:
        parts.stop()
        whole.stop()
    total = _joules(short) + _joules(pause) + _joules(long)
    return SelfCheck(
        short_seconds=short.seconds,
        short_joules=_joules(short),
        long_seconds=long.seconds,
        long_joules=_joules(long),
        outer_joules=_joules(outer),
        sum_share=total / _joules(outer),
        idle_watts=idle.power_watts or 0.0,
        idle_load=max(idle_load / processes.cores(), 0.0),
        edge_seconds=edge_seconds,
        update_seconds=outer.update_seconds,
    )


def judge(check: SelfCheck) -> list[Finding]:
    """Put the self-check into words."""
    busy = check.idle_load > _BUSY
    metering = f"one reading costs {check.edge_seconds * 1000:.2g} ms"
    if check.update_seconds:
        metering += (
            f"; the slowest counter has a new figure every {check.update_seconds:g} s, so that "
            f"epochs have figures of their own from {STEADY_PERIODS * check.update_seconds:g} s on"
        )
    return [
        Finding(
            "idle power",
            "note" if busy else "ok",
            f"{check.idle_watts:.3g} W at {check.idle_load:.0%} load",
            "other work ran meanwhile: a sweep is charged for it too" if busy else None,
        ),
        _near_one(
            "proportion",
            check.proportion,
            f"a load of {check.long_seconds:.1f} s took {joules_text(check.long_joules, digits=3)} "
            f"and one of {check.short_seconds:.1f} s {joules_text(check.short_joules, digits=3)}: "
            f"mean power differs by {percent_text(abs(check.proportion - 1))}",
            "the machine was not steady: stop other work, and repeat",
        ),
        _near_one(
            "additivity",
            check.sum_share,
            "two windows and the pause between them add up to "
            f"{check.sum_share:.1%} of the window around",
            "short windows are uncertain by as much: compare long runs only",
        ),
        Finding("metering", "ok", metering),
    ]


def _near_one(subject: str, ratio: float, text: str, advice: str) -> Finding:
    is_near = abs(ratio - 1) <= _TOLERANCE
    return Finding(subject, "ok" if is_near else "note", text, None if is_near else advice)


def _private_meter(config: EnergyConfig, device: str) -> Meter | None:
    source = build_source(config, device)
    return None if source is None else MachineMeter(source, Ledger())


def _joules(reading: EnergyReading) -> float:
    return reading.joules or 0.0
