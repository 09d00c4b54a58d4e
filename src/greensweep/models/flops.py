"""FLOPs of a forward pass: what torch's counter knows, what it lacks, and what nobody counts.

A multiply-add is 2. Counted are products, convolutions, recurrences and Fourier transforms; by
convention not what takes a few operations for each number: activations, norms, pooling, sums.
"""

import logging
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from greensweep.errors import describe
from greensweep.models.layer_calls import uncompiled
from greensweep.models.torch_internals import TorchDispatchMode, of_tensors

log = logging.getLogger(__name__)

# Of torch's own operators, those that the convention counts; others are cheap, or made of these.
_COUNTED = re.compile(
    r"_?(linalg_(?!vector_norm|check_errors|cross|diagonal)|fft_|cdist|pdist|scaled_dot_product"
    r"|native_multi_head|transformer_encoder|cholesky|lu_|triangular_solve|matrix_exp)"
    r"|\w*(mm|mv|dot|matmul|rnn\w*|lstm|gru|trilinear|conv\w*)$"
)
_CHEAP = re.compile(r"_?thnn_|\w*_backward$|_convert")
_TORCHS = ("aten", "prim", "prims")


def count_flops(model: nn.Module, example: Tensor) -> tuple[int | None, tuple[str, ...]]:
    """Return the FLOPs of a pass, and the operators that should count but have no formula, sorted.

    None of a network that cannot run under torch's counter, which does not see into the fused
    kernels of attention: its plain path is counted.
    """
    seen = _Uncounted()
    try:
        with (
            torch.no_grad(),
            uncompiled(),
            sdpa_kernel(SDPBackend.MATH),
            seen,
            FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counter,
        ):
            model(example)
    except Exception as error:
        log.warning("FLOPs cannot be counted (%s).", describe(error))
        return None, ()
    left_out = tuple(sorted(seen.operators))
    if left_out:
        log.warning(
            "The FLOPs leave out %s, for which there is no formula: they are a lower bound.",
            ", ".join(left_out),
        )
    return int(counter.get_total_flops()), left_out


class _Uncounted(TorchDispatchMode):
    """Notes the operators that run and have no formula."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operator = getattr(func, "overloadpacket", func)
        if operator not in _FORMULAS and operator not in flop_registry:
            library, _, name = str(operator).rpartition(".")
            if library not in _TORCHS:
                self.operators.add(f"{library}::{name}".strip(":"))
            elif _COUNTED.match(name) and not _CHEAP.match(name):
                self.operators.add(name)
        return func(*args, **(kwargs or {}))


# --- formulas that torch's counter lacks --------------------------------------------------------


def _product(*shapes: int) -> int:
    return 2 * math.prod(shapes)


@of_tensors
def _trilinear(
    one: Tensor, weight: Tensor, other: Tensor, *_: Any, out_val: Tensor, **__: Any
) -> int:
    """Of nn.Bilinear, y = x1 W x2: the products with W, then those with x2."""
    rows = math.prod(out_val.shape[:-1])
    outputs, first, second = weight.shape[-3:]
    return _product(rows, outputs, first, second) + _product(rows, outputs, second)


def _recurrence(inputs: Tensor, weights: Sequence[Tensor]) -> int:
    """Of LSTM, GRU and RNN: each of their matrices times a vector in each step of each sequence."""
    steps = math.prod(inputs.shape[:-1])
    return _product(steps, sum(weight.numel() for weight in weights if weight.dim() == 2))


def _transform(of_real: bool) -> Callable[..., int]:
    """Of N points: 5 N log2 N, and half of it where one side is real."""

    @of_tensors
    def count(inputs: Tensor, along: Sequence[int], *_: Any, out_val: Tensor, **__: Any) -> int:
        signal = out_val if out_val.dtype.is_floating_point else inputs
        points = math.prod(signal.shape[each] for each in along)
        whole = 5 * signal.numel() * math.log2(max(points, 1))
        return round(whole / 2 if of_real else whole)

    return count


def _also_complex(operator: Any) -> Callable[..., int]:
    """A product of complex numbers is 4 of real ones."""
    formula = flop_registry[operator]

    @of_tensors
    def count(*args: Any, out_val: Any, **kwargs: Any) -> int:
        times = 4 if isinstance(out_val, Tensor) and out_val.is_complex() else 1
        return times * int(formula(*args, **kwargs, out_val=out_val))

    return count


aten = torch.ops.aten
_DOT = of_tensors(lambda one, *_, **__: _product(one.numel()))
_RNN = of_tensors(lambda inputs, weights, *_, **__: _recurrence(inputs, weights))
_FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mv: of_tensors(lambda matrix, *_, **__: _product(*matrix.shape)),
    aten.addmv: of_tensors(lambda _, matrix, *__, **___: _product(*matrix.shape)),
    aten.dot: _DOT,
    aten.vdot: _DOT,
    aten.addbmm: of_tensors(lambda _, a, b, *__, **___: _product(*a.shape, b.shape[-1])),
    aten._trilinear: _trilinear,
    aten.conv_tbc: of_tensors(
        lambda _, weight, *__, out_val, **___: _product(*out_val.shape[:2], *weight.shape)
    ),
    aten.mkldnn_rnn_layer: of_tensors(
        lambda inputs, *weights, **_: _recurrence(inputs, weights[:2])
    ),
    aten._cudnn_rnn: _RNN,
    aten.miopen_rnn: _RNN,
    aten._fft_c2c: _transform(of_real=False),
    aten._fft_r2c: _transform(of_real=True),
    aten._fft_c2r: _transform(of_real=True),
    **{each: _also_complex(each) for each in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm)},
}
