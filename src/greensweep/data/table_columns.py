"""What the columns of a table hold: numbers, texts, classes, values."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from greensweep.data.arrays import as_labels
from greensweep.data.split import Targets
from greensweep.errors import DataError, listed

# A column of more texts than these names its rows: one input for each would say nothing.
_MOST_CATEGORIES, _FEW_CATEGORIES = 1000, 50


def is_number(column: "pd.Series[Any]", name: str) -> bool:
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


def plain_columns(frame: pd.DataFrame, kinds: dict[str, bool], part: str) -> pd.DataFrame:
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


def target_labels(
    parts: dict[str, pd.DataFrame],
    columns: list[str],
    targets: Targets,
    classes: tuple[str, ...] = (),
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return the names of the classes or labels, and the labels of each part, as of `TensorSplit`.

    Args:
        columns: one of classes or values, or several of labels or values.
        classes: that there are; those of the training part where none are given.
    """
    if targets == "classes" and len(columns) > 1:
        raise DataError(
            "classes are the values of one column, and dataset.target_column names "
            f"{len(columns)}: name one, or choose task=multilabel or task=regression"
        )
    for name, part in parts.items():
        for column in columns:
            if missing := int(part[column].isna().sum()):
                raise DataError(
                    f"{missing} of {len(part)} rows of the {name} file have no {column} to learn: "
                    "fill it in, or leave these rows out"
                )
    if targets != "classes":
        numbers = {name: _numbers(part[columns]) for name, part in parts.items()}
        if targets == "labels":
            return tuple(columns), {n: as_labels(each, targets) for n, each in numbers.items()}
        return (), {n: each[:, 0] if len(columns) == 1 else each for n, each in numbers.items()}
    return _class_labels({name: part[columns[0]] for name, part in parts.items()}, classes)


def _class_labels(
    given: dict[str, "pd.Series[Any]"], classes: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    column = str(next(iter(given.values())).name)
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
    if fractions := sorted(value for value in found if isinstance(value, float)):
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


def _numbers(frame: pd.DataFrame) -> Tensor:
    """Return columns of numbers, float32 (N, K)."""
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column):
            raise DataError(
                f"{name} holds texts such as {str(column.iloc[0])!r}, which are classes and no "
                "numbers: choose task=classification, or a column of numbers"
            )
    values = torch.tensor(frame.to_numpy(dtype=np.float32, na_value=np.nan))
    if not values.isfinite().all():
        raise DataError(
            f"{listed(frame.columns)} holds infinite numbers: replace them, or leave these rows out"
        )
    return values
