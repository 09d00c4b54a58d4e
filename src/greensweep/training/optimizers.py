"""Optimizers and learning-rate schedules."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from greensweep.config import schema
from greensweep.errors import ConfigError, ModelError, describe
from greensweep.imports import import_target

# PyTorch's own, which the paper's code left in place.
_DEFAULT_BETA2 = 0.999

Built = TypeVar("Built")


def build_optimizer(config: schema.OptimizerConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """Build Adam, AdamW or SGD, in PyTorch's fused form where no parameter is complex; or another.

    Every declared hyperparameter is applied, but for beta2 where `beta2_applied` is false.

    Raises:
        ConfigError: another one cannot be imported or built, or needs another loop.
        ModelError: no parameter can be trained.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        raise ModelError(
            "training needs at least 1 trainable parameter, the model has 0: let requires_grad "
            "be true for some, or choose another model"
        )
    if isinstance(config, schema.CustomOptimizerConfig):
        return _custom_optimizer(config, trainable)
    fused = all(parameter.is_floating_point() for parameter in trainable)
    if isinstance(config, schema.AdamConfig):
        kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
        return kind(
            trainable,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2 if config.beta2_applied else _DEFAULT_BETA2),
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=fused,
        )
    assert isinstance(config, schema.SgdConfig)
    return torch.optim.SGD(
        trainable,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=fused,
    )


def _custom_optimizer(
    config: schema.CustomOptimizerConfig, parameters: list[Parameter]
) -> Optimizer:
    arguments = {"lr": config.learning_rate, **config.kwargs}
    if config.weight_decay:
        arguments["weight_decay"] = config.weight_decay
    update = _built("optimizer", config.target, Optimizer, parameters, arguments)
    closure = inspect.signature(update.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"optimizer.target={config.target} computes the loss several times a step, which the "
            "training loop does not: take another optimizer"
        )
    return update


def _built(
    option: str, target: str, kind: type[Built], first: Any, kwargs: dict[str, Any]
) -> Built:
    """Call what `option`.target names, which is to return a `kind`."""
    build = import_target(f"{option}.target", target)
    try:
        built = build(first, **kwargs)
    except Exception as error:
        raise ConfigError(
            f"{option}.target={target} cannot be built ({describe(error)}): check {option}.kwargs"
        ) from error
    if not isinstance(built, kind):
        raise ConfigError(
            f"{option}.target={target} must give a {kind.__module__}.{kind.__name__}, got "
            f"{type(built).__name__}: name such a class"
        )
    return built


def build_schedule(
    config: schema.SchedulerConfig, optimizer: Optimizer, steps: int
) -> LRScheduler | None:
    """Build the schedule over `steps` optimizer steps; None is a constant rate.

    Each rate of ours follows from its step's number alone: it is as exact where the optimizer keeps
    it in a tensor, as a captured step needs it.

    Raises:
        ConfigError: another schedule cannot be imported or built, or does not fit its interval.
    """
    match config:
        case schema.CosineConfig():
            return LambdaLR(
                optimizer, lambda step: _half_cosine(1.0, config.final_fraction, step / steps)
            )
        case schema.OneCycleConfig():
            return LambdaLR(optimizer, _one_cycle(config, steps))
        case schema.CustomSchedulerConfig():
            schedule = _built(
                "scheduler", config.target, LRScheduler, optimizer, dict(config.kwargs)
            )
            if isinstance(schedule, ReduceLROnPlateau) and config.interval == "step":
                raise ConfigError(
                    f"scheduler.target={config.target} goes by the validation loss, which there is "
                    "after each epoch: set scheduler.interval=epoch"
                )
            return schedule
    return None


def step_schedule(schedule: LRScheduler, *loss: float | None) -> None:
    """Set the rate of the next step or epoch, where asked by the loss of the last.

    Raises:
        ConfigError: the schedule's own code failed.
    """
    try:
        schedule.step(*loss)  # type: ignore[arg-type] # of one that goes by the loss
    except Exception as error:
        kind = type(schedule)
        raise ConfigError(
            f"scheduler.target={kind.__module__}.{kind.__qualname__} failed ({describe(error)}): "
            "check scheduler.kwargs"
        ) from error


def _one_cycle(config: schema.OneCycleConfig, steps: int) -> Callable[[int], float]:
    """Return the share of the peak rate at each step, from 0: half a cosine up, half a cosine down.

    The same figures as PyTorch's OneCycleLR, which divides by zero where the rise takes one step.
    Momentum and beta1 stay as declared.
    """
    first = 1 / config.initial_division
    last = first / config.final_division
    peak = max(config.warmup_fraction * steps - 1, 0.0)
    fall = steps - 1 - peak or 1.0  # a single step is at the peak

    def share(step: int) -> float:
        if step < peak:
            return _half_cosine(first, 1.0, step / peak)
        return _half_cosine(1.0, last, min((step - peak) / fall, 1.0))

    return share


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))
