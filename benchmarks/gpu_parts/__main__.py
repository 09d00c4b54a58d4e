"""Run one part: `python -m gpu_parts PART DEVICE SECONDS FILE`, which benchmarks/gpu.py starts."""

import logging
import sys
from importlib import import_module
from pathlib import Path

import torch

from gpu_parts.session import FULL, TINY, Session


def main() -> None:
    """Measure, and write each figure as it comes."""
    part, device, seconds, file = sys.argv[1:]
    logging.basicConfig(format="%(message)s")
    plan = FULL if device == "cuda" else TINY
    session = Session(torch.device(device), plan, float(seconds), Path(file))
    with session.trying(part):
        for figure in import_module(f"gpu_parts.{part}").measure(session):
            session.keep(figure)


if __name__ == "__main__":
    main()
