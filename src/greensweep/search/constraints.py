"""Constraints on what a trial comes to, `hydra.sweeper.constraints`, and which need energy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

from greensweep.config.metrics import METRICS
from greensweep.errors import ConstraintError, MissingFigure, listed, rounded
from greensweep.nested import dotted, to_json
from greensweep.record.reported import by_split, split_of
from greensweep.record.result import RunResult
from greensweep.search.records import Outcome
from greensweep.search.spec import SearchSpec

OPTION = "hydra.sweeper.constraints"

# Of a program of one's own: the figures of its `Outcome`.
_OF_ANY_PROGRAM = ("accuracy", "joules", "spent_joules", "seconds", "epochs")

# Numbers of a result that say what it is, and not what it came to.
_LABELS = {"seed", "trial", "repeats", "best_epoch", "energy_neighbours"}
_NESTED = (
    "inference.joules_per_1000",
    "inference.seconds_per_1000",
    *(f"energy_components.{component}.joules" for component in ("cpu", "gpu", "ram")),
    *(f"spread.{name}.std" for name in ("validation_accuracy", "test_accuracy", "energy_joules")),
)
# Metrics of the split that selects, or of a named one as `validation_accuracy` is; those of classes
# are a figure for each.
METRIC_FIGURES = {
    f"{split}{name}": metric
    for split in ("", "validation_", "test_")
    for name, metric in METRICS.items()
    if not metric.per_class
}
SHORT_NAMES = {
    "energy": "joules",
    "joules_per_run": "spent_joules",
    "time": "seconds",
    "emissions": "emissions_kg",
    "latency": "inference.seconds_per_1000",
    "size": "parameters",
}

# What only grows while a trial runs, and in which unit: once above its bound, it stays there.
_UNITS = {
    "joules": "J",
    "energy_joules": "J",
    "spent_joules": "J",
    "energy_spent_joules": "J",
    "energy_kwh": "kWh",
    "emissions_kg": "kg CO2e",
    "seconds": "s",
    "epochs": "epochs",
}


@dataclass(frozen=True)
class Constraint:
    """A constraint: `figure` is to be at most `limit`, or at least where it is no maximum."""

    name: str
    figure: str
    is_maximum: bool
    limit: float

    @property
    def of_energy(self) -> bool:
        """There is such a figure only where energy is metered."""
        return "joules" in self.figure or self.figure.startswith(("energy_", "emissions"))

    def excess(self, value: float) -> float:
        """Return by how much a value breaks the bound, as Optuna wants it: above 0 is broken."""
        return value - self.limit if self.is_maximum else self.limit - value


def parse_constraints(constraints: Mapping[str, float]) -> list[Constraint]:
    """Read max_NAME and min_NAME, with the short names of figures."""
    bounds = []
    for constraint, limit in constraints.items():
        side, _, name = constraint.partition("_")
        bounds.append(Constraint(constraint, figure_of(name), side == "max", limit))
    return bounds


def figure_of(name: str) -> str:
    """Return the figure that a short name, or `val_loss`, stands for."""
    split, metric = split_of(name)
    return SHORT_NAMES.get(name, f"{split}_{metric}" if metric != name else name)


def of_energy(spec: SearchSpec) -> list[str]:
    """Name the options of a search that mean nothing where energy is not metered."""
    options = {
        "budget.joules": spec.budget.joules,
        "budget.kwh": spec.budget.kwh,
        "budget.emissions_kg": spec.budget.emissions_kg,
        "stop.min_gain_per_kilojoule": spec.stop.min_gain_per_kilojoule,
        "stop.min_gain_per_kg_co2e": spec.stop.min_gain_per_kg_co2e,
        "price_per_kilojoule": spec.price_per_kilojoule,
    }
    asked = {name: value for name, value in options.items() if value}
    for bound in parse_constraints(spec.constraints):
        if bound.of_energy:
            asked[f"constraints.{bound.name}"] = bound.limit
    return [f"hydra.sweeper.{name}={value:g}" for name, value in asked.items()]


def refuse_unmetered(
    options: Sequence[str],
    spent_joules: float | None,
    lost: Iterable[str] = (),
    when: str = "in a whole trial",
) -> None:
    """Refuse to go on where options need energy, and a trial has no whole figure of it.

    Args:
        options: as `of_energy` names them.
        lost: components whose meter failed.

    Raises:
        ConstraintError: the options cannot be kept to.
    """
    components = " and ".join(sorted(lost))
    if not options or (spent_joules is not None and not components):
        return
    why, way = "nothing reported its joules", "report them, set hydra.sweeper.meter=trials"
    if components:
        why, way = f"the meter of {components} failed", "see what python -m greensweep doctor says"
    raise ConstraintError(
        f"{options[0]} cannot be kept to, since {why} {when}: {way}, or leave it out"
    )


def broken_by(
    constraints: Mapping[str, float], outcome: Outcome, result: RunResult | None
) -> dict[str, float]:
    """Return by how much a trial breaks each constraint, as Optuna wants it: above 0 is broken.

    Args:
        result: that the trial left; None where it left none.

    Raises:
        MissingFigure: a constraint is on a figure that the trial does not have.
    """
    if not constraints:
        return {}
    metrics: Mapping[str, Mapping[str, Any]] = {"validation": by_split(outcome.metrics)[0]}
    selecting = "validation"
    if result is not None:
        metrics, selecting = result.metrics, "test" if result.selected_on_test else "validation"
    reported: dict[str, Any] = {**outcome.metrics, **metrics.get(selecting, {})}
    of_splits = {
        f"{split}_{name}": value for split, of in metrics.items() for name, value in of.items()
    }
    known = of_splits | {name: getattr(outcome, name) for name in _OF_ANY_PROGRAM}
    known |= dotted(to_json(result)) if result is not None else {}
    there = f" (its metrics are {listed(reported)})" if reported else ""
    broken = {}
    for bound in parse_constraints(constraints):
        own = bound.name.partition("_")[2]  # a program may report what is a short name here
        value = reported.get(own, known.get(bound.figure))
        if not isinstance(value, int | float):
            raise MissingFigure(
                f"{OPTION}: {bound.name} bounds {bound.figure}, and the trial came to no "
                f"such figure{there}: leave it out, or see that each trial has one"
            )
        broken[bound.name] = bound.excess(value)
    return broken


def broken_already(
    constraints: Mapping[str, float],
    growing: Mapping[str, float | None],
    fixed: Mapping[str, float | None],
) -> str | None:
    """Say which constraint a trial breaks however it goes on; None where it may keep them all.

    Args:
        growing: figures that can only become larger, as they stand.
        fixed: figures that are known for good; None of one that there will not be.

    Raises:
        MissingFigure: there will not be one that is bounded.
    """
    bounds = parse_constraints(constraints)
    for bound in bounds:
        if fixed.get(bound.figure, 0.0) is None:
            raise MissingFigure(
                f"{OPTION}: {bound.name} bounds {bound.figure}, which cannot be computed for this "
                "network: leave it out"
            )
    for bound in bounds:
        value = growing.get(bound.figure)
        if value is not None and bound.is_maximum and bound.excess(value) > 0:
            unit, amount = _UNITS[bound.figure], rounded(value, 4)
            told = (
                f"{amount} {unit} are"
                if amount != "1"
                else f"1 {unit.removesuffix('s') or unit} is"
            )
            return f"{told} above {bound.name}={rounded(bound.limit, 6)}"
        value = fixed.get(bound.figure)
        if value is not None and bound.excess(value) > 0:
            said = f"{bound.figure}={rounded(value, 7)} breaks {bound.name}"
            return f"{said}={rounded(bound.limit, 7)}"
    return None


def figure_names() -> list[str]:
    """Return the figures that a constraint may bound, but for metrics that only a program knows."""
    hints = get_type_hints(RunResult)
    numbers = [
        name
        for name, hint in hints.items()
        if {int, float} & {hint, *(get_args(hint) if isinstance(hint, UnionType) else ())}
    ]
    of_results = sorted(({*numbers} | METRIC_FIGURES.keys()) - _LABELS)
    return [*dict.fromkeys((*_OF_ANY_PROGRAM, *of_results)), *_NESTED]
