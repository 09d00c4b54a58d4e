"""Every call that computes has a layer type, and FLOPs by a formula, or is told to have none."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import record_function

from greensweep.models import take_census
from greensweep.models.layer_types import module_type

SHAPE = (3, 8, 8)


class Net(nn.Module):
    """Calls a function on a blank image, with modules of its own."""

    def __init__(self, call: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.call = call
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images: Tensor) -> Any:
        return self.call(self, images)


def rows(images: Tensor) -> Tensor:
    """The image's 8 rows as a sequence of 24 features."""
    return images.permute(0, 2, 1, 3).flatten(2)


def recurrence(gates: int, width: int = 5, inputs: int = 24, steps: int = 8) -> int:
    """Each gate times the input and times the state, in each step."""
    return 2 * steps * gates * width * (inputs + width)


def conv(out: int, positions: int, inputs: int) -> int:
    return 2 * out * positions * inputs


@torch.library.custom_op("greensweep_tests::doubled", mutates_args=())
def doubled(batch: Tensor) -> Tensor:
    return batch * 2


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, batch: Tensor) -> Tensor:
        context.save_for_backward(batch)
        return batch @ batch.mT @ batch

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient


def complex_product(_: nn.Module, images: Tensor) -> Tensor:
    numbers = torch.complex(images, images)
    return (numbers @ numbers).abs()


def cell(kind: type[nn.Module]) -> Net:
    return Net(lambda net, images: net.cell(rows(images)[0]), cell=kind(24, 5))


