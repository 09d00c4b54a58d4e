"""Which images make a batch, and in which order batches come."""

import torch
from torch import Tensor


def cut_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut indices into batches, in their order.

    A single image left over joins the batch before it: batch norm has no statistics of one value.
    """
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches


def shuffled_batches(count: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Cut a fresh permutation of `count` indices into batches."""
    return cut_batches(torch.randperm(count, generator=generator), batch_size)
