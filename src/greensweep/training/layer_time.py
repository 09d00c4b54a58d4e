"""How the time of a training step divides over layer types and modules."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from greensweep.config.schema import OptimizerConfig, TrainingConfig
from greensweep.data import Split
from greensweep.data.split import shuffled_batches
from greensweep.energy import synchronize
from greensweep.errors import DataError, TrainingError
from greensweep.tasks import Task
from greensweep.training.attribution import (
    OTHER,
    REST,
    STEP,
    Labels,
    Layer,
    Seconds,
    StepTrace,
)
from greensweep.training.device import computing
from greensweep.training.freezing import begin_training
from greensweep.training.images import Normalise
from greensweep.training.optimizers import build_optimizer
from greensweep.training.state import model_kept
from greensweep.training.step import TrainingStep, is_left_over
from greensweep.training.step_recorder import Sample, StepRecorder, warn_of_compiled

# Beside the first: they make the optimizer's state, choose kernels, start the workers that load.
_WARM_UP_STEPS = 2

# In which no kernel runs: the GPU waits for the CPU to launch one.
LAUNCH = "launch"


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
    """Where the time of a training step goes: on a GPU, that of its kernels.

    Attributes:
        layers: in the order of their first call.
        rest: seconds per step that belong to no layer: `data` (fetch, normalise, augment), `loss`,
            `optimizer`, on a GPU `launch`, in which no kernel ran, and `other`, such as
            additions, reshaping, dropout and the keeping of gradients.
        step_seconds: mean length of a sampled step, from asking for its batch to the update.
        steps: how many were sampled.
        plain_step_seconds: mean length of as many steps with nothing watched, half of them before
            the sampled ones and half after: so much longer does watching make a step.
        key: `time` on the CPU, or `kernel_time`.
    """

    layers: tuple[LayerTime, ...]
    rest: Mapping[str, float]
    step_seconds: float
    steps: int
    plain_step_seconds: float
    key: Literal["time", "kernel_time"] = "time"

    def by_kind(self) -> dict[str, float]:
        """Return seconds per step by layer type, then `rest`.

        They sum to a sampled step on the CPU, and to a plain one on a GPU, where kernels take as
        long when they are watched, and the CPU longer to launch them.
        """
        seconds: dict[str, float] = defaultdict(float)
        layers = ((each.kind, each.forward_seconds + each.backward_seconds) for each in self.layers)
        for name, spent in (*layers, *self.rest.items()):
            seconds[name] += spent
        return dict(seconds)


def time_layers(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    task: Task,
    *,
    training: TrainingConfig,
    optimizer: OptimizerConfig,
    seed: int,
    steps: int = 10,
) -> LayerTimes:
    """Run some training steps, tell whose their time was, and undo the steps.

    Parameters, buffers, gradients, training flags and PyTorch's random state are afterwards as
    they were. A layer is a call that the census counts; what such a call calls is its own, and so
    is the gradient of what it computes. The steps run plainly, also where training captures or
    compiles them. On CUDA this has not run on a GPU.

    Args:
        split: its batches come again until there are enough.
        seed: seeds the order of the images and what is random in a step.
        steps: how many to sample, at least 1; as many run unwatched, and a few to warm up.

    Raises:
        DataError: no image could be read.
        ModelError: nothing to train in the model.
        TrainingError: memory ran out, the model failed, or the GPU could not be watched.
    """
    device = normalise.device
    order = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(len(split), training.batch_size, order)
    # To start a trace and to read it leave cold caches: the first step after is not counted.
    needed = 1 + _WARM_UP_STEPS + (1 + steps) + (2 + steps)
    fetched = split.batches(list(islice(cycle(batches), needed)))
    warn_of_compiled(model)
    with computing("timing the layers failed", training.batch_size), model_kept(model, device):
        torch.manual_seed(seed)
        update = build_optimizer(optimizer, model.parameters())
        step = TrainingStep(model, normalise, task, training, update)
        recorder = StepRecorder(model, device)
        step.watching = recorder.watching
        begin_training(model)
        taken = (step(*batch) for batch in fetched if not is_left_over(batch[-1], training))
        _sample(recorder, taken, 1)
        _sample(recorder, taken, _WARM_UP_STEPS)
        before = _time_plain(taken, steps - steps // 2)
        sampled = _sample(recorder, taken, 1 + steps)[1:]
        after = _time_plain(taken, steps // 2)
    samples = [(trace, labels) for trace, labels in sampled if labels is not None]
    if not samples:
        raise DataError("too few training images could be read: check the data set's files")
    plain_seconds = (before[0] + after[0]) / (before[1] + after[1])
    return mean_times(samples, plain_seconds, on_gpu=device.type == "cuda")


def _sample(recorder: StepRecorder, taken: Iterator[Tensor], count: int) -> list[Sample]:
    """Take so many steps, and return their traces."""
    with recorder.recording() as samples:
        for _ in range(count):
            with record_function(STEP):
                if next(taken, None) is None:
                    break
                synchronize()
    return samples


def _time_plain(taken: Iterator[Tensor], count: int) -> tuple[float, int]:
    """Return the length of that many steps, after another one, and how many there were."""
    next(taken, None)
    synchronize()
    start = time.perf_counter()
    done = sum(1 for _ in islice(taken, count))
    synchronize()
    return time.perf_counter() - start, done


def mean_times(
    samples: Sequence[tuple[StepTrace, Labels]], plain_seconds: float, *, on_gpu: bool
) -> LayerTimes:
    """Return the mean of sampled steps; `plain_seconds` is the mean length of plain ones.

    Raises:
        TrainingError: the profiler saw nothing of a GPU.
    """
    calls: Counter[Layer] = Counter()
    spent: Seconds = defaultdict(float)
    for trace, labels in samples:
        calls.update(labels.calls)
        found = trace.device_seconds(labels) if on_gpu else trace.host_seconds(labels)
        if not found:
            raise TrainingError(
                "PyTorch's profiler saw no kernel run on the GPU: check that another profiler does "
                "not hold it, and that this PyTorch has CUPTI"
            )
        for key, seconds in found.items():
            spent[key] += seconds / len(samples)
    rest = {name: sum(spent[name, back] for back in (False, True)) for name in REST}
    if on_gpu:
        other = rest.pop(OTHER)
        rest |= {LAUNCH: max(plain_seconds - sum(spent.values()), 0.0), OTHER: other}
    return LayerTimes(
        layers=tuple(
            LayerTime(
                *layer,
                calls=count / len(samples),
                forward_seconds=spent[layer, False],
                backward_seconds=spent[layer, True],
            )
            for layer, count in calls.items()
        ),
        rest=rest,
        step_seconds=fmean(trace.seconds for trace, _ in samples),
        steps=len(samples),
        plain_step_seconds=plain_seconds,
        key="kernel_time" if on_gpu else "time",
    )
