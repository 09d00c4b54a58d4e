"""Classification models of timm and torchvision, by name, fitted to the data."""

from collections.abc import Callable
from typing import Any

from torch import nn

from greensweep.errors import ModelError, first_line, unknown


def timm_model(
    name: str,
    channels: int,
    image_size: int,
    classes: int,
    *,
    pretrained: bool,
    kwargs: dict[str, Any],
) -> nn.Module:
    """Build a model of timm; those of fixed input size are told the image size.

    Raises:
        ModelError: no such model, its weights cannot be had, or it does not fit the images.
    """
    import timm

    if not timm.is_model(name):
        raise ModelError(unknown("timm model", name, timm.list_models()))
    fitted: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    known = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if known is not None and known.fixed_input_size:
        fitted["img_size"] = image_size
    return _build(
        name, lambda: timm.create_model(name, pretrained=pretrained, **{**fitted, **kwargs})
    )


def torchvision_model(
    name: str,
    channels: int,
    image_size: int,
    classes: int,
    *,
    pretrained: bool,
    kwargs: dict[str, Any],
) -> nn.Module:
    """Build a classification model of torchvision.

    Its first convolution is replaced where the images do not have three channels, its last
    layer where pretrained weights bring other classes.

    Raises:
        ModelError: no such model, its weights cannot be had, or it does not fit the images.
    """
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(unknown("torchvision model", name, names))
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT
        model = _build(name, lambda: models.get_model(name, weights=weights, **kwargs))
        _replace_last_layer(model, name, classes)
    else:
        fitted: dict[str, Any] = {"num_classes": classes}
        if name.startswith("vit_"):
            fitted["image_size"] = image_size
        if name in ("googlenet", "inception_v3"):  # whose auxiliary heads return tuples
            fitted |= {"aux_logits": False, "init_weights": True}
        model = _build(name, lambda: models.get_model(name, **{**fitted, **kwargs}))
    if channels != 3:
        _replace_first_convolution(model, channels)
    return model


def _build(name: str, build: Callable[[], Any]) -> nn.Module:
    try:
        model = build()
    except Exception as error:
        raise ModelError(
            f"{name} cannot be built for this data set "
            f"({type(error).__name__}: {first_line(error)}): "
            "check model.kwargs and dataset.image_size, and that its weights can be reached"
        ) from error
    assert isinstance(model, nn.Module)
    return model


def _replace_first_convolution(model: nn.Module, channels: int) -> None:
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fitted = nn.Conv2d(
                channels,
                module.out_channels,
                kernel_size=module.kernel_size,  # type: ignore[arg-type]
                stride=module.stride,  # type: ignore[arg-type]
                padding=module.padding,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            model.set_submodule(path, fitted)
            return


def _replace_last_layer(model: nn.Module, name: str, classes: int) -> None:
    layers = [(p, m) for p, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    path, last = layers[-1]
    if isinstance(last, nn.Linear):
        model.set_submodule(path, nn.Linear(last.in_features, classes))
    elif name.startswith("squeezenet"):
        model.set_submodule(path, nn.Conv2d(last.in_channels, classes, kernel_size=1))
    else:
        raise ModelError(f"{name} has no last linear layer to fit to {classes} classes: use timm's")
