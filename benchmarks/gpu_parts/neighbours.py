"""Equal runs side by side on one GPU: what each is charged, and whether all of it adds up."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from figures import Figure
from subjects import SUBJECTS

from gpu_parts.runs import config_of, meter_of, run
from gpu_parts.session import Session, after_update
from gpu_parts.workers import Worker
from greensweep.config.schema import TrainConfig
from greensweep.energy import EnergyReading, Meter, measure_idle


def measure(session: Session) -> Iterator[Figure]:
    """Train one network alone, and so many at a time, each in a process of its own."""
    epochs, together = session.plan.neighbour_epochs, session.plan.together
    # Plain steps, which leave room on the GPU for those of others.
    config = config_of(session, SUBJECTS[0].model, epochs=epochs, capture="none")
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder)
        measure_idle(config.energy)  # before CUDA starts, which draws power by itself
        joules = session.counter()
        workers = [Worker() for _ in range(max(together))]
        try:
            first = replace(config, training=replace(config.training, epochs=1))
            for ended in [
                each.run(_run, first, sweep / f"first{n}", sweep) for n, each in enumerate(workers)
            ]:
                ended.result()
            alone: float | None = None
            for count in together:
                with session.trying(f"{count} at a time"):
                    before = after_update(joules)
                    started = [
                        each.run(_run, replace(config, seed=seed), sweep / f"{count}.{seed}", sweep)
                        for seed, each in enumerate(workers[:count])
                    ]
                    runs = [each.result() for each in started]
                    used = after_update(joules) - before
                    yield from _figures(count, runs, used, alone)
                    alone = alone or fmean(each["energy_joules"] for each in runs)
        finally:
            for each in workers:
                each.end()


def _figures(
    count: int, runs: list[dict[str, Any]], used: float, alone: float | None
) -> Iterator[Figure]:
    energies = [each["energy_joules"] for each in runs]
    details = {"runs": runs, "counter_joules": used}
    subject = f"{count} equal runs" if count > 1 else "one run"
    yield Figure(
        "neighbours",
        subject,
        "energy of a run",
        fmean(energies),
        low=min(energies),
        high=max(energies),
        pairs=count,
        unit="J",
        details=details,
    )
    if count > 1:
        yield Figure(
            "neighbours",
            subject,
            "(largest - smallest) / mean energy",
            (max(energies) - min(energies)) / fmean(energies),
            pairs=count,
            at_most=0.10,
        )
    if alone is not None:
        yield Figure("neighbours", subject, "energy of a run / alone", fmean(energies) / alone)
    yield Figure(
        "neighbours",
        subject,
        "GPU joules charged to all / counter read by hand",
        sum(each["gpu_charged_joules"] for each in runs) / used,
        at_least=0.95,
        at_most=1.05,
    )


class _Summing:
    """A meter, and the sum of its laps."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.start, self.stop = meter.start, meter.stop
        self.total = EnergyReading()

    def lap(self, computes: bool = True) -> EnergyReading:
        reading = self._meter.lap(computes)
        self.total += reading
        return reading


def _run(config: TrainConfig, folder: Path, sweep: Path) -> dict[str, Any]:
    """Run in a worker, and return what it is charged."""
    meter = _Summing(meter_of(config, sweep))
    result = asdict(run(config, folder, meter))
    kept = (
        "energy_joules",
        "energy_basis",
        "energy_quality",
        "energy_contended_by",
        "energy_charged_joules",
        "energy_idle_joules",
        "energy_uncertainty_joules",
        "seconds",
    )
    gpu = meter.total.components.get("gpu")
    return {
        **{name: result[name] for name in kept},
        "gpu_charged_joules": 0.0 if gpu is None else gpu.charged,
    }
