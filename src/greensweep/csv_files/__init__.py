"""CSV files of people and of other programs: read as they are meant, and written to be opened.

Every room reads and writes them here, so that one file means the same to all of them.
"""

from greensweep.csv_files.cells import shown, write_frame, write_rows
from greensweep.csv_files.figures import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    MISSING,
    TIME_UNITS,
    AccuracyUnit,
    EnergyUnit,
    FigureError,
    accuracy_factor,
    decimal_points,
    doubtful_power,
    energy_factor,
    may_be_numbers,
    read_figures,
    scaled,
)
from greensweep.csv_files.layout import Layout, TableError, checked_names, layout_of
from greensweep.csv_files.rows import Row, broken_line, read_column, read_rows

__all__ = [
    "ACCURACY_UNITS",
    "ENERGY_UNITS",
    "MISSING",
    "TIME_UNITS",
    "AccuracyUnit",
    "EnergyUnit",
    "FigureError",
    "Layout",
    "Row",
    "TableError",
    "accuracy_factor",
    "broken_line",
    "checked_names",
    "decimal_points",
    "doubtful_power",
    "energy_factor",
    "layout_of",
    "may_be_numbers",
    "read_column",
    "read_figures",
    "read_rows",
    "scaled",
    "shown",
    "write_frame",
    "write_rows",
]
