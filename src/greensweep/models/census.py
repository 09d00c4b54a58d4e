"""The census of a network: which layers it has, which ones run, parameters and FLOPs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greensweep.data import is_image
from greensweep.errors import ModelError, describe, nondeterministic
from greensweep.models.flops import count_flops
from greensweep.models.layer_calls import LayerCalls
from greensweep.models.layer_types import module_type
from greensweep.models.memory import kept_for_backward


@dataclass(frozen=True)
class LayerCensus:
    """What one network consists of.

    Attributes:
        layers: layer calls in one forward pass in evaluation mode, by type; a functional call
            and a module called twice count as often as they run. A module that TorchScript
            compiled is one layer, `scripted`.
        layer_modules: modules that are layers or have no children, by type.
        parameters: scalars in all parameters.
        trainable_parameters: those of them that training changes.
        flops: of the products, convolutions, recurrences and Fourier transforms of one forward
            pass over one input; a multiply-add is 2. None when the network cannot run under
            torch's counter.
        flops_left_out: operators that ran and should count, but for which there is no formula.
        kept_bytes: what a forward pass over one input keeps for the backward pass; 0 where
            that cannot be known.
    """

    layers: Mapping[str, int]
    layer_modules: Mapping[str, int]
    parameters: int
    trainable_parameters: int
    flops: int | None
    flops_left_out: tuple[str, ...] = ()
    kept_bytes: int = 0

    @property
    def training_flops(self) -> int | None:
        """Of one input's forward and backward pass; the latter takes about twice the former's."""
        return None if self.flops is None else 3 * self.flops


def take_census(model: nn.Module, example: Tensor, outputs: int | None = None) -> LayerCensus:
    """Run one input through `model` in evaluation mode and count; the model stays as it was.

    Args:
        example: the input, shape (1, …).
        outputs: numbers per input that the data set asks for; None checks nothing.

    Raises:
        ModelError: the forward pass fails, or gives another number of outputs.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    example = example.to(device)
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        count = _Count()
        with torch.no_grad(), count.watching():
            output = model(example)
        flops, flops_left_out = count_flops(model, example)
        kept = kept_for_backward(model, example)
    except Exception as error:
        if refused := nondeterministic(error):
            raise ModelError(refused) from error
        described, way_out = _described(example)
        raise ModelError(
            f"the model fails on {described} ({describe(error)}): check the model's options, or "
            f"{way_out}"
        ) from error
    finally:
        for module, training in was_training.items():
            module.training = training
    if outputs is not None:
        _check_output(output, outputs)
    return LayerCensus(
        layers=dict(sorted(count.layers.items())),
        **count_modules(model),
        flops=flops,
        flops_left_out=flops_left_out,
        kept_bytes=kept,
    )


def count_modules(model: nn.Module) -> dict[str, Any]:
    """Return what a census holds of a model that need not run."""
    types = Counter(kind for module in model.modules() if (kind := module_type(module)))
    return {
        "layer_modules": dict(sorted(types.items())),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


class _Count(LayerCalls):
    """Counts the layers that run, by type."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: Counter[str] = Counter()

    def end(self, kind: str, begun: Any, result: Any) -> None:
        self.layers[kind] += 1


def _described(example: Tensor) -> tuple[str, str]:
    """Return what an input is, and what to do where a model fails on it."""
    shape = tuple(example.shape[1:])
    if is_image(shape):
        return f"an image of shape {shape}", "resize with dataset.image_size"
    if example.is_floating_point():
        return f"an input of shape {shape}, numbers", "let its constructor take input_shape"
    return (
        f"an input of shape {shape}, whole numbers",
        "return floats from make_splits where these are quantities: whole numbers reach it as they "
        "are, for an nn.Embedding",
    )


def _check_output(output: Any, outputs: int) -> None:
    if not isinstance(output, Tensor) or output.shape != (1, outputs):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"the model must return shape (1, {outputs}) for one input, a number for each class, "
            f"label or value of the data set, got {got}: let its constructor take num_outputs, or "
            "set model.kwargs"
        )
