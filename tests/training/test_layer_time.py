"""The time of a training step by layer: what is charged to whom, and that nothing stays behind."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as module_hooks
from torch.overrides import handle_torch_function, has_torch_function_unary
from torch.utils.checkpoint import checkpoint

from greensweep.config import schema
from greensweep.config.schema_model import DenseConfig, SimpleCnnConfig
from greensweep.data import Split, TensorSplit
from greensweep.errors import DataError, ModelError, TrainingError
from greensweep.models import take_census
from greensweep.models.paper import build_dense, build_simple_cnn
from greensweep.tasks.classification import Classification
from greensweep.training import Normalise
from greensweep.training.layer_time import LayerTime, LayerTimes, time_layers

SMALL = SimpleCnnConfig(conv_layers=1, linear_layers=1)


def images(count: int = 24, shape: tuple[int, int, int] = (3, 8, 8)) -> TensorSplit:
    pixels = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    return TensorSplit(pixels, torch.arange(count).remainder(2))


def timed(
    model: nn.Module,
    split: Split | None = None,
    *,
    steps: int = 2,
    device: str = "cpu",
    **training: Any,
) -> LayerTimes:
    ones = torch.ones(1, 1, 1)
    return time_layers(
        model,
        split or images(),
        Normalise((ones - 1, ones), torch.device(device), "contiguous"),
        Classification(torch.arange(2), 2),
        training=schema.TrainingConfig(**{"batch_size": 8, **training}),
        optimizer=schema.SgdConfig(learning_rate=0.1, momentum=0.9),
        seed=0,
        steps=steps,
    )


def calls_by_kind(times: LayerTimes) -> dict[str, float]:
    kinds = {layer.kind for layer in times.layers}
    return {kind: sum(each.calls for each in times.layers if each.kind == kind) for kind in kinds}


def by_path(times: LayerTimes) -> dict[tuple[str, str], LayerTime]:
    return {(layer.path, layer.kind): layer for layer in times.layers}


class Reuse(nn.Module):
    """A module called twice, a functional call, a method, an in-place call, and shared weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(4, 2)
        self.tied = nn.Linear(4, 2)
        self.tied.weight = self.head.weight

    def forward(self, batch: Tensor) -> Tensor:
        batch = functional.relu(self.stem(batch))
        batch = self.block(self.block(batch)).relu()
        means = torch.relu_(batch.mean((2, 3)))
        return self.head(means) + self.tied(means)


# --- which layers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: build_simple_cnn(SimpleCnnConfig(linear_layers=2), (3, 8, 8), 10), (3, 8, 8)),
        (lambda: build_dense(DenseConfig(name="dense_poly"), (1, 8, 8), 10), (1, 8, 8)),
        (lambda: torchvision.models.resnet18(num_classes=10), (3, 32, 32)),
        (lambda: timm.create_model("mobilenetv3_small_100", num_classes=10), (3, 32, 32)),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32),
            (3, 32, 32),
        ),
        (Reuse, (3, 8, 8)),
    ],
    ids=["simple_cnn", "dense_poly", "resnet18", "mobilenetv3", "vit", "reuse"],
)
def test_the_layers_are_those_of_the_census_each_with_a_gradient(
    build: Callable[[], nn.Module], shape: tuple[int, int, int]
) -> None:
    model = build()

    times = timed(model, images(8, shape), steps=1, batch_size=4)

    assert calls_by_kind(times) == take_census(model, torch.zeros(1, *shape)).layers
    assert all(layer.forward_seconds > 0 < layer.backward_seconds for layer in times.layers)


def test_the_seconds_by_type_sum_to_the_step() -> None:
    times = timed(build_simple_cnn(SMALL, (3, 8, 8), 2), steps=5)
    kinds = times.by_kind()

    layers = ["conv", "batch_norm", "relu", "max_pool", "linear"]
    assert list(kinds) == [*layers, "data", "loss", "optimizer", "other"]
    assert all(seconds > 0 for seconds in kinds.values())
    assert sum(kinds.values()) == pytest.approx(times.step_seconds)
    assert times.steps == 5


def test_layers_of_one_type_are_summed_and_the_rest_follows() -> None:
    layers = (
        LayerTime("a", "conv", 1.0, 1.0, 2.0),
        LayerTime("b", "linear", 1.0, 0.5, 0.5),
        LayerTime("c", "conv", 2.0, 3.0, 0.0),
    )

    times = LayerTimes(layers, {"loss": 1.0, "other": 2.0}, 10.0, 3, 9.0)

    assert times.by_kind() == {"conv": 6.0, "linear": 1.0, "loss": 1.0, "other": 2.0}


