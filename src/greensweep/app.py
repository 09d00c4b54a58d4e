"""Hydra in, one call, out: what the scripts in src/ hand over to.

Nothing slow is imported here before a run needs it: `--help` answers without PyTorch.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from greensweep.config import (
    AnalyseConfig,
    EvaluateConfig,
    PrepareConfig,
    ReportConfig,
    TrainConfig,
    parse,
    register_schemas,
    without_hydra,
)
from greensweep.config.schema_analysis import SourceConfig, sweep_report
from greensweep.errors import AnalysisError, ConfigError, GreensweepError, StudyError
from greensweep.messages import sentence
from greensweep.search.opening import before_trials
from greensweep.study.preflight import check_sweep, fixed_keys, resumes, task_overrides
from greensweep.study.space import search_params

if TYPE_CHECKING:
    import pandas as pd

    from greensweep.analysis import RunTable
    from greensweep.analysis.collect import Analyses
    from greensweep.study.summary import StudySummary
    from greensweep.tracking import SweepRun
    from greensweep.tracking.mlflow import MlflowStore
    from greensweep.training import Epoch

log = logging.getLogger(__name__)

INTERRUPTED = 130
CONF = Path(__file__).resolve().parents[2] / "conf"

# What Hydra may call by the paths in its own configuration: callbacks, sweepers, log handlers.
TRUSTED = ("greensweep.*", "hydra.*", "hydra_plugins.*", "optuna.samplers.*", "logging.*")


def _search_params(_: str = "", *, _root_: DictConfig) -> dict[str, str]:
    sampler = OmegaConf.select(_root_, "hydra.sweeper.sampler._target_", default="")
    return search_params(_root_.space, sampler_target=sampler, fixed_keys=fixed_keys(_root_.hydra))


def _launcher_jobs(_: str = "", *, _root_: DictConfig) -> int:
    jobs = OmegaConf.select(_root_, "hydra.launcher.n_jobs", default=1) or 1
    return (os.cpu_count() or 1) if jobs < 0 else int(jobs)


def _sweep_meter(_: str = "", *, _root_: DictConfig) -> str:
    # Measured joules of a search beside replayed ones of its trials would be no total of anything.
    return "search" if _root_.replay is None else "nothing"


register_schemas()
OmegaConf.register_resolver("search_params", _search_params, replace=True)
OmegaConf.register_resolver("launcher_jobs", _launcher_jobs, replace=True)
OmegaConf.register_resolver("sweep_meter", _sweep_meter, replace=True)


class SweepCallback(Callback):
    """Refuses a sweep that cannot work; notes one that began, so that `run` can close it."""

    current: DictConfig | None = None

    @classmethod
    def forget(cls) -> None:
        """Forget a sweep of an earlier command in this process."""
        cls.current = None
        before_trials(None)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra turns an Exception raised here into a warning; SystemExit it lets through.
        try:
            check_sweep(without_hydra(config), config.hydra)
            if resumes(config.hydra):  # it may refuse its study, and begins only then
                before_trials(partial(_begin_sweep, config))
            else:
                _begin_sweep(config)
        except (GreensweepError, OSError) as error:
            raise SystemExit(sentence(error)) from error


def run(main: Callable[[], None]) -> NoReturn:
    """Run a Hydra program to its exit status, with one sentence for each fault.

    0: done. 1: a user's error. 2: usage. 130: interrupted, with what was measured kept. With
    HYDRA_FULL_ERROR=1 in the environment faults keep their traceback.
    """
    wanted = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands faults on instead of printing them
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.raiseExceptions = False  # a log file on a full disk is told of by the fault itself
    SweepCallback.forget()
    fault: BaseException | None = None
    try:
        main()
    except (Exception, KeyboardInterrupt) as error:
        fault = error
    except SystemExit as ended:
        if ended.code != INTERRUPTED:  # what a sweeper ends with that was interrupted
            raise
        fault = KeyboardInterrupt()
    finally:
        os.environ["HYDRA_FULL_ERROR"] = wanted or "0"
    if SweepCallback.current is not None:
        fault = _close_sweep(SweepCallback.current, fault)
    if fault is None:
        sys.exit(0)
    if wanted == "1":
        raise fault
    if isinstance(fault, KeyboardInterrupt):
        print("Interrupted: what was measured so far is kept.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(sentence(fault))


def train(composed: DictConfig) -> float | tuple[float, ...]:
    """Train once and return the objective's value or values; a failed trial of a sweep raises."""
    from greensweep.energy import build_meter
    from greensweep.repeats import run_repeats
    from greensweep.replay import replay_once
    from greensweep.search.objective import objective_values
    from greensweep.study.text import run_line, sources, trust_sentence
    from greensweep.tracking import build_tracker, open_store

    hydra = HydraConfig.get()
    sweeping = hydra.mode == RunMode.MULTIRUN
    directory = Path(hydra.runtime.output_dir)
    overrides = _recorded_overrides(hydra)
    _hide_passwords()
    try:
        config: TrainConfig = _parse_run(composed, directory, overrides, sweeping)
        store = open_store(config.tracking)
        sweep = _sweep_of(hydra) if sweeping else None
        if config.replay is not None:
            run_once = partial(replay_once, config, directory)
        else:
            run_once = partial(
                run_repeats,
                config,
                directory,
                meter=build_meter(config.energy, sweep.directory if sweep else None),
                test=not sweeping,
                show_epochs=_progress_bar if sys.stderr.isatty() and not sweeping else None,
            )
        result = run_once(
            tracker=build_tracker(store, sweep),
            name=f"trial {hydra.job.num}" if sweeping else config.model.name,
            trial=hydra.job.num if sweeping else None,
            overrides=overrides,
        )
        if sweep is not None and config.replay is None:
            from greensweep.study.winners import drop_beaten_weights

            drop_beaten_weights(sweep.directory, store, settled_only=resumes(hydra))
        log.info(run_line(result))
        trust = trust_sentence(sources(result), result.energy_quality, result.energy_constant_share)
        if trust and not sweeping:
            log.info(trust)
        return objective_values(config.objective, result)
    except (GreensweepError, OSError) as error:
        if sweeping:
            raise
        raise SystemExit(sentence(error)) from error


