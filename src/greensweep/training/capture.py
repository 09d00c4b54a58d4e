"""Training steps that are repeated on the same memory, so that a GPU waits for no launches."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from greensweep.energy import synchronize
from greensweep.errors import describe
from greensweep.training.state import first_steps_undone, plain_attributes
from greensweep.training.step import TrainingStep

Step = Callable[..., Tensor]  # takes the tensors of a batch, gives its loss
Repeat = Callable[[], Tensor]
Recorder = Callable[[Repeat], Repeat]  # takes a step and gives what takes it again

# What `auto` goes by. Capturing and trying cost about as much as 50 steps.
_FEWEST_STEPS = 200
_LONGEST_STEP_SECONDS = 0.05  # a GPU that is busy for longer has its next launches in time
_LARGEST_SHARE = 0.95
_ROUNDS, _ROUND_STEPS = 3, 5

# Losses of a captured step are a plain one's but for the order of sums, also in half precision.
_AGREEING_STEPS = 3
_ROUNDING = 0.02

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capture:
    """How the steps of a training are taken.

    Attributes:
        mode: replayed as a CUDA graph, compiled by `torch.compile`, or plainly.
        reason: why so, one phrase.
    """

    mode: Literal["graph", "compile", "none"]
    reason: str


class NotCapturedError(Exception):
    """A step cannot be captured; the message is a phrase that says why."""


def capture_step(
    asked: str,
    step: TrainingStep,
    batch: tuple[Tensor, ...],
    *,
    graph: Recorder | str,
    batch_size: int,
    steps: int,
) -> tuple[Step, Capture]:
    """Choose how steps are taken; what that takes is undone, but for memory.

    Args:
        asked: `training.capture`.
        step: not taken before.
        batch: what it takes, on the model's device, the last of as many items as the batch has.
        graph: records a step as a graph; or why that cannot be.
        batch_size: samples of a step that is whole.
        steps: how many the training has.
    """
    try:
        if asked == "none":
            raise NotCapturedError("training.capture=none")
        if asked != "compile" and isinstance(graph, str):
            raise NotCapturedError(graph)
        if asked == "auto" and steps < _FEWEST_STEPS:
            raise NotCapturedError(f"{steps} steps are too few to pay for a capture")
        if len(batch[-1]) < batch_size:
            raise NotCapturedError("some of the first images cannot be read")
        with first_steps_undone(step):
            if asked == "compile":
                taken = _recorded(step, step.compiled(), batch, _called)
                return taken, Capture("compile", "training.capture=compile")
            assert not isinstance(graph, str)
            return _graphed(asked, step, batch, graph)
    except NotCapturedError as reason:
        if asked in ("graph", "compile"):
            log.warning("Training steps are taken plainly: %s.", reason)
        return step, Capture("none", str(reason))


def _graphed(
    asked: str, step: TrainingStep, batch: tuple[Tensor, ...], graph: Recorder
) -> tuple[Step, Capture]:
    plain = partial(step, *batch)
    if asked == "auto":
        plain()
        if (seconds := _seconds(plain)) > _LONGEST_STEP_SECONDS:
            raise NotCapturedError(f"steps of {1000 * seconds:.0f} ms do not wait for launches")
    with _capturable(step.update):
        taken = _recorded(step, step, batch, graph)
        captured = partial(taken, *batch)
        if not _agree(step, plain, captured):
            raise NotCapturedError("captured steps gave other losses than plain ones in a trial")
        if asked == "graph":
            return taken, Capture("graph", "training.capture=graph")
        seconds_in_turn = [(_seconds(captured), _seconds(plain)) for _ in range(_ROUNDS)]
        share = min(one for one, _ in seconds_in_turn) / min(other for _, other in seconds_in_turn)
        reason = f"captured steps took {share:.2f} of the time of plain ones in a trial"
        if share > _LARGEST_SHARE:
            raise NotCapturedError(reason)
        return taken, Capture("graph", reason)


def _recorded(
    plain: TrainingStep, step: TrainingStep, batch: tuple[Tensor, ...], recorder: Recorder
) -> Step:
    """Return a step that is repeated on batches of one shape, in static memory; others are plain.

    The next call may overwrite the loss that one returns.
    """
    inputs = tuple(each.clone() for each in batch)
    before = _python_state(plain)
    try:
        repeat = recorder(partial(step, *inputs))
    except Exception as error:
        raise NotCapturedError(describe(error)) from error
    after = _python_state(plain)
    for what, value in before.items():
        if after.get(what) != value:
            raise NotCapturedError(f"the network changes {what} in Python as it computes")

    def repeated(*given: Tensor) -> Tensor:
        if any(a.shape != b.shape for a, b in zip(inputs, given, strict=True)):
            return plain(*given)
        for static, each in zip(inputs, given, strict=True):
            static.copy_(each, non_blocking=True)
        return repeat()

    return repeated


def _called(step: Repeat) -> Repeat:
    """Record nothing: a compiled step, which the first call compiles, is called again."""
    step()
    return step


def _python_state(step: TrainingStep) -> dict[str, Any]:
    """Return, by name, what a step may change by other means than its kernels."""
    found: dict[str, Any] = {
        f"{path}.{name}".strip("."): value
        for (path, name), value in plain_attributes(step.model).items()
    }
    for name, tensor in (*step.model.named_buffers(), *step.model.named_parameters()):
        found[name] = id(tensor)
    found["the state of random"] = random.getstate()
    found["the state of numpy.random"] = repr(np.random.get_state())
    if step.device.type == "cuda":
        found["the random state of the CPU"] = torch.get_rng_state().tolist()
    return found


@contextmanager
def _capturable(update: Optimizer) -> Iterator[None]:
    """Let an optimizer be captured, and find a scheduled learning rate in memory from then on.

    Afterwards it no longer says that it may be: PyTorch would warn of each plain step. Where the
    block raises, rates are Python's numbers again.

    Raises:
        NotCapturedError: it counts its steps on the CPU.
    """
    if not all(group["fused"] for group in update.param_groups):
        raise NotCapturedError("complex parameters have no fused optimizer")
    rates = [group["lr"] for group in update.param_groups]
    try:
        for group in update.param_groups:
            group["capturable"] = True
            if "initial_lr" in group:  # a schedule has set it
                (first, *_) = group["params"]
                group["lr"] = torch.tensor(group["lr"], device=first.device)
        yield
    except BaseException:
        for group, rate in zip(update.param_groups, rates, strict=True):
            group["lr"] = rate
        raise
    finally:
        for group in update.param_groups:
            group["capturable"] = False


def _agree(step: TrainingStep, plain: Repeat, captured: Repeat) -> bool:
    """Tell whether some steps from the same beginning have the same losses, but for rounding.

    A graph that holds less than the step does, an update of the weights say, would train wrongly
    without a word.
    """
    with first_steps_undone(step):
        pass  # so that both begin with what the optimizer begins with
    losses = []
    for take in (plain, captured):
        with first_steps_undone(step):
            losses.append(torch.stack([take().detach().double() for _ in range(_AGREEING_STEPS)]))
    one, other = losses
    return torch.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)


def _seconds(step: Repeat) -> float:
    synchronize()
    began = time.perf_counter()
    for _ in range(_ROUND_STEPS):
        step()
    synchronize()
    return (time.perf_counter() - began) / _ROUND_STEPS
