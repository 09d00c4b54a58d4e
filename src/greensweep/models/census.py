"""The census of a network: which layers it has, which ones run, parameters and FLOPs."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from greensweep.errors import ModelError, first_line
from greensweep.models.layer_types import function_type, module_type

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerCensus:
    """What one network consists of.

    Attributes:
        layers: layer calls in one forward pass in evaluation mode, by type; a functional call
            and a module called twice count as often as they run.
        layer_modules: modules that are layers or have no children, by type.
        parameters: scalars in all parameters.
        trainable_parameters: those of them that training changes.
        flops: of the matrix products and convolutions of one forward pass over one image; a
            multiply-add is 2. None when the network cannot run under torch's counter.
    """

    layers: Mapping[str, int]
    layer_modules: Mapping[str, int]
    parameters: int
    trainable_parameters: int
    flops: int | None

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
        with torch.no_grad(), _LayerCalls() as calls:
            output = model(image)
        flops = _count_flops(model, image)
    except Exception as error:
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
        layers=dict(sorted(calls.counts.items())),
        layer_modules=dict(sorted(types.items())),
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        flops=flops,
    )


class _LayerCalls(TorchFunctionMode):
    """Counts layer functions as they are called, those of modules included.

    Torch switches the mode off inside a call, so a layer counts once, however deep the functions
    that it is written with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kind = function_type(getattr(func, "__name__", ""), kwargs or {})
        if kind is not None:
            self.counts[kind] += 1
        return func(*args, **(kwargs or {}))


def _count_flops(model: nn.Module, image: Tensor) -> int | None:
    """Count on the plain path of attention: the counter does not see into its fused kernels."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as count:
            model(image)
    except Exception as error:
        log.warning("FLOPs cannot be counted (%s: %s).", type(error).__name__, first_line(error))
        return None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(count.get_total_flops())


def _check_output(output: Any, classes: int) -> None:
    if not isinstance(output, Tensor) or output.shape != (1, classes):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(
            f"the data set has {classes} classes, so the model must return shape (1, {classes}) "
            f"for one image, got {got}: let its constructor take num_classes, or set model.kwargs"
        )
