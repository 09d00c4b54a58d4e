"""What a training needs beside its weights to go on exactly where it was."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer


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
