"""`greensweep COMMAND`, also as `python -m greensweep`."""

import greensweep.ctrl_c  # before all that takes long to import

# isort: split

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

from greensweep.errors import plural, unknown
from greensweep.messages import drop_output, error_line, spell_output
from greensweep.secrets.output import mask_command_output
from greensweep.studies.yarally2023.cells import BAYESIAN, SIZES, set_study, study_cells
from greensweep.study.params import check_pipeline, read_param, read_params

# What Hydra composes, and takes Hydra's own flags: `src/NAME.py` is the same.
_PROGRAMS = {
    "train": "train one model",
    "sweep": "search options for accuracy and energy",
    "evaluate": "test a kept model, and the energy of its inference",
    "predict": "write what a kept model predicts",
    "prepare": "fetch or verify a data set, and split it",
    "analyse": "answer a question from a table of runs",
    "report": "write one page about a table of runs",
    "statement": "energy and emissions, for a paper or a model card",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 a user's error, 2 usage, 130 Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in _PROGRAMS:
        from greensweep.app.programs import start

        start(arguments[0], arguments[1:])
    mask_command_output(arguments)
    spell_output()
    parser = argparse.ArgumentParser(
        prog="greensweep",
        description="Train and sweep models with energy as a metric of equal rank to accuracy.",
        epilog="`greensweep COMMAND --help` says what it takes.",
    )
    told = f"greensweep {greensweep.__version__}"
    parser.add_argument("-V", "--version", action="version", version=told, help="show it")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, what in _PROGRAMS.items():
        commands.add_parser(name, help=what)

    look = commands.add_parser("doctor", help="how far this machine's joules can be trusted")
    look.add_argument("--json", action="store_true", help="print it as JSON")
    look.add_argument(
        "overrides", nargs="*", help="options as of `greensweep train`, such as energy=nvml_rapl"
    )
    look.set_defaults(command=_doctor)

    send = commands.add_parser("upload", help="send results that could not reach MLflow")
    send.add_argument("directory", type=Path, help="the directory of a run or a sweep")
    send.set_defaults(command=_upload)

    show = commands.add_parser(
        "summarise", help="table, study.json and trials.csv of a sweep, or of single runs"
    )
    show.add_argument("sweep", type=Path, help="the directory of a sweep")
    show.add_argument("output", type=Path, nargs="?", help="where to write (default: the sweep)")
    show.set_defaults(command=_summarise)

    gather = commands.add_parser("runs", help="one table of all runs of the study in params.yaml")
    gather.add_argument("study", type=Path, help="the folder of its sweeps")
    gather.add_argument("output", type=Path, help="where to write runs.csv and runs.parquet")
    gather.set_defaults(command=_runs)

    fingerprint = commands.add_parser(
        "digest", help="SHA-256 of what a part of a program is made of"
    )
    fingerprint.add_argument("output", type=Path, help="the JSON file to write")
    fingerprint.add_argument(
        "paths", type=Path, nargs="+",
        help="modules and packages, with all that they import; configurations, with the groups "
        "that they compose; other files and folders",
    )  # fmt: skip
    fingerprint.add_argument("--without", nargs="+", default=[], help="groups that are left out")
    fingerprint.set_defaults(command=_digest)

    check = commands.add_parser("study", help="check the study of params.yaml, or set its size")
    check.add_argument("--size", choices=SIZES, help="how large")
    check.add_argument("--variant", choices=BAYESIAN, help="whose choices")
    check.set_defaults(command=_study)

    commands.add_parser("exec", help="measure any command, in any language, and sweep over it")

    if {*arguments[:1]} & {"-sc", "--shell-completion"}:
        from greensweep.app.completion import complete

        complete(arguments, _PROGRAMS, commands.choices)
        return 0
    if arguments and arguments[0] not in commands.choices and arguments[0][:1] != "-":
        parser.error(unknown("command", arguments[0], commands.choices))
    asked = argparse.Namespace(command=_exec, arguments=arguments[1:])
    if arguments[:1] != ["exec"]:  # what follows it is a command's
        asked = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        status = int(asked.command(asked) or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads has seen enough, as with `| head`
        drop_output()
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(error_line(error, way_out=""), file=sys.stderr)
        return 1


def _exec(asked: argparse.Namespace) -> int:
    from greensweep.app.command import main as execute

    return execute(asked.arguments)


def _doctor(asked: argparse.Namespace) -> int:
    from greensweep.app.compose import compose_sweep
    from greensweep.app.doctor.examine import examine
    from greensweep.app.doctor.findings import page

    sweep = compose_sweep(asked.overrides)
    found = examine(sweep.config, sweep.storage)
    as_json = {**asdict(found), "is_fit": found.is_fit}
    print(json.dumps(as_json, indent=2) if asked.json else page(found))
    return 0 if found.is_fit else 1


def _upload(asked: argparse.Namespace) -> None:
    from greensweep.study.upload import upload

    sent = upload(asked.directory)
    print(f"Sent {plural(len(sent), 'run')}." if sent else "Everything is in MLflow already.")


def _summarise(asked: argparse.Namespace) -> None:
    from greensweep.errors import StudyError
    from greensweep.study.dead_trials import end_killed
    from greensweep.study.summary import read_summary, summarise, write_summary
    from greensweep.study.summary_output import print_summary
    from greensweep.study.trials import read_trials

    at_work = end_killed(asked.sweep)
    trials = read_trials(asked.sweep)
    if not trials:
        raise StudyError(f"{asked.sweep} holds no trials: name the directory of a sweep")
    # Single runs are no sweep: there will be more of them, which a summary kept there would lack.
    is_sweep = any(trial.result.trial is not None for trial in trials)
    told = [each.result for each in trials if each.result.objective_value is not None]
    compared = {each.metric.label for each in told}
    if not is_sweep and len(compared) > 1:
        raise StudyError(
            f"{asked.sweep} holds runs that are compared by {' and by '.join(sorted(compared))}: "
            "name a folder of runs of one kind"
        )
    known = read_summary(asked.sweep) if is_sweep else None
    summary = known or summarise(trials, interrupted=is_sweep)
    if asked.output or (is_sweep and not at_work):
        write_summary(summary, trials, asked.output or asked.sweep)
    notes = [f"A command is at work in {asked.sweep}: so far it came to this."] if at_work else []
    print_summary(summary, trials, notes)


def _runs(asked: argparse.Namespace) -> None:
    from greensweep.sources.study import read_study, write_study

    runs, figures = read_study(asked.study, study_cells(read_params()))
    write_study(runs, figures, asked.output)
    print(f"{plural(len(runs), 'run')} of {plural(len(figures), 'cell')}: {asked.output}")


def _digest(asked: argparse.Namespace) -> None:
    from greensweep.files import write_json
    from greensweep.search.made_from import digest
    from greensweep.study.source_files import source_files

    files = [file for path in asked.paths for file in source_files(path, asked.without)]
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.output, {file.as_posix(): digest(file) for file in files})


def _study(asked: argparse.Namespace) -> None:
    from greensweep.app.compose import compose_sweep
    from greensweep.studies.yarally2023.check import check_length, check_study

    check_pipeline()
    if asked.size or asked.variant:
        size = asked.size or read_param("size")
        variant = asked.variant or read_param("variant")
        chosen = ["experiment=rq1_strategies", f"size={size}", f"variant={variant}"]
        sweep = compose_sweep(chosen)
        epochs, repeats = sweep.config.training.epochs, sweep.config.repeats
        set_study(size, variant, epochs=epochs, repeats=repeats, trials=sweep.n_trials)
    params = read_params()
    trials = check_study(params)
    check_length(params)
    print(
        f"params.yaml: size={params['size']}, variant={params['variant']}: {trials} trials in "
        f"{len(study_cells(params))} sweeps."
    )


if __name__ == "__main__":
    sys.argv[0] = "greensweep"  # for the usage that Hydra shows
    sys.exit(main())
