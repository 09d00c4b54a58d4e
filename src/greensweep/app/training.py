"""The data that is trained on, and training once, alone or in a sweep: src/prepare.py, train.py."""

import logging
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from greensweep.app.compose import checked, written_to
from greensweep.app.sweep import meter_of
from greensweep.config.schema import PrepareConfig, TrainConfig
from greensweep.energy import warn_once_per_sweep
from greensweep.errors import ConfigError, ConstraintError, DataError, ModelError, StudyError
from greensweep.messages import message_of, spell_output
from greensweep.record.result import RESULT_FILE, RunResult, write_result
from greensweep.secrets.data import mask_override
from greensweep.secrets.output import mask_output
from greensweep.sweeper.command import resumes, sweep_of, task_overrides
from greensweep.tracking.mlflow_tracker import open_store
from greensweep.tracking.tracker import build_tracker

log = logging.getLogger(__name__)


def prepare(composed: DictConfig) -> None:
    """Fetch or verify a data set, split it, and write the manifest of its splits."""
    from greensweep.data import load_splits, noun
    from greensweep.data.manifest import write_manifest

    config = checked(composed, PrepareConfig)
    splits = load_splits(config.dataset, config.seed, config.targets)
    with written_to(config.output):
        path = write_manifest(splits, config.dataset.name, config.seed, Path(config.output))
    log.info(
        f"{config.dataset.name}: {len(splits.train)} training, {len(splits.validation)} "
        f"validation and {len(splits.test)} test {noun(splits.input_shape)}s; manifest in {path}"
    )


def train(composed: DictConfig) -> float | tuple[float, ...]:
    """Train once and return the objective's value or values; a failed trial of a sweep raises.

    One of several that all failed alike, for what the sweep does not search, ends the sweep.
    """
    hydra = HydraConfig.get()
    try:
        return _train(composed)
    except Exception as fault:
        from greensweep.study.trials import failed_alike

        if hydra.mode != RunMode.MULTIRUN:
            raise
        _say_trial(hydra, fault)
        is_users = isinstance(fault, ConfigError | DataError | ModelError)
        if not is_users or not failed_alike(sweep_of(hydra).directory):
            raise
        log.warning("All trials so far failed alike, and the next would too: the sweep ends.")
        # The stock sweepers go on after any exception but this one.
        raise (ConstraintError if resumes(hydra) else SystemExit)(str(fault)) from fault


def _train(composed: DictConfig) -> float | tuple[float, ...]:
    hydra = HydraConfig.get()
    sweeping = hydra.mode == RunMode.MULTIRUN
    directory = Path(hydra.runtime.output_dir)
    mask_output()
    spell_output()  # a process of a launcher's has not begun as the script does
    overrides = tuple(map(mask_override, task_overrides(hydra)))
    if (directory / RESULT_FILE).is_file() and not composed.training.resume:
        raise StudyError(
            f"{directory} holds the result of another trial, which would be overwritten: let "
            "hydra.sweep.subdir keep trials apart, as '${hydra.job.num}' does"
        )
    config = _parse_run(composed, directory, overrides, sweeping)
    store = open_store(config.tracking)
    sweep = sweep_of(hydra) if sweeping else None
    folder = sweep.directory if sweep else None
    with warn_once_per_sweep(folder):
        if config.replay is not None:
            from greensweep.runs.replay.run import replay_once

            run_once = partial(replay_once, config, directory)
        else:
            from greensweep.runs.repeats import run_repeats

            _take_gpu(config)
            run_once = partial(
                run_repeats,
                config,
                directory,
                meter=meter_of(config, folder),
                test=not sweeping,
                show_epochs=_progress_bar if sys.stderr.isatty() and not sweeping else None,
            )
        result = run_once(
            tracker=build_tracker(config.tracking, directory, sweep),
            name=f"trial {hydra.job.num}" if sweeping else config.model.name,
            trial=hydra.job.num if sweeping else None,
            overrides=overrides,
        )
    # A search's libraries are loaded once the run has trained.
    from greensweep.study.planned import objective_values

    if sweep is not None and config.replay is None:
        from greensweep.study.winners import drop_beaten_weights

        drop_beaten_weights(sweep.directory, store, recorded_only=resumes(hydra))
    if sweeping:
        _say_trial(hydra, result)
        return objective_values(config.objective, result)
    from greensweep.study.sentences import layers_sentence, run_line, sources, trust_sentence

    log.info(run_line(result))
    trust = trust_sentence(sources([result]), result.energy_quality, result.energy_constant_share)
    for said in filter(None, [layers_sentence(result), trust]):
        log.info(said)
    return objective_values(config.objective, result)


def _say_trial(hydra: Any, end: RunResult | Exception) -> None:
    """Say how a trial of the stock sweepers ended, also in Optuna; ours says it of its own."""
    if resumes(hydra):
        return
    from greensweep.search.progress import trial_line
    from greensweep.search.records import Outcome
    from greensweep.search.trial import figures_of_result
    from greensweep.study.trials import searched_among

    outcome = (
        Outcome("failed", message_of(end))
        if isinstance(end, Exception)
        else Outcome(end.status, end.error, seconds=end.seconds or 0.0, **figures_of_result(end))
    )
    sweep, overrides = sweep_of(hydra).directory, task_overrides(hydra)
    log.info(trial_line(hydra.job.num, outcome, searched_among(sweep, overrides)))
    storage, study = (hydra.sweeper.get(option) for option in ("storage", "study_name"))
    if storage is not None and study is not None:
        from greensweep.study.stock import show_stock_trial

        result = None if isinstance(end, Exception) else end
        show_stock_trial(storage, study, overrides, outcome, result, sweep)


def _take_gpu(config: TrainConfig) -> None:
    """Let a process of a launcher's have a GPU of its own, where the run takes what it finds."""
    hydra = HydraConfig.get()
    is_elsewhere = not str(hydra.launcher._target_).endswith("BasicLauncher")
    if hydra.mode == RunMode.MULTIRUN and is_elsewhere:
        from greensweep.search.placement import take_gpus
        from greensweep.study.planned import PlannedTraining

        take_gpus(PlannedTraining(config).any_gpus or None)


def _parse_run(
    composed: DictConfig, directory: Path, overrides: tuple[str, ...], sweeping: bool
) -> TrainConfig:
    """Parse a run's config; a trial that is refused leaves a result too."""
    try:
        return checked(composed, TrainConfig)
    except ConfigError as error:
        if sweeping:
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


def _progress_bar(epochs: Iterable[Any], total: int) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    return track(epochs, "epochs", total=total, console=Console(stderr=True), transient=True)