def over_rows(layer: nn.Module) -> Net:
    return Net(lambda net, images: net.layer(rows(images)), layer=layer)


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, int], int]] = {
    "lstm": (lambda: over_rows(nn.LSTM(24, 5, batch_first=True)), {"lstm": 1}, recurrence(4)),
    "gru": (lambda: over_rows(nn.GRU(24, 5, batch_first=True)), {"gru": 1}, recurrence(3)),
    "rnn": (lambda: over_rows(nn.RNN(24, 5, batch_first=True)), {"rnn": 1}, recurrence(1)),
    "rnn of relu": (
        lambda: over_rows(nn.RNN(24, 5, nonlinearity="relu")), {"rnn": 1}, recurrence(1)
    ),
    "two layers in both directions": (
        lambda: over_rows(nn.LSTM(24, 5, num_layers=2, bidirectional=True, batch_first=True)),
        {"lstm": 1},
        2 * recurrence(4) + 2 * recurrence(4, inputs=10),
    ),
    "projected lstm": (
        lambda: over_rows(nn.LSTM(24, 5, proj_size=2, batch_first=True)),
        {"lstm": 1},
        2 * 8 * (4 * 5 * (24 + 2) + 2 * 5),
    ),
    "lstm cell": (lambda: cell(nn.LSTMCell), {"lstm_cell": 1}, recurrence(4)),
    "gru cell": (lambda: cell(nn.GRUCell), {"gru_cell": 1}, recurrence(3)),
    "rnn cell": (lambda: cell(nn.RNNCell), {"rnn_cell": 1}, recurrence(1)),
    "einsum": (
        lambda: Net(lambda _, images: torch.einsum("bihw,bjhw->bij", images, images)),
        {"einsum": 1},
        2 * 3 * 3 * 64,
    ),
    "matmul": (lambda: Net(lambda _, images: images @ images), {"matmul": 1}, 2 * 3 * 8**3),
    "bmm": (
        lambda: Net(lambda _, images: torch.bmm(images[0], images[0])),
        {"matmul": 1},
        2 * 3 * 8**3,
    ),
    "addmm, baddbmm, addbmm": (
        lambda: Net(
            lambda _, images: torch.addmm(images[0, 0], images[0, 0], images[0, 0])
            + torch.addbmm(images[0, 0], images[0], images[0])
            + torch.baddbmm(images[0], images[0], images[0])
        ),
        {"matmul": 3},
        2 * 7 * 8**3,
    ),
    "vectors": (
        lambda: Net(
            lambda _, images: torch.mv(images[0, 0], images[0, 0, 0])
            + torch.addmv(images[0, 0, 0], images[0, 0], images[0, 0, 0])
            + torch.dot(images[0, 0, 0], images[0, 0, 0])
        ),
        {"matmul": 3},
        2 * (64 + 64 + 8),
    ),
    "bilinear": (
        lambda: Net(
            lambda net, images: net.pair(images[..., 0], images[..., 1]), pair=nn.Bilinear(8, 8, 5)
        ),
        {"bilinear": 1},
        2 * 3 * 5 * (64 + 8),
    ),
    "complex": (lambda: Net(complex_product), {"matmul": 1}, 8 * 3 * 8**3),
    "scaled dot product": (
        lambda: Net(lambda _, i: functional.scaled_dot_product_attention(i, i, i)),
        {"attention": 1},
        2 * 2 * 3 * 8**3,
    ),
    "encoder layer": (
        lambda: over_rows(nn.TransformerEncoderLayer(24, 2, 10, batch_first=True)),
        {"attention": 1, "layer_norm": 2, "linear": 2, "relu": 1},
        2 * 8 * (4 * 24 * 24 + 2 * 8 * 24 + 2 * 24 * 10),
    ),
    "embedding": (
        lambda: Net(
            lambda net, images: net.table(images[0, 0].long()), table=nn.Embedding(4, 5)
        ),
        {"embedding": 1},
        0,
    ),
    "bag": (
        lambda: Net(lambda net, images: net.bag(images[0, 0].long()), bag=nn.EmbeddingBag(4, 5)),
        {"embedding": 1},
        0,
    ),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 2, stride=2), {"conv_transpose": 1},
                   conv(4, 64, 3 * 4)),
    "in one dimension": (
        lambda: Net(lambda net, images: net.conv(images.flatten(2)), conv=nn.Conv1d(3, 4, 5)),
        {"conv": 1},
        conv(4, 60, 3 * 5),
    ),
    "in three": (
        lambda: Net(lambda net, images: net.conv(images[:, None]), conv=nn.Conv3d(1, 4, (3, 3, 3))),
        {"conv": 1},
        conv(4, 36, 27),
    ),
    "time, batch, channels": (
        lambda: Net(
            lambda _, images: torch.conv_tbc(images[0], torch.ones(3, 8, 5), torch.ones(5), 1)
        ),
        {"conv": 1},
        conv(5, 3 * 8, 8 * 3),
    ),
    "norms": (
        lambda: Net(
            lambda _, images: functional.rms_norm(
                functional.group_norm(functional.instance_norm(images), 3), [8]
            )
        ),
        {"group_norm": 1, "instance_norm": 1, "rms_norm": 1},
        0,
    ),
    "interpolation": (
        lambda: nn.Sequential(
            nn.Upsample(scale_factor=2),
            Net(lambda _, images: functional.interpolate(images, size=4)),
        ),
        {"interpolate": 2},
        0,
    ),
    "grids": (
        lambda: Net(
            lambda _, images: functional.grid_sample(
                images, functional.affine_grid(torch.eye(2, 3)[None], (1, 3, 4, 4))
            )
        ),
        {"affine_grid": 1, "grid_sample": 1},
        0,
    ),
    "shuffles": (
        lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.ChannelShuffle(3), nn.PixelShuffle(2)),
        {"pixel_unshuffle": 1, "channel_shuffle": 1, "pixel_shuffle": 1},
        0,
    ),
    "pooling": (
        lambda: nn.Sequential(nn.LPPool2d(2, 2), nn.FractionalMaxPool2d(2, output_size=2)),
        {"lp_pool": 1, "fractional_max_pool": 1},
        0,
    ),
    "activations": (
        lambda: nn.Sequential(
            nn.LeakyReLU(), nn.LogSigmoid(), nn.Softmax2d(), nn.Softmin(1), nn.LogSoftmax(1),
            nn.RReLU(), nn.Hardshrink(), nn.Tanhshrink(), nn.Threshold(0.1, 0), nn.Mish(),
        ),
        {
            "leaky_relu": 1, "logsigmoid": 1, "softmax": 1, "softmin": 1, "log_softmax": 1,
            "rrelu": 1, "hardshrink": 1, "tanhshrink": 1, "threshold": 1, "mish": 1,
        },
        0,
    ),
    "cumulative": (
        lambda: Net(lambda _, images: images.cumsum(1).cumprod(2)), {"cumprod": 1, "cumsum": 1}, 0
    ),
    "fourier": (
        lambda: Net(lambda _, images: torch.fft.irfft2(torch.fft.fft2(torch.fft.rfft2(images)))),
        {"fft": 3},
        # 64 points there and back, half of it as one side is real; 8 x 5 complex points between
        2 * round(5 * 3 * 64 * math.log2(64) / 2) + round(5 * 3 * 40 * math.log2(40)),
    ),
    "custom function": (
        lambda: Net(lambda _, images: Cube.apply(images)), {"matmul": 2}, 2 * 2 * 3 * 8**3
    ),
    "checkpointed": (
        lambda: Net(
            lambda net, images: torch.utils.checkpoint.checkpoint(
                net.conv, images, use_reentrant=False
            ),
            conv=nn.Conv2d(3, 4, 1),
        ),
        {"conv": 1},
        conv(4, 64, 3),
    ),
    "compiled": (
        lambda: nn.Sequential(torch.compile(nn.Conv2d(3, 4, 1), backend="eager"), nn.ReLU()),
        {"conv": 1, "relu": 1},
        conv(4, 64, 3),
    ),
    "scripted": (
        lambda: nn.Sequential(
            torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())), nn.ReLU()
        ),
        {"relu": 1, "scripted": 1},
        conv(4, 64, 3),
    ),
    "traced": (
        lambda: torch.jit.trace(nn.Conv2d(3, 4, 1), torch.zeros(1, *SHAPE)),
        {"scripted": 1},
        conv(4, 64, 3),
    ),
    "quantised by torch.ao": (
        lambda: torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), {nn.Linear}
        ),
        {"linear_dynamic": 1},
        0,
    ),
}  # fmt: skip

