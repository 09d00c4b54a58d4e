"""Numbers as people write them: thousands, decimal commas, percent, units, and missing ones."""

import math
import re
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, get_args

from greensweep.csv_files.layout import TableError

EnergyUnit = Literal["uJ", "mJ", "J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh"]
AccuracyUnit = Literal["share", "percent"]

ENERGY_UNITS: Mapping[str, float] = {
    "uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9,
    "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6, "MWh": 3.6e9,
}  # fmt: skip
# Words of a column's name, in lower case. "mj" may be millijoules or megajoules.
_WORDS = {
    "joules": "J", "joule": "J", "kilojoules": "kJ", "megajoules": "MJ", "millijoules": "mJ",
    "microjoules": "uJ", **{unit.lower(): unit for unit in ENERGY_UNITS if unit[0] not in "mM"},
}  # fmt: skip
_PERCENT = ("percent", "pct", "percentage")
# CodeCarbon's emissions.csv says no units: https://mlco2.github.io/codecarbon/output.html
_CODECARBON = ("energy_consumed", "cpu_energy", "gpu_energy", "ram_energy")
_CODECARBON_MARKS = ("emissions", "duration", "codecarbon_version")

# Of the median run: the least is far below a phone's, the most that of a large computing centre.
_TOLD_WATTS, _POSSIBLE_WATTS = (0.1, 20e3), (1e-3, 1e6)

ACCURACY_UNITS: Mapping[str, float] = {"%": 0.01}
TIME_UNITS: Mapping[str, float] = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}

# What programs and people write for no value, in lower case.
MISSING = frozenset(
    ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "–", "—", "?", "."]
)

_SPACES = "[ '\u2019\u00a0\u2007\u2009\u202f]"  # between thousands
_CELL = re.compile(
    rf"([+-]?)(\d+(?:{_SPACES}\d{{3}})*(?:[.,]\d+)*[.,]?|[.,]\d+)(e[+-]?\d+)?\s*([a-zµ%]*)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}([.,]\d{3})")


class FigureError(TableError):
    """A cell is no figure: the one at `index`, from 0."""

    def __init__(self, index: int, rule: str) -> None:
        super().__init__(rule)
        self.index = index


def read_figures(
    cells: Iterable[Any], units: Mapping[str, float] | None = None, factor: float = 1.0
) -> list[float]:
    """Return cells as numbers; missing ones are NaN.

    Args:
        cells: numbers, or texts such as 1e3, 1,234.5, 1 234,5 and 3.2 kJ.
        units: that cells may end with, and what to multiply their numbers by.
        factor: likewise for a number without a unit.

    Raises:
        FigureError: a cell is neither, or might be one of two numbers.
    """
    cells = list(cells)
    mark = _decimal_mark([cell for cell in cells if isinstance(cell, str)])
    return [_figure(index, cell, mark, units or {}, factor) for index, cell in enumerate(cells)]


def decimal_points(columns: Sequence[Sequence[str]], separator: str) -> list[list[str]]:
    """Return columns of a file, those of numbers as a program writes them: 1234.5.

    What a column of round thousands alone leaves open (1.234), the others of the file decide.

    Args:
        separator: of the file's cells. Where it is a comma, no number has a decimal comma: a text
            such as "3,4" names two.
    """
    marks = []
    for column in columns:
        try:
            marks.append(_decimal_mark(column) if may_be_numbers(column) else None)
        except FigureError:
            marks.append(None)
    of_all = "," if "," in marks and "." not in marks else None
    return [
        list(column) if separator == mark == "," else _pointed(column, mark or of_all)
        for column, mark in zip(columns, marks, strict=True)
    ]


def may_be_numbers(cells: Iterable[str]) -> bool:
    """Tell by the first cells whether a column can be one of numbers without units."""
    first = [cell.strip() for cell in islice(cells, 100)]
    found = [_CELL.fullmatch(cell) for cell in first if cell.casefold() not in MISSING]
    return all(each is not None and not each[4] for each in found)


def _pointed(column: Sequence[str], mark: str | None) -> list[str]:
    try:
        return [_plain(index, cell, mark)[0] or cell for index, cell in enumerate(column)]
    except FigureError:
        return list(column)


def energy_factor(name: str, unit: EnergyUnit | None, names: Iterable[str], option: str) -> float:
    """Return the joules of one unit of a column of energies.

    Args:
        name: of the column, which may name its unit, as energy_kwh does.
        unit: that the user declares, which counts.
        names: of all columns of the table.
        option: that declares it.

    Raises:
        TableError: the name may mean several units.
    """
    if unit is not None:
        return ENERGY_UNITS[unit]
    names = set(names)
    words = re.findall(r"[a-zµ]+", name, re.IGNORECASE)
    for word in words:
        exact = word if word in get_args(EnergyUnit) and not name.isupper() else None
        if known := exact or _WORDS.get(word.lower()):
            return ENERGY_UNITS[known]
        if word.lower() in ("mj", "mwh"):
            raise TableError(
                f"{name} may be of milli or of mega ({word}): set {option}=mJ, MJ, mWh or MWh"
            )
    if name in _CODECARBON:
        if names.isdisjoint(_CODECARBON_MARKS):
            raise TableError(
                f"{name} names no unit, and CodeCarbon, which calls it so, has kilowatt-hours: set "
                f"{option}=kWh, or {option}=J"
            )
        return ENERGY_UNITS["kWh"]
    return 1.0


