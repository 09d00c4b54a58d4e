"""How the time of a training step divides over layer types and modules."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from greensweep.config.schema import OptimizerConfig, TrainingConfig
from greensweep.data import Split
from greensweep.errors import DataError
from greensweep.models.layer_calls import LayerCalls
from greensweep.models.layer_types import class_type
from greensweep.training.batches import shuffled_batches
from greensweep.training.device import synchronize
from greensweep.training.faults import computing
from greensweep.training.images import Normalise
from greensweep.training.optimizers import build_optimizer
from greensweep.training.step import TrainingStep, is_left_over
from greensweep.training.undo import buffers_kept

# The first steps make the optimizer's state, choose kernels and start the workers that load.
_WARM_UP_STEPS = 3

log = logging.getLogger(__name__)

_Layer = tuple[str, str]
_Mark = float | torch.cuda.Event
_Begun = tuple[int, _Mark]  # the first node of the backward graph that a call may make, and when


@dataclass(frozen=True)
class LayerTime:
    """The time of one layer type called by one module, per training step.

    Attributes:
        path: dotted path of the module in whose forward the layer function was called; "" is the
            network itself. A module with several paths has the first.
        kind: layer type, as in the census.
        calls: layer calls per step.
        forward_seconds: in these calls, per step.
        backward_seconds: in the gradients of what they computed, per step.
    """

    path: str
    kind: str
    calls: float
    forward_seconds: float
    backward_seconds: float


@dataclass(frozen=True)
class LayerTimes:
    """Where the time of the sampled steps went.

    Attributes:
        layers: in the order of their first call.
        step_seconds: mean length of a sampled step, from asking for its batch to the update.
        steps: how many were sampled.
        plain_step_seconds: mean length of steps on the same batches with nothing watched, run in
            turn with the sampled ones: so much longer does watching make a step.
    """

    layers: tuple[LayerTime, ...]
    step_seconds: float
    steps: int
    plain_step_seconds: float

    def by_kind(self) -> dict[str, float]:
        """Return seconds per step by layer type; they sum to `step_seconds`.

        "other" is what belongs to no layer: data, loss, optimizer, additions, reshaping, dropout,
        and the time between layers.
        """
        seconds: dict[str, float] = {}
        for layer in self.layers:
            spent = layer.forward_seconds + layer.backward_seconds
            seconds[layer.kind] = seconds.get(layer.kind, 0.0) + spent
        rest = max(self.step_seconds - sum(seconds.values()), 0.0)
        return {**seconds, "other": seconds.get("other", 0.0) + rest}


def time_layers(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    *,
    training: TrainingConfig,
    optimizer: OptimizerConfig,
    seed: int,
    steps: int = 10,
) -> LayerTimes:
    """Run some training steps, time each layer call and its gradient, and undo the steps.

    Parameters, buffers, gradients, training flags and PyTorch's random state are afterwards as
    they were. A layer is a call that the census counts; what such a call calls is its own. On CUDA
    the clock is that of the stream, so a layer is also charged for the time that the GPU waits for
    its kernels; this was written from the documentation and has not run on a GPU.

    Args:
        split: where `normalise` puts its batches; repeated when it has fewer than `steps`.
        seed: seeds the order of the images and what is random in a step.
        steps: how many to sample, at least 1; as many run unwatched, and a few before to warm up.

    Raises:
        DataError: no image could be read.
        ModelError: nothing to train in the model.
        TrainingError: memory ran out, or the model failed.
    """
    device = normalise.device
    order = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(len(split), training.batch_size, order)
    batches = [
        indices
        for indices in islice(cycle(batches), _WARM_UP_STEPS + steps)
        for _ in ("plain", "watched")
    ]
    if any(hasattr(module, "_orig_mod") for module in model.modules()):
        log.warning("The network is compiled: its layers are timed as they run uncompiled.")
    watch = _LayerWatch(model, device)
    lengths = []
    with (
        computing(
            "timing the layers failed", training.batch_size, smaller="training.batch_size lower"
        ),
        _undone(model, device),
    ):
        torch.manual_seed(seed)
        update = build_optimizer(optimizer, model.parameters())
        run = _steps(model, split.batches(batches), normalise, training, update, watch.watching)
        for number, seconds in enumerate(run):
            watch.settle(keep=number >= 2 * _WARM_UP_STEPS)
            lengths.append(seconds)
    plain, watched = lengths[2 * _WARM_UP_STEPS :: 2], lengths[2 * _WARM_UP_STEPS + 1 :: 2]
    if not watched:
        raise DataError("too few training images could be read: check the data set's files")
    return LayerTimes(
        layers=watch.per_step(len(watched)),
        step_seconds=sum(watched) / len(watched),
        steps=len(watched),
        plain_step_seconds=sum(plain) / len(plain),
    )


def _steps(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    normalise: Normalise,
    training: TrainingConfig,
    update: Optimizer,
    watching: Callable[[], AbstractContextManager[None]],
) -> Iterator[float]:
    """Train as the training loop does, every second step `watching`; yield seconds per step."""
    step = TrainingStep(model, normalise, training, update)
    watches = cycle([nullcontext, watching])
    model.train()
    start = _mark(normalise.device)
    for images, labels in batches:
        if is_left_over(labels, training):
            continue
        step(images, labels, next(watches))
        end = _mark(normalise.device)
        synchronize()
        yield _seconds(start, end)
        start = _mark(normalise.device)


class _LayerWatch(LayerCalls):
    """Marks the time around layers as they are called, and around their gradients.

    A custom autograd function has a gradient of its own kind: what it calls to compute forward has
    none. PyTorch's profiler gives the same shares to within a few hundredths, but keeps every
    operation of every step, writes to stderr, and cannot run twice at a time.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._paths = {module: path for path, module in model.named_modules()}
        self._running = [""]
        self._hides = False  # a layer was called whose gradient another function computes
        self._watched: set[Node] = set()
        self._calls: list[tuple[_Layer, _Mark, _Mark]] = []
        self._gradients: list[tuple[_Layer, _Mark, _Mark]] = []
        self._count: Counter[_Layer] = Counter()
        self._forward: dict[_Layer, float] = {}
        self._backward: dict[_Layer, float] = {}

    def enter(self, module: nn.Module) -> None:
        self._running.append(self._paths.get(module, self._running[-1]))

    def leave(self, module: nn.Module, begun: _Begun, result: Any) -> None:
        if self._hides and torch.is_grad_enabled():
            self._hides = False
            for node in _nodes(result, begun[0]):
                custom = getattr(node, "_forward_cls", None)
                if custom is not None and node not in self._watched:
                    layer = (self._running[-1], class_type(custom))
                    self._calls.append((layer, begun[1], begun[1]))
                    self._watch_gradient(node, layer)
        self._running.pop()

    def begin(self) -> _Begun:
        return _next_node(), _mark(self._device)

    def end(self, kind: str, begun: _Begun, result: Any) -> None:
        layer = (self._running[-1], kind)
        first, start = begun
        self._calls.append((layer, start, _mark(self._device)))
        self._hides |= not torch.is_grad_enabled()
        for node in _nodes(result, first):
            self._watch_gradient(node, layer)

    def _watch_gradient(self, node: Node, layer: _Layer) -> None:
        starts: list[_Mark] = []
        self._watched.add(node)

        def begin(*_: Any) -> None:
            starts.append(_mark(self._device))

        def end(*_: Any) -> None:
            self._gradients.append((layer, starts.pop(), _mark(self._device)))

        node.register_prehook(begin)
        node.register_hook(end)

    def settle(self, *, keep: bool) -> None:
        """Add the marks of a finished step to the sums, or drop them."""
        if keep:
            self._count.update(layer for layer, _, _ in self._calls)
            _add(self._forward, self._calls)
            _add(self._backward, self._gradients)
        self._calls.clear()
        self._gradients.clear()
        self._watched.clear()

    def per_step(self, steps: int) -> tuple[LayerTime, ...]:
        """Return the sums divided by `steps`."""
        return tuple(
            LayerTime(
                path=path,
                kind=kind,
                calls=count / steps,
                forward_seconds=self._forward[path, kind] / steps,
                backward_seconds=self._backward.get((path, kind), 0.0) / steps,
            )
            for (path, kind), count in self._count.items()
        )


