"""Where a run of one's own loop is recorded: alone, in a Hydra job, or as a trial of a sweep."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import datetime
from enum import Enum
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from greensweep.config.metrics import Direction
from greensweep.config.store import read_plain_config
from greensweep.errors import ConfigError, StudyError
from greensweep.record.reported import split_of
from greensweep.record.result import CONFIG_FILE, RESULT_FILE
from greensweep.secrets.data import mask_override
from greensweep.sweeper.command import sweep_of, task_overrides
from greensweep.tracking.choice import chosen_tracking, keep_tracking
from greensweep.tracking.tracker import Tracker, build_tracker

_NO_NAME = re.compile(r"[^\w. +=,@-]+")  # what no folder of one's own is called


@dataclass(frozen=True)
class Place:
    """Where a run is recorded, and what its sweep says of it.

    Attributes:
        directory: the run's own.
        trial: its number in its sweep; None outside of one.
        overrides: what the command or the sweeper set.
        metric: the objective's name, where that was said.
        direction: of the sweep's first objective.
        options: the program's, as the sweep left them in the trial's folder.
    """

    directory: Path
    tracker: Tracker
    trial: int | None = None
    overrides: tuple[str, ...] = ()
    metric: str | None = None
    direction: Direction | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def run_place(
    name: str,
    directory: str | Path | None,
    mlflow: str | bool | None,
    experiment: str,
    metric: str | None,
) -> Place:
    """Return where a run is recorded, by what was asked and where it runs.

    Raises:
        StudyError: its directory cannot be written, or holds the result of another run.
        ConfigError: MLflow is asked for and not installed, the name is no text, or the metric is of
            another split than validation.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a run is a text, got {type(name).__name__}")
    name = _NO_NAME.sub("-", name)[:100].strip(". -") or "run"
    hydra = _hydra_of_job()
    sweeping = hydra is not None and hydra.mode == RunMode.MULTIRUN
    if directory is not None:
        folder = Path(directory).absolute()
    elif hydra is not None:
        folder = Path(hydra.runtime.output_dir)
    else:
        folder = _unused(Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    if (folder / RESULT_FILE).exists():
        if sweeping:
            raise StudyError(
                f"{folder} holds the result of this trial: a trial is one run, so let one "
                "greensweep.run(…) stand around all that it does"
            )
        if directory is not None:
            raise StudyError(f"{folder} holds the result of another run: choose another directory")
        folder = _unused(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be written ({error.strerror}): name another directory"
        ) from error
    sweep = sweep_of(hydra) if sweeping else None
    tracking = chosen_tracking(mlflow, experiment)
    if sweep is not None:
        keep_tracking(tracking, sweep.directory)
    if sweeping and metric is None:
        metric = OmegaConf.select(hydra, "sweeper.metric", default=None)
    split, metric = split_of(str(metric)) if metric else ("validation", None)
    if split != "validation":
        raise ConfigError(
            f"metric={split}_{metric} is of the {split} split, by which runs are not compared: "
            f"name one of validation, such as val_{metric}"
        )
    given: Any = OmegaConf.select(hydra, "sweeper.direction", default=None) if sweeping else None
    return Place(
        folder,
        build_tracker(tracking, folder, sweep),
        trial=hydra.job.num if sweeping else None,
        overrides=tuple(map(mask_override, task_overrides(hydra))) if hydra is not None else (),
        metric=metric,
        options=read_plain_config(folder / CONFIG_FILE) if sweeping else {},
        direction=given if isinstance(given, str | None) else str(given[0]),  # type: ignore[arg-type]
    )


def _hydra_of_job() -> Any:
    """Return Hydra's configuration in a job of its own; None where it only composed one."""
    hydra: Any = HydraConfig.get() if HydraConfig.initialized() else None
    runs = hydra is not None and not OmegaConf.is_missing(hydra.runtime, "output_dir")
    return hydra if runs else None


def plain(params: object) -> Mapping[str, Any]:
    """Return a run's options as plain data.

    Raises:
        ConfigError: they are no options by name.
    """
    if isinstance(params, DictConfig):
        params = OmegaConf.to_container(params, resolve=True)
    elif is_dataclass(params) and not isinstance(params, type):
        params = asdict(params)
    elif not isinstance(params, Mapping) and hasattr(params, "__dict__"):
        params = vars(params)
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ConfigError(
            f"params must be options by name, a mapping or a dataclass, say, got {params!r}"
        )
    return {str(name): _value(each) for name, each in params.items()}


def _value(given: Any) -> Any:
    """Return an option as YAML and a tracker can hold it: an object of a program's own as text."""
    if isinstance(given, Mapping):
        return {str(name): _value(each) for name, each in given.items()}
    if isinstance(given, list | tuple | set | frozenset):
        return [_value(each) for each in given]
    if isinstance(given, Enum):
        return _value(given.value)
    if getattr(given, "ndim", None) == 0:  # a number of NumPy's or PyTorch's
        return given.item()
    if given is None or isinstance(given, str | bool | int | float):
        return given
    if isinstance(given, type | FunctionType):
        return f"{given.__module__}.{given.__qualname__}"
    text = str(given)
    return type(given).__name__ if "\n" in text or " at 0x" in text else text


def _unused(folder: Path) -> Path:
    names = (folder if n == 1 else folder.with_name(f"{folder.name}-{n}") for n in count(1))
    return next(each for each in names if not each.exists())
