"""What long searches cost: PostgreSQL, many workers, Optuna alone beside ours, and the samplers.

    python benchmarks/scale.py --trials 1000 10000 100000 --workers 256
    python benchmarks/scale.py regret          # what the bound on samplers loses
    python benchmarks/scale.py throughput      # what share of their time 4 workers work, 3 minutes

At each number of trials a new process, the sweeper, goes on with the study: it lets 256 simulated
workers run, and each further trial that it asks for takes the place of the oldest that runs. These
asks, 1,000 at each number, are what is measured; the trials before are put into the database's
tables as ended ones, like the first. No trial trains: each is answered from a made-up curve.
PostgreSQL is started here, on 127.0.0.1, in a scratch folder.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy
import optuna
import psutil
from machine import describe_machine, machine_line
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, create_engine, event, text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "executors"))
from servers import Absent, postgres

from greensweep.files import write_text
from greensweep.search.records import CurvePoint, Outcome
from greensweep.search.samplers import bounded
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.trial import finish_trial, trial_of
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

_FOLDER = Path(__file__).resolve().parent
_OUTPUT = _FOLDER / "scale.json"
_SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "beta1": FloatDistribution(0.1, 0.999),
    "beta2": FloatDistribution(0.8, 0.999),
    "width": IntDistribution(1, 64),
}
_SAMPLERS = {
    "tpe": ("optuna.samplers.TPESampler", {"n_startup_trials": 10}),
    "random": ("optuna.samplers.RandomSampler", {}),
    "nsga2": ("optuna.samplers.NSGAIISampler", {}),
    "scaled_tpe": ("greensweep.search.samplers.ScaledTPESampler", {}),
    "ei_per_joule": ("greensweep.search.samplers.ExpectedImprovementPerJouleSampler", {}),
}


def main() -> None:
    """Run the part that the command line asks for, and keep its figures beside the others'."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"scale": scale, "regret": regret, "throughput": throughput}
    parser.add_argument("part", nargs="?", default="scale", choices=parts)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--played", type=int, default=1000, help="trials to measure at each number")
    parser.add_argument("--sampler", default="tpe", choices=_SAMPLERS)
    parser.add_argument("--sides", nargs="+", default=["greensweep", "optuna"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samplers", nargs="+", default=["tpe", "scaled_tpe", "nsga2"])
    parser.add_argument("--draws", default="auto", help="the sampler of `throughput`")
    parser.add_argument("--executors", nargs="+", default=["local", "ray"])
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    arguments = parser.parse_args()
    machine, console = describe_machine(), Console(width=120)
    console.print(machine_line(machine))
    rows = parts[arguments.part](arguments)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)
    output: Path = arguments.output
    known = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    part = {"machine": machine, "rows": rows}
    write_text(output, json.dumps({**known, arguments.part: part}, indent=2) + "\n")


# --- scale: many trials, many workers, one PostgreSQL ------------------------------------------


def scale(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Fill a study on both sides, and measure around each number of trials that was asked for."""
    rows = []
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with postgres(Path(folder)) as server:
                    rows += _measure(side, server.url, Path(folder), arguments)
            except Absent as reason:
                raise SystemExit(f"Not run: {reason}.") from reason
    return rows


def _measure(
    side: str, url: str, folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Let a new process go on with the study where it has so many trials, again and again."""
    asked = {"directory": folder, "storage": url, "n_trials": 10**9, "seed": 1}
    asked |= {"sampler": _SAMPLERS[options.sampler]}
    play = partial(_in_a_process, side, asked)
    play(1, 10)  # whose rows the others have
    engine = create_engine(url)
    rows: list[dict[str, Any]] = []
    for trials in sorted(options.trials):
        with engine.begin() as connection:
            _store(connection, trials)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("analyze"))
            size = connection.execute(text("select pg_database_size('postgres')")).scalar()
        measured = play(options.workers, options.played)
        rows.append(
            {
                "side": side,
                "sampler": options.sampler,
                "workers": options.workers,
                "trials": trials,
                **measured,
                "database_mb": (size or 0) / 1e6,
            }
        )
        print(rows[-1], flush=True)
    engine.dispose()
    return rows


def _store(connection: Connection, trials: int) -> None:
    """Fill a study up with finished trials, drawn at random, with what one of them has kept."""
    (known,) = connection.execute(text("select count(*) from trials")).one()
    values = {
        "rate": "power(10, -5 + 4 * random())",
        "beta1": "0.1 + 0.899 * random()",
        "beta2": "0.8 + 0.199 * random()",
        "width": "1 + floor(64 * random())",
    }
    cases = " ".join(f"when '{name}' then {value}" for name, value in values.items())
    drawn = f"case param_name {cases} end"
    new = "trials where number >= :known"
    like = "trial_id = (select trial_id from trials where number = 0)"
    for statement in (
        "insert into trials (number, study_id, state, datetime_start, datetime_complete) select n, "
        "(select study_id from studies), 'COMPLETE', now(), now() "
        "from generate_series(cast(:known as int), cast(:last as int)) n",
        "insert into trial_params (trial_id, param_name, param_value, distribution_json) select "
        f"t.trial_id, param_name, {drawn}, distribution_json from (select * from {new}) t, "
        f"(select * from trial_params where {like}) p",
        "insert into trial_values (trial_id, objective, value, value_type) "
        f"select trial_id, 0, random() / 2, 'FINITE' from {new}",
        *(
            f"insert into trial_{kind}_attributes (trial_id, key, value_json) select t.trial_id, "
            f"key, value_json from (select * from {new}) t, "
            f"(select * from trial_{kind}_attributes where {like}) a"
            for kind in ("system", "user")
        ),
    ):
        connection.execute(text(statement), {"known": known, "last": trials - 1})


def _in_a_process(
    side: str, asked: Mapping[str, Any], workers: int, played: int
) -> dict[str, float]:
    answer: multiprocessing.Queue[dict[str, float]] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_play, args=(side, asked, workers, played, answer))
    process.start()
    try:
        return answer.get(timeout=3600.0)
    finally:
        process.join()


