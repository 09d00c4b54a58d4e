"""The energy of inference of one network, measured several times."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from figures import Figure
from subjects import SUBJECTS, Subject

from gpu_parts.runs import config_of, run
from gpu_parts.session import Session
from greensweep.config.schema import InferenceConfig
from greensweep.nested import to_json

_SECONDS = 4.0  # of one


def measure(session: Session) -> Iterator[Figure]:
    """Measure as runs do: for 20 periods of the counter."""
    subjects = SUBJECTS[:1] if session.plan.is_tiny else SUBJECTS[::-2]
    for subject in subjects:
        if session.is_time_for(subject.name, session.plan.repeats * _SECONDS):
            with session.trying(subject.name):
                yield _spread(session, subject)


def _spread(session: Session, subject: Subject) -> Figure:
    config = replace(config_of(session, subject.model, epochs=1), inference=InferenceConfig())
    with tempfile.TemporaryDirectory() as folder:
        found = [
            run(config, Path(folder, str(number))).inference
            for number in range(session.plan.repeats)
        ]
    joules = [each.joules_per_1000 for each in found]
    return Figure(
        "inference",
        subject.name,
        "(largest - smallest) / mean joules per 1000 images",
        (max(joules) - min(joules)) / fmean(joules),
        pairs=len(joules),
        at_most=0.05,
        details={"measurements": to_json(found)},
    )
