"""Networks that no memory can hold, told before they are built."""

from collections.abc import Callable

import torch
from torch import nn

from greensweep.errors import ModelError
from greensweep.resources import fits_in_memory

_COPIES = 2  # weights and their gradients, at the least


def build_where_it_fits(name: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose weights the free memory can hold.

    Args:
        name: of the network, for the message.
        build: makes it, on whatever device is torch's default.

    Raises:
        ModelError: the free memory cannot.
    """
    with torch.device("meta"):  # shapes alone
        parameters = sum(parameter.numel() for parameter in build().parameters())
    needed = _COPIES * parameters * torch.finfo(torch.float32).bits // 8
    if not fits_in_memory(needed):
        raise ModelError(
            f"{name} would have {parameters:.3g} parameters, which take {needed / 1e9:.3g} GB to "
            "train, more than the memory that is free: set fewer layers or a smaller "
            "dataset.image_size"
        )
    return build()
