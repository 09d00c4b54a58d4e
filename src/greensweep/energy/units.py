"""Energy in words."""

_UNITS = (("GJ", 1e9), ("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3))


def joules_text(joules: float | None, digits: int = 4) -> str:
    """Return energy with so many digits and a unit that scales: mJ, J, kJ, MJ, GJ.

    >>> joules_text(12345.6)
    '12.35 kJ'
    """
    if joules is None:
        return "not metered"
    rounded = abs(float(f"{joules:.{digits}g}"))
    smallest = _UNITS[-1] if joules else ("J", 1.0)
    unit, size = next((each for each in _UNITS if rounded >= each[1]), smallest)
    return f"{joules / size:.{digits}g} {unit}"
