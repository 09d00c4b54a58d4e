"""Where and how numbers are computed: device, precision, threads, seeds, and what goes wrong."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from greensweep.errors import (
    ConfigError,
    GreensweepError,
    TrainingError,
    describe,
    nondeterministic,
    plural,
)
from greensweep.resources import usable_cores

# cuBLAS gives the same sums twice with a workspace of this form alone, and PyTorch reads it once,
# when CUDA starts: a run that asks for the same weights twice may come after one that does not.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_DEFAULT_THREADS = torch.get_num_threads()

# Two threads took as long as one below it on two cores, and 0.6 of the time well above it.
_SMALL_STEP_FLOPS = 4e7


def device_asked_for(name: str, devices: int = 1) -> str:
    """Return the device that `name` means, there or not; auto is CUDA where there is one.

    Args:
        devices: so many of them, the first ones: cuda:0,1 of two.
    """
    kind = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if devices == 1 or kind != "cuda":
        return kind
    return f"cuda:{','.join(map(str, range(devices)))}"


def choose_device(name: str, option: str = "training.device") -> torch.device:
    """Return the device that `name` asks for, and make it the one that PyTorch computes on.

    Args:
        name: auto, cpu, cuda or cuda:N.
        option: what the user sets, for the message.

    Raises:
        ConfigError: CUDA is asked for and absent, or has no such device.
    """
    device = torch.device(device_asked_for(name))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"{option}={name}, but PyTorch finds no CUDA GPU here: set {option}=cpu or auto"
        )
    if device.type == "cuda":
        index, count = device.index or 0, torch.cuda.device_count()
        if index >= count:
            raise ConfigError(
                f"{option}={name}, but CUDA's devices here go from 0 to {count - 1}: set "
                f"{option}=cuda:{count - 1}"
            )
        torch.cuda.set_device(index)  # where events are recorded, and what `synchronize` waits for
    return device


def check_devices(device: torch.device, devices: int) -> None:
    """Refuse more devices than CUDA shows, or on the CPU more processes than it has cores.

    Raises:
        ConfigError: there are fewer.
    """
    if device.type == "cuda":
        there, what = torch.cuda.device_count(), "GPU"
    else:  # whatever part of them a worker of a sweep has
        there, what = os.cpu_count() or 1, "CPU core"
    if devices > there:
        raise ConfigError(
            f"training.devices={devices}, but {plural(there, what)} is all there is: set "
            f"training.devices={there}"
        )


def device_name(device: torch.device, devices: int = 1) -> str:
    """Return the device as results name it: cpu, or the GPU's product name; `2 × cpu` of two."""
    if device.type != "cuda":
        return "cpu" if devices == 1 else f"{devices} × cpu"
    if devices == 1:
        return torch.cuda.get_device_name(device)
    counts = Counter(map(torch.cuda.get_device_name, range(devices)))
    return " + ".join(f"{count} × {name}" for name, count in counts.items())


def start_state(seed: int) -> None:
    """Seed every generator and set the global switches, so that no earlier run shows through."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    # Denormal weights make the first steps of small networks up to three times slower on x86.
    torch.set_flush_denormal(True)


@contextmanager
def deterministic(asked: bool) -> Iterator[None]:
    """Let PyTorch compute by deterministic algorithms alone, where asked; afterwards as before."""
    if not asked:
        yield
        return
    cudnn: Any = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    mode = torch.get_deterministic_debug_mode()
    benchmark, fills = cudnn.benchmark, memory.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True)
        cudnn.benchmark = False  # it chooses algorithms by their time
        # It shows who reads memory before writing it, at the price of one more launch a tensor.
        memory.fill_uninitialized_memory = False
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        cudnn.benchmark, memory.fill_uninitialized_memory = benchmark, fills


def use_threads(threads: int | None, step_flops: float | None, processes: int = 1) -> None:
    """Set PyTorch's CPU threads: as many as configured, or as the work of a step is worth.

    A step of few FLOPs runs in one thread. More would spend their time, and their joules,
    waiting for each other, and on a busy machine make it slower by an order of magnitude. The
    rule looks at nothing but the step, so that a seed still gives the same weights.

    Args:
        threads: `training.threads`.
        step_flops: FLOPs of a training step; None when they cannot be counted.
        processes: that compute side by side, each with its part of the cores.
    """
    is_small = step_flops is not None and step_flops < _SMALL_STEP_FLOPS
    # PyTorch's own number knows of no quota, such as a container's.
    usable = max(min(_DEFAULT_THREADS, usable_cores() // processes), 1)
    torch.set_num_threads(threads or (1 if is_small else usable))


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type that `training.precision` casts to, or None for plain float32."""
    if precision == "auto":
        if device.type != "cuda":
            return None
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def autocast(dtype: torch.dtype | None, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context for `dtype`, or one that does nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@contextmanager
def computing(
    doing: str, batch_size: int, *, option: str = "training.batch_size"
) -> Iterator[None]:
    """Turn what the model's code or the device raises into a TrainingError.

    Args:
        doing: what failed, for the message: "training failed in epoch 3".
        batch_size: samples per batch.
        option: what sets it.
    """
    try:
        yield
    except GreensweepError:
        raise
    except Exception as error:
        # On the CPU PyTorch raises a plain RuntimeError that names its allocator.
        on_cpu = "DefaultCPUAllocator" in str(error)
        if on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise TrainingError(
                f"{doing}: out of memory with {batch_size} samples per batch: set {option} lower"
            ) from error
        if refused := nondeterministic(error):
            raise TrainingError(f"{doing}: {refused}") from error
        raise TrainingError(
            f"{doing} ({describe(error)}): check that the model fits the data and the batch size"
        ) from error
