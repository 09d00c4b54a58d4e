"""Units of energy, emissions and time, and these in words."""

import math
from collections.abc import Sequence

from greensweep.errors import rounded

JOULES_PER_KWH = 3.6e6
_UNSEEN = 1e-5  # of a figure, which four digits do not show
_LEAST = 0.001  # of the smallest unit, below which no figure is written out
_JOULES_PER_WATT_HOUR = JOULES_PER_KWH / 1000
_WATT_HOURS = (("GWh", 1e9), ("MWh", 1e6), ("kWh", 1e3), ("Wh", 1.0), ("mWh", 1e-3))
_GRAMS = (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))
_TIMES = (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800), ("days", 86_400, math.inf))
_UNITS = (("GJ", 1e9), ("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3))


def joules_text(joules: float | None, digits: int = 4) -> str:
    """Return energy with so many digits and a unit that scales: mJ, J, kJ, MJ, GJ.

    >>> joules_text(12345.6)
    '12.35 kJ'
    """
    if joules is None:
        return "not metered"
    return _scaled(joules, _UNITS, digits)


def energy_text(joules: float | None, uncertainty: float | None) -> str:
    """Return energy with what it may be off by, in one unit, rounded to two digits of that.

    >>> energy_text(323.04, 40.2), energy_text(12345.6, 2345.0), energy_text(0.003, 2.0)
    ('323 ± 40 J', '12.3 ± 2.3 kJ', '0 ± 2 J')
    """
    text = joules_text(joules)
    if joules is None or not _is_shown(uncertainty, joules):
        return text
    assert uncertainty is not None
    unit, size = _unit_of(max(abs(joules), uncertainty))
    return f"{_in_unit(joules, uncertainty, size)} {unit}"


def energies_text(
    energies: Sequence[tuple[float | None, float | None]],
) -> tuple[str, list[str]]:
    """Return the unit of the largest of some figures, and each as `energy_text` has it, in that.

    >>> energies_text([(12345.6, 234.0), (890.0, None), (None, None)])
    ('kJ', ['12.35 ± 0.23', '0.89', '-'])
    """
    figures = (abs(each or 0.0) for pair in energies for each in pair)
    unit, size = _unit_of(max(filter(math.isfinite, figures), default=0.0))
    return unit, [_in_unit(*each, size) for each in energies]


def _in_unit(joules: float | None, uncertainty: float | None, size: float) -> str:
    if joules is None:
        return "-"
    if not uncertainty or not math.isfinite(joules):
        return rounded(joules / size, 4)
    decimals = _decimals(uncertainty / size)
    return " ± ".join(_fixed(each / size, decimals) for each in (joules, uncertainty))


def _fixed(number: float, decimals: int) -> str:
    return f"{round(number, decimals) + 0.0:.{decimals}f}"  # -0.0 is 0


def energy_span_text(joules: float, low: float, high: float) -> str:
    """Return energy with its interval, in one unit, rounded to two digits of half its width.

    >>> energy_span_text(20230.0, 15690.0, 24780.0)
    '20.2 kJ (15.7 to 24.8)'
    """
    if low == high:
        return joules_text(joules)
    half = (high - low) / 2
    if not _is_shown(half, joules):
        return f"{joules_text(joules)} ({joules_text(low)} to {joules_text(high)})"
    unit, size = _unit_of(joules if abs(joules) >= half else max(abs(low), abs(high)))
    decimals = _decimals(half / size)
    middle, *ends = (_fixed(each / size, decimals) for each in (joules, low, high))
    return f"{middle} {unit} ({' to '.join(ends)})"


def _is_shown(off: float | None, joules: float) -> bool:
    """Tell whether a figure is known so badly that this shows in its digits."""
    is_finite = off is not None and math.isfinite(off) and math.isfinite(joules)
    return is_finite and (off or 0.0) > _UNSEEN * abs(joules)


def _unit_of(joules: float) -> tuple[str, float]:
    """Return the unit that `joules_text` shows an energy in, and its size."""
    unit = joules_text(joules).split()[1]
    return unit, dict(_UNITS)[unit]


def _decimals(off: float) -> int:
    """Return the decimals that show two digits of an uncertainty, one where the second is 0."""
    text = f"{off:.{max(1 - math.floor(math.log10(off)), 0)}f}"
    return len(text.rstrip("0").partition(".")[2]) if "." in text else 0


def watt_hours_text(joules: float) -> str:
    """Return an energy in joules as watt-hours with three digits: mWh, Wh, kWh, MWh, GWh.

    >>> watt_hours_text(11_300_000.0)
    '3.14 kWh'
    """
    return _scaled(joules / _JOULES_PER_WATT_HOUR, _WATT_HOURS, 3)


def emissions_text(kilograms: float) -> str:
    """Return emissions in kg CO2e with three digits and a unit that scales: µg, mg, g, kg, t.

    >>> emissions_text(0.01234)
    '12.3 g CO2e'
    """
    return f"{_scaled(1000.0 * kilograms, _GRAMS, 3)} CO2e"


def duration_text(seconds: float, digits: int = 3) -> str:
    """Return a length of time in the unit that suits it."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if 0 < seconds < _LEAST:
        return f"<{_LEAST} s"
    unit, size = next(each for each in _TIMES if seconds < each[2])[:2]
    return f"{rounded(seconds / size, digits)} {unit}"


def _scaled(value: float, units: Sequence[tuple[str, float]], digits: int) -> str:
    if not math.isfinite(value):
        return rounded(value)
    shown = abs(float(f"{value:.{digits}g}"))
    smallest = units[-1] if value else next(each for each in units if each[1] == 1.0)
    unit, size = next((each for each in units if shown >= each[1]), smallest)
    if 0 < shown < _LEAST * size:
        return f"<{_LEAST} {unit}"
    return f"{rounded(value / size, digits)} {unit}"
