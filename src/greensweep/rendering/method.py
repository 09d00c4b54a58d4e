"""By what the answers were found: the runs, their machines and versions, and who wrote the page."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

import greensweep
from greensweep.analysis.collect import Analyses
from greensweep.errors import plural
from greensweep.rendering.page import Section
from greensweep.sources import run_columns as col
from greensweep.tracking.provenance import code_and_machine, machine_text

_MOST_NAMED = 6  # machines, or versions of a package
_VERSION = "version."


def method_of(analyses: Analyses, title: str = "Method") -> Section:
    """Return by what the answers were found: the runs, their machines and versions, the methods."""
    notes = [
        reworded(note, name) for name, result in analyses.results.items() for note in result.notes
    ]
    runs = analyses.runs
    return Section(
        title,
        [
            f"{runs}.",
            *_machines(runs.frame),
            *_versions(runs.frame),
            *dict.fromkeys(notes),
        ],
        is_plain=True,
    )


def _machines(frame: pd.DataFrame) -> list[str]:
    counts = frame.loc[frame[col.MACHINE] != "unknown", col.MACHINE].astype(str).value_counts()
    machines = [f"{machine} ({plural(count, 'run')})" for machine, count in counts.items()]
    return [f"Machine of the runs: {_listed(machines)}."] if machines else []


def _versions(frame: pd.DataFrame) -> list[str]:
    versions = []
    for name in [each for each in map(str, frame.columns) if each.startswith(_VERSION)]:
        found = sorted(map(str, frame[name].dropna().unique()))
        if found:
            versions.append(f"{name.removeprefix(_VERSION)} {_listed(found, ' and ')}")
    return [f"They ran with {', '.join(versions)}."] if versions else []


def _listed(texts: Sequence[str], between: str = "; ") -> str:
    left = len(texts) - _MOST_NAMED
    return between.join(texts[:_MOST_NAMED]) + (f"{between}{left} more" if left > 0 else "")


def reworded(text: str, name: str) -> str:
    """Return a sentence of `src/analyse.py` with the options as `src/report.py` calls them."""
    return re.sub(r"analysis=(\w+)", r"the analysis of \1", text.replace("analysis.", f"{name}."))


def colophon(source: str) -> dict[str, str]:
    """Return the page's last part: the source, the time, and by what the page was written.

    The machines and versions of the runs are in the page's part on method.
    """
    tags = code_and_machine()
    versions = [
        f"{name.removeprefix(_VERSION)} {found}"
        for name, found in tags.items()
        if name.startswith(_VERSION)
    ]
    lines = {
        "Runs from": source,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Written on": machine_text(tags) or "unknown",
        "Written with Greensweep": greensweep.__version__,
        "and its packages": ", ".join(versions),
    }
    if "mlflow.source.git.commit" in tags:
        changed = ", with changes of its own" if tags["git.dirty"] == "true" else ""
        lines["at commit"] = tags["mlflow.source.git.commit"] + changed
    return lines
