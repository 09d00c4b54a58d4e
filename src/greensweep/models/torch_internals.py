"""All that greensweep uses of PyTorch's private interface, each with the reason.

`tests/models/test_torch_internals.py` holds each of them to the PyTorch that is installed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

# TorchDispatchMode sees the operators that run, under all functions; TorchFunctionMode, which is
# public, sees functions alone.


def of_tensors(formula: Callable[..., int]) -> Callable[..., int]:
    """Let FlopCounterMode give a formula the tensors, not their shapes.

    The public `register_flop_formula(…, get_raw=True)` keeps it for the whole process.
    """
    formula._get_raw = True  # type: ignore[attr-defined]
    return formula


def persistent_buffers(module: nn.Module) -> Mapping[str, Tensor | None]:
    """Return a module's own buffers that its state has, those among them that are None now.

    The public `named_buffers` leaves out what is None, and has all that are no part of the state.
    """
    left_out = module._non_persistent_buffers_set
    return {name: each for name, each in module._buffers.items() if name not in left_out}


def is_compiled(module: nn.Module) -> bool:
    """Tell whether a module is what `torch.compile` made of another one; its class is private."""
    return any(name == "_orig_mod" for name, _ in module.named_children())


def compiles_itself(module: nn.Module) -> bool:
    """Tell whether a module's `compile` was called; no public name tells."""
    return getattr(module, "_compiled_call_impl", None) is not None


def drop_hook(module: nn.Module, hook: Callable[..., Any]) -> None:
    """Remove a forward hook or pre-hook of which there is no handle: a copied module has none."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for number in [key for key, each in hooks.items() if each is hook]:
            del hooks[number]  # its options, by the same number, are then nobody's


def profiler_runs() -> bool:
    """Tell whether a profiler records: a second one would end it, and no public name tells."""
    return bool(torch.autograd._profiler_enabled())  # type: ignore[attr-defined]