def test_calls_are_charged_to_the_module_whose_forward_makes_them() -> None:
    times = timed(Reuse(), steps=3)

    assert [(layer.path, layer.kind, layer.calls) for layer in times.layers] == [
        ("stem", "conv", 1),
        ("", "relu", 3),
        ("block.0", "conv", 2),
        ("block.1", "tanh", 2),
        ("head", "linear", 1),
        ("tied", "linear", 1),
    ]


def test_a_layer_function_owns_what_it_calls() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(24, 2, batch_first=True)

        def forward(self, batch: Tensor) -> Tensor:
            rows = batch.flatten(2).view(len(batch), 8, 24)
            return self.attend(rows, rows, rows)[0].mean((1, 2)).unsqueeze(1).expand(-1, 2)

    (layer,) = timed(Attention()).layers

    assert (layer.path, layer.kind, layer.calls) == ("attend", "attention", 1)
    assert layer.backward_seconds > 0


class Reader(nn.Module):
    """Reads the rows of an image by a recurrent layer."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.reader = kind(24, 64, batch_first=True)
        self.head = nn.Linear(64, 2)

    def forward(self, batch: Tensor) -> Tensor:
        read, _ = self.reader(batch.permute(0, 2, 1, 3).flatten(2))
        return self.head(read[:, -1])


@pytest.mark.parametrize(("kind", "name"), [(nn.LSTM, "lstm"), (nn.GRU, "gru"), (nn.RNN, "rnn")])
def test_a_recurrent_layer_takes_its_time(kind: type[nn.Module], name: str) -> None:
    times = timed(Reader(kind), steps=6)

    layer = by_path(times)["reader", name]
    assert layer.calls == 1
    assert layer.forward_seconds > 0 < layer.backward_seconds


class Drawn(nn.Module):
    """Enlarges an image, and takes the products of its channels, by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 3, 1), nn.Linear(9, 2)

    def forward(self, batch: Tensor) -> Tensor:
        large = functional.interpolate(self.stem(batch), scale_factor=4, mode="bilinear")
        return self.head(torch.einsum("bihw,bjhw->bij", large, large).flatten(1))


def test_functions_that_compute_take_their_time() -> None:
    times = timed(Drawn())

    assert [(layer.path, layer.kind) for layer in times.layers] == [
        ("stem", "conv"), ("", "interpolate"), ("", "einsum"), ("head", "linear")
    ]  # fmt: skip
    assert all(layer.forward_seconds > 0 < layer.backward_seconds for layer in times.layers)


# --- how much to whom ---------------------------------------------------------------------------


class TwoLayers(nn.Module):
    """A convolution of `width` channels beside a linear layer of `features`."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.wide = nn.Linear(3, features)
        self.head = nn.Linear(features, 2)

    def forward(self, batch: Tensor) -> Tensor:
        summed = self.conv(batch).mean((1, 2, 3)).unsqueeze(1)
        return self.head(self.wide(batch.mean((2, 3)))) + summed


def test_the_type_that_computes_most_takes_most() -> None:
    split = images(16, (3, 32, 32))
    convolving = timed(TwoLayers(width=256, features=2), split, steps=6).by_kind()
    multiplying = timed(TwoLayers(width=1, features=400_000), steps=6).by_kind()

    assert convolving["conv"] > convolving["linear"]
    assert multiplying["linear"] > multiplying["conv"]


class SlowGradient(torch.autograd.Function):
    """Passes on what it gets, and its gradient 40 ms later."""

    @staticmethod
    def forward(_: Any, batch: Tensor) -> Tensor:
        return batch.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        time.sleep(0.04)
        return gradient


def softsign(batch: Tensor) -> Tensor:
    """A layer function, by its name, that takes 20 ms, and 40 ms for its gradient."""
    if has_torch_function_unary(batch):
        return handle_torch_function(softsign, (batch,), batch)
    time.sleep(0.02)
    return SlowGradient.apply(batch) * 2


class Slow(nn.Module):
    """A layer function of known length, called twice, and its gradient once more by no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(192, 8), nn.Linear(8, 2)

    def forward(self, batch: Tensor) -> Tensor:
        batch = softsign(softsign(self.first(batch.flatten(1))))
        return self.second(SlowGradient.apply(batch))


