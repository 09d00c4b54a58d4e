"""All that greensweep uses of CodeCarbon's private interface, each with the reason.

CodeCarbon gives totals. How they came about, it keeps to itself, and a reading has to say.
`tests/energy/test_codecarbon_internals.py` holds each of them to the CodeCarbon that is installed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker


def hardware_of(tracker: "OfflineEmissionsTracker") -> list[Any]:
    """Return what a tracker that was started reads; empty where its set-up failed.

    Its public `get_detected_hardware` is of names. A failed set-up raises nothing.
    """
    return getattr(tracker, "_hardware", None) or []


def mode_of(hardware: Any) -> str | None:
    """Return how a CPU's power is obtained: cpu_load, constant, intel_rapl …; None of others."""
    mode: str | None = getattr(hardware, "_mode", None)
    return mode


def rated_watts(cpu: Any) -> float:
    """Return the rated power (TDP) that the model of a CPU is scaled by."""
    return float(cpu._tdp)


def has_rating(cpu: Any) -> bool:
    """Tell whether the rated power is that of the CPU's model, and no guess by its threads."""
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
    from codecarbon.core.util import count_cpus

    return not cpu._is_generic_tdp and cpu._tdp != DEFAULT_POWER_PER_CORE * count_cpus()


def rapl_packages(cpu: Any) -> list[Path]:
    """Return the folders of the kernel's RAPL counters that a CPU in mode intel_rapl reads."""
    files = cpu._intel_interface._rapl_files
    return [
        Path(each.path).parent for each in files if each.name.startswith("Processor Energy Delta")
    ]


def has_counter(gpu: Any) -> bool:
    """Tell whether a GPU's energy is counted by its driver; otherwise its power is sampled."""
    return bool(gpu._has_counter)
