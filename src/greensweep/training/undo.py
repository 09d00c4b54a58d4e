"""Undo what forward passes and steps of training leave behind."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from greensweep.training.step import TrainingStep


@contextmanager
def buffers_kept(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a model's buffers and PyTorch's random state back as they were, come what may."""
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    setattr(module, name, buffer.copy_(value))


@contextmanager
def model_kept(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put parameters, gradients and training flags back, and what `buffers_kept` does."""
    parameters = [(each, each.detach().clone(), each.grad) for each in model.parameters()]
    was_training = {module: module.training for module in model.modules()}
    with buffers_kept(model, device):
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value, gradient in parameters:
                    parameter.copy_(value)
                    parameter.grad = gradient
            for module, training in was_training.items():
                module.training = training


@contextmanager
def first_steps_undone(step: TrainingStep) -> Iterator[None]:
    """Undo steps that were taken before any other: training then begins as if there were none.

    Weights, buffers, the optimizer's state and the scale of float16 get their values back in
    the memory that they have by then, so that a captured step still finds them there. Random
    generators and plain attributes of modules get theirs, too, and so does the state of another
    optimizer than Adam and SGD, in other memory.
    """
    step.update.zero_grad(set_to_none=True)
    attributes = plain_attributes(step.model)
    modules = dict(step.model.named_modules())
    begins_at_zero = all(
        group.get("fused") and not group.get("dampening") for group in step.update.param_groups
    )
    state_before = None if begins_at_zero else deepcopy(step.update.state_dict())
    scale = step.scaler.state_dict()
    generators = random.getstate(), np.random.get_state()
    with model_kept(step.model, step.device):
        try:
            yield
        finally:
            if state_before is not None:
                step.update.load_state_dict(state_before)
            for state in step.update.state.values() if state_before is None else ():
                for value in state.values():
                    if isinstance(value, Tensor):
                        value.zero_()  # where Adam and SGD begin
            if scale:
                step.scaler.load_state_dict(scale)
            random.setstate(generators[0])
            np.random.set_state(generators[1])
            for (path, name), attribute in attributes.items():
                modules[path].__dict__[name] = attribute


def plain_attributes(model: nn.Module) -> dict[tuple[str, str], object]:
    """Return what modules keep in Python, numbers and flags say, by path and name."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | None)
    }
