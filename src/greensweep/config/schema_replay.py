"""`training=replay`: the recorded table that answers instead of training."""

from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import MISSING

from greensweep.config.options import option
from greensweep.csv_files.figures import AccuracyUnit, EnergyUnit


@dataclass
class ReplayColumnsConfig:
    """What the recorded figures are called in the table."""

    accuracy: str = option("accuracy", doc="accuracy on the split of select_on")
    energy: str = option("energy_joules", doc="training energy; up to the epoch in curves")
    seconds: str = option("seconds", doc="training seconds, where the table has them; likewise")
    epoch: str = option("epoch", doc="epoch of the row; a table without it holds no curves")
    energy_unit: EnergyUnit | None = option(
        None, doc="unit of `energy`; null: what its name says (energy_kwh), or joules"
    )
    accuracy_unit: AccuracyUnit | None = option(
        None, doc="share (0 to 1) or percent; null: what its name says (accuracy_pct), or share"
    )


@dataclass
class ReplayTableConfig:
    """`training=replay`: runs are answered from a recorded table."""

    table: str = option(MISSING, doc="CSV file of recorded runs", path=True)
    method: Literal["nearest", "regression"] = option(
        "nearest", doc="answer with the nearest recorded configuration, or with a fitted model"
    )
    options: list[str] | None = option(
        None, doc="options that distinguish configurations; null: those of the space in the table"
    )
    where: dict[str, Any] = option(dict, doc="use only rows in which these columns hold these")
    log: list[str] = option(
        list, doc="options on a log scale, beside those that the space declares so"
    )
    radius: float | None = option(
        None,
        doc="farthest distance to a recorded configuration that is not outside; null takes the "
        "95 % quantile of the distances within the table",
        at_least=0,
        example=0.1,
    )
    outside: Literal["mark", "refuse"] = option(
        "mark", doc="what to do with a run outside of the recorded ones"
    )
    component: Literal["cpu", "gpu", "ram"] = option("cpu", doc="what the energy is of")
    columns: ReplayColumnsConfig = option(ReplayColumnsConfig, doc="columns of the figures")
