"""A training step as a CUDA graph: one launch for all its kernels."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from greensweep.training.capture import Repeat

# PyTorch's allocator keeps asking a graph whose capture failed: it must not be freed.
_failed: list[torch.cuda.CUDAGraph] = []
# As in PyTorch's documentation: libraries choose kernels and take memory in the first steps.
_WARM_UP_STEPS = 3


def cuda_graph(step: Repeat) -> Repeat:
    """Take a step some times, capture it, and return what replays it.

    It follows "Whole-network capture" of PyTorch's notes on CUDA, and has not run on a GPU.
    """
    before, side = torch.cuda.current_stream(), torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    side.wait_stream(before)
    try:
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_STEPS):
                step()
            # Told here, waiting costs nothing; a capture that it ends leaves CUDA out of order.
            with _waiting_refused():
                step()
        before.wait_stream(side)
        # Other threads, those of a meter say, may use CUDA meanwhile.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            loss = step()
    except Exception:
        _failed.append(graph)
        torch.cuda.set_stream(before)  # after a failed capture it is still `side`
        raise

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


@contextmanager
def _waiting_refused() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
