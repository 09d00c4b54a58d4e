"""Classification models of timm and torchvision, and what their weights expect of images."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from greensweep.config.schema_model import ModelConfig, NamedModelConfig
from greensweep.data import Splits
from greensweep.errors import ModelError, describe, unknown
from greensweep.models.images import image_shape

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_AUXILIARY_HEADS = {"aux_logits": False, "aux1": None, "aux2": None, "AuxLogits": None}
_BYTE = 255.0


def library_model(config: NamedModelConfig, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Build a model of either library as configured.

    Raises:
        ModelError: no such model, its weights cannot be had, or it does not fit the images.
    """
    build = _timm_model if config.library == "timm" else _torchvision_model
    return build(config, image_shape(config.name, input_shape), outputs)


def _timm_model(config: NamedModelConfig, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build a model of timm; those of fixed input size are given the image size."""
    import timm

    name, (channels, height, width) = config.name, shape
    if not timm.is_model(name):
        raise ModelError(unknown("timm model", name, timm.list_models()))
    fitted: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    known = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if known is not None and known.fixed_input_size:
        fitted["img_size"] = (height, width)
    arguments = {"pretrained": config.pretrained, **fitted, **config.kwargs}
    return _build(config, lambda: timm.create_model(name, **arguments))


def _torchvision_model(
    config: NamedModelConfig, shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """Build a classification model of torchvision.

    Its first convolution is replaced where the images do not have three channels (pretrained
    filters are summed over them), its last layer where weights are pretrained.
    """
    from torchvision import models

    name, (channels, height, _) = config.name, shape
    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(unknown("torchvision model", name, names))
    if config.pretrained:
        weights = models.get_model_weights(name).DEFAULT
        model = _build(config, lambda: models.get_model(name, weights=weights, **config.kwargs))
        _replace_last_layer(model, classes)
    else:
        fitted: dict[str, Any] = {"num_classes": classes}
        if name.startswith("vit_"):
            fitted["image_size"] = height
        if name in _WITH_AUXILIARY_HEADS:
            fitted |= {"aux_logits": False, "init_weights": True}
        model = _build(config, lambda: models.get_model(name, **{**fitted, **config.kwargs}))
    # GoogLeNet and Inception return one tensor in training without, as the other networks do.
    for attribute, none in _AUXILIARY_HEADS.items():
        if hasattr(model, attribute):
            setattr(model, attribute, none)
    if channels != 3:
        _replace_first_convolution(model, channels, config.pretrained)
    return model


def _build(config: NamedModelConfig, build: Callable[[], Any]) -> nn.Module:
    try:
        model = build()
    except Exception as error:
        reach = ", and that its weights can be reached" if config.pretrained else ""
        raise ModelError(
            f"{config.name} cannot be built for this data set ({describe(error)}): check "
            f"model.kwargs and dataset.image_size{reach}"
        ) from error
    assert isinstance(model, nn.Module)
    return model


def _replace_first_convolution(model: nn.Module, channels: int, pretrained: bool) -> None:
    path, first = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    fitted = nn.Conv2d(
        channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    if pretrained:
        from timm.models import adapt_input_conv

        fitted.weight = nn.Parameter(adapt_input_conv(channels, first.weight.detach()))
        fitted.bias = first.bias
    model.set_submodule(path, fitted)
    if hasattr(model, "transform_input"):  # which rescales the three channels of ImageNet
        model.transform_input = False  # type: ignore[assignment]


def _replace_last_layer(model: nn.Module, classes: int) -> None:
    """Fit the last layer, linear or (SqueezeNet's) a 1x1 convolution, to `classes` outputs."""
    layers = [(p, m) for p, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    path, last = layers[-1]
    fitted: nn.Module
    if isinstance(last, nn.Linear):
        fitted = nn.Linear(last.in_features, classes, bias=last.bias is not None)
    else:
        fitted = nn.Conv2d(last.in_channels, classes, kernel_size=1)
    model.set_submodule(path, fitted)


def expected_statistics(config: ModelConfig, splits: Splits) -> tuple[Tensor, Tensor] | None:
    """Return the mean and deviation that a network expects its inputs to be normalised by.

    Those of its own pretrained weights, float32 of shape (3, 1, 1), where the images are three
    channels of bytes, of which alone it is known what they mean; else those of the training split,
    None where it has none.
    """
    of_bytes = splits.input_shape[0] == 3 and splits.train.input_dtype == torch.uint8
    if not (isinstance(config, NamedModelConfig) and config.pretrained and of_bytes):
        return splits.statistics
    if config.library == "timm":
        from timm.models import get_pretrained_cfg

        known = get_pretrained_cfg(config.name, allow_unregistered=True)
    else:
        from torchvision import models

        known = models.get_model_weights(config.name).DEFAULT.transforms()
    if known is None:
        return splits.statistics
    mean, deviation = (
        _BYTE * torch.tensor(each).view(-1, 1, 1) for each in (known.mean, known.std)
    )
    return mean, deviation