def evaluate(composed: DictConfig) -> float:
    """Test a kept model and print its accuracy and the energy of testing it."""
    from greensweep.checkpoint import test_checkpoint
    from greensweep.energy import build_meter
    from greensweep.energy.units import joules_text
    from greensweep.study.text import trust_sentence

    config: EvaluateConfig = parse(composed)
    tested = test_checkpoint(
        Path(config.checkpoint),
        build_meter(config.energy),
        device=config.device,
        batch_size=config.batch_size,
    )
    reading, images = tested.reading, tested.test.images
    per_thousand = None if reading.joules is None else 1000 * reading.joules / images
    log.info(
        f"test accuracy {tested.test.accuracy:.4f} on {images} images, inference "
        f"{joules_text(per_thousand)} per 1000 images ({reading.quality}), "
        f"{1000 * reading.seconds / images:.3g} s per 1000 images"
    )
    components = {name: part.source for name, part in reading.components.items()}
    trust = trust_sentence(components, reading.quality, reading.constant_share)
    if trust:
        log.info(trust)
    return tested.test.accuracy


def prepare(composed: DictConfig) -> None:
    """Fetch or verify a data set, split it, and write the manifest of its splits."""
    from greensweep.data import load_splits
    from greensweep.data.manifest import write_manifest

    config: PrepareConfig = parse(composed)
    splits = load_splits(config.dataset, config.seed)
    path = write_manifest(splits, config.dataset.name, config.seed, Path(config.output))
    log.info(
        f"{config.dataset.name}: {len(splits.train)} training, {len(splits.validation)} "
        f"validation and {len(splits.test)} test images; manifest in {path}"
    )


