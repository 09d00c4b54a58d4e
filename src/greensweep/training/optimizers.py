"""Optimizers and learning-rate schedules, with every declared hyperparameter applied."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from greensweep.config import schema


def build_optimizer(config: schema.OptimizerConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """Build Adam, AdamW or SGD in PyTorch's fused form."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if isinstance(config, schema.AdamConfig):
        kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
        return kind(
            trainable,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=True,
        )
    assert isinstance(config, schema.SgdConfig)
    return torch.optim.SGD(
        trainable,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )


def build_schedule(
    config: schema.SchedulerConfig, optimizer: Optimizer, steps: int
) -> LRScheduler | None:
    """Build the schedule over `steps` optimizer steps; None is a constant rate.

    One-cycle leaves momentum and beta1 as declared; PyTorch's own default would cycle them too.
    """
    rate = optimizer.param_groups[0]["lr"]
    match config:
        case schema.CosineConfig():
            return CosineAnnealingLR(optimizer, T_max=steps, eta_min=rate * config.final_fraction)
        case schema.OneCycleConfig():
            return OneCycleLR(
                optimizer,
                max_lr=rate,
                total_steps=max(steps, 2),
                pct_start=config.warmup_fraction,
                div_factor=config.initial_division,
                final_div_factor=config.final_division,
                cycle_momentum=False,
            )
    return None
