"""Did the machine change while a sweep ran? A fixed job before it and after it shows."""

from dataclasses import asdict, dataclass
from pathlib import Path

from greensweep.config.schema import TrainConfig
from greensweep.config.schema_energy import ReplayConfig
from greensweep.energy import Meter, Phases, sum_joules
from greensweep.files import read_as, write_json

DRIFT_FILE = "reference_job.json"

# Two readings of the same job differ by a few percent on a machine that does nothing else.
NOTABLE = 0.1

# Of a job's steps a quarter are faster: what else ran for a moment only makes steps slower.
_QUANTILE = 0.25


@dataclass(frozen=True)
class Reference:
    """One reading of the reference job.

    Attributes:
        joules_per_step: gross, without what models give, which know no more of the machine than
            the seconds and the load; None where that is all.
        uncertainty: of the joules, as a part of them.
        seconds_per_step: the lower quartile.
        joules: of the reading and the warm-up.
    """

    joules_per_step: float | None
    seconds_per_step: float
    joules: float | None
    uncertainty: float = 0.0


@dataclass(frozen=True)
class Drift:
    """The reference job before a sweep and after it."""

    before: Reference
    after: Reference

    @property
    def changes(self) -> dict[str, float]:
        """Relative changes per step, of time and, where that was measured, of energy."""
        found = {"time": self.after.seconds_per_step / self.before.seconds_per_step - 1.0}
        before, after = self.before.joules_per_step, self.after.joules_per_step
        return found | ({"energy": after / before - 1.0} if before and after is not None else {})

    @property
    def change(self) -> float:
        """The change of the energy per step, or of the time where energy was not measured."""
        return self.changes.get("energy", self.changes["time"])

    @property
    def notable(self) -> dict[str, float]:
        """The changes that are more than readings differ by."""
        unsure = {"time": 0.0, "energy": self.before.uncertainty + self.after.uncertainty}
        return {what: by for what, by in self.changes.items() if abs(by) >= NOTABLE + unsure[what]}

    @property
    def joules(self) -> float | None:
        """What both readings cost."""
        return sum_joules([self.before.joules, self.after.joules])


def read_reference(
    meter: Meter, config: TrainConfig, *, warmup: float, seconds: float
) -> Reference:
    """Run the reference job for `warmup` seconds, then for `seconds` under the meter.

    Raises:
        EnergyError: the meter cannot start, or fails.
    """
    from greensweep.training import choose_device, use_threads
    from greensweep.training.reference import ReferenceJob

    # A trial in this process may have left other threads behind than the first reading had.
    use_threads(config.training.threads, step_flops=None)
    phases = Phases(meter)
    phases.start()
    try:
        job = ReferenceJob(choose_device(config.training.device))
        job.run(warmup)
        with phases.window() as window:
            steps = sorted(job.run(seconds))
    finally:
        phases.stop()
    measured = [each for each in window.reading.components.values() if each.counted != "estimated"]
    used = sum(each.joules for each in measured)
    unsure = sum(each.uncertainty_joules or 0.0 for each in measured)
    return Reference(
        joules_per_step=used / len(steps) if measured else None,
        seconds_per_step=steps[int(_QUANTILE * len(steps))],
        joules=phases.total.joules,
        uncertainty=unsure / used if used else 0.0,
    )


def begin(directory: Path, meter: Meter, config: TrainConfig) -> None:
    """Warm the machine up before a sweep, and keep what the reference job costs now.

    Raises:
        EnergyError: the meter cannot start, so that no trial could.
        OSError: the directory cannot be written to.
    """
    if isinstance(config.energy, ReplayConfig) or config.replay is not None:
        return  # a record knows nothing of this machine
    if config.warmup == 0:
        meter.start()  # finds what is wrong before the first trial, and measures the idle machine
        meter.stop()
        return
    before = read_reference(meter, config, warmup=config.warmup, seconds=config.warmup)
    write_json(directory / DRIFT_FILE, asdict(before))


def end(directory: Path, meter: Meter, config: TrainConfig) -> Drift | None:
    """Run the reference job again; None where `begin` left nothing to compare with.

    Raises:
        EnergyError: the meter fails.
    """
    before = read_as(Reference, directory / DRIFT_FILE)
    if before is None:
        return None
    # A part of the warm-up again: the process may not have computed for a while.
    after = read_reference(meter, config, warmup=config.warmup / 4, seconds=config.warmup)
    return Drift(before, after)
