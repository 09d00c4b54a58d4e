"""The trial that a sweep chose, to be trained anew."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from greensweep.config.store import is_our_config, read_overrides, read_plain_config
from greensweep.errors import StudyError
from greensweep.record.result import CONFIG_FILE
from greensweep.search.folders import STUDY_FILE
from greensweep.secrets.known import MASK
from greensweep.study.summary import read_summary
from greensweep.study.trials import read_trials


def chosen_overrides(study: Path, given: Iterable[str] = ()) -> list[str]:
    """Return the options of the trial that a sweep's answer says to take.

    Args:
        study: the sweep's `study.json`, or its folder.
        given: what is set beside these options, such as a secret that the file hides.

    Raises:
        StudyError: there is no such file, it is of another program, no trial was chosen, or an
            option is a secret that is not given.
    """
    folder = study.parent if study.name == STUDY_FILE else study
    summary = read_summary(folder)
    if summary is None:
        raise StudyError(
            f"--from {study} is no summary of a sweep: name its {STUDY_FILE}; greensweep summarise "
            "FOLDER writes the one of a sweep by an earlier version"
        )
    chosen = next((t for t in read_trials(folder) if t.number == summary.chosen_trial), None)
    if chosen is None:
        raise StudyError(f"--from {study}: this sweep has no trial to take, since none finished")
    overrides = [*read_overrides(chosen.directory)]
    config = read_plain_config(chosen.directory / CONFIG_FILE)
    if not is_our_config(config):
        options = [each for each in overrides if not each.startswith("command=")]
        if len(options) < len(overrides):  # of greensweep exec
            call = shlex.join(["greensweep", "exec", *options, "--", *config["command"]])
            raise StudyError(f"--from {study} is a sweep of a command: run it by {call}")
        raise StudyError(
            f"--from {study} is a sweep of another program: call that with {' '.join(options)}"
        )
    names = {each.partition("=")[0] for each in given}
    for each in overrides:
        if MASK in each and (name := each.partition("=")[0]) not in names:
            raise StudyError(f"--from {study} hides the secret {name}: set {name}=VALUE too")
    return overrides
