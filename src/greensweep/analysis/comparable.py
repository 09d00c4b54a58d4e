"""Which searches may be held against each other: of one space and objective, all else alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from greensweep.decision.sentences import option_texts
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable

_SPACE = "space"
_SEARCHED = "searched"
_ENDS = {"low": "from", "high": "to"}  # of the range of an option
_CHANCE = 0.05  # of drawing one value in all trials, below which their search fixed it
_MOST_NAMED = 3
# Options on which no figure hangs: where things lie, and what draws anew.
_NO_MATTER = (".root", ".path", ".seed")


def comparable_settings(runs: RunTable, searches: pd.DataFrame) -> "pd.Series[str]":
    """Return the setting of each run, parted by what the searches of `columns.setting` differ in.

    They differ where one searches an option that another fixes, where both fix it at other values,
    and where the name of their space, one of its bounds, or their objective is another. A strategy
    that names its space, `random@paper_log`, is there to be compared across spaces.

    Args:
        searches: rows of `runs` that a search drew.
    """
    settings = searches[col.SETTING].astype(str)
    names = _telling(runs, searches)
    if not names:
        return settings
    groups = searches.groupby(col.SEARCH, sort=False)
    counts, values, trials = groups[names].nunique(), groups[names].first(), groups.size()
    parted: dict[object, str] = {}
    for setting in counts.index.unique(level=0):
        kinds = _kinds(counts.loc[[setting]], values.loc[[setting]].astype(object), trials)
        differing = [name for name in names if kinds[name].astype(str).nunique() > 1]
        texts = _texts(kinds[differing])
        parted |= {key: f"{setting} ({text})" if text else str(setting) for key, text in texts}
    keys = pd.MultiIndex.from_frame(searches[col.SEARCH])
    return pd.Series([parted[key] for key in keys], index=searches.index)


def _kinds(counts: pd.DataFrame, values: pd.DataFrame, trials: "pd.Series[int]") -> pd.DataFrame:
    """Return what each search of a setting does with each option: the value, or `searched`.

    One value in all trials shows that a search fixed it only where they are too many to have drawn
    it by chance from as many values as another search drew.
    """
    most = np.maximum(counts.max().to_numpy(float), 1.0)
    chance = most ** (1.0 - trials.loc[counts.index].to_numpy(float)[:, None])
    drawn = (counts > 1) | ((most > 1) & (chance > _CHANCE))
    known = values.apply(lambda each: each.fillna(each.mode().get(0, "")))
    kinds: pd.DataFrame = known.mask(drawn, _SEARCHED)
    return kinds


def _telling(runs: RunTable, searches: pd.DataFrame) -> list[str]:
    """Return the columns that may tell searches apart."""
    objective = [name for name in map(str, searches) if name.startswith("objective.")]
    own = [*runs.options, *runs.searched, col.OBJECTIVE_METRIC, col.OBJECTIVE_DIRECTION, *objective]
    if not searches[col.STRATEGY].astype(str).str.contains("@").any():
        own += [_SPACE, *(name for name in map(str, searches) if name.startswith(f"{_SPACE}."))]
    names = dict.fromkeys(name for name in own if name in searches)
    return [name for name in names if not name.endswith(_NO_MATTER)]


def _bound_words(name: str) -> str:
    """Return a column of a space in words, `learning_rate from` of `….learning_rate.low`, say."""
    option, _, end = name.removeprefix(f"{_SPACE}.").rpartition(".")
    return f"{option} {_ENDS.get(end, end)}" if name.startswith(f"{_SPACE}.") else name


def _texts(kinds: pd.DataFrame) -> Sequence[tuple[object, str]]:
    """Return what tells each search from the others of its setting, in words."""
    names = [_bound_words(str(name)) for name in kinds]
    rows = [option_texts(dict(zip(names, row, strict=True))) for row in kinds.to_numpy()]
    words = [[f"{name} {value}" for name, value in row.items()] for row in rows]
    short = [[*each[:_MOST_NAMED], *(["…"] if len(each) > _MOST_NAMED else [])] for each in words]
    alike = len({*map(tuple, short)}) < len({*map(tuple, words)})
    return [
        (key, ", ".join(each))
        for key, each in zip(kinds.index, words if alike else short, strict=True)
    ]
