"""Which columns of a table count the layers of its networks, where the user names none."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from greensweep.analysis.architectures import separable_factors
from greensweep.config.schema_analysis import LayersConfig
from greensweep.errors import AnalysisError
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, RunTable

# What runs record of the size of their network, which predicts its energy beside the layers.
SIZES = ("model/flops", "model/parameters")

_COUNTED = "layers/"  # of our own runs
_KINDS = ("conv", "linear|dense", "relu")  # what people ask about, first
_LAYER = re.compile(f"layer|{'|'.join(_KINDS)}|pool|norm|attention|lstm|gru|dropout", re.I)
_OPTIONS = ("optimizer.", "scheduler.", "training.", "dataset.")  # that count none
_MOST = 10_000


def with_factors(runs: RunTable, config: LayersConfig) -> tuple[LayersConfig, list[str]]:
    """Return options with factors: those that the user named, or the counts of layers that vary.

    Counts that vary together are one factor: networks repeat the same block. Architectures of the
    same counts that differ in size are distinguished by it.

    Returns:
        The options, and notes on which factors stand for which other columns.

    Raises:
        AnalysisError: none are named, and no column counts layers and varies.
    """
    if config.factors:
        return config, []
    finished = runs.finished
    names = _counts(finished)
    if not names:
        raise AnalysisError(
            f"no column of {runs.source} counts layers and varies, so that analysis=layers has no "
            "factors: set analysis.factors=[conv_layers,linear_layers], say"
        )
    counted = finished.dropna(subset=names)
    factors, stand_for = separable_factors(counted[names])
    architecture = config.architecture or [*factors, *_sizes_within(counted, factors)]
    chosen = replace(config, factors=factors, architecture=architecture, order=config.order or 1)
    return chosen, [_stands_for(kept, others) for kept, others in stand_for.items()]


def _counts(frame: pd.DataFrame) -> list[str]:
    """Return the columns that count layers and vary, those that people ask about first.

    Those that our own runs record, or else the whole numbers that are named as layers are.
    """
    varying = [name for name in map(str, frame) if name not in col.ADDED and name != ENERGY]
    varying = [name for name in varying if frame[name].nunique() > 1]
    own = [name for name in varying if name.startswith(_COUNTED)]
    named = [name for name in varying if _LAYER.search(name) and not name.startswith(_OPTIONS)]
    names = own or [name for name in named if _is_count(frame[name])]
    return sorted(names, key=lambda name: (_place(name), 0 if own else frame[name].nunique()))


def _is_count(values: "pd.Series[float]") -> bool:
    if not pd.api.types.is_numeric_dtype(values):
        return False
    known = values.dropna().astype(float)
    return bool(((known >= 0) & (known <= _MOST) & (known % 1 == 0)).all())


def _place(name: str) -> int:
    """Return which of the kinds of layers that people ask about a column is of."""
    found = (place for place, kind in enumerate(_KINDS) if re.search(kind, name, re.I))
    return next(found, len(_KINDS))


def _sizes_within(frame: pd.DataFrame, factors: Sequence[str]) -> list[str]:
    """Return the sizes of networks that vary between runs of the same counts of layers."""
    known = [name for name in SIZES if name in frame and frame[name].notna().all()]
    groups = frame.groupby(list(factors))
    return [name for name in known if (groups[name].nunique() > 1).any()]


def _stands_for(kept: Sequence[str], others: Sequence[str]) -> str:
    stand, it = ("stands", "it") if len(kept) == 1 else ("together stand", "them")
    vary = "varies" if len(others) == 1 else "vary"
    return f"{' and '.join(kept)} {stand} for {' and '.join(others)} too, which {vary} with {it}."
