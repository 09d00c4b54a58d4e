"""A table, CSV or Parquet, of which one column is learnt from the others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor

from greensweep.config.schema_dataset import TableConfig
from greensweep.csv_files.frame import read_frame
from greensweep.data.split import Split, Targets, TensorSplit
from greensweep.data.splits import Source, Splits
from greensweep.errors import DataError, listed, unknown

log = logging.getLogger(__name__)

# A column of more texts than these names its rows: one input for each would say nothing.
_MOST_CATEGORIES, _FEW_CATEGORIES = 1000, 50


def table(config: TableConfig, targets: Targets) -> Source:
    """Read a table's rows; what its columns are made into is learnt from those that train.

    Numbers are standardised, missing ones being the mean; of texts each value is an input of 0 or
    1, and so is a missing one. What the training rows never have is 0 in all of them.

    Raises:
        DataError: a file or column is missing, or holds what cannot be learnt (from).
        TableError: a file is no table.
    """
    parts = {"train": _read(config.path, "dataset.path")}
    for name in ("validation", "test"):
        if (path := getattr(config, f"{name}_path")) is not None:
            parts[name] = _read(path, f"dataset.{name}_path")
    features = _features(config, list(parts["train"].columns))
    for name, part in parts.items():
        _check_columns(part, [*features, config.target_column], name)
    kinds = {name: _is_number(parts["train"][name], name) for name in features}
    rows = pd.concat([_plain(part, kinds, name) for name, part in parts.items()], ignore_index=True)
    classes, labels = _labels(parts, config.target_column, targets)
    ends = np.cumsum([len(part) for part in parts.values()])
    splits = {
        name: TensorSplit(torch.arange(end - len(part), end).unsqueeze(1), labels[name])
        for (name, part), end in zip(parts.items(), ends.tolist(), strict=True)
    }
    numbers = [name for name, is_number in kinds.items() if is_number]
    texts = [name for name, is_number in kinds.items() if not is_number]
    log.info(
        f"{config.path}: {len(parts['train'])} rows, {len(numbers)} columns of numbers, "
        f"{len(texts)} of texts{f' ({listed(texts)})' if texts else ''}; {config.target_column}: "
        + (f"{len(classes)} classes: {listed(classes)}" if classes else "values")
    )

    def fit(train: Split) -> Standardise:
        return _fitted(rows, numbers, texts, train)

    return Source(splits["train"], classes, splits.get("validation"), splits.get("test"), fit=fit)


@dataclass(frozen=True)
class Standardise:
    """Makes inputs of splits, whose own inputs are numbers of rows, and of rows of other tables."""

    rows: pd.DataFrame
    transform: ColumnTransformer

    def __call__(self, split: Split) -> Split:
        return TensorSplit(self.inputs(self.rows.iloc[_rows(split)]), split.labels)

    def inputs(self, rows: pd.DataFrame) -> Tensor:
        """Return the inputs that rows are made into, float32 (N, F)."""
        return torch.from_numpy(np.asarray(self.transform.transform(rows), dtype=np.float32))


def read_new_rows(
    path: Path, config: TableConfig, splits: Splits, targets: Targets
) -> tuple[Tensor, Tensor | None]:
    """Read another table's rows as the inputs of a network that learnt from `splits`.

    Returns the inputs, and the labels where every row has one.

    Raises:
        DataError: it lacks a column, or holds what the training file could not.
        TableError: it is no table.
    """
    standardise = splits.standardise
    assert isinstance(standardise, Standardise)
    frame = _read(str(path), "data")
    kinds = {str(name): _holds_numbers(each) for name, each in standardise.rows.items()}
    _check_columns(frame, list(kinds), path.name)
    inputs = standardise.inputs(_plain(frame, kinds, path.name))
    if config.target_column not in frame or frame[config.target_column].isna().any():
        return inputs, None
    _, labels = _labels({path.name: frame}, config.target_column, targets, splits.classes)
    return inputs, labels[path.name]


def _fitted(rows: pd.DataFrame, numbers: list[str], texts: list[str], train: Split) -> Standardise:
    chosen = rows.iloc[_rows(train)]
    if empty := [name for name in numbers if chosen[name].isna().all()]:
        raise DataError(
            f"no training row has a value in {listed(empty)}: leave the column out by "
            f"dataset.drop_columns=[{empty[0]}]"
        )
    transform = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ]
    )
    return Standardise(rows, transform.fit(chosen))


def _holds_numbers(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _rows(split: Split) -> np.ndarray:
    assert isinstance(split, TensorSplit)
    return split.inputs[:, 0].numpy()


def _read(path: str, option: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise DataError(f"{option}={path} is no file: give a CSV or Parquet file")
    frame = read_frame(Path(path))
    if frame.empty:
        raise DataError(f"{path} has no rows: give a table with some")
    return frame


def _features(config: TableConfig, columns: Sequence[str]) -> list[str]:
    """Return the columns that are learnt from."""
    for option in ("columns", "drop_columns"):
        for name in getattr(config, option) or ():
            if name not in columns:
                raise DataError(
                    f"dataset.{option}: {unknown(f'column of {config.path}', name, columns)}"
                )
    if config.target_column not in columns:
        raise DataError(
            "dataset.target_column: "
            f"{unknown(f'column of {config.path}', config.target_column, columns)}"
        )
    left_out = {config.target_column, *config.drop_columns}
    features = [name for name in config.columns or columns if name not in left_out]
    if not features:
        raise DataError(
            f"no column of {config.path} is left to learn {config.target_column} from: set other "
            "dataset.columns or dataset.drop_columns"
        )
    return features


def _check_columns(frame: pd.DataFrame, names: Sequence[str], part: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(
            f"the {part} file lacks {listed(missing)}, which the training file has: give it the "
            "same columns"
        )


def _is_number(column: "pd.Series[Any]", name: str) -> bool:
    """Tell whether a column holds numbers; else it holds texts.

    Raises:
        DataError: it holds neither, or texts that name their rows.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return True
    known = column.dropna()
    plain = pd.api.types.is_string_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
    if not plain and not known.map(lambda value: isinstance(value, str | bool | int)).all():
        raise DataError(
            f"the column {name} holds {type(known.iloc[0]).__name__}, neither numbers nor texts: "
            f"convert it, or set dataset.drop_columns=[{name}]"
        )
    count = known.nunique()
    if count > _MOST_CATEGORIES or count > max(_FEW_CATEGORIES, len(column) / 2):
        raise DataError(
            f"the column {name} holds {count} different texts in {len(column)} rows, the first "
            f"{str(known.iloc[0])!r}: set dataset.drop_columns=[{name}], or write numbers alone in "
            "it"
        )
    return False