def test_forward_and_backward_take_their_own_time_and_no_layer_that_of_others() -> None:
    times = timed(Slow())
    layers = by_path(times)

    slow, kinds = layers["", "softsign"], times.by_kind()
    assert slow.calls == 2
    # Each has at least what it sleeps, and all together no more than the step.
    assert slow.forward_seconds > 0.04 and slow.backward_seconds > 0.08 and kinds["other"] > 0.04
    assert kinds["softsign"] == pytest.approx(slow.forward_seconds + slow.backward_seconds)
    assert 0.16 < sum(kinds.values()) <= 1.001 * times.step_seconds
    assert times.plain_step_seconds > 0.16


def test_time_in_which_no_operator_runs_is_its_layers_too() -> None:
    class Foreign(nn.Module):
        """Computes in another language for 40 ms, after an operator of torch's."""

        def forward(self, batch: Tensor) -> Tensor:
            numbers = batch * 2
            time.sleep(0.04)
            return numbers

    layers = by_path(timed(nn.Sequential(nn.Flatten(), Foreign(), nn.Linear(192, 2))))

    assert layers["1", "foreign"].forward_seconds > 0.04
    assert layers["2", "linear"].forward_seconds < layers["1", "foreign"].forward_seconds


def test_layers_of_a_network_whose_steps_differ_are_those_that_ran() -> None:
    class Skipping(nn.Module):
        """Skips its convolution in every third forward pass."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)
            self.calls = 0

        def forward(self, batch: Tensor) -> Tensor:
            self.calls += 1
            if self.calls % 3:
                batch = functional.relu(self.conv(batch))
            return self.head(batch.mean((2, 3)))

    thirds = calls_by_kind(timed(Skipping(), steps=6))
    assert thirds == {"conv": pytest.approx(2 / 3), "relu": pytest.approx(2 / 3), "linear": 1}


def test_the_gradient_of_what_torch_recomputes_is_no_layers_twice() -> None:
    class Recomputing(Reuse):
        def forward(self, batch: Tensor) -> Tensor:
            batch = checkpoint(self.block, self.stem(batch), use_reentrant=False)
            return self.head(batch.mean((2, 3)))

    layers = by_path(timed(Recomputing()))

    assert {key: layer.calls for key, layer in layers.items()} == {
        ("stem", "conv"): 1, ("block.0", "conv"): 1, ("block.1", "tanh"): 1, ("head", "linear"): 1,
    }  # fmt: skip
    assert all(layer.backward_seconds > 0 for layer in layers.values())


def test_a_forward_pass_that_computes_gradients_is_forward() -> None:
    class Penalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

        def forward(self, batch: Tensor) -> Tensor:
            batch = batch.detach().requires_grad_()
            energy = torch.tanh(self.conv(batch)).sum()
            (slope,) = torch.autograd.grad(energy, batch, create_graph=True)
            return self.head(slope.mean((2, 3)))

    times = timed(Penalised())

    assert calls_by_kind(times) == {"conv": 1, "tanh": 1, "linear": 1}
    assert all(seconds > 0 for seconds in times.by_kind().values())


def test_keeping_the_gradient_of_a_weight_is_no_layers_time() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    model[1].weight.register_post_accumulate_grad_hook(lambda _: time.sleep(0.04))

    seconds = timed(model).by_kind()

    assert seconds["linear"] < 0.035
    assert seconds["other"] > 0.04


def test_a_layer_under_no_grad_has_no_backward_time() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, batch: Tensor) -> Tensor:
            with torch.no_grad():
                features = functional.relu(self.features(batch))
            return self.head(features.mean((2, 3)))

    layers = by_path(timed(Frozen()))

    assert layers["features", "conv"].backward_seconds == 0
    assert layers["", "relu"].backward_seconds == 0
    assert (
        layers["features", "conv"].forward_seconds > 0 < layers["head", "linear"].backward_seconds
    )


def test_the_gradient_of_weights_is_charged_where_the_input_needs_none() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    network[2].requires_grad_(False)
    layers = by_path(timed(network))

    assert layers["0", "conv"].backward_seconds > 0
    assert layers["2", "linear"].backward_seconds > 0  # to hand the gradient on

    network[2].requires_grad_(True)
    network[0].requires_grad_(False)
    layers = by_path(timed(network))

    assert layers["0", "conv"].backward_seconds == 0
    assert layers["2", "linear"].backward_seconds > 0


def test_an_in_place_call_on_a_part_is_not_charged_for_what_came_before() -> None:
    class Net(Slow):
        def forward(self, batch: Tensor) -> Tensor:
            batch = SlowGradient.apply(self.first(batch.flatten(1))) * 1
            functional.relu(batch[:, :4], inplace=True)
            return self.second(batch)

    times = timed(Net())

    assert times.step_seconds > 0.04
    assert 0 < by_path(times)["", "relu"].backward_seconds < 0.5 * times.step_seconds


class SlowScale(nn.Module):
    """Plain arithmetic whose gradient takes 40 ms."""

    def forward(self, batch: Tensor) -> Tensor:
        return SlowGradient.apply(batch) * 2


class SlowProduct(SlowGradient):
    """A custom function that calls a layer function."""

    @staticmethod
    def forward(_: Any, batch: Tensor) -> Tensor:
        return torch.matmul(batch, torch.eye(2))


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.scale = nn.Linear(192, 2), SlowScale()

    def forward(self, batch: Tensor) -> Tensor:
        return SlowProduct.apply(self.scale(self.head(batch.flatten(1))))


def test_custom_functions_have_their_own_time() -> None:
    times = timed(Custom())
    layers = by_path(times)
    scale, product = layers["scale", "slow_scale"], layers["", "slow_product"]

    assert scale.backward_seconds > 0.04 and product.backward_seconds > 0.04
    assert scale.backward_seconds + product.backward_seconds < times.step_seconds
    assert layers["", "matmul"].forward_seconds > 0 == layers["", "matmul"].backward_seconds
    assert layers["head", "linear"].backward_seconds < 0.5 * scale.backward_seconds


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_compiled_is_timed_too(caplog: pytest.LogCaptureFixture) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(192, 8), nn.ReLU()))
    compiled = torch.compile(nn.Linear(8, 2), backend="eager")
    times = timed(nn.Sequential(nn.Flatten(), scripted, compiled))

    layers = by_path(times)
    assert set(layers) == {("1", "scripted"), ("2._orig_mod", "linear")}
    assert all(layer.forward_seconds > 0 < layer.backward_seconds for layer in layers.values())
    assert "its layers are timed as they run uncompiled" in caplog.text


# --- the steps ----------------------------------------------------------------------------------


class Witness(nn.Module):
    """A linear classifier that notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.batches: list[Tensor] = []

    def forward(self, batch: Tensor) -> Tensor:
        self.batches.append(batch)
        return self.linear(batch.flatten(1))


