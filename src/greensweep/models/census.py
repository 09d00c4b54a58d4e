"""The census of a network: which layers it has, which ones run, parameters and FLOPs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greensweep.errors import ModelError, first_line, nondeterministic
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
            pass over one image; a multiply-add is 2. None when the network cannot run under
            torch's counter.
        flops_left_out: operators that ran and should count, but for which there is no formula.
        kept_bytes: what a forward pass over one image keeps for the backward pass; 0 where
            that cannot be told.
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
        """Of one image's forward and backward pass; the latter takes about twice the former's."""
        return None if self.flops is None else 3 * self.flops


def take_census(
    model: nn.Module, image_shape: tuple[int, int, int], classes: int | None = None
) -> LayerCensus:
    """Run one blank image through `model` in evaluation mode and count; the model stays as it was.

    Args:
        image_shape: channels, height, width.
        classes: outputs per image that the data set asks for; None checks nothing.

    Raises:
        ModelError: the forward pass fails, or gives another number of classes.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    image = torch.zeros((1, *image_shape), device=device)
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        count = _Count()
        with torch.no_grad(), count.watching():
            output = model(image)
        flops = count_flops(model, image)
        kept = kept_for_backward(model, image)
    except Exception as error:
        if refused := nondeterministic(error):
            raise ModelError(refused) from error
        raise ModelError(
            f"the model fails on an image of shape {image_shape} "
            f"({type(error).__name__}: {first_line(error)}): "
            "check the model's options, or resize with dataset.image_size"
        ) from error
    finally:
        for module, training in was_training.items():
            module.training = training
    if classes is not None:
        _check_output(output, classes)
    types = Counter(kind for module in model.modules() if (kind := module_type(module)))
    return LayerCensus(
        layers=dict(sorted(count.layers.items())),
        layer_modules=dict(sorted(types.items())),
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        flops=flops.total,
        flops_left_out=flops.left_out,
        kept_bytes=kept,
    )


class _Count(LayerCalls):
    """Counts the layers that run, by type."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: Counter[str] = Counter()

    def end(self, kind: str, begun: Any, result: Any) -> None:
        self.layers[kind] += 1


def _check_output(output: Any, classes: int) -> None:
    if not isinstance(output, Tensor) or output.shape != (1, classes):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"the data set has {classes} classes, so the model must return shape (1, {classes}) "
            f"for one image, got {got}: let its constructor take num_classes, or set model.kwargs"
        )
