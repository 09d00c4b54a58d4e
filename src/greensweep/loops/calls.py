"""The first call of a module in a loop of one's own, seen by a forward pre-hook."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from greensweep.models.torch_internals import compiles_itself, drop_hook, is_compiled
from greensweep.training.device import autocast

UNCALLED = "it was not called in the run, or compiled as a whole"


@dataclass(frozen=True)
class Call:
    """A call of a module, with one sample of the batch that it was given.

    Attributes:
        dtype: to which `torch.autocast` cast; None without it.
    """

    module: nn.Module
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    dtype: torch.dtype | None = None

    def __call__(self) -> Any:
        with autocast(self.dtype, device_of(self.module)):
            return self.module(*self.args, **self.kwargs)


class CallWatch:
    """Keeps the first call of a module; of its outermost submodules where its own never comes.

    A LightningModule, for one, has no forward pass where its `training_step` calls its parts. Parts
    without parameters, such as losses and metrics, are no part of the network.

    Args:
        on_call: is told the module of each first call.

    Attributes:
        calls: by the part's path, "" of the module itself.
        fault: why a call could not be kept.
    """

    def __init__(
        self, model: nn.Module, on_call: Callable[[nn.Module], None] = lambda _: None
    ) -> None:
        self._on_call = on_call
        self.calls: dict[str, Call] = {}
        self.fault: Exception | None = None
        self._handles = {
            path: module.register_forward_pre_hook(
                Hook(partial(self._see, path, module)), with_kwargs=True
            )
            for path, module in _watched(model)
        }

    def _see(self, path: str, module: nn.Module, called: nn.Module, args: Any, kwargs: Any) -> None:
        """Keep a call, and no more of what is within the module."""
        if called is not module:  # a replica's, on another GPU
            return
        if getattr(module.forward, "__name__", "") == "wrapped_forward":
            return  # Lightning's: DDP calls the step of its module in place of the forward pass
        for inner in [each for each in self._handles if _is_within(each, path)]:
            self._handles.pop(inner).remove()
        for inner in [each for each in self.calls if _is_within(each, path)]:
            del self.calls[inner]
        try:
            self.calls[path] = call_on(module, args, kwargs)
        except Exception as error:  # of whatever a batch may be
            self.fault = error
        self._on_call(module)

    def end(self) -> None:
        """Leave nothing in the module that sees its calls."""
        while self._handles:
            self._handles.popitem()[1].remove()


class Hook:
    """A hook of a module; a copy of the module has one that does nothing, and goes when called.

    It does nothing either while PyTorch compiles, traces or captures the call.
    """

    def __init__(self, call: Callable[..., None] | None = None) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, ()

    def __call__(self, module: nn.Module, *given: Any) -> None:
        if not is_recorded():
            if self._call is None:
                drop_hook(module, self)
            else:
                self._call(module, *given)


def is_recorded() -> bool:
    """Tell whether PyTorch compiles, traces or captures what runs now, to run it again later."""
    return bool(
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def bare(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` or a parallel wrapper made another one of."""
    if isinstance(model, DataParallel | DistributedDataParallel):
        return bare(model.module)
    return bare(model.get_submodule("_orig_mod")) if is_compiled(model) else model


def device_of(model: nn.Module) -> torch.device:
    """Return where a module's parameters are, the first of them."""
    return next((each.device for each in model.parameters()), torch.device("cpu"))


def call_on(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    to: torch.device | None = None,
    cut: bool = True,
) -> Call:
    """Return a module's call with the first sample of what it is given.

    Tensors as long as the first of them are a batch, and others the same for each sample.

    Args:
        to: where to put them; None leaves each where it is.
        cut: to the first sample.

    Raises:
        ValueError: no tensor is among them.
    """
    batch = next((each for each in _tensors((args, kwargs)) if each.dim()), None)
    if batch is None:
        raise ValueError("it is given no tensor")
    device = batch.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    with torch.inference_mode(False), torch.no_grad():
        one = partial(_first, size=len(batch) if cut else None, to=to)
        return Call(
            bare(module),
            [one(each) for each in args],
            {name: one(each) for name, each in kwargs.items()},
            dtype,
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(each)


def _first(value: Any, size: int | None, to: torch.device | None) -> Any:
    """Return a copy of the first sample of a batch of that size, in whatever it is nested in."""
    if isinstance(value, Tensor):
        one = value[:1] if value.dim() and len(value) == size else value
        return one.detach().to(to or value.device, copy=True)
    if isinstance(value, Mapping):
        found: Any = copy(value)  # of a class of its own
        for name in value:
            found[name] = _first(value[name], size, to)
        return found
    if isinstance(value, list | tuple):
        each = (_first(each, size, to) for each in value)
        return type(value)(*each) if hasattr(value, "_fields") else type(value)(each)
    return value


def _watched(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield a module and those in it that have parameters, each with its path.

    What is compiled is left alone: a change in its hooks would compile it anew.
    """
    closed: list[str] = []
    for path, module in model.named_modules():
        if any(_is_within(path, each) for each in closed):
            continue
        is_whole = isinstance(module, torch.jit.ScriptModule) or compiles_itself(module)
        if is_whole or is_compiled(module):
            closed.append(path)
        if not is_whole and (not path or next(module.parameters(), None) is not None):
            yield path, module


def _is_within(path: str, other: str) -> bool:
    return other in ("", path) or path.startswith(f"{other}.")
