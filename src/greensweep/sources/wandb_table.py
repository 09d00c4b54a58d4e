"""Runs that Weights & Biases wrote as a table: the CSV export of its runs table, and of its API.

The export has a column for each option and each summary figure. The API's documented example
(`wandb.Api().runs(…)`) keeps them in two columns, `config` and `summary`, as Python writes
dictionaries.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.errors import AnalysisError
from greensweep.nested import dotted
from greensweep.sources.table import Rows, read_file

# Our names for what W&B knows of each run, which its export calls so, and scripts often otherwise.
_OURS = {
    "run_name": ("Name", "name"),
    "run_id": ("ID", "id"),
    "status": ("State", "state"),
    "seconds": ("Runtime", "_runtime"),
    "search": ("Sweep", "sweep"),
    "started": ("Created", "created_at"),
}
_STATUS = {"crashed": "failed", "killed": "stopped"}


def read_wandb(path: Path) -> Rows:
    """Return the runs of a table, with options and summary figures as columns by their names.

    Raises:
        AnalysisError: the file is missing, broken, or no such table.
    """
    table = read_file(path)
    for part in ("config", "summary"):
        if part in table:
            cells = [_dictionary(cell, path, part, row) for row, cell in enumerate(table[part], 1)]
            columns = pd.DataFrame(cells, index=table.index)
            both = {name: f"{part}.{name}" for name in columns if name in table}
            table = pd.concat([table.drop(columns=part), columns.rename(columns=both)], axis=1)
    frame = table.copy()
    for ours, names in _OURS.items():
        name = next((name for name in names if name in table), None)
        if name is not None and ours not in table:
            frame[ours] = table[name]
    if not {"run_name", "run_id", "status"} & set(frame):
        raise AnalysisError(
            f"{path} has none of the columns Name, ID and State, so that it is no table of W&B's "
            "runs: export the runs table as CSV, or set columns=runs"
        )
    if "status" in frame:
        states = frame["status"].astype(str).str.lower()
        frame["status"] = states.map(lambda state: _STATUS.get(state, state))
    return Rows(frame)


def _dictionary(cell: Any, path: Path, part: str, row: int) -> Mapping[str, Any]:
    """Return a dictionary that Python wrote, flat by dotted names; infinities are no literals."""
    if pd.isna(cell):
        return {}
    try:
        tree = ast.parse(str(cell), "a cell", "eval")
        found = ast.literal_eval(_Numbers().visit(tree))
        return {str(name): value for name, value in dotted(found).items()}
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise AnalysisError(
            f"{path}, row {row} below the header: {part} is no dictionary as wandb.Api has it: "
            "write its entries as columns"
        ) from error


class _Numbers(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        is_number = node.id in ("nan", "inf", "NaN", "Infinity")
        return ast.Constant(float(node.id)) if is_number else node
