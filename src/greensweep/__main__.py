"""`python -m greensweep`: what is done with results after their run."""

import argparse
import logging
import sys
from pathlib import Path

from greensweep.errors import GreensweepError
from greensweep.messages import sentence


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 a user's error, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m greensweep", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    send = commands.add_parser("upload", help="send results that could not reach MLflow")
    send.add_argument("directory", type=Path, help="the directory of a run or a sweep")
    send.set_defaults(command=_upload)

    show = commands.add_parser("summarise", help="table, study.json and trials.csv of a sweep")
    show.add_argument("sweep", type=Path, help="the directory of a sweep")
    show.add_argument("output", type=Path, nargs="?", help="where to write (default: the sweep)")
    show.set_defaults(command=_summarise)

    asked = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        asked.command(asked)
    except (GreensweepError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 1
    return 0


def _upload(asked: argparse.Namespace) -> None:
    from greensweep.upload import upload

    sent = upload(asked.directory)
    print(f"Sent {len(sent)} runs." if sent else "Everything is in MLflow already.")


def _summarise(asked: argparse.Namespace) -> None:
    from greensweep.errors import StudyError
    from greensweep.study.summary import read_summary, summarise, write_summary
    from greensweep.study.text import print_summary
    from greensweep.study.trials import read_trials

    trials = read_trials(asked.sweep)
    if not trials:
        raise StudyError(f"{asked.sweep} holds no trials: name the directory of a sweep")
    summary = read_summary(asked.sweep) or summarise(trials)
    write_summary(summary, trials, asked.output or asked.sweep)
    print_summary(summary, trials, [])


if __name__ == "__main__":
    sys.exit(main())