def _play(side: str, asked: Mapping[str, Any], workers: int, played: int, answer: Any) -> None:
    """Let so many workers run trials: each one asked, once all work, takes the place of another."""
    spec = _spec(**asked)
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    storage = open_storage(spec.storage)
    if side == "greensweep":
        study = open_study(spec, storage)
    else:
        study = optuna.create_study(
            storage=storage, study_name="study", direction="maximize", load_if_exists=True
        )
    study.get_trials(deepcopy=False)
    opened, count = time.perf_counter() - began, [0]
    event.listen(
        storage.engine,  # type: ignore[attr-defined]
        "before_cursor_execute",
        lambda *_: count.__setitem__(0, count[0] + 1),
    )
    held: deque[ReservedTrial] = deque()
    trials = TrialQueue(spec, study, lambda trial: spec.directory / str(trial.number))
    alone = spec.build_sampler(0, side_by_side=True)
    rows = []
    for place in range(workers + played):
        statements, cpu, began = count[0], time.process_time(), time.perf_counter()
        if side == "greensweep":
            reserved = trials.reserve()
            assert reserved is not None
        else:
            study.sampler = alone
            drawn = study.ask(dict(_SPACE))
            reserved = ReservedTrial(drawn.number, drawn.params)
        seconds = time.perf_counter() - began
        held.append(reserved)
        if place >= workers:
            _tell(side, study, held.popleft())
            rows.append((seconds, time.process_time() - cpu, count[0] - statements))
    memory = psutil.Process().memory_info().rss - before
    for each in held:
        _tell(side, study, each)
    asks, cpus, statements_ = zip(*rows, strict=True)
    answer.put(
        {
            "played": played,
            "ask_ms": 1000 * median(asks),
            "ask_ms_p95": 1000 * float(numpy.quantile(asks, 0.95)),
            "cpu_ms_per_trial": 1000 * mean(cpus),
            "statements_per_trial": float(median(statements_)),
            "open_seconds": opened,
            "memory_mb": memory / 1e6,
        }
    )


def _tell(side: str, study: optuna.Study, trial: ReservedTrial) -> None:
    if side == "greensweep":
        _settle(study, trial)
    else:
        study.tell(trial.number, value_of(trial.params))


def _settle(study: optuna.Study, trial: ReservedTrial) -> None:
    value = value_of(trial.params)
    curve = tuple(CurvePoint(n, value * n / 10, 10.0 * n, 11.0 * n, float(n)) for n in range(1, 11))
    outcome = Outcome(
        "finished",
        accuracy=value,
        metric="accuracy",
        joules=100.0,
        spent_joules=110.0,
        seconds=10.0,
        epochs=10,
        epochs_planned=10,
        curve=curve,
    )
    finish_trial(study, trial_of(study, trial.number), outcome, [value], Path(os.devnull))


