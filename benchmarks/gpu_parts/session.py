"""What a part is given: where to compute, how much, for how long, and where its figures go."""

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from figures import Figure
from gpu_training import Joules, nvml_joules

from greensweep.config.schema_energy import EnergyConfig, MachineEnergyConfig, NvmlRaplConfig
from greensweep.errors import first_line


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        images: of an epoch.
        long_seconds, short_seconds: windows under load.
        windows: short ones.
        baseline_seconds: for the idle power.
        together: how many runs are side by side.
        neighbour_epochs: of each of them.
        layer_epochs: of each run of the layers' study, of which there are eight a seed.
        repeats: of one measurement of inference.
        side: of the matrices that are multiplied as a load.
        is_tiny: one network stands for all, to see that everything works.
    """

    images: int = 10_000
    long_seconds: float = 5.0
    short_seconds: float = 0.2
    windows: int = 5
    baseline_seconds: float = 4.0
    together: tuple[int, ...] = (1, 2, 4)
    neighbour_epochs: int = 16
    layer_epochs: int = 6
    repeats: int = 5
    side: int = 4096
    is_tiny: bool = False


FULL = Plan()
TINY = Plan(
    images=160,
    long_seconds=0.5,
    windows=2,
    baseline_seconds=0.2,
    together=(1, 2),
    neighbour_epochs=2,
    layer_epochs=1,
    repeats=2,
    side=64,
    is_tiny=True,
)


class Session:
    """One part's.

    Args:
        device: a GPU, or the CPU with scripted counters.
        seconds: after which no further row begins.
        file: takes a line of JSON for each figure as it comes, so that none is lost.
    """

    def __init__(self, device: torch.device, plan: Plan, seconds: float, file: Path) -> None:
        self.device = device
        self.plan = plan
        self._until = time.monotonic() + seconds
        self._file = file

    @property
    def has_gpu(self) -> bool:
        """Tell whether it computes on a GPU."""
        return self.device.type == "cuda"

    def energy(self, config: type[MachineEnergyConfig] = NvmlRaplConfig) -> EnergyConfig:
        """Return the meter of a run: where there is no GPU, with the first scripted one."""
        gpus = None if self.has_gpu else [0]
        return config(gpus=gpus, baseline_seconds=self.plan.baseline_seconds)

    def counter(self) -> Joules:
        """Return a reader of the GPU's energy counter that passes by all of Greensweep's code."""
        if self.has_gpu:
            return nvml_joules(self.device)
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)  # the scripted one
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000

    def is_time_for(self, row: str, seconds: float) -> bool:
        """Tell whether a row of that length still fits; one that does not is recorded."""
        left = self._until - time.monotonic()
        if seconds <= left:
            return True
        why = f"it takes about {seconds:.0f} s, and {max(left, 0.0):.0f} s were left"
        self._write(left_out=row, why=why)
        return False

    @contextmanager
    def trying(self, row: str) -> Iterator[None]:
        """Let a row fail, and record it, so that the others go on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.fail(row, f"{type(error).__name__}: {first_line(error)}")

    def fail(self, row: str, error: str) -> None:
        """Record that a row failed."""
        self._write(failed=row, error=error)

    def keep(self, figure: Figure) -> None:
        """Record a figure."""
        self._write(figure=asdict(figure))

    def _write(self, **line: Any) -> None:
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def after_update(joules: Joules, seconds: float = 1.0) -> float:
    """Wait until the counter changes, and return what it then shows.

    A window that begins and ends so has no edge in which the counter lags behind.
    """
    until, before = time.monotonic() + seconds, joules()
    while (now := joules()) == before and time.monotonic() < until:
        time.sleep(0.001)
    return now
