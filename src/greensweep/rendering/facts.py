"""How and where a report was made."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

_PACKAGES = ("torch", "mlflow", "codecarbon", "optuna", "statsmodels", "matplotlib")


def facts(source: str) -> dict[str, str]:
    """Return what the page's last part tells: source, time, machine and versions."""
    return {
        "Runs from": source,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "On": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "Greensweep": version("greensweep"),
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }
