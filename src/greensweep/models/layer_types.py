"""The names under which layers are counted, by module class and by function."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

# By base class, the most derived first: timm's BatchNormAct2d, say, is a batch norm.
_MODULES: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.conv._ConvTransposeNd, "conv_transpose"),
    (nn.modules.conv._ConvNd, "conv"),
    (nn.Linear, "linear"),
    (nn.Bilinear, "bilinear"),
    (nn.modules.batchnorm._BatchNorm, "batch_norm"),
    (nn.LayerNorm, "layer_norm"),
    (nn.GroupNorm, "group_norm"),
    (nn.modules.instancenorm._InstanceNorm, "instance_norm"),
    (nn.RMSNorm, "rms_norm"),
    (nn.MultiheadAttention, "attention"),
    (nn.Embedding, "embedding"),
    (nn.ReLU6, "relu6"),
    (nn.ReLU, "relu"),
    (nn.modules.pooling._AdaptiveAvgPoolNd, "adaptive_avg_pool"),
    (nn.modules.pooling._AdaptiveMaxPoolNd, "adaptive_max_pool"),
    (nn.modules.pooling._AvgPoolNd, "avg_pool"),
    (nn.modules.pooling._MaxPoolNd, "max_pool"),
)

_FUNCTIONS = {
    "linear": "linear",
    "bilinear": "bilinear",
    "batch_norm": "batch_norm",
    "layer_norm": "layer_norm",
    "group_norm": "group_norm",
    "instance_norm": "instance_norm",
    "rms_norm": "rms_norm",
    "embedding": "embedding",
    "multi_head_attention_forward": "attention",
    "scaled_dot_product_attention": "attention",
    "relu": "relu",
    "relu6": "relu6",
    "hardtanh": "hardtanh",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "leaky_relu": "leaky_relu",
    "prelu": "prelu",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "gelu": "gelu",
    "silu": "silu",
    "mish": "mish",
    "glu": "glu",
    "softplus": "softplus",
    "softsign": "softsign",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
}

_CONVOLUTION = re.compile(r"conv(_transpose)?[123]d$")
_POOLING = re.compile(r"(adaptive_)?(avg|max)_pool[123]d(_with_indices)?$")


def function_type(name: str, kwargs: Mapping[str, Any]) -> str | None:
    """Return the layer type of a call by the function's name, or None when it is no layer.

    In-place forms count as their plain form; dropout, which does nothing in evaluation mode, as
    no layer. nn.ReLU6 calls hardtanh with bounds 0 and 6.
    """
    plain = name.strip("_") if name not in _FUNCTIONS else name
    if plain == "hardtanh" and (kwargs.get("min_val"), kwargs.get("max_val")) == (0, 6):
        return "relu6"
    convolution = _CONVOLUTION.match(plain)
    if convolution:
        return "conv_transpose" if convolution.group(1) else "conv"
    pooling = _POOLING.match(plain)
    if pooling:
        return f"{pooling.group(1) or ''}{pooling.group(2)}_pool"
    return _FUNCTIONS.get(plain)


def module_type(module: nn.Module) -> str | None:
    """Return the layer type of a module, or None when it is a container of others.

    The type is the module's family, or its class name in snake case. A layer may have children:
    timm's batch norms hold their activation, attention its projection, which it does not call.
    """
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return None
    for base, name in _MODULES:
        if isinstance(module, base):
            return name
    if any(True for _ in module.children()):
        return None
    class_name = type(module).__name__
    plain = class_name.lower()
    if plain in _FUNCTIONS:
        return _FUNCTIONS[plain]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
