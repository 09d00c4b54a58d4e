"""Did the machine change while a sweep ran? A fixed job before it and after it tells."""

from dataclasses import asdict, dataclass
from pathlib import Path

from greensweep.config import TrainConfig
from greensweep.config.schema import ReplayConfig
from greensweep.energy import Meter, Phases, sum_joules
from greensweep.files import put_aside, read_json, write_json

DRIFT_FILE = "reference_job.json"

# Two readings of the same job differ by a few percent on a machine that does nothing else.
NOTABLE = 0.1

# The cheapest of so many readings: what else ran for a moment only makes a reading dearer.
_READINGS = 5


@dataclass(frozen=True)
class Reference:
    """One reading of the reference job.

    Attributes:
        joules_per_step: gross, of the cheapest of some readings; None where nothing was metered.
        seconds_per_step: of the shortest.
        joules: of all readings and the warm-up.
    """

    joules_per_step: float | None
    seconds_per_step: float
    joules: float | None


@dataclass(frozen=True)
class Drift:
    """The reference job before a sweep and after it."""

    before: Reference
    after: Reference

    @property
    def change(self) -> float:
        """Relative change of the energy per step; of the time where nothing was metered."""
        before, after = self.before.joules_per_step, self.after.joules_per_step
        if before and after is not None:
            return after / before - 1.0
        return self.after.seconds_per_step / self.before.seconds_per_step - 1.0

    @property
    def joules(self) -> float | None:
        """What both readings cost."""
        return sum_joules([self.before.joules, self.after.joules])


def read_reference(
    meter: Meter, config: TrainConfig, *, warmup: float, seconds: float
) -> Reference:
    """Run the reference job for `warmup` seconds, then for `seconds` in several readings.

    Raises:
        EnergyError: the meter cannot start, or fails.
    """
    from greensweep.training import choose_device, synchronize, use_threads
    from greensweep.training.reference import ReferenceJob

    # A trial in this process may have left other threads behind than the first reading had.
    use_threads(config.training.threads, step_flops=None)
    phases = Phases(meter, synchronize)
    phases.start()
    readings = []
    try:
        job = ReferenceJob(choose_device(config.training.device))
        job.run(warmup)
        for _ in range(_READINGS):
            with phases.window() as window:
                steps = job.run(seconds / _READINGS)
            readings.append((window.reading, steps))
    finally:
        phases.stop()
    joules = [reading.joules / steps for reading, steps in readings if reading.joules is not None]
    return Reference(
        joules_per_step=min(joules, default=None),
        seconds_per_step=min(reading.seconds / steps for reading, steps in readings),
        joules=phases.total.joules,
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
    kept = read_json(directory / DRIFT_FILE)
    if kept is None:
        return None
    try:
        before = Reference(**kept)
    except TypeError as error:
        put_aside(directory / DRIFT_FILE, error)
        return None
    # A part of the warm-up again: the process may not have computed for a while.
    after = read_reference(meter, config, warmup=config.warmup / 4, seconds=config.warmup)
    return Drift(before, after)
