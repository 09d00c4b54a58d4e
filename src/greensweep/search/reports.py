"""The reports of a trial, a line each in its folder, from where a killed one's are read."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from greensweep.record.reported import OBJECTIVE, by_split
from greensweep.record.reporting import Progress
from greensweep.record.summaries import HistoryPoint

_FILE = "reports.jsonl"  # gone once the trial has left its result
_KEPT = ("epoch", "joules", "value", "metric", "accuracy", "metric_value", "metrics")


class Report(NamedTuple):
    """A report.

    Attributes:
        progress: what it said.
        seconds: measured by then.
        known: what is known of the trial by then, as a storage keeps it.
    """

    progress: Progress
    seconds: float
    known: Mapping[str, Any] = {}


def keep_report(report: Report, directory: Path) -> None:
    """Add a report to a trial's folder: 0.1 ms, where a storage takes some."""
    said = {name: getattr(report.progress, name) for name in _KEPT}
    line = json.dumps({"progress": said, "seconds": report.seconds, "known": report.known})
    # A disk that is full costs only what a death would have left.
    with suppress(OSError), (directory / _FILE).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def forget_reports(directory: Path) -> None:
    """Remove what reports a folder holds: its result holds them, or another trial begins there."""
    (directory / _FILE).unlink(missing_ok=True)


def read_reports(directory: Path) -> list[Report]:
    """Read the reports that a trial's folder holds, the last of each epoch, in order."""
    try:
        lines = (directory / _FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found: dict[int, Report] = {}
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):  # half a line
            kept = json.loads(line)
            progress = Progress(**kept["progress"])
            found[progress.epoch] = Report(progress, kept["seconds"], kept["known"])
    return list(found.values())


def history_of(reports: Iterable[Report]) -> tuple[HistoryPoint, ...]:
    """Return what the reports of a trial came to, as a result holds it."""
    points = []
    seconds_before, joules_before = 0.0, 0.0
    for progress, seconds, _ in reports:
        own, others = by_split(progress.metrics)
        if progress.value is not None:
            own[OBJECTIVE] = progress.value
        elif not own and progress.objective_value is not None:
            own[progress.metric or "accuracy"] = progress.objective_value
        loss, joules = others.pop("train_loss", None), progress.joules
        point = HistoryPoint(
            progress.epoch,
            loss,
            metrics=own,
            seconds=seconds - seconds_before,
            energy_joules=None if joules is None else joules - joules_before,
            others=others,
        )
        points.append(point)
        seconds_before, joules_before = seconds, joules or joules_before
    return tuple(points)
