"""Tables of runs for the tests of analyses."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT

from greensweep.analysis import RunTable, standard_table
from greensweep.config.schema_analysis import ColumnsConfig


def runs(rows: list[dict[str, Any]], **columns: Any) -> RunTable:
    """Return rows as a table of runs."""
    return standard_table(pd.DataFrame(rows), ColumnsConfig(**columns), "runs.csv")


def search(
    strategy: str,
    trials: list[tuple[float, float | None]],
    setting: str = "digits",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows of a search: joules and accuracy of its trials, None where one was pruned."""
    return [
        {
            "dataset": setting,
            "strategy": strategy,
            "search": seed,
            "trial": number,
            "energy_joules": joules,
            "accuracy": accuracy,
            "status": "pruned" if accuracy is None else "finished",
        }
        for number, (joules, accuracy) in enumerate(trials)
    ]


def paper(name: str) -> Path:
    """Return a table of the paper's; skip the test where it is absent."""
    path = PROJECT.parent / "shared" / "paper" / name
    if not path.is_file():
        pytest.skip(f"the paper's measurements are not here: {name}")
    return path
