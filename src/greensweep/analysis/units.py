"""Numbers for people: three digits that say something, and units that scale."""

import math
from collections.abc import Sequence
from typing import Any

from greensweep.energy.units import joules_text

_ENDS = ("low", "high")  # of an interval


def joules(value: float) -> str:
    """Return an energy with three digits and a unit that scales; infinite is never reached."""
    if not math.isfinite(value):
        return "never" if value > 0 else "–"
    return joules_text(value, digits=3)


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, without an exponent where it is readable."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value != 0 and not 1e-4 <= abs(value) < 10**6:
        return f"{value:.{digits}g}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{float(f'{value:.{digits}g}'):g}"


def cell(name: str, value: Any, columns: Sequence[str] = ()) -> str:
    """Return a value of a table as a person reads it, by the name of its column.

    Args:
        columns: of the table, in order: `low` and `high` are in the unit of the column before them.
    """
    if name in _ENDS and name in columns:
        before = [each for each in columns[: columns.index(name)] if each not in _ENDS]
        name = before[-1] if before else name
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        value = float(value)
        if "joules" in name and "per_" not in name.partition("joules")[0]:
            return joules(value)
        if "accuracy" in name and "per_" not in name and not name.endswith("_p"):
            return f"{value:.4f}" if math.isfinite(value) else "–"
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else number(value, 4)
    return str(value)
