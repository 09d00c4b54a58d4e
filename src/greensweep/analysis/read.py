"""Read a table of runs from a file."""

import re
import warnings
from pathlib import Path

import pandas as pd

from greensweep.errors import AnalysisError, first_line


def read_file(path: Path) -> pd.DataFrame:
    """Read a CSV file, or Parquet (`.parquet`, `.pq`).

    Raises:
        AnalysisError: the file is missing, empty or broken; a broken line is named.
    """
    if not path.is_file():
        raise AnalysisError(f"source={path} is no file: give a CSV or Parquet file, or mlflow")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Else cells beyond the header's names shift the columns: the first are row labels.
            return pd.read_csv(path, low_memory=False, index_col=False)
    except pd.errors.EmptyDataError as error:
        raise AnalysisError(f"{path} is empty: give a table with a header line") from error
    except pd.errors.ParserError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f", line {line.group(1)}" if line else ""
        raise AnalysisError(f"{path}{where} cannot be read: {first_line(error)}") from error
    except pd.errors.ParserWarning as error:
        raise AnalysisError(
            f"the lines of {path} have more cells than its header has names: name every column, or "
            "leave out commas at the ends of lines"
        ) from error
    except UnicodeDecodeError as error:
        raise AnalysisError(f"{path} is no UTF-8 text: save it with that encoding") from error
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} cannot be read: {first_line(error)}") from error
