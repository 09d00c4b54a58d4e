"""CSV files of people and of other programs: read as they are meant, and written to be opened.

Every room reads and writes them here, so that one file means the same to all of them.
"""

from greensweep.csv_files.cells import write_frame, write_rows
from greensweep.csv_files.figures import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    MISSING,
    TIME_UNITS,
    AccuracyUnit,
    EnergyUnit,
    FigureError,
    accuracy_factor,
    doubtful_power,
    energy_factor,
    read_figures,
    scaled,
)
from greensweep.csv_files.layout import TableError, checked_names
from greensweep.csv_files.rows import Row, read_column, read_rows

__all__ = [
    "ACCURACY_UNITS",
    "ENERGY_UNITS",
    "MISSING",
    "TIME_UNITS",
    "AccuracyUnit",
    "EnergyUnit",
    "FigureError",
    "Row",
    "TableError",
    "accuracy_factor",
    "checked_names",
    "doubtful_power",
    "energy_factor",
    "read_column",
    "read_figures",
    "read_rows",
    "scaled",
    "write_frame",
    "write_rows",
]