# What has no formula.
LEFT_OUT = {
    "quantised by torch.ao": ("quantized::linear_dynamic",),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_what_computes_has_a_type_and_its_flops(name: str) -> None:
    build, layers, flops = CASES[name]

    census = take_census(build(), torch.zeros(1, *SHAPE))

    assert census.layers == layers
    assert census.flops == flops
    assert census.flops_left_out == LEFT_OUT.get(name, ())


@pytest.mark.parametrize(
    ("call", "layers", "left_out"),
    [
        (lambda _, i: torch.linalg.inv(i + torch.eye(8)), {"linalg_inv": 1}, "linalg_inv_ex"),
        (lambda _, i: torch.linalg.svd(i)[1], {"linalg_svd": 1}, "_linalg_svd"),
        (lambda _, i: torch.cdist(i, i), {"cdist": 1}, "_cdist_forward"),
        (lambda _, i: torch.sparse.mm(i[0, 0].to_sparse(), i[0, 0]), {"matmul": 1}, "_sparse_add"),
        (lambda _, i: doubled(i), {"doubled": 1}, "greensweep_tests::doubled"),
        (
            lambda _, i: torch.ops.torchvision.deform_conv2d(
                i, torch.ones(4, 3, 1, 1), torch.zeros(1, 2, 8, 8), torch.zeros(1, 0, 8, 8),
                torch.zeros(4), 1, 1, 0, 0, 1, 1, 1, 1, False,
            ),
            {"deform_conv": 1},
            "torchvision::deform_conv2d",
        ),
    ],
)  # fmt: skip
def test_what_has_no_formula_is_told(
    caplog: pytest.LogCaptureFixture, call: Any, layers: dict[str, int], left_out: str
) -> None:
    import torchvision  # noqa: F401 - brings its operators

    census = take_census(Net(call), torch.zeros(1, *SHAPE))

    assert census.layers == layers
    assert census.flops == 0
    assert len(census.flops_left_out) == 1
    assert census.flops_left_out[0].startswith(left_out)
    assert f"The FLOPs leave out {census.flops_left_out[0]}, for which there is no formula" in (
        caplog.text
    )


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weight


class SinAct2d(Scale):
    def forward(self, images: Tensor) -> Tensor:
        return torch.sin(images)


class Written(Scale):
    """Calls what torch sees nothing of."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(images.detach().numpy() * 2)


class InScript(Scale):
    def __init__(self) -> None:
        super().__init__()
        self.function = torch.jit.trace(lambda images: images * 2, torch.zeros(1, *SHAPE))

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


class Turn(Scale):
    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 1, 3, 2).contiguous()


def test_an_annotation_for_a_profiler_is_no_layer() -> None:
    class Annotated(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = [inner]

        def forward(self, images: Tensor) -> Tensor:
            with record_function("annotated"):
                return self.inner[0](images)

    model = nn.Sequential(Annotated(nn.Conv2d(3, 3, 1)), Annotated(Turn()))
    census = take_census(model, torch.zeros(1, *SHAPE))

    assert census.layers == {"conv": 1}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_hides_what_it_computes_is_a_layer_of_its_class() -> None:
    idle = (nn.Identity(), nn.Dropout(), Turn(), nn.Unflatten(1, (1, 3)), nn.Flatten(1, 2))
    model = nn.Sequential(Scale(), SinAct2d(), Written(), InScript(), *idle)

    census = take_census(model, torch.zeros(1, *SHAPE))

    assert census.layers == {"in_script": 1, "scale": 1, "sin_act2d": 1, "written": 1}


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.LSTM(2, 2), "lstm"), (nn.GRU(2, 2), "gru"), (nn.RNN(2, 2), "rnn"),
        (nn.LSTMCell(2, 2), "lstm_cell"), (nn.GRUCell(2, 2), "gru_cell"),
        (nn.LeakyReLU(), "leaky_relu"), (nn.LogSoftmax(), "log_softmax"), (nn.SiLU(), "silu"),
        (nn.PixelShuffle(2), "pixel_shuffle"), (nn.UpsamplingNearest2d(2), "interpolate"),
        (nn.EmbeddingBag(2, 2), "embedding"), (nn.Softmax2d(), "softmax"),
        (nn.LPPool1d(2, 2), "lp_pool"), (nn.Sequential(), "sequential"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)  # fmt: skip
def test_modules_have_the_names_of_their_calls(module: nn.Module, kind: str) -> None:
    assert module_type(module) == kind