def accuracy_factor(name: str, unit: AccuracyUnit | None) -> float:
    """Return the share that one unit of a column of accuracies is: 1, or 0.01 of percent."""
    words = re.findall(r"[a-z%]+", name.lower())
    named = "%" in name or any(word in _PERCENT for word in words)
    return 0.01 if unit == "percent" or (unit is None and named) else 1.0


def doubtful_power(joules: Iterable[float], seconds: Iterable[float]) -> tuple[str, bool] | None:
    """Say what is doubtful about the joules of runs, given how long they took.

    Returns:
        What is wrong with the power of the median run, and whether that is possible at all; None
        where it is what machines draw, or is not known.
    """
    known = [
        energy / length
        for energy, length in zip(joules, seconds, strict=True)
        if 0 < energy < math.inf and 0 < length < math.inf
    ]
    watts = statistics.median(known) if known else 1.0
    if _TOLD_WATTS[0] <= watts <= _TOLD_WATTS[1]:
        return None
    rule = "more than a machine draws" if watts > 1 else "less than a machine trains on"
    possible = _POSSIBLE_WATTS[0] <= watts <= _POSSIBLE_WATTS[1]
    return f"{watts:.3g} W in the median run, {rule}", possible


def _figure(
    index: int, cell: Any, mark: str | None, units: Mapping[str, float], factor: float
) -> float:
    if not isinstance(cell, str):
        return float(scaled(_number(index, cell), factor))
    plain, unit = _plain(index, cell, mark, units)
    return float(scaled(float(plain or "nan"), units[unit] if unit else factor))


def _plain(index: int, cell: str, mark: str | None, units: Collection[str] = ()) -> tuple[str, str]:
    """Return a number as a program writes it, "" for a missing one, and its unit."""
    text = cell.strip().replace("−", "-")
    if text.casefold() in MISSING:
        return "", ""
    found = _CELL.fullmatch(text)
    if found is None:
        if re.fullmatch(r"[+-]?inf(inity)?", text, re.IGNORECASE):
            return text, ""
        raise FigureError(index, f"must be a number, got {cell!r}")
    sign, digits, exponent, unit = found.groups()
    if unit and unit not in units:
        some = f", nor one of {', '.join(units)}" if units else ""
        raise FigureError(index, f"must be a number, got {cell!r}: {unit!r} is no unit{some}")
    digits = re.sub(_SPACES, "", digits)
    if mark is None and "," in digits:
        either = f"{digits.replace(',', '.')} or {digits.replace(',', '')}"
        raise FigureError(index, f"may be {either}, got {cell!r}: write it without a comma")
    if mark == ",":
        digits = digits.translate({ord(","): ".", ord("."): ","})
    whole, point, fraction = digits.partition(".")
    if not re.fullmatch(r"\d*|\d{1,3}(,\d{3})+", whole) or not re.fullmatch(r"\d*", fraction):
        raise FigureError(index, f"must be a number, got {cell!r}")
    return f"{sign}{whole.replace(',', '')}{point}{fraction}{exponent or ''}", unit


def scaled(number: Any, factor: float) -> Any:
    """Multiply a number, or a column of them, so that 95 hundredths are 0.95."""
    return number * factor if factor >= 1 else number / round(1 / factor)


def _number(index: int, value: Any) -> float:
    """Return a value that is no text: also of Decimal and its like, but no date and no list."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise FigureError(index, f"must be a number, got {value!r}")
    return float(value)


def _decimal_mark(cells: Sequence[str]) -> str | None:
    """Return what numbers have before their fractions, "." or ","; None where no cell decides.

    Raises:
        FigureError: some have a comma there, and some a point.
    """
    first: dict[str, int] = {}
    for index, cell in enumerate(cells):
        found = _CELL.fullmatch(cell.strip())
        mark = _mark(re.sub(_SPACES, "", found[2]), bool(found[3])) if found else None
        if mark is not None:
            first.setdefault(mark, index)
    if len(first) > 1:
        index = max(first.values())
        raise FigureError(
            index,
            f"has a decimal comma in {cells[first[',']]!r} and a decimal point in "
            f"{cells[first['.']]!r}: write both alike",
        )
    return next(iter(first), None)


def _mark(digits: str, has_exponent: bool) -> str | None:
    marks = [each for each in digits if each in ".,"]
    if not marks or (len(marks) == 1 and _THOUSANDS.fullmatch(digits) and not has_exponent):
        return None
    last = marks[-1]
    if len(marks) > 1 and len(set(marks)) == 1:  # 1,234,567
        return "." if last == "," else ","
    return last