def _plain(frame: pd.DataFrame, kinds: dict[str, bool], part: str) -> pd.DataFrame:
    """Return columns of numbers as float64, of texts as str; missing ones are NaN."""
    plain: dict[str, Any] = {}
    for name, is_number in kinds.items():
        column = frame[name]
        if not is_number:
            plain[name] = column.astype(object).map(str, na_action="ignore").astype(object)
            plain[name] = plain[name].where(column.notna(), np.nan)
            continue
        if not pd.api.types.is_numeric_dtype(column):
            raise DataError(
                f"the column {name} holds numbers in the training file and others in the {part} "
                f"file, such as {str(column.dropna().iloc[0])!r}: write alike in both"
            )
        plain[name] = column.astype("float64")
        if np.isinf(plain[name]).any():
            raise DataError(
                f"the column {name} of the {part} file holds infinite numbers: replace them, or "
                f"set dataset.drop_columns=[{name}]"
            )
    return pd.DataFrame(plain)


def _labels(
    parts: dict[str, pd.DataFrame], column: str, targets: Targets, classes: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return the names of the classes, and the labels of each part.

    Args:
        classes: that there are; those of the training part where none are given.
    """
    for name, part in parts.items():
        if missing := int(part[column].isna().sum()):
            raise DataError(
                f"{missing} of {len(part)} rows of the {name} file have no {column} to learn: fill "
                "it in, or leave these rows out"
            )
    given = {name: part[column] for name, part in parts.items()}
    if targets == "values":
        return (), {name: _values(each, column) for name, each in given.items()}
    classes = classes or tuple(map(str, sorted(_classes(given["train"], column))))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {}
    for name, each in given.items():
        found = each.map(_class)
        if new := sorted(set(map(str, found.unique())) - set(classes)):
            raise DataError(
                f"the {name} file has {listed(new)} in {column}, and the training file only "
                f"{listed(classes)}: no network can learn a class of which it sees no row"
            )
        labels[name] = torch.tensor([numbers[str(value)] for value in found])
    return classes, labels


def _classes(column: "pd.Series[Any]", name: str) -> set[Any]:
    found = set(column.map(_class).unique())
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return set(map(str, found))
    if fractions := sorted(value for value in found if value != int(value)):
        raise DataError(
            f"{name} holds numbers such as {fractions[0]:g}, which are values and no classes: "
            "choose a task that learns values, task=regression say, or a column of classes"
        )
    if len(found) > max(_FEW_CATEGORIES, len(column) / 4):
        raise DataError(
            f"{name} holds {len(found)} different numbers in {len(column)} rows, too many to be "
            "classes: choose a task that learns values, task=regression say, or another column"
        )
    return found


def _class(value: Any) -> Any:
    """Return a class as it is named: whole numbers without a point, all else as text."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | float | np.number):
        return int(value) if float(value).is_integer() else float(value)
    return str(value)


def _values(column: "pd.Series[Any]", name: str) -> Tensor:
    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(
            f"{name} holds texts such as {str(column.iloc[0])!r}, which are classes and no values: "
            "choose task=classification, or a column of numbers"
        )
    values = torch.from_numpy(column.to_numpy(dtype=np.float32, na_value=np.nan))
    if not values.isfinite().all():
        raise DataError(f"{name} holds infinite numbers: replace them, or leave these rows out")
    return values
