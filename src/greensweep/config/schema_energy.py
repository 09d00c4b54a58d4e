"""The meters, by which energy is measured, and their options."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.options import option
from greensweep.csv_files.figures import EnergyUnit


@dataclass
class EnergyConfig:
    """What all meters have in common.

    Attributes:
        implementation: import path of a function or class in `greensweep.energy`. It takes the
            options of the meter, and where the run computes (cpu, cuda or cuda:1, say, or None
            where that is not known), and returns what opens its counters, or a meter without.
    """

    implementation: ClassVar[str]

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


@dataclass
class MachineEnergyConfig(EnergyConfig):
    """What meters of this machine have in common."""

    gpus: Any = option(
        None,
        doc="GPUs to count: a list of nvidia-smi's numbers or UUIDs, or all; null is those that "
        "the run computes on",
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


@dataclass
class CodeCarbonConfig(MachineEnergyConfig):
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


@dataclass
class NvmlRaplConfig(MachineEnergyConfig):
    implementation = "greensweep.energy.nvml_rapl:NvmlRaplSource"

    name: Literal["nvml_rapl"] = "nvml_rapl"


@dataclass
class ReplayConfig(EnergyConfig):
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
class UnmeteredConfig(EnergyConfig):
    implementation = "greensweep.energy.meter:unmetered"

    name: Literal["unmetered"] = "unmetered"


METERS: dict[str, type[EnergyConfig]] = {
    "codecarbon": CodeCarbonConfig,
    "nvml_rapl": NvmlRaplConfig,
    "replay": ReplayConfig,
    "unmetered": UnmeteredConfig,
}