def _spec(**options: Any) -> SearchSpec:
    given = {"study_name": "study", "directions": ("maximize",), "distributions": _SPACE}
    return SearchSpec(**{**given, "pruner": "none", **options})


def value_of(params: Mapping[str, Any]) -> float:
    """A smooth peak among flat surroundings; its best value is 1."""
    away = (numpy.log10(params["rate"]) + 3.0) ** 2 + 4.0 * (params["beta1"] - 0.9) ** 2
    away += 100.0 * (params["beta2"] - 0.97) ** 2 + (params["width"] / 64.0 - 0.7) ** 2
    return float(numpy.exp(-away))


# --- regret: what a window of the trials loses --------------------------------------------------


def regret(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return how far the best is from the optimum with and without the bound, over seeds."""
    rows = []
    trials = max(arguments.trials)
    usual = bounded.MOST, bounded.MOST_FOR_GP
    for sampler in arguments.samplers:
        for name, (most, most_for_gp) in {"bounded": usual, "all": (10**9, 10**9)}.items():
            bounded.MOST, bounded.MOST_FOR_GP = most, most_for_gp
            regrets, seconds = [], []
            for seed in range(arguments.seeds):
                began = time.process_time()
                regrets.append(_regret(sampler, seed, trials))
                seconds.append(time.process_time() - began)
            rows.append(
                {
                    "sampler": sampler,
                    "learns from": name,
                    "trials": trials,
                    "seeds": arguments.seeds,
                    "median_regret": median(regrets),
                    "mean_regret": mean(regrets),
                    "standard_error": float(numpy.std(regrets, ddof=1) / len(regrets) ** 0.5),
                    "cpu_ms_per_trial": 1000 * mean(seconds) / trials,
                }
            )
            print(rows[-1], flush=True)
    bounded.MOST, bounded.MOST_FOR_GP = usual
    return rows


def _regret(sampler: str, seed: int, trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        spec = _spec(
            directory=Path(folder),
            storage=f"sqlite:///{folder}/unused.db",
            n_trials=trials,
            seed=seed,
            sampler=_SAMPLERS[sampler],
        )
        study = open_study(spec, InMemoryStorage())
        queue = TrialQueue(spec, study, lambda _: Path(os.devnull))
        best = 0.0
        while (reserved := queue.reserve()) is not None:
            _settle(study, reserved)
            best = max(best, value_of(reserved.params))
        return 1.0 - best


# --- throughput: what share of their time workers work -----------------------------------------

_PROGRAM = """
import os
import time
import hydra

@hydra.main()
def main(config):
    began = time.time()
    time.sleep({seconds})
    with open({log!r}, "a") as log:
        log.write(f"{{began}} {{time.time()}}\\n")
    return 0.5

main()
"""


def throughput(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what share of their time 4 workers spend in trials of a second, by executor.

    The steady state is counted from where all of them work until the last trial begins: the
    start, and the end of the search, are stated by themselves.
    """
    rows, workers, trials = [], 4, 160
    for executor in arguments.executors:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            program = Path(folder) / "program.py"
            write_text(program, _PROGRAM.format(seconds=1.0, log=str(log)))
            before, began = psutil.Process().cpu_times(), time.time()
            subprocess.run(
                [
                    sys.executable, program, "-m", "hydra/sweeper=greensweep",
                    f"hydra.sweeper.executor={executor}", f"hydra.sweeper.n_workers={workers}",
                    f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.meter=nothing",
                    f"hydra/sweeper/sampler={arguments.draws}",
                    *(["hydra.sweeper.ray.num_cpus=0.25"] if executor == "ray" else []),
                    "+x=interval(0,1)", f"hydra.sweep.dir={folder}/sweep",
                ],
                check=True, cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            ended, after = time.time(), psutil.Process().cpu_times()
            spans = sorted(
                tuple(float(each) for each in line.split()) for line in log.read_text().splitlines()
            )
        first, last = spans[workers - 1][0], spans[-1][0]
        inside = sum(min(end, last) - max(begin, first) for begin, end in spans if end > first)
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        rows.append(
            {
                "executor": executor,
                "sampler": arguments.draws,
                "workers": workers,
                "trials": len(spans),
                "busy": inside / (workers * (last - first)),
                "until_first_s": spans[0][0] - began,
                "until_all_work_s": first - began,
                "after_last_s": ended - max(end for _, end in spans),
                "cpu_ms_per_trial": 1000 * cpu / len(spans),
            }
        )
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
