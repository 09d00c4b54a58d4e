"""Networks that no memory can hold: refused before they are built, or before they train."""

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from greensweep.errors import ModelError, rounded
from greensweep.resources import fits_in_memory

_COPIES = 2  # weights and their gradients, at the least


def build_where_it_fits(name: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network, on torch's default device, unless the free memory cannot hold its weights.

    Raises:
        ModelError: it cannot.
    """
    with torch.device("meta"):  # shapes alone
        parameters = sum(parameter.numel() for parameter in build().parameters())
    needed = _COPIES * parameters * torch.finfo(torch.float32).bits // 8
    if not fits_in_memory(needed):
        raise ModelError(
            f"{name} would have {parameters:.3g} parameters, which take {rounded(needed / 1e9)} GB "
            "to train, more than the memory that is free: set fewer layers or a smaller "
            "dataset.image_size"
        )
    return build()


def kept_for_backward(model: nn.Module, example: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, but for the network's own.

    Each memory counts once, however many layers keep it. 0 where the pass fails, which training
    will tell.
    """
    own = {_address(each) for each in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # held, so that no memory is used twice

    def keep(tensor: Tensor) -> Tensor:
        if (address := _address(tensor)) is not None:
            kept[address] = tensor.detach()
        return tensor

    with suppress(Exception), torch.enable_grad(), saved_tensors_hooks(keep, lambda each: each):
        model(example)
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own)


def _address(tensor: Tensor) -> int | None:
    """Return where a tensor's memory is; None of a sparse one, which has several."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else None


def check_batch_fits(kept_bytes: float, batch_size: int) -> None:
    """Refuse a batch whose activations, `kept_bytes` of each input, the free memory cannot hold.

    Raises:
        ModelError: it cannot.
    """
    needed = kept_bytes * batch_size
    if not fits_in_memory(needed):
        raise ModelError(
            f"a batch of {batch_size} would keep {rounded(needed / 1e9)} GB of activations to "
            "train this network, more than the memory that is free: set a smaller "
            "training.batch_size, or give smaller inputs, as by dataset.image_size"
        )
