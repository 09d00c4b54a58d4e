"""A table, CSV or Parquet, of which one column is learnt from the others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
from greensweep.data.table_columns import is_number, plain_columns, target_labels
from greensweep.energy.notices import warn_once
from greensweep.errors import DataError, listed, unknown


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
    learnt = _target_columns(config)
    features = _features(config, learnt, list(parts["train"].columns))
    for name, part in parts.items():
        _check_columns(part, [*features, *learnt], name)
    kinds = {name: is_number(parts["train"][name], name) for name in features}
    rows = pd.concat(
        [plain_columns(part, kinds, name) for name, part in parts.items()], ignore_index=True
    )
    classes, labels = target_labels(parts, learnt, targets)
    row_numbers = torch.arange(len(rows)).unsqueeze(1).split([len(part) for part in parts.values()])
    splits = {
        name: TensorSplit(each, labels[name]) for name, each in zip(parts, row_numbers, strict=True)
    }
    numbers = [name for name, is_number in kinds.items() if is_number]
    texts = [name for name, is_number in kinds.items() if not is_number]
    warn_once(
        f"{config.path}: {len(parts['train'])} rows, {len(numbers)} columns of numbers, "
        f"{len(texts)} of texts{f' ({listed(texts)})' if texts else ''}; "
        f"{listed(learnt)}: "
        + (f"{len(classes)} {targets}: {listed(classes)}" if classes else targets),
        logging.INFO,
    )
    fit = partial(_fitted, rows, numbers, texts)
    return Source(splits["train"], classes, splits.get("validation"), splits.get("test"), fit)


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
    kinds = {
        str(name): pd.api.types.is_numeric_dtype(each) for name, each in standardise.rows.items()
    }
    _check_columns(frame, list(kinds), path.name)
    inputs = standardise.inputs(plain_columns(frame, kinds, path.name))
    learnt = _target_columns(config)
    if not {*learnt} <= {*frame.columns} or frame[learnt].isna().any(axis=None):
        return inputs, None
    _, labels = target_labels({path.name: frame}, learnt, targets, splits.classes)
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


def _target_columns(config: TableConfig) -> list[str]:
    named = config.target_column
    if named in ([], None):
        raise DataError(f"dataset.target_column={named} names no column: name the one to learn")
    return [str(each) for each in (named if isinstance(named, list) else [named])]


def _features(config: TableConfig, learnt: list[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that are learnt from."""
    chosen = {"columns": config.columns or (), "drop_columns": config.drop_columns}
    chosen["target_column"] = learnt
    for option, names in chosen.items():
        for name in names:
            if name not in columns:
                raise DataError(
                    f"dataset.{option}: {unknown(f'column of {config.path}', name, columns)}"
                )
    left_out = {*learnt, *config.drop_columns}
    features = [name for name in config.columns or columns if name not in left_out]
    if not features:
        raise DataError(
            f"no column of {config.path} is left to learn {listed(learnt)} from: set other "
            "dataset.columns or dataset.drop_columns"
        )
    return features


def _check_columns(frame: pd.DataFrame, names: Sequence[str], part: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise DataError(
            f"the {part} file lacks {listed(missing)}, which the training file has: give it the "
            "same columns"
        )
