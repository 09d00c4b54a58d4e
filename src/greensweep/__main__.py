"""`python -m greensweep`: what is done before runs and after them."""

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from greensweep.errors import GreensweepError
from greensweep.messages import sentence


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 a user's error, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m greensweep", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    look = commands.add_parser("doctor", help="how far this machine's joules can be trusted")
    look.add_argument("--json", action="store_true", help="print it as JSON")
    look.add_argument(
        "overrides", nargs="*", help="options as for src/train.py, such as energy=nvml_rapl"
    )
    look.set_defaults(command=_doctor)

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
        return int(asked.command(asked) or 0)
    except (GreensweepError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 1


def _doctor(asked: argparse.Namespace) -> int:
    from greensweep.app import compose_sweep
    from greensweep.doctor import examine, page

    config, storage = compose_sweep(asked.overrides)
    found = examine(config, storage)
    if asked.json:
        print(json.dumps({**asdict(found), "is_fit": found.is_fit}, indent=2))
    else:
        print(page(found))
    return 0 if found.is_fit else 1


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
