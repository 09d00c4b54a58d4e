"""The meters, by which energy is measured, and their options."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.options import option
from greensweep.csv_files.figures import EnergyUnit


@dataclass
class EnergyConfig(Group):
    """What all meters have in common.

    Attributes:
        implementation: import path of a function or class in `greensweep.energy`. It takes the
            options of the meter, and where the run computes (cpu, cuda or cuda:1, say, or None
            where that is not known), and returns what opens its counters, or a meter without.
        prefix: of its options where they were set: `energy.country`, `--country` or `country`.
    """

    implementation: ClassVar[str]
    prefix = "energy."  # no option: it has no annotation

    name: Any = option(MISSING, doc="name of the meter")
    country: str | None = option(
        None, doc="ISO 3166 alpha-3 code of the country whose grid feeds this machine"
    )
    region: str | None = option(
        None, doc="region of the country: a state of USA, CAN or CHN, a zone of SWE, NOR or FIN"
    )
    grams_co2e_per_kwh: float | None = option(
        None, doc="carbon intensity of the grid, instead of a country", at_least=0, example=250
    )

    @property
    def of_machine(self) -> bool:
        """The figures are the whole machine's, which the runs on it share."""
        return True

    @property
    def meter_option(self) -> str:
        """The option that chooses the meter, as it is set."""
        return "energy" if self.prefix == "energy." else f"{self.prefix}meter"

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence per pair of options that contradict each other."""
        if self.country is not None and self.grams_co2e_per_kwh is not None:
            yield (
                f"{prefix}country and {prefix}grams_co2e_per_kwh both state the grid: leave one of "
                "them out"
            )
        if self.region is not None and self.country is None:
            yield (
                f"{prefix}region={self.region} needs {prefix}country: set {prefix}country=USA, say"
            )


def _names_gpus(gpus: Any) -> bool:
    return gpus in (None, "all") or all(
        type(each) is int or (isinstance(each, str) and each.startswith("GPU-"))
        for each in (gpus if isinstance(gpus, list) else [gpus])
    )


@dataclass
class MachineEnergyConfig(EnergyConfig):
    """What meters of this machine have in common."""

    gpus: Any = option(
        None,
        doc="GPUs to count: a list of nvidia-smi's numbers or UUIDs, or all; null is those that "
        "the run computes on",
        must=("all, or a list of numbers and UUIDs as nvidia-smi -L shows them", _names_gpus),
        example="[0], say",
    )
    baseline: Literal["auto", "measure", "none"] = option(
        "auto",
        doc="power of the idle machine, for joules that compare whatever runs beside: measure it "
        "once; auto: before a sweep, where no model of the counters gives it",
    )
    baseline_seconds: float = option(10.0, doc="how long to measure it", above=0, largest=3600)
    baseline_hours: float = option(24.0, doc="for how long its record is used again", at_least=0)


@dataclass
class CalibrationConfig:
    """Figures of a wall meter, for a machine whose CPU has no counter."""

    idle_watts: float | None = option(
        None, doc="at the wall, with nothing running", above=0, example=40
    )
    load_watts: float | None = option(
        None, doc="at the wall, with all cores busy", above=0, example=120
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where the two figures do not make a calibration."""
        idle, load = self.idle_watts, self.load_watts
        if idle is not None and load is not None:
            if load <= idle:
                yield (
                    f"{prefix}load_watts must be above idle_watts, got {load:g} and {idle:g}: "
                    "measure with all cores busy"
                )
        elif idle is not load:
            missing = "idle_watts" if idle is None else "load_watts"
            yield f"{prefix.rstrip('.')} needs both idle_watts and load_watts: set {missing} too"


@dataclass
class CodeCarbonConfig(MachineEnergyConfig, choice="codecarbon"):
    implementation = "greensweep.energy.codecarbon:CodeCarbonSource"

    name: Literal["codecarbon"] = "codecarbon"
    tracking_mode: Literal["machine", "process"] = option(
        "machine", doc="charge the whole machine, or estimate this process's share"
    )
    cpu_tdp_watts: float | None = option(
        None, doc="rated power of the CPU, where CodeCarbon does not know it", above=0, example=65
    )
    calibration: CalibrationConfig = option(CalibrationConfig, doc="figures of a wall meter")

    @property
    def of_machine(self) -> bool:
        return self.tracking_mode == "machine"

    def faults(self, prefix: str) -> Iterator[str]:
        yield from super().faults(prefix)
        if self.tracking_mode == "process" and self.calibration.idle_watts is not None:
            yield (
                f"{prefix}calibration is of the whole machine, but {prefix}tracking_mode=process: "
                f"set {prefix}tracking_mode=machine"
            )


@dataclass
class NvmlRaplConfig(MachineEnergyConfig, choice="nvml_rapl"):
    implementation = "greensweep.energy.nvml_rapl:NvmlRaplSource"

    name: Literal["nvml_rapl"] = "nvml_rapl"


@dataclass
class ReplayConfig(EnergyConfig, choice="replay"):
    implementation = "greensweep.energy.replay:replay"

    name: Literal["replay"] = "replay"
    path: str = option(MISSING, doc="CSV file of recorded energy", path=True)
    column: str = option("joules", doc="column of energy per lap; of watts with a time column")
    unit: EnergyUnit | None = option(
        None, doc="unit of energy per lap; null: what the column's name says, or joules"
    )
    time_column: str | None = option(
        None, doc="column of seconds; null plays one row per lap instead of a trace over time"
    )
    component: Literal["cpu", "gpu", "ram"] = option("cpu", doc="what the energy is of")

    @property
    def of_machine(self) -> bool:
        return False


@dataclass
class UnmeteredConfig(EnergyConfig, choice="unmetered"):
    implementation = "greensweep.energy.meter:unmetered"

    name: Literal["unmetered"] = "unmetered"

    @property
    def of_machine(self) -> bool:
        return False
