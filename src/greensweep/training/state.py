"""What a training changes: kept to go on where it was, or undone."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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
def python_state_kept(model: nn.Module) -> Iterator[None]:
    """Put Python's and NumPy's random generators, and plain attributes of modules, back."""
    attributes, modules = plain_attributes(model), dict(model.named_modules())
    generators = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for (path, name), attribute in attributes.items():
            modules[path].__dict__[name] = attribute


@contextmanager
def first_steps_undone(step: TrainingStep) -> Iterator[None]:
    """Undo steps that were taken before any other: training then begins as if there were none.

    Weights, buffers, the optimizer's state and the scale of float16 get their values back in
    the memory that they have by then, so that a captured step still finds them there. Random
    generators and plain attributes of modules get theirs, too, and so does the state of another
    optimizer than Adam and SGD, in other memory.
    """
    step.update.zero_grad(set_to_none=True)
    begins_at_zero = all(
        group.get("fused") and not group.get("dampening") for group in step.update.param_groups
    )
    state_before = None if begins_at_zero else deepcopy(step.update.state_dict())
    scale = step.scaler.state_dict()
    with model_kept(step.model, step.device), python_state_kept(step.model):
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


def plain_attributes(model: nn.Module) -> dict[tuple[str, str], object]:
    """Return what modules keep in Python, numbers and flags say, by path and name."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | None)
    }


def random_state() -> dict[str, Any]:
    """Return the state of all random generators, as numbers and tensors."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), [int(each) for each in keys], int(position), int(has_gauss), cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(kept: Mapping[str, Any]) -> None:
    """Put all random generators back to a state; GPUs where as many are here as were then."""
    version, numbers, gauss = kept["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = kept["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(kept["torch"])
    if kept["cuda"] and len(kept["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(kept["cuda"])


def load_optimizer(update: Optimizer, kept: Mapping[str, Any]) -> None:
    """Give an optimizer a kept `state_dict()`, in its memory: a captured step still finds it."""
    if not update.state:  # nothing is captured
        update.load_state_dict(dict(kept))
        return
    parameters = [each for group in update.param_groups for each in group["params"]]
    for number, values in kept["state"].items():
        state = update.state[parameters[number]]
        for name, value in values.items():
            if isinstance(value, Tensor) and isinstance(state.get(name), Tensor):
                state[name].copy_(value)
            else:
                state[name] = value
    for group, earlier in zip(update.param_groups, kept["param_groups"], strict=True):
        for name, value in earlier.items():
            if isinstance(group.get(name), Tensor):
                group[name].fill_(float(value))
            elif name not in ("params", "capturable"):
                group[name] = float(value) if isinstance(value, Tensor) else value
