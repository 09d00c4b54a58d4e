"""From the option `task` to what is learnt."""

import inspect
from dataclasses import fields
from pkgutil import resolve_name

import torch
from torch import Tensor

from greensweep.config.metrics import Targets
from greensweep.config.schema_task import CustomTaskConfig, TaskConfig
from greensweep.data import Splits
from greensweep.errors import ConfigError, GreensweepError, describe
from greensweep.imports import import_target
from greensweep.tasks.classification import Classification
from greensweep.tasks.task import Loss, Task

_KINDS = ("classes", "labels", "values")


def targets_of(config: TaskConfig) -> Targets:
    """Return the kind of targets that a task reads, as `load_splits` takes it.

    Raises:
        ConfigError: the task's class cannot be imported, or is none.
    """
    return config.reads or _kind(config).targets


def build_task(
    config: TaskConfig, splits: Splits, device: torch.device, *, label_smoothing: float = 0.0
) -> Task:
    """Build the task for the targets of `splits`.

    Args:
        device: that computes.
        label_smoothing: of a classification's training loss.

    Raises:
        ConfigError: its class or its loss cannot be imported or built, or does not fit the targets.
    """
    kind = _kind(config)
    if isinstance(config, CustomTaskConfig):
        options = dict(config.kwargs)
    else:
        own = {each.name for each in fields(config)} - {each.name for each in fields(TaskConfig)}
        options = {name: getattr(config, name) for name in own}
    if config.loss is not None:
        options["loss"] = _own_loss(config.loss)
    if label_smoothing:
        if not issubclass(kind, Classification):
            raise ConfigError(
                f"training.label_smoothing={label_smoothing:g} is of classes, which "
                f"task={config.name} has none of: set training.label_smoothing=0"
            )
        options["label_smoothing"] = label_smoothing
    targets = splits.train.labels.to(device)
    try:
        return kind(targets, splits.outputs, **options)
    except GreensweepError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{kind.__module__}.{kind.__name__} cannot be built ({describe(error)}): check the "
            "class and task.kwargs"
        ) from error


def _kind(config: TaskConfig) -> type[Task]:
    if not isinstance(config, CustomTaskConfig):
        known: type[Task] = resolve_name(str(config.implementation))
        return known
    path = config.target
    kind = import_target("task.target", path)
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise ConfigError(f"task.target={path} must be a class of greensweep.tasks.Task: derive it")
    if getattr(kind, "targets", None) not in _KINDS:
        raise ConfigError(
            f"task.target={path} does not say what it reads: write targets = 'classes', 'labels' "
            "or 'values' in the class"
        )
    return kind


def _own_loss(path: str) -> Loss:
    found = import_target("task.loss", path)
    try:
        loss = found() if inspect.isclass(found) else found
    except Exception as error:
        raise ConfigError(
            f"task.loss={path} cannot be built ({describe(error)}): name a function of "
            "outputs and targets"
        ) from error
    if not callable(loss):
        raise ConfigError(f"task.loss={path} is no function: name one of outputs and targets")

    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        try:
            found = loss(outputs, targets)
        except (GreensweepError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ConfigError(
                f"task.loss={path} failed on outputs {tuple(outputs.shape)} and targets "
                f"{tuple(targets.shape)} ({describe(error)}): mend the function"
            ) from error
        if not isinstance(found, Tensor) or found.ndim:
            raise ConfigError(
                f"task.loss={path} must return the mean loss of a batch, a tensor of one number, "
                f"got {type(found).__name__}: let it end with .mean()"
            )
        return found

    return own
