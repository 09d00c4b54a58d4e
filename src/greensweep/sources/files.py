"""Read a table of runs from a file."""

from pathlib import Path

import pandas as pd

from greensweep.csv_files import TableError
from greensweep.csv_files.frame import read_frame
from greensweep.errors import AnalysisError


def read_file(path: Path) -> pd.DataFrame:
    """Read a table as `read_frame` does.

    Raises:
        AnalysisError: the file is missing, empty or broken; the first broken line is named.
    """
    if not path.is_file():
        raise AnalysisError(f"source={path} is no file: give a CSV or Parquet file, or mlflow")
    try:
        return read_frame(path)
    except TableError as error:
        raise AnalysisError(str(error)) from error
