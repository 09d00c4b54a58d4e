"""What goes wrong while a network computes, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from greensweep.errors import GreensweepError, TrainingError, describe, nondeterministic


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
