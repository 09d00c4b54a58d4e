"""A run's history and results as a CSV file in its folder, one figure a row.

For pandas, R and spreadsheets; while the run goes on, `tail -f` follows it.
"""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from greensweep.config.schema_tracking import TrackingConfig
from greensweep.csv_files.cells import escape_formula
from greensweep.errors import first_line
from greensweep.tracking.tracker import Metrics, RunStatus, SweepRun

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"


class CsvTracker:
    """Appends a run's figures to a file of the columns `run`, `step`, `metric` and `value`.

    A repeat's figures stand in the file of its run, under its own name. Results have no step.

    Args:
        path: the file; where it cannot be written, that costs a warning.
    """

    run_id: str | None = None
    incomplete = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run = ""

    def child(self) -> "CsvTracker":
        return CsvTracker(self._path)

    def start(self, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._run = name
        if not self._path.exists():
            self._append([("run", "step", "metric", "value")])

    def log_step(self, metrics: Metrics, step: int | None) -> None:
        self._append([(self._run, step, name, value) for name, value in metrics.items()])

    def finish(
        self, status: RunStatus, metrics: Metrics, tags: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        self.log_step(metrics, None)

    def attach(self, files: Sequence[Path]) -> None:
        pass

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        try:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                cells = [map(escape_formula, row) for row in rows]
                csv.writer(file, lineterminator="\n").writerows(cells)
        except OSError as error:
            log.warning(
                "%s cannot be written (%s): result.json has the figures.",
                self._path,
                first_line(error),
            )


def csv_tracker(config: TrackingConfig, directory: Path, sweep: SweepRun | None) -> CsvTracker:
    """Return the tracker of `tracking=csv`."""
    return CsvTracker(directory / METRICS_FILE)
