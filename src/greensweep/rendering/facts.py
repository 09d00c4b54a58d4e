"""How and where a report was made."""

from datetime import UTC, datetime
from importlib.metadata import version

from greensweep.tracking.provenance import code_and_machine


def facts(source: str) -> dict[str, str]:
    """Return what the page's last part tells: source, time, commit, machine and versions."""
    tags = code_and_machine()
    versions = {
        name.removeprefix("version."): found
        for name, found in tags.items()
        if name.startswith("version.")
    }
    told = {
        "Runs from": source,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "On": f"{tags['hardware.cpu']}, {tags['hardware.cores']} cores",
        "Greensweep": version("greensweep"),
        "Packages": ", ".join(f"{name} {found}" for name, found in versions.items()),
    }
    if "mlflow.source.git.commit" in tags:
        changed = ", with changes of its own" if tags["git.dirty"] == "true" else ""
        told["Commit"] = tags["mlflow.source.git.commit"] + changed
    return told