def analyse(composed: DictConfig) -> None:
    """Answer a question from a table of runs, and leave its tables in a folder."""
    from greensweep import analysis

    config: AnalyseConfig = parse(composed)
    runs = _runs(config)
    result = analysis.answer(runs, config.analysis)
    folder = Path(config.output) / result.name
    try:
        result.write(folder)
    except OSError as error:
        raise AnalysisError(f"output={config.output} cannot be written: {error}") from error
    for said in [*result.answers, *(f"Warning: {each}." for each in result.warnings)]:
        log.info(said)
    left = "".join(f"; left out: {count}, {why}" for why, count in result.left_out.items())
    log.info(f"{result.rows} rows of {result.source}{left}. Tables: {folder}")


def report(composed: DictConfig) -> None:
    """Write one page about a table of runs, with its figures and tables as files."""
    from greensweep.analysis.collect import analyses_of

    config: ReportConfig = parse(composed)
    analyses = analyses_of(_runs(config), config, _sweeps(config))
    try:
        _write_page(analyses, config)
    except OSError as error:
        raise AnalysisError(f"output={config.output} cannot be written: {error}") from error
    for said in [result.answers[0] for result in analyses.found]:
        log.info(said)


def _write_page(analyses: "Analyses", config: ReportConfig) -> Path:
    from greensweep.rendering import build_page, report_tables, write_report
    from greensweep.rendering.facts import facts

    sections, told = build_page(analyses, config), facts(config.source)
    tables = report_tables(analyses)
    page = write_report(Path(config.output), config.title, sections, tables, told)
    log.info(f"Report: {page}")
    return page


def _runs(config: SourceConfig) -> "RunTable":
    from greensweep import analysis
    from greensweep.tracking.mlflow import tracking_uri

    if config.source == "mlflow":
        raw = analysis.read_mlflow(tracking_uri(config.mlflow_uri), config.mlflow_experiment)
    else:
        raw = analysis.read_file(Path(config.source))
    return analysis.standard_table(raw, config.columns, config.source)


def _sweeps(config: SourceConfig) -> "pd.DataFrame | None":
    from greensweep import analysis
    from greensweep.tracking.mlflow import tracking_uri

    if config.source != "mlflow":
        return None
    return analysis.read_sweeps(tracking_uri(config.mlflow_uri), config.mlflow_experiment)


def compose_sweep(overrides: list[str]) -> tuple[TrainConfig, str]:
    """Compose what `src/train.py -m hydra/sweeper=optuna` would run, without running it.

    Returns the config and the URL of Optuna's store.

    Raises:
        GreensweepError: the configuration is wrong.
    """
    try:
        with initialize_config_dir(str(CONF)):
            composed = compose(
                "train", overrides=["hydra/sweeper=optuna", *overrides], return_hydra_config=True
            )
        with read_write(composed.hydra):
            composed.hydra.mode = RunMode.MULTIRUN
        HydraConfig.instance().set_config(composed)
        storage = str(composed.hydra.sweeper.storage)
        parsed: TrainConfig = parse(without_hydra(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error)) from error
    return parsed, storage


def _parse_run(
    composed: DictConfig, directory: Path, overrides: tuple[str, ...], sweeping: bool
) -> TrainConfig:
    """Parse a run's config; a trial that is refused leaves a result too."""
    try:
        config: TrainConfig = parse(composed)
    except ConfigError as error:
        if sweeping:
            from greensweep.result import RunResult, write_result

            refused = RunResult(
                status="failed",
                error=str(error),
                model=composed.model.name,
                dataset=composed.dataset.name,
                seed=composed.seed,
                trial=HydraConfig.get().job.num,
                overrides=overrides,
            )
            write_result(refused, directory)
        raise
    return config


def _begin_sweep(config: DictConfig) -> None:
    from greensweep.energy import build_meter
    from greensweep.study import drift

    directory = Path(config.hydra.sweep.dir)
    # Optuna opens its file in the sweep's directory before Hydra makes it.
    directory.mkdir(parents=True, exist_ok=True)
    parsed: TrainConfig = parse(without_hydra(config))
    drift.begin(directory, build_meter(parsed.energy), parsed)
    SweepCallback.current = config


