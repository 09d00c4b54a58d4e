"""All that greensweep uses of PyTorch's private interface, each with the reason.

`tests/models/test_torch_internals.py` holds each of them to the PyTorch that is installed.
"""

from collections.abc import Callable, Mapping
from typing import Any

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


def drop_pre_hook(module: nn.Module, hook: Callable[..., Any]) -> None:
    """Remove a forward pre-hook of which there is no handle: a copy of a module has none."""
    for number in [key for key, each in module._forward_pre_hooks.items() if each is hook]:
        del module._forward_pre_hooks[number]
        module._forward_pre_hooks_with_kwargs.pop(number, None)
