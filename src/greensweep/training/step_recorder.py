"""Training steps as PyTorch's profiler records them, and which layers they called."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.profiler import record_function

from greensweep.models.layer_calls import LayerCalls, uncompiled
from greensweep.models.torch_internals import is_compiled
from greensweep.training.attribution import (
    CALL,
    FORWARD,
    NODE,
    Labels,
    Layer,
    StepTrace,
    steps_of,
)
from greensweep.training.traces import Event, traced

log = logging.getLogger(__name__)

_Begun = tuple[int, ExitStack]  # a call's place in the list of calls, and its annotation

Sample = tuple[StepTrace, Labels | None]
"""A step's trace, and whose it is; None if not known."""


class StepRecorder:
    """Traces steps by PyTorch's profiler, at the cost of a few microseconds for each operator.

    Seeing which layer calls an operator costs more, and is done for the first step only: others
    that call the same operators in their forward pass are taken to call the same layers. Once
    there was a step that did not, it is done for each.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model, self._device = model, device
        self._known: dict[object, Labels] = {}
        self._varies = False
        self._watching: Callable[[nn.Module | None], AbstractContextManager[None]] = _unwatched

    def watching(self, running: nn.Module | None = None) -> AbstractContextManager[None]:
        """Return what to do a step's forward pass in.

        Args:
            running: the module whose pass it is, where that has begun, as in a hook of its own.
        """
        return self._watching(running)

    @contextmanager
    def recording(
        self, split: Callable[[Sequence[Event]], Iterable[StepTrace]] = steps_of
    ) -> Iterator[list[Sample]]:
        """Trace the block; the list that it gets holds its steps, once the block has ended.

        Args:
            split: parts a trace into steps.

        Raises:
            TrainingError: another profiler runs.
        """
        calls = None if self._known and not self._varies else _CallRecorder(self._model)
        self._watching = _running if calls is None else calls.watching
        samples: list[Sample] = []
        try:
            with traced(self._device) as events:
                yield samples
        finally:
            self._watching = _unwatched
        for trace in split(events):
            if calls is not None:
                self._known[trace.operators] = trace.label(calls.calls)
            labels = self._known.get(trace.operators)
            self._varies |= labels is None
            samples.append((trace, labels))


def warn_of_compiled(model: nn.Module) -> None:
    """Say where layers do not run as they are timed."""
    if any(map(is_compiled, model.modules())):
        log.warning("The network is compiled: its layers are timed as they run uncompiled.")


class _CallRecorder(LayerCalls):
    """Annotates the calls of modules and layers for the profiler, and records what they are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._paths = {module: path for path, module in model.named_modules()}
        self._running = [""]
        self._any = torch.zeros(())
        self.calls: list[Layer] = []

    @contextmanager
    def watching(self, running: nn.Module | None = None) -> Iterator[None]:
        with record_function(FORWARD):
            with super().watching(running):
                yield
            self._note_node()

    def enter(self, module: nn.Module) -> None:
        self._running.append(self._paths.get(module, self._running[-1]))

    def leave(self, module: nn.Module, begun: _Begun, result: Any) -> None:
        begun[1].close()
        self._running.pop()

    def begin(self) -> _Begun:
        number = len(self.calls)
        self.calls.append(Layer(self._running[-1]))
        annotation = ExitStack()
        annotation.enter_context(record_function(f"{CALL}{number}"))
        self._note_node()
        return number, annotation

    def end(self, kind: str, begun: _Begun, result: Any) -> None:
        number, annotation = begun
        self._note_node()
        annotation.close()
        self.calls[number] = Layer(self._running[-1], kind)

    def _note_node(self) -> None:
        """Let the trace tell how many nodes the backward graph has, as it does for operators."""
        with record_function(NODE):
            self._any.detach()


def _unwatched(_: nn.Module | None) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _running(_: nn.Module | None) -> Iterator[None]:
    """Annotate a forward pass for the profiler; what is compiled runs as it was written."""
    with record_function(FORWARD), uncompiled():
        yield
