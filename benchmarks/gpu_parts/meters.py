"""Both meters against the driver's counter, read by hand around the same windows."""

import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from figures import Figure, summarised
from gpu_training import Joules

from gpu_parts.load import Load
from gpu_parts.session import Session, after_update
from greensweep.config.schema_energy import CodeCarbonConfig, MachineEnergyConfig, NvmlRaplConfig
from greensweep.energy import ComponentEnergy, Meter, build_meter

_METERS = (NvmlRaplConfig, CodeCarbonConfig)
_LAPS = 20


def measure(session: Session) -> Iterator[Figure]:
    """Compare windows of 5 s, whose edges wait for the counter, and of 0.2 s, which do not."""
    joules = session.counter()
    load = Load(session.device, session.plan.side)
    load.run(1.0)
    with session.trying("the counter's period"):
        yield _period(joules, session.plan.long_seconds / 2)
    for config in _METERS:
        with session.trying(config.__name__):
            yield from _compare(session, config, joules, load)


def _period(joules: Joules, seconds: float) -> Figure:
    changes = [time.monotonic()]
    while changes[-1] - changes[0] < seconds:
        after_update(joules)
        changes.append(time.monotonic())
    periods = [after - before for before, after in pairwise(changes[1:])]
    return Figure(
        "meters", "NVML's counter", "seconds between two values", **summarised(periods), unit="s"
    )


def _compare(
    session: Session, config: type[MachineEnergyConfig], joules: Joules, load: Load
) -> Iterator[Figure]:
    plan, name = session.plan, f"energy={config().name}"
    device = session.device.type if session.has_gpu else None
    meter = build_meter(session.energy(config), device=device)
    meter.start()
    try:
        load.run(plan.short_seconds)
        after_update(joules)
        meter.lap()
        before, began = joules(), time.monotonic()
        load.run(plan.long_seconds)
        after_update(joules)
        ours = _gpu(meter)
        used, seconds = joules() - before, time.monotonic() - began
        yield Figure(
            "meters",
            name,
            "GPU joules / counter read by hand, long window",
            ours.joules / used,
            at_least=0.99,
            at_most=1.01,
            details={
                "seconds": seconds,
                "joules": ours.joules,
                "counter_joules": used,
                "uncertainty_joules": ours.uncertainty_joules,
                "source": ours.source,
                "quality": ours.quality,
            },
        )
        yield from _short_windows(name, meter, joules, load, session, used / seconds)
        costs = []
        for _ in range(_LAPS):
            began = time.monotonic()
            meter.lap()
            costs.append(1000 * (time.monotonic() - began))
        yield Figure("meters", name, "one reading", **summarised(costs), unit="ms")
    finally:
        meter.stop()


def _short_windows(
    name: str, meter: Meter, joules: Joules, load: Load, session: Session, watts: float
) -> Iterator[Figure]:
    windows = []
    for _ in range(session.plan.windows):
        load.run(session.plan.short_seconds)  # the counter is then that of a load
        meter.lap()
        before, began = joules(), time.monotonic()
        load.run(session.plan.short_seconds)
        ours = _gpu(meter)
        seconds, used = time.monotonic() - began, joules() - before
        windows.append((ours.joules, used, watts * seconds, ours.uncertainty_joules or 0.0))
    for number, other in ((1, "the counter around it"), (2, "the long window's power")):
        off = [abs(each[0] - each[number]) / each[3] for each in windows]
        yield Figure(
            "meters",
            name,
            f"difference to {other} / its uncertainty, short window",
            max(off),
            low=min(off),
            high=max(off),
            pairs=len(off),
            at_most=1.0,
            details={
                "joules": [each[0] for each in windows],
                "other_joules": [each[number] for each in windows],
                "uncertainty_joules": [each[3] for each in windows],
                "median": median(off),
            },
        )


def _gpu(meter: Meter) -> ComponentEnergy:
    return meter.lap().components["gpu"]
