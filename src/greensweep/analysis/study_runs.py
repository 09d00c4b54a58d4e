"""The runs of a whole study, which is a folder of sweeps, as one table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from greensweep.analysis.sweep_runs import read_sweep
from greensweep.errors import AnalysisError
from greensweep.result import run_directories
from greensweep.study.summary import TRIALS_FILE

# Config groups whose choice tells the cells of a study apart, by their column.
_CHOICES = {
    "experiment": "experiment",
    "size": "size",
    "variant": "variant",
    "space": "space",
    "hydra/sweeper/sampler": "strategy",
}


def read_study(folder: Path, cells: Iterable[str]) -> pd.DataFrame:
    """Return the runs of these cells: those of `read_sweep`, with their `cell` and its choices.

    Args:
        folder: holds a sweep's folder of each cell's name.

    Raises:
        AnalysisError: there are no cells, or one has not ended.
        StudyError: a result file is broken.
    """
    tables = []
    for cell in cells:
        sweep = folder / cell
        if not (sweep / TRIALS_FILE).is_file():
            raise AnalysisError(
                f"{sweep} holds no finished sweep: run dvc repro, which goes on where it stopped"
            )
        tables.append(read_sweep(sweep).assign(cell=cell, **_choices(sweep)))
    if not tables:
        raise AnalysisError(f"no cell of a study in {folder} is asked for: see params.yaml")
    return pd.concat(tables, ignore_index=True)


def _choices(sweep: Path) -> dict[str, Any]:
    """Return what the first run of a sweep chose in the groups that tell cells apart."""
    for run in run_directories(sweep):
        composed = run / ".hydra" / "hydra.yaml"
        if composed.is_file():
            chosen = OmegaConf.load(composed).hydra.runtime.choices
            return {column: chosen.get(group) for group, column in _CHOICES.items()}
    return dict.fromkeys(_CHOICES.values())
