"""How soon `src/train.py --help` answers, and what it imports for that."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from figures import Figure, interleave, ratios, summarised

_HELP = [str(Path(__file__).resolve().parents[1] / "src" / "train.py"), "--help"]
_HYDRA = ["-c", "import hydra"]
_SLOW = ("torch", "mlflow", "codecarbon")
_GOAL_SECONDS = 1.0


@dataclass(frozen=True)
class Size:
    """How much is measured: `rounds` pairs of processes."""

    rounds: int


FULL = Size(rounds=7)
QUICK = Size(rounds=1)


def measure(size: Size) -> list[Figure]:
    """Time both commands in turn, each in a process of its own."""
    seconds = interleave(
        {"help": _seconds(_HELP), "hydra": _seconds(_HYDRA)}, size.rounds, warmup_rounds=1
    )
    imported = _imported(_HELP)
    return [
        Figure(
            "startup",
            "src/train.py --help",
            "seconds",
            **summarised(seconds["help"]),
            unit="s",
            at_most=_GOAL_SECONDS,
        ),
        Figure(
            "startup",
            "src/train.py --help",
            'help / python -c "import hydra", seconds',
            **summarised(ratios(seconds["help"], seconds["hydra"])),
            details={"help_seconds": seconds["help"], "hydra_seconds": seconds["hydra"]},
        ),
        Figure(
            "startup",
            "src/train.py --help",
            f"imported of {', '.join(_SLOW)}",
            value=len(imported),
            unit="packages",
            at_most=0,
            details={"imported": imported},
        ),
    ]


def _seconds(arguments: Sequence[str]) -> Callable[[], float]:
    def run() -> float:
        began = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return perf_counter() - began

    return run


def _imported(arguments: Sequence[str]) -> list[str]:
    """Return which of the slow packages a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], check=True, capture_output=True, text=True
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in _SLOW if name in modules]
