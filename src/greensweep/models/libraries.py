"""Classification models of timm and torchvision, by name, fitted to the data."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from greensweep.config.schema_model import NamedModelConfig
from greensweep.errors import ModelError, first_line, unknown
from greensweep.models.images import image_shape

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_AUXILIARY_HEADS = {"aux_logits": False, "aux1": None, "aux2": None, "AuxLogits": None}


def library_model(config: NamedModelConfig, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Build a model of either library as configured."""
    build = timm_model if config.library == "timm" else torchvision_model
    return build(
        config.name,
        image_shape(config.name, input_shape),
        outputs,
        pretrained=config.pretrained,
        kwargs=config.kwargs,
    )


def timm_model(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    *,
    pretrained: bool,
    kwargs: dict[str, Any],
) -> nn.Module:
    """Build a model of timm; those of fixed input size are given the image size.

    Raises:
        ModelError: no such model, its weights cannot be had, or it does not fit the images.
    """
    import timm

    if not timm.is_model(name):
        raise ModelError(unknown("timm model", name, timm.list_models()))
    channels, height, width = shape
    fitted: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    known = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if known is not None and known.fixed_input_size:
        fitted["img_size"] = (height, width)
    arguments = {"pretrained": pretrained, **fitted, **kwargs}
    return _build(name, lambda: timm.create_model(name, **arguments), pretrained)


def torchvision_model(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    *,
    pretrained: bool,
    kwargs: dict[str, Any],
) -> nn.Module:
    """Build a classification model of torchvision.

    Its first convolution is replaced where the images do not have three channels (pretrained
    filters are summed over them), its last layer where weights are pretrained.

    Raises:
        ModelError: no such model, its weights cannot be had, or it does not fit the images.
    """
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(unknown("torchvision model", name, names))
    channels, height, _ = shape
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT
        model = _build(name, lambda: models.get_model(name, weights=weights, **kwargs), pretrained)
        _replace_last_layer(model, classes)
    else:
        fitted: dict[str, Any] = {"num_classes": classes}
        if name.startswith("vit_"):
            fitted["image_size"] = height
        if name in _WITH_AUXILIARY_HEADS:
            fitted |= {"aux_logits": False, "init_weights": True}
        arguments = {**fitted, **kwargs}
        model = _build(name, lambda: models.get_model(name, **arguments), pretrained)
    _drop_auxiliary_heads(model)
    if channels != 3:
        _replace_first_convolution(model, channels, pretrained)
    return model


def _build(name: str, build: Callable[[], Any], pretrained: bool) -> nn.Module:
    try:
        model = build()
    except Exception as error:
        reach = ", and that its weights can be reached" if pretrained else ""
        raise ModelError(
            f"{name} cannot be built for this data set "
            f"({type(error).__name__}: {first_line(error)}): "
            f"check model.kwargs and dataset.image_size{reach}"
        ) from error
    assert isinstance(model, nn.Module)
    return model


def _drop_auxiliary_heads(model: nn.Module) -> None:
    """Make GoogLeNet and Inception return one tensor in training, as the other networks do."""
    for attribute, none in _AUXILIARY_HEADS.items():
        if hasattr(model, attribute):
            setattr(model, attribute, none)


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