def _add(sums: dict[_Layer, float], spans: list[tuple[_Layer, _Mark, _Mark]]) -> None:
    for layer, start, end in spans:
        sums[layer] = sums.get(layer, 0.0) + _seconds(start, end)


def _nodes(result: Any, first: int) -> Iterator[Node]:
    """Yield the nodes of the backward graph that a call made: those numbered from `first` on."""
    found = [each.grad_fn for each in tree_leaves(result) if isinstance(each, Tensor)]
    # Parameters have nodes with numbers beyond any: summing their gradients is no layer's.
    end = _next_node()
    seen = set()
    while found:
        node = found.pop()
        if node is not None and first <= node._sequence_nr() < end and node not in seen:
            seen.add(node)
            found += [before for before, _ in node.next_functions]
            yield node


def _next_node() -> int:
    """Return the number that this thread's next node of the backward graph will have."""
    return torch._C._autograd._get_sequence_nr()


@contextmanager
def _undone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the model and PyTorch's random state back as they were, come what may."""
    parameters = [(p, p.detach().clone(), p.grad) for p in model.parameters()]
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


def _mark(device: torch.device) -> _Mark:
    """Return now, on the device's clock: a GPU works through its stream later."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _seconds(start: _Mark, end: _Mark) -> float:
    """Return the time from one mark to another; on CUDA both must have passed."""
    if isinstance(start, float) and isinstance(end, float):
        return end - start
    assert isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event)
    return float(start.elapsed_time(end)) / 1000
