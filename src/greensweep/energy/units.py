"""Units of energy and emissions, and these in words."""

from collections.abc import Sequence

JOULES_PER_KWH = 3.6e6
_JOULES_PER_WATT_HOUR = JOULES_PER_KWH / 1000
_WATT_HOURS = (("GWh", 1e9), ("MWh", 1e6), ("kWh", 1e3), ("Wh", 1.0), ("mWh", 1e-3))
_GRAMS = (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))
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
    """Return energy with what it may be off by, in one unit.

    >>> energy_text(323.04, 40.2)
    '323 ± 40 J'
    """
    text = joules_text(joules)
    if joules is None or uncertainty is None:
        return text
    value, unit = text.split()
    off = uncertainty / dict(_UNITS)[unit]
    return f"{value} ± {off:.2g} {unit}" if off < 100 else f"{value} ± {off:.0f} {unit}"


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


def _scaled(value: float, units: Sequence[tuple[str, float]], digits: int) -> str:
    rounded = abs(float(f"{value:.{digits}g}"))
    smallest = units[-1] if value else next(each for each in units if each[1] == 1.0)
    unit, size = next((each for each in units if rounded >= each[1]), smallest)
    return f"{value / size:.{digits}g} {unit}"