def numbered(count: int) -> TensorSplit:
    """Images whose every pixel is their number."""
    numbers = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1)
    return TensorSplit(numbers.expand(count, 1, 2, 2), torch.arange(count).remainder(2))


def test_the_batches_of_the_split_come_again_until_there_are_enough() -> None:
    model = Witness()

    times = timed(model, numbered(9), steps=7, batch_size=4)

    # the ninth image joins the second batch
    shown = [batch[:, 0, 0, 0].tolist() for batch in model.batches]
    assert times.steps == 7
    assert len(shown) > 2 * 7
    assert sorted(shown[0] + shown[1]) == list(range(9))
    assert shown[2:] == shown[:-2]


def test_the_length_of_unwatched_steps_is_given_apart() -> None:
    class SlowWhenProfiled(Witness):
        def forward(self, batch: Tensor) -> Tensor:
            if torch.autograd._profiler_enabled():
                time.sleep(0.04)
            return super().forward(batch)

    times = timed(SlowWhenProfiled(), numbered(8))

    assert times.plain_step_seconds < times.step_seconds
    assert times.step_seconds > 0.04


def test_steps_are_as_the_training_options_say() -> None:
    class Types(Witness):
        def forward(self, batch: Tensor) -> Tensor:
            outputs = super().forward(batch)
            self.dtype = outputs.dtype
            return outputs

    model = Types()

    timed(model, numbered(8), precision="bfloat16", cutout_size=4)

    assert model.dtype is torch.bfloat16
    assert all((batch == 0).all() for batch in model.batches)


def test_the_seed_decides_what_is_random_in_a_step() -> None:
    first, second = Witness(), Witness()

    timed(first, numbered(9), crop_padding=2)
    torch.rand(1)
    timed(second, numbered(9), crop_padding=2)

    assert all(map(torch.equal, first.batches, second.batches))


class Unreadable:
    """A split that reads only the first `readable` batches, and `size` images of each."""

    def __init__(self, readable: int, size: int = 8) -> None:
        self.readable, self.size = readable, size
        self.images = numbered(8)
        self.labels, self.input_shape = self.images.labels, self.images.input_shape

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Tensor) -> Split:
        raise NotImplementedError

    def to(self, device: torch.device) -> Split:
        return self

    def batches(self, order: Any) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.images.batches([indices[: self.size] for indices in order[: self.readable]])


