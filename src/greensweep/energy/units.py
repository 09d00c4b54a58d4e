"""Energy in words."""


def joules_text(joules: float | None) -> str:
    """Return energy with four digits and a unit that scales: J, kJ, MJ.

    >>> joules_text(12345.6)
    '12.35 kJ'
    """
    if joules is None:
        return "not metered"
    for unit, size in (("MJ", 1e6), ("kJ", 1e3)):
        if abs(joules) >= size:
            return f"{joules / size:.4g} {unit}"
    return f"{joules:.4g} J"
