"""`python -m greensweep doctor`, by both meters."""

import subprocess
import sys
from collections.abc import Iterator

from figures import Figure

from gpu_parts.session import Session

_SECONDS = 60.0


def measure(session: Session) -> Iterator[Figure]:
    """Let the doctor look at the machine; its pages are details."""
    for meter in ("nvml_rapl", "codecarbon"):
        with session.trying(f"energy={meter}"):
            asked = [f"energy={meter}", f"training.device={session.device.type}"]
            if not session.has_gpu:
                asked.append("energy.gpus=[0]")
            ended = subprocess.run(
                [sys.executable, "-m", "greensweep", "doctor", *asked],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            yield Figure(
                "doctor",
                f"energy={meter}",
                "exit status of the doctor",
                ended.returncode,
                unit="",
                at_most=0,
                details={"page": ended.stdout.splitlines(), "errors": ended.stderr.splitlines()},
            )
