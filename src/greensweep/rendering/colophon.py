"""How and where a report was made."""

from datetime import UTC, datetime

import greensweep
from greensweep.tracking.provenance import code_and_machine


def colophon(source: str) -> dict[str, str]:
    """Return the page's last part: the source, the time, and by what the page was written.

    The machines and versions of the runs are in the page's part on method.
    """
    tags = code_and_machine()
    versions = {
        name.removeprefix("version."): found
        for name, found in tags.items()
        if name.startswith("version.")
    }
    lines = {
        "Runs from": source,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Written on": f"{tags['hardware.cpu']}, {tags['hardware.cores']} cores",
        "Written with Greensweep": greensweep.__version__,
        "and its packages": ", ".join(f"{name} {found}" for name, found in versions.items()),
    }
    if "mlflow.source.git.commit" in tags:
        changed = ", with changes of its own" if tags["git.dirty"] == "true" else ""
        lines["at commit"] = tags["mlflow.source.git.commit"] + changed
    return lines
