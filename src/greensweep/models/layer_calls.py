"""Which layers run in a forward pass: seen as they are called, whoever calls them."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from greensweep.models.layer_types import class_type, function_type, is_idle

SCRIPTED = "scripted"


@dataclass
class _Running:
    """A module that runs.

    Attributes:
        begun: what `LayerCalls.begin` gave for it.
        calls: any function was called in it.
        computes: one that is no layer, and does more than move numbers.
        has_layers: a layer was called in it.
    """

    begun: Any
    calls: bool = False
    computes: bool = False
    has_layers: bool = False


class LayerCalls(TorchFunctionMode, ABC):
    """Sees each layer that runs within `watching()`: functions, and modules that hide theirs.

    Torch switches the mode off inside a call, so a layer counts once, however deep the functions
    that it is written with. A module that computes, but calls no layer function and no other
    module, is a layer of its class: it is of plain arithmetic, or calls what is written in another
    language. One that TorchScript compiled is a layer too, as its inside is not to be seen; what
    `torch.compile` compiled runs uncompiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._modules: list[_Running] = []

    def begin(self) -> Any:
        """Return what `end` is to know of a call's beginning."""

    @abstractmethod
    def end(self, kind: str, begun: Any, result: Any) -> None:
        """Take note of a layer's call: its type, what `begin` returned, and what it returns."""

    def enter(self, module: nn.Module) -> None:
        """Take note that a module begins."""

    def leave(self, module: nn.Module, begun: Any, result: Any) -> None:
        """Take note that a module ends, before its caller goes on."""

    @contextmanager
    def watching(self, running: nn.Module | None = None) -> Iterator[None]:
        """Watch one forward pass.

        Args:
            running: the module whose pass it is, where that has begun, as in a hook of its own.
        """
        try:
            with (
                uncompiled(),
                register_module_forward_pre_hook(self._enter),
                register_module_forward_hook(self._leave),
                self,
            ):
                if running is not None:
                    self._enter(running, ())
                yield
        finally:
            self._modules.clear()

    def _enter(self, module: nn.Module, _: Any) -> None:
        self.enter(module)
        self._modules.append(_Running(self.begin()))

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        ended = self._modules.pop()
        silent = not ended.calls and all(result is not each for each in inputs)
        kind = None if ended.has_layers else _hidden_type(module, ended.computes or silent)
        if kind is not None:
            self.end(kind, ended.begun, result)
        if self._modules:
            self._modules[-1].has_layers |= ended.has_layers or kind is not None
        self.leave(module, ended.begun, result)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kind = function_type(func, kwargs or {})
        if kind is None:
            if self._modules:
                self._modules[-1].calls = True
                self._modules[-1].computes |= not is_idle(func)
            return func(*args, **(kwargs or {}))
        begun = self.begin()
        result = func(*args, **(kwargs or {}))
        self.end(kind, begun, result)
        if self._modules:
            self._modules[-1].has_layers = True
        return result


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what was compiled as it was written, and encoder layers of attention in their parts."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # Nothing is compiled before this module is loaded, which takes seconds.
    compiles = "torch._dynamo" in sys.modules
    try:
        with torch.compiler.set_stance("force_eager") if compiles else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _hidden_type(module: nn.Module, computes: bool) -> str | None:
    """Return the layer type of a module that called no layer function; None where it is none."""
    if isinstance(module, torch.jit.ScriptModule):
        return SCRIPTED
    alone = not any(True for _ in module.children())
    return class_type(type(module).__name__) if computes and alone else None