@pytest.mark.parametrize(("readable", "size"), [(0, 8), (1, 8), (7, 8), (20, 1)])
def test_too_few_readable_images_are_an_error(readable: int, size: int) -> None:
    with pytest.raises(DataError, match="images could be read"):
        timed(Witness(), Unreadable(readable, size), steps=7)


def test_unreadable_batches_are_left_out_of_the_mean() -> None:
    times = timed(Witness(), Unreadable(12), steps=10)

    assert times.steps == 2  # after 3 to warm up, 1 + 5 unwatched and 1 that starts the trace
    assert [layer.calls for layer in times.layers] == [1]


# --- nothing stays behind -----------------------------------------------------------------------


class Reassigning(nn.Module):
    """Batch norm, dropout, a frozen layer, and a buffer that each forward pass replaces."""

    count: Tensor

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.frozen, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.frozen.requires_grad_(False)
        self.register_buffer("count", torch.zeros(()), persistent=False)
        self.calls, self.fail_at = 0, fail_at

    def forward(self, batch: Tensor) -> Tensor:
        assert self.training
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("broken on purpose")
        self.count = self.count + 1
        features = self.norm(self.conv(batch)).mean((2, 3))
        return self.head(functional.dropout(self.frozen(features)))


def state_of(model: nn.Module) -> list[Any]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [
        [(name, id(tensor), tensor.tolist(), tensor.requires_grad) for name, tensor in tensors],
        [(name, module.training) for name, module in model.named_modules()],
        [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        torch.get_rng_state().tolist(),
        len(module_hooks._global_forward_hooks) + len(module_hooks._global_forward_pre_hooks),
        [len(module._forward_hooks) for module in model.modules()],
    ]


@pytest.mark.parametrize("fail_at", [None, 1, 2, 7, 10])
def test_the_model_and_the_random_state_are_as_they_were(fail_at: int | None) -> None:
    model = Reassigning(fail_at)
    model.eval()
    model.norm.train()
    model.conv.weight.grad = torch.full_like(model.conv.weight, 3.0)
    before = state_of(model)

    if fail_at is None:
        timed(model, flip=True)
    else:
        with pytest.raises(TrainingError, match=r"^timing the layers failed .*broken on purpose"):
            timed(model, flip=True)

    assert model.calls == (fail_at or 10)
    assert state_of(model) == before


def test_the_steps_did_train() -> None:
    class Watched(Witness):
        def forward(self, batch: Tensor) -> Tensor:
            self.batches.append(self.linear.weight.detach().clone())
            return self.linear(batch.flatten(1))

    model = Watched()
    timed(model, numbered(8))

    assert all(not torch.equal(model.batches[0], weight) for weight in model.batches[1:])


def test_watching_survives_a_gradient_that_fails_and_can_be_repeated() -> None:
    def fail(gradient: Tensor) -> None:
        raise ValueError("no gradient")

    class Net(Reuse):
        fails = True

        def forward(self, batch: Tensor) -> Tensor:
            outputs = super().forward(batch)
            if self.fails:
                outputs.register_hook(fail)
            return outputs

    model = Net()
    before = state_of(model)
    with pytest.raises(TrainingError, match="no gradient"):
        timed(model)
    assert state_of(model) == before

    model.fails = False
    assert calls_by_kind(timed(model)) == {"conv": 3, "relu": 3, "tanh": 2, "linear": 2}
    assert state_of(model) == before


@pytest.mark.slow
def test_the_profiler_writes_nothing() -> None:
    # in a process of its own: the library sets its log level when it is first used, by any test
    code = "import test_layer_time as t; t.timed(t.Witness(), t.numbered(8))"
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip

    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ModelError, match="trainable parameter"):
        timed(Witness().requires_grad_(False), numbered(8))


@pytest.mark.cuda
def test_on_a_gpu_time_is_that_of_its_kernels() -> None:
    model = build_simple_cnn(SMALL, (3, 32, 32), 2).cuda()
    split = images(64, (3, 32, 32)).to(torch.device("cuda"))

    times = timed(model, split, device="cuda", batch_size=32)

    assert calls_by_kind(times) == take_census(model, torch.zeros(1, 3, 32, 32)).layers
    assert all(layer.forward_seconds > 0 < layer.backward_seconds for layer in times.layers)
    assert times.key == "kernel_time"
    assert sum(times.by_kind().values()) == pytest.approx(times.plain_step_seconds)
    assert all(times.rest[name] > 0 for name in ("data", "loss", "optimizer", "launch"))
