"""Training steps of a loop of one's own, sampled while it takes them: whose their time is."""

import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import nn

from greensweep.energy import Phases, synchronize
from greensweep.errors import TrainingError, describe
from greensweep.loops.calls import UNCALLED, Hook, bare, device_of
from greensweep.training.attribution import DATA, OPTIMIZER, OTHER, StepTrace, steps_by_forward
from greensweep.training.layer_time import LayerTimes, mean_times
from greensweep.training.step_recorder import Sample, StepRecorder, warn_of_compiled

PHASE = "layer_energy"

_WARM_UP_STEPS = 2
_STEPS = 10
_FEWEST_STEPS = 3

_Plan = Generator[None, bool, None]  # resumed where a forward pass begins: whether it trains


class LiveSteps:
    """Samples steps of a loop, from one forward pass of a module in training to the next.

    Some are traced, and as many timed with nothing watched, half of them before and half after.
    What interrupts training is in no step: an evaluation, a report, a named phase. Steps are the
    loop's own and remain training; what starting a trace and reading it takes is a phase apart.

    Args:
        model: the whole, of which the module that is followed may be a part.

    Attributes:
        fault: why nothing can be sampled.
    """

    def __init__(self, model: nn.Module, phases: Phases) -> None:
        warn_of_compiled(model)
        self._phases, self._device = phases, device_of(model)
        self._recorder = StepRecorder(bare(model), self._device)
        self._samples: list[Sample] = []
        self._watched: list[StepTrace] = []
        self._plain: list[float] = []
        self._forward, self._depth = ExitStack(), 0
        self._handles: list[Any] = []
        self.fault: str | None = UNCALLED
        self._plan = self._sampling()
        next(self._plan)

    def follow(self, module: nn.Module) -> None:
        """Let the forward passes of a module tell the steps."""
        self.unhook()
        self.fault = None
        self._handles = [
            module.register_forward_pre_hook(Hook(self._begin)),
            module.register_forward_hook(Hook(self._end), always_call=True),
        ]

    def interrupt(self) -> None:
        """End a row of steps: what comes next is no training."""
        self._advance(False)

    def give_up(self, fault: str) -> None:
        """Sample no more, and say why."""
        self.fault = fault
        self.unhook()

    def unhook(self) -> None:
        """Leave nothing in the module that sees its calls."""
        while self._handles:
            self._handles.pop().remove()

    def end(self) -> None:
        """Sample no more."""
        self._forward.close()  # of a pass that Ctrl-C broke off
        self.interrupt()
        self.unhook()

    def times(self) -> tuple[LayerTimes, float]:
        """Return the time of a step by layer, and by how many seconds watching made steps longer.

        Raises:
            TrainingError: nothing could be sampled, or too little.
        """
        samples = _whole_updates([each for each in self._samples if each[1] is not None])
        if self.fault is None and (len(samples) < _FEWEST_STEPS or not self._plain):
            self.fault = (
                f"{len(samples)} of its training steps could be sampled, where {_STEPS} are asked "
                "for: train longer, with several steps from one report or evaluation to the next"
            )
        if self.fault is not None:
            raise TrainingError(self.fault)
        plain = fmean(self._plain)
        known = [(trace, labels) for trace, labels in samples if labels is not None]
        times = mean_times(known, plain, on_gpu=self._device.type == "cuda")
        if not any(trace.has_update for trace, _ in samples):
            rest = dict(times.rest)
            rest[OTHER] += rest.pop(DATA) + rest.pop(OPTIMIZER)  # one from the other is not told
            times = replace(times, rest=rest)
        return times, max(sum(each.seconds - plain for each in self._watched), 0.0)

    def _begin(self, module: nn.Module, _: Any) -> None:
        self._depth += 1
        if self._depth > 1:  # it calls itself
            return
        trains = module.training and torch.is_grad_enabled()
        self._advance(trains)
        if trains and self._handles:
            self._forward.enter_context(self._recorder.watching(module))

    def _end(self, *_: Any) -> None:
        self._depth = max(self._depth - 1, 0)  # of the call in which it was first followed, too
        if self._depth == 0:
            self._forward.close()

    def _advance(self, trains: bool) -> None:
        if self._handles:
            try:
                self._plan.send(trains)
            except StopIteration:
                self.unhook()
            except Exception as error:  # which must not end the loop
                self.give_up(str(error) if isinstance(error, TrainingError) else describe(error))

    def _sampling(self) -> _Plan:
        for _ in range(_WARM_UP_STEPS):
            yield
        yield from self._trace(1)  # which layers there are
        self._samples.clear()
        yield from self._time(_STEPS - _STEPS // 2)
        yield from self._trace(_STEPS)
        yield from self._time(_STEPS // 2)

    def _trace(self, count: int) -> _Plan:
        """Trace steps; of the first of each row the beginning is not seen, and it is left out."""
        while len(self._samples) < count:
            while not (yield):
                pass
            recording = ExitStack()
            with self._phases.phase(PHASE):
                samples = recording.enter_context(self._recorder.recording(steps_by_forward))
            try:
                for _ in range(count - len(self._samples) + 1):
                    if not (yield):
                        break
            finally:
                with self._phases.phase(PHASE):
                    recording.close()
            self._watched += [trace for trace, _ in samples]
            self._samples += samples
            if not all(trace.has_backward for trace, _ in samples):
                raise TrainingError("it is called several times before each backward pass")

    def _time(self, count: int) -> _Plan:
        """Time steps; the first of each row, after a trace or an interruption, is left out."""
        begun: float | None = None
        while count > 0:
            trains = yield
            if begun is None or count == 1:
                synchronize()
            now = time.perf_counter()
            if trains and begun is not None:
                self._plain.append(now - begun)
                count -= 1
            begun = now if trains else None


def _whole_updates(samples: list[Sample]) -> list[Sample]:
    """Return the steps between two updates, where gradients are accumulated over several.

    Each of an update's steps then counts alike, of which the last takes the optimizer's time.
    """
    updates = [number for number, (trace, _) in enumerate(samples) if trace.has_update]
    if len(updates) in (0, len(samples)):
        return samples
    return samples[updates[0] + 1 : updates[-1] + 1]
