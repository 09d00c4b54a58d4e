"""Runs out of carbontracker's logs: its folder `log_dir`, or one file of it.

Each run has two files, NAME_carbontracker.log (epochs, watts) and NAME_carbontracker_output.log
(what it consumed): https://github.com/saintslab/carbontracker. Neither says whether the watts of a
CPU are from a counter or from its thermal design power.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError, plural
from greensweep.sources.table import Rows

_EPOCHS, _OUTPUT = "_carbontracker.log", "_carbontracker_output.log"
_QUALITY = "estimated"
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_CONSUMPTION = re.compile(
    r"(Actual|Predicted) consumption(?: for (\d+) epoch\(s\))?:\s*"
    rf"Time:\s*(\d+):(\d+):({_NUMBER})\s*Energy:\s*({_NUMBER}) kWh\s*CO2eq:\s*({_NUMBER}|nan) g"
)
_DURATION = re.compile(rf"Duration: (\d+):(\d+):({_NUMBER})")
_POWER = re.compile(r"Average power usage \(W\) for (\w+): (\[[^\]]*\]|\S+)")
_FOUND = re.compile(r"The following components were found: (.*)")
_VERSION = re.compile(r"carbontracker version (\S+)")
_PUE = re.compile(r"PUE coefficient of ([\d.]+)")
# As it says at which intensity it reckons: of its versions some name a place, and some a country.
_PLACE = re.compile(
    r"(?:at detected location:|carbon intensity fetched for|average carbon intensity for) "
    r"(?!Unknown|detected)([^:\n]+?)(?=\.|: | in \d{4} )"
)
# PREFIX_PID.ID_DATE, of which older versions lack some.
_NAME = re.compile(r"(?:(?P<prefix>.+)_)?[\d.]+_\d{4}-\d\d-\d\dT[\d:]+Z")


def read_carbontracker(path: Path) -> Rows:
    """Return a row for each run in a folder of logs, in the order of their beginnings.

    The energy is what carbontracker says was consumed, its PUE included, and `log_prefix` is the
    `log_file_prefix` of the run. One whose log ends before that has the energy of its epochs.

    Raises:
        AnalysisError: there are no such logs, or they tell nothing of any run.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise AnalysisError(f"source={path} is not there: give the log_dir of carbontracker")
    files = sorted(folder.iterdir()) if path.is_dir() else [path]
    names = [re.sub(f"{_OUTPUT}$|{_EPOCHS}$", "", file.name) for file in files]
    runs = {name for name, file in zip(names, files, strict=True) if name != file.name}
    if not runs:
        raise AnalysisError(
            f"source={path} has no logs of carbontracker (*{_EPOCHS}): give its log_dir"
        )
    found = [_run(folder, name) for name in sorted(runs)]
    frame = pd.DataFrame(found).sort_values("started", kind="stable", ignore_index=True)
    return Rows(frame, warnings=tuple(_doubts(frame)))


def _run(folder: Path, name: str) -> dict[str, Any]:
    epochs, output = _text(folder / f"{name}{_EPOCHS}"), _text(folder / f"{name}{_OUTPUT}")
    consumed = {each[1]: each for each in _CONSUMPTION.finditer(output)}
    actual, predicted = consumed.get("Actual"), consumed.get("Predicted")
    durations = [_seconds(*each.groups()) for each in _DURATION.finditer(epochs)]
    pue = _first(_PUE, epochs)
    parts = _parts(epochs, durations, float(pue or 1.0))
    joules = float(actual[6]) * JOULES_PER_KWH if actual else sum(parts.values()) or math.nan
    kilograms = float(actual[7]) / 1000 if actual else math.nan
    named = _NAME.fullmatch(name)
    return {
        "run_id": name,
        "log_prefix": named["prefix"] if named else None,
        "started": (epochs or output)[:19],
        "is_told": actual is not None,
        "epochs": int(actual[2]) if actual and actual[2] else len(durations),
        "energy_joules": joules,
        "energy_spent_joules": joules,
        "energy_quality": _QUALITY,
        **{f"energy/{part}_joules": each for part, each in parts.items()},
        **{f"energy.quality.{part}": _QUALITY for part in parts},
        "emissions_kg": kilograms,
        "emissions_spent_kg": kilograms,
        "seconds": sum(durations) or (_seconds(*actual.groups()[2:5]) if actual else math.nan),
        "predicted_epochs": float(predicted[2]) if predicted else math.nan,
        "predicted_joules": float(predicted[6]) * JOULES_PER_KWH if predicted else math.nan,
        "was_interrupted": "Training was interrupted" in epochs,
        "pue": float(pue or "nan"),
        "machine": (_first(_FOUND, epochs + output) or "").replace(" with device(s)", "").strip()
        or None,
        "emissions.grid": _first(_PLACE, epochs + output),
        "version.carbontracker": _first(_VERSION, epochs),
    }


def _text(path: Path) -> str:
    """Return what a log holds; nothing where the run has none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        raise AnalysisError(f"{path} cannot be read: {error.strerror}") from error


def _parts(epochs: str, durations: list[float], pue: float) -> dict[str, float]:
    """Return the joules of each component; epochs too short to be sampled are as the others."""
    watts: dict[str, list[float | None]] = {}
    for component, value in _POWER.findall(epochs):
        figures = re.findall(r"\d+\.?\d*(?:e[+-]?\d+)?", value)
        watts.setdefault(component, []).append(sum(map(float, figures)) if figures else None)
    joules = {}
    for component, powers in watts.items():
        known = [each for each in powers if each is not None]
        if known:
            pairs = zip(powers, durations, strict=False)
            usual = fmean(known)
            joules[component] = pue * sum(
                (usual if power is None else power) * seconds for power, seconds in pairs
            )
    return joules


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _doubts(frame: pd.DataFrame) -> Iterator[str]:
    """Say what the energy holds beside the machine's, and what it lacks."""
    if frame["pue"].notna().any():
        listed = ", ".join(f"{each:g}" for each in sorted(frame["pue"].dropna().unique()))
        yield (
            "the energy holds that of a data centre too, by carbontracker's power usage "
            f"effectiveness (PUE) of {listed}"
        )
    is_part = frame["epochs"].lt(frame["predicted_epochs"]) & ~frame["was_interrupted"]
    if untold := int((~frame["is_told"]).sum()):
        yield (
            f"{untold} of {plural(len(frame), 'log')} ending before carbontracker says what was "
            "consumed (a crash, or no call of stop()), with the energy of the epochs until then"
        )
    if partly := int((is_part & frame["is_told"]).sum()):
        yield (
            f"{partly} of {plural(len(frame), 'run')} monitored for some of the epochs "
            "(monitor_epochs), with the energy of these, and in predicted_joules that of all"
        )