def _close_sweep(config: DictConfig, fault: BaseException | None) -> BaseException | None:
    """Summarise a sweep however it ended; return the fault that the program ends with."""
    directory = Path(config.hydra.sweep.dir)
    if not directory.is_dir():
        return fault
    if fault is not None and not any(directory.glob("*/")):
        return fault  # nothing was begun
    from greensweep.energy import build_meter
    from greensweep.study.close import close_sweep
    from greensweep.tracking import open_store

    interrupted = isinstance(fault, KeyboardInterrupt)
    parsed: TrainConfig = parse(without_hydra(config))
    try:
        store = open_store(parsed.tracking)
        summary = close_sweep(
            directory.absolute(),
            parsed,
            build_meter(parsed.energy),
            store,
            interrupted=interrupted,
            notes=_sweep_notes(config, store.experiment_id if store else None),
        )
    except (GreensweepError, OSError) as error:
        return fault or error
    if parsed.report.auto:
        _report_sweep(directory, store, summary, _sweep_of(config.hydra).strategy)
    if fault is not None and summary.trials_by_status.get("finished", 0) == 0 and not interrupted:
        from greensweep.study.trials import read_trials

        faults = [trial.result.error for trial in read_trials(directory) if trial.result.error]
        if faults:
            return StudyError(f"none of {len(faults)} trials finished; the first: {faults[0]}")
    return fault


def _report_sweep(
    directory: Path, store: "MlflowStore | None", summary: "StudySummary", strategy: str
) -> None:
    """Write the report of a sweep into its folder, and log it to its run; a fault only warns."""
    import pandas as pd

    from greensweep.analysis import standard_table
    from greensweep.analysis.collect import analyses_of
    from greensweep.analysis.sweep_runs import read_sweep

    config = sweep_report(directory)
    try:
        raw = read_sweep(directory)
        raw["strategy"] = strategy
        if store is not None:
            raw["experiment_id"] = store.experiment_id
        runs = standard_table(raw, config.columns, f"the sweep {directory}")
        sweeps = pd.DataFrame([summary.metrics()])
        page = _write_page(analyses_of(runs, config, sweeps), config)
    except (GreensweepError, OSError) as error:
        log.warning(f"No report of this sweep: {sentence(error)}")
        return
    if store is not None and summary.mlflow_run_id is not None:
        store.attempt(partial(store.log_folder, summary.mlflow_run_id, page.parent))


def _sweep_notes(config: DictConfig, experiment_id: str | None) -> list[str]:
    from greensweep.tracking.view import view_path

    notes = [f"Trials, study.json and kept weights: {config.hydra.sweep.dir}"]
    if experiment_id is not None:
        notes.append(
            "Compare the runs in the MLflow UI: make ui, then open "
            f"http://127.0.0.1:5000{view_path(experiment_id)}"
        )
    return notes


def _recorded_overrides(hydra: Any) -> tuple[str, ...]:
    """The overrides as they were written: not resolved, and without secrets."""
    from greensweep.tracking import masked

    pairs = [text.partition("=") for text in task_overrides(hydra)]
    return tuple(f"{key}={masked({key: value})[key]}" for key, _, value in pairs)


def _sweep_of(hydra: Any) -> "SweepRun":
    from greensweep.tracking import SweepRun

    directory = Path(hydra.sweep.dir).absolute()
    target = OmegaConf.select(hydra, "sweeper.sampler._target_", default=None)
    kind = target.rpartition(".")[2].removesuffix("Sampler") if target else "multirun"
    return SweepRun(directory, f"sweep {kind} {directory.name}", kind.lower())


def _hide_passwords() -> None:
    """Mask the passwords of URLs in every log record of this process."""
    from greensweep.tracking.secrets import mask_text

    make_record = logging.LogRecord

    def masked_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        record.msg, record.args = mask_text(record.getMessage()), ()
        return record

    logging.setLogRecordFactory(masked_record)


def _progress_bar(epochs: "Iterable[Epoch]", total: int) -> "Iterable[Epoch]":
    from rich.console import Console
    from rich.progress import track

    return track(epochs, "epochs", total=total, console=Console(stderr=True), transient=True)
