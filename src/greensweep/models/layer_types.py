"""The names under which layers are counted, by module class and by function.

A layer is a call that computes more than one number from one: products, convolutions, recurrences,
attention, norms, pooling, interpolation, Fourier transforms; and an activation. Arithmetic, sums
and what moves numbers about belong to no layer, unless a module of the user's consists of them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

_words = str.split


# Classes of torch that give their type to those derived from them, in however many dimensions.
_FAMILIES = frozenset(
    _words(
        """
        conv_transpose conv linear bilinear lstm gru rnn attention embedding relu6 relu interpolate
        batch_norm layer_norm group_norm instance_norm rms_norm
        adaptive_avg_pool adaptive_max_pool avg_pool max_pool max_unpool lp_pool fractional_max_pool
        """
    )
)

# Functions whose type has their name.
_NAMED = _words(
    """
    linear bilinear einsum embedding lstm gru lstm_cell gru_cell
    batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm normalize
    relu relu6 hardtanh hardswish hardsigmoid leaky_relu prelu rrelu elu selu celu gelu silu mish
    glu softplus softsign sigmoid logsigmoid tanh hardshrink softshrink tanhshrink threshold
    softmax log_softmax softmin gumbel_softmax
    interpolate grid_sample affine_grid pixel_shuffle pixel_unshuffle channel_shuffle unfold fold
    cumsum cumprod cummax cummin logcumsumexp sort topk
    cdist pdist cosine_similarity pairwise_distance stft istft
    """
)
_PRODUCTS = _words(
    """
    matmul rmatmul mm bmm addmm addbmm baddbmm mv addmv dot vdot inner tensordot chain_matmul
    linalg_multi_dot linalg_vecdot sparse_mm smm sspaddmm hspmm int_mm scaled_mm grouped_mm
    """
)
_FUNCTIONS = {
    **{name: name for name in _NAMED},
    **dict.fromkeys(_PRODUCTS, "matmul"),
    **dict.fromkeys(("rnn_tanh", "rnn_relu"), "rnn"),
    **dict.fromkeys(("rnn_tanh_cell", "rnn_relu_cell"), "rnn_cell"),
    **dict.fromkeys(("upsample", "upsample_nearest", "upsample_bilinear"), "interpolate"),
    "multi_head_attention_forward": "attention",
    "scaled_dot_product_attention": "attention",
    "flex_attention": "attention",
    "embedding_bag": "embedding",
    "conv_tbc": "conv",
    "log_sigmoid": "logsigmoid",
    "native_channel_shuffle": "channel_shuffle",
}
# As classes are called: LeakyReLU, LSTMCell.
_CLASSES = {
    **{name.replace("_", ""): kind for name, kind in _FUNCTIONS.items()},
    "multiheadattention": "attention",
    "softmax2d": "softmax",
}

# What computes nothing, or leaves numbers as they are.
_IDLE = frozenset(
    _words(
        """
        get set getitem setitem len iter bool hash repr format index contains
        dim size numel nelement stride storage_offset element_size is_contiguous is_floating_point
        is_complex is_same_size data_ptr get_device item tolist
        view view_as reshape reshape_as flatten unflatten ravel permute transpose t adjoint swapaxes
        swapdims movedim moveaxis squeeze unsqueeze expand expand_as broadcast_to broadcast_tensors
        chunk split tensor_split unbind select narrow diagonal as_strided
        contiguous to type type_as float double half bfloat16 cpu cuda clone detach requires_grad
        cat concat stack hstack vstack dstack repeat tile repeat_interleave pad roll flip gather
        zeros ones empty full arange linspace eye tensor as_tensor meshgrid rand randn
        zeros_like ones_like empty_like full_like rand_like randn_like
        new_zeros new_ones new_empty new_full new_tensor bernoulli
        dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout
        record_function_enter record_function_enter_new record_function_exit
        """
    )
)

# Namespaces of torch's own operators.
_TORCHS = ("aten", "prim", "prims", "profiler")

_CONVOLUTION = re.compile(r"(deform_)?conv(_transpose)?[123]d$")
_POOLING = re.compile(
    r"((?:adaptive_|fractional_)?(?:avg|max|lp)_pool|max_unpool)[123]d(_with_indices)?$"
)
_TRANSFORM = re.compile(r"(fft|linalg)_(?!\w*shift|\w*freq|\w*norm|cross|diagonal)")


def function_type(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return the layer type of a function's call, or None when it is no layer.

    In-place forms count as their plain form; dropout, which does nothing in evaluation mode, as
    no layer. nn.ReLU6 calls hardtanh with bounds 0 and 6. An operator of the user's own, or of
    another library's, is a layer of its name.
    """
    plain = _plain(func)
    if plain == "unfold" and hasattr(func, "__objclass__"):
        return None  # the tensor's method is a view
    if plain == "hardtanh" and (kwargs.get("min_val"), kwargs.get("max_val")) == (0, 6):
        return "relu6"
    if convolution := _CONVOLUTION.match(plain):
        deformed, transposed = convolution.groups()
        return f"{deformed or ''}conv{transposed or ''}"
    if pooling := _POOLING.match(plain):
        return pooling[1]
    if transform := _TRANSFORM.match(plain):
        return "fft" if transform[1] == "fft" else _FUNCTIONS.get(plain, plain)
    return _FUNCTIONS.get(plain, plain if _is_foreign(func) else None)


def is_idle(func: Callable[..., Any]) -> bool:
    """Tell whether a function only makes, moves or asks about tensors."""
    return _plain(func) in _IDLE


def _plain(func: Callable[..., Any]) -> str:
    """Return a function's name without the underscores around it: relu_, __matmul__."""
    return str(getattr(_operator(func), "__name__", "")).strip("_")


def _is_foreign(func: Callable[..., Any]) -> bool:
    """Tell whether a function is an operator of another library: torchvision.nms, say."""
    operator = _operator(func)
    is_operator = isinstance(operator, type(torch.ops.aten.add))
    return is_operator and str(operator).partition(".")[0] not in _TORCHS


def _operator(func: Callable[..., Any]) -> Any:
    """Return the operator of which a function may be the form for certain arguments."""
    return getattr(func, "overloadpacket", func)


def module_type(module: nn.Module) -> str | None:
    """Return the layer type of a module, or None when it is a container of others.

    The type is the module's family, or its class name in snake case. A layer may have children:
    timm's batch norms hold their activation, attention its projection, which it does not call.
    """
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return None
    for base in type(module).__mro__:  # timm's BatchNormAct2d, say, is a batch norm
        family = class_type(re.sub(r"[123]d$", "", base.__name__).strip("_"))
        if family in _FAMILIES and base.__module__.startswith("torch.nn."):
            return family
    if any(True for _ in module.children()):
        return None
    return class_type(type(module).__name__)


def class_type(name: str) -> str:
    """Return the layer type of a class by its name: PixelShuffle is pixel_shuffle."""
    plain = name.lower()
    if plain in _CLASSES:
        return _CLASSES[plain]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
