"""The training loop: what the network sees, when, and what stops it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from greensweep.config import schema
from greensweep.config.schema import TrainConfig
from greensweep.data import Split, StreamedSplit, TensorSplit, load_splits
from greensweep.errors import ConfigError, DataError, TrainingError
from greensweep.models import build_model
from greensweep.tasks.classification import Classification
from greensweep.training import (
    Epoch,
    Normalise,
    Training,
    autocast_dtype,
    evaluate,
    start_state,
)

CPU = torch.device("cpu")
CLASSES = Classification(torch.arange(2), 2)
Compose = Callable[..., TrainConfig]


class Witness(nn.Module):
    """A linear classifier that notes what it was shown in training."""

    def __init__(self, pixels: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(pixels, classes)
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        assert self.training
        self.batches.append(images.clone())
        return self.linear(images.flatten(1))


def numbered(count: int, size: int = 2) -> TensorSplit:
    """Images whose every pixel is their number."""
    numbers = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1)
    return TensorSplit(numbers.expand(count, 1, size, size), torch.arange(count).remainder(2))


def as_they_are() -> Normalise:
    ones = torch.ones(1, 1, 1)
    return Normalise((ones - 1, ones), CPU, "contiguous")


def epochs_of(
    model: nn.Module,
    split: Split,
    *,
    learning_rate: float = 1e-6,
    seed: int = 0,
    **training: Any,
) -> Iterator[Epoch]:
    return iter(training_of(model, split, learning_rate=learning_rate, seed=seed, **training))


def training_of(
    model: nn.Module, split: Split, *, learning_rate: float = 1e-6, seed: int = 0, **training: Any
) -> Training:
    return Training(
        model,
        split,
        as_they_are(),
        Classification(split.labels, 2, label_smoothing=training.get("label_smoothing", 0.0)),
        training=schema.TrainingConfig(**{"epochs": 1, "batch_size": 4, **training}),
        optimizer=schema.SgdConfig(learning_rate=learning_rate, momentum=0.0),
        scheduler=schema.ConstantConfig(),
        seed=seed,
    )


# --- what the network sees ----------------------------------------------------------------------


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    model = Witness()
    orders = []
    for _ in epochs_of(model, numbered(30), epochs=3, batch_size=7):
        orders.append([int(image[0, 0, 0]) for batch in model.batches for image in batch])
        model.batches.clear()
    assert [sorted(order) for order in orders] == [list(range(30))] * 3
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] != list(range(30))


def test_without_reshuffling_each_epoch_has_the_first_ones_batches() -> None:
    model = Witness()
    batches = []
    for _ in epochs_of(model, numbered(30), epochs=3, batch_size=7, reshuffle=False):
        batches.append([batch[:, 0, 0, 0].tolist() for batch in model.batches])
        model.batches.clear()
    assert batches[0] == batches[1] == batches[2]
    shuffled = Witness()
    list(epochs_of(shuffled, numbered(30), epochs=1, batch_size=7))
    assert batches[0] == [batch[:, 0, 0, 0].tolist() for batch in shuffled.batches]
    assert [len(batch) for batch in batches[0]] == [7, 7, 7, 7, 2]


def test_the_seed_fixes_the_order() -> None:
    def order(seed: int) -> list[int]:
        model = Witness()
        list(epochs_of(model, numbered(30), seed=seed))
        return [int(image[0, 0, 0]) for batch in model.batches for image in batch]

    assert order(3) == order(3)
    assert order(3) != order(4)


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"),
    [
        (9, 4, [4, 5]),
        (10, 4, [4, 4, 2]),
        (8, 4, [4, 4]),
        (3, 2, [3]),
        (4, 4, [4]),
        (3, 1, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_a_last_batch_of_one_image_joins_the_one_before(
    images: int, batch_size: int, sizes: list[int]
) -> None:
    model = Witness()
    list(epochs_of(model, numbered(images), batch_size=batch_size))
    assert [len(batch) for batch in model.batches] == sizes


def test_batch_norm_trains_when_one_image_is_left_over() -> None:
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(nn.Flatten(), norm, nn.Linear(4, 2))
    list(epochs_of(model, numbered(9)))
    assert norm.num_batches_tracked == 2
    assert torch.all(norm.running_mean > 0)


def test_training_mode_returns_after_each_evaluation() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout(0.5))
    modes = []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    split = numbered(8)
    for _ in epochs_of(model, split, epochs=2, batch_size=8):
        evaluate(model, split, as_they_are(), CLASSES, batch_size=8)
    assert modes == [True, False, True, False]


def test_labels_are_smoothed_as_asked() -> None:
    torch.manual_seed(0)
    model, split = Witness(), numbered(8)
    logits = model.linear(split.inputs.flatten(1)).detach()
    plain, smooth = (cross_entropy(logits, split.labels, label_smoothing=s) for s in (0.0, 0.3))
    (epoch,) = epochs_of(model, split, batch_size=8, label_smoothing=0.3)
    assert epoch.loss == pytest.approx(smooth.item(), rel=1e-5)
    assert epoch.loss != pytest.approx(plain.item(), rel=1e-3)
    (epoch,) = epochs_of(model, split, batch_size=8)
    assert epoch.loss == pytest.approx(plain.item(), rel=1e-3)


def test_the_loss_of_an_epoch_weighs_each_image_alike() -> None:
    torch.manual_seed(0)
    model, split = Witness(), numbered(10)
    expected = cross_entropy(model.linear(split.inputs.flatten(1)), split.labels).item()
    (epoch,) = epochs_of(model, split, learning_rate=1e-12, batch_size=4)
    assert epoch.number == 1
    assert epoch.loss == pytest.approx(expected, rel=1e-5)


def test_augmentation_reaches_training_anew_each_epoch() -> None:
    split = TensorSplit(torch.ones(20, 1, 8, 8), torch.zeros(20).long())
    plain, augmented = Witness(64), Witness(64)
    list(epochs_of(plain, split))
    assert all((batch > 0).all() for batch in plain.batches)
    blank = []
    for _ in epochs_of(augmented, split, epochs=2, cutout_size=4):
        seen = torch.cat(augmented.batches)
        blank.append((seen == 0).sum(dim=(0, 1)))
        augmented.batches.clear()
    assert all(counts.sum() > 0 for counts in blank)
    assert not torch.equal(blank[0], blank[1])


# --- the warm-up before it -----------------------------------------------------------------------


def with_state() -> nn.Module:
    """A network with weights, running statistics and random numbers of its own."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def test_the_warm_up_leaves_no_trace() -> None:
    model = with_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    training_of(model, numbered(8)).warm_up()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_training_after_a_warm_up_is_bit_equal_to_training_without() -> None:
    cold, warm = with_state(), with_state()
    torch.manual_seed(1)
    list(epochs_of(cold, numbered(8), learning_rate=0.1, epochs=2))
    torch.manual_seed(1)
    training = training_of(warm, numbered(8), learning_rate=0.1, epochs=2)
    training.warm_up()
    list(training)
    expected = cold.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in warm.state_dict().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_warm_up_is_a_step_of_training_without_the_update(precision: str) -> None:
    model, dtypes, gradients = Witness(), [], []
    model.linear.register_forward_hook(lambda *call: dtypes.append(call[2].dtype))
    model.linear.weight.register_post_accumulate_grad_hook(gradients.append)
    training_of(model, numbered(8), batch_size=5, precision=precision).warm_up()
    assert [len(batch) for batch in model.batches] == [5]
    assert dtypes == [getattr(torch, precision)]
    assert len(gradients) == 1


def test_a_model_that_fails_at_once_is_one_sentence() -> None:
    with pytest.raises(TrainingError) as stopped:
        training_of(
            BreaksFrom(1, raising(RuntimeError("does not fit\nat line 2"))), numbered(8)
        ).warm_up()
    assert str(stopped.value) == (
        "training failed in its first step (RuntimeError: does not fit): check that the model "
        "fits the data and the batch size"
    )


# --- reproducible runs --------------------------------------------------------------------------


def weights_after_training(config: TrainConfig) -> dict[str, Tensor]:
    start_state(config.seed)
    splits = load_splits(config.dataset, 0)
    model = build_model(config.model, splits.input_shape, splits.outputs)
    normalise = Normalise(splits.statistics, CPU, config.training.memory_format)
    for _ in Training(
        model,
        splits.train,
        normalise,
        CLASSES,
        training=config.training,
        optimizer=config.optimizer,
        scheduler=config.scheduler,
        seed=config.seed,
    ):
        evaluate(model, splits.validation, normalise, CLASSES, batch_size=512)
    return model.state_dict()


def test_two_runs_of_one_seed_are_bit_equal_and_another_seed_differs(config: Compose) -> None:
    options = (
        "training.epochs=2",
        "training.flip=true",
        "training.crop_padding=1",
        "training.cutout_size=2",
        "scheduler=one_cycle",
        "dataset.train_limit=300",
    )
    first = weights_after_training(config(*options, "seed=5"))
    torch.rand(3)  # what another run leaves behind
    again = weights_after_training(config(*options, "seed=5"))
    other = weights_after_training(config(*options, "seed=6"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "weight" in name)


@pytest.mark.parametrize(
    "option",
    [
        "training.precision=float32",
        "training.precision=bfloat16",
        "training.precision=float16",
        "training.memory_format=channels_last",
    ],
)
def test_the_digits_are_learnt_under_each_precision_and_layout(
    config: Compose, option: str
) -> None:
    fast = ("training.epochs=4", "optimizer.learning_rate=0.01", "scheduler=cosine")
    parsed = config(*fast, option)
    start_state(0)
    splits = load_splits(parsed.dataset, 0)
    model = build_model(parsed.model, splits.input_shape, splits.outputs)
    normalise = Normalise(splits.statistics, CPU, parsed.training.memory_format)
    model = model.to(memory_format=normalise.layout)
    losses = [
        epoch.loss
        for epoch in Training(
            model,
            splits.train,
            normalise,
            CLASSES,
            training=parsed.training,
            optimizer=parsed.optimizer,
            scheduler=parsed.scheduler,
            seed=0,
        )
    ]
    dtype = autocast_dtype(parsed.training.precision, CPU)
    found = evaluate(model, splits.validation, normalise, CLASSES, batch_size=512, dtype=dtype)
    assert losses[3] < losses[1] < losses[0]
    assert found.accuracy > 0.8
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("auto", torch.float32),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_precision_is_that_of_the_forward_pass(precision: str, dtype: torch.dtype) -> None:
    model, dtypes = Witness(), set()
    model.linear.register_forward_hook(lambda *call: dtypes.add(call[2].dtype))
    list(epochs_of(model, numbered(8), precision=precision))
    assert dtypes == {dtype}


def test_float16_keeps_gradients_that_are_too_small_for_it() -> None:
    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)
            nn.init.zeros_(self.linear.weight)

        def forward(self, images: Tensor) -> Tensor:
            return self.linear(images.flatten(1)) * 1e-8

    full, half = Faint(), Faint()
    list(epochs_of(full, numbered(3), learning_rate=1.0, batch_size=3))
    list(epochs_of(half, numbered(3), learning_rate=1.0, batch_size=3, precision="float16"))
    assert (full.linear.weight != 0).all()
    assert torch.allclose(half.linear.weight, full.linear.weight, rtol=0.05, atol=0.0)


# --- what stops it ------------------------------------------------------------------------------


class BreaksFrom(nn.Module):
    """Calls `fault` from its n-th batch on."""

    def __init__(self, batch: int, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.batch, self.fault, self.calls = batch, fault, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        outputs = self.linear(images.flatten(1))
        return self.fault(outputs) if self.calls >= self.batch else outputs


def raising(error: BaseException) -> Callable[[Tensor], Tensor]:
    def fault(_: Tensor) -> Tensor:
        raise error

    return fault


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_epoch_and_a_way_out(value: float) -> None:
    epochs = epochs_of(
        BreaksFrom(3, lambda outputs: outputs * value), numbered(8), epochs=3, batch_size=4
    )
    assert next(epochs).number == 1
    with pytest.raises(TrainingError) as stopped:
        next(epochs)
    assert str(stopped.value) == (
        "the training loss became nan in epoch 2: set a smaller optimizer.learning_rate"
    )


def test_training_that_diverges_for_real_is_stopped() -> None:
    deep = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    with pytest.raises(TrainingError, match="the training loss became"):
        list(epochs_of(deep, numbered(8), learning_rate=1e30, epochs=5))


def test_a_diverged_loss_is_noticed_long_before_the_epoch_ends() -> None:
    model = BreaksFrom(3, lambda outputs: outputs * float("nan"))
    with pytest.raises(TrainingError, match="epoch 1"):
        list(epochs_of(model, numbered(400), batch_size=2))
    assert model.calls <= 51


def test_a_batch_larger_than_the_set_is_refused_with_one_that_fits() -> None:
    with pytest.raises(ConfigError) as refused:
        next(epochs_of(Witness(), numbered(10), batch_size=11))
    assert str(refused.value) == (
        "training.batch_size must be at most the 10 training images, got 11: "
        "set training.batch_size=10"
    )
    list(epochs_of(Witness(), numbered(10), batch_size=10))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit\nat line 3\nat line 4"),
        ValueError("bad value"),
        TypeError("bad type"),
        KeyError("missing"),
        AttributeError("no such part"),
        AssertionError("not so"),
        NotImplementedError("later"),
        ZeroDivisionError("division"),
        StopIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failing_model_is_one_sentence_with_epoch_and_cause(error: Exception) -> None:
    epochs = epochs_of(BreaksFrom(3, raising(error)), numbered(8), epochs=3, batch_size=4)
    next(epochs)
    with pytest.raises(TrainingError) as stopped:
        next(epochs)
    said = str(stopped.value)
    assert said.startswith(f"training failed in epoch 2 ({type(error).__name__}: ")
    assert said.endswith("check that the model fits the data and the batch size")
    assert "\n" not in said
    assert stopped.value.__cause__ is error


@pytest.mark.parametrize(
    "fault",
    [
        raising(MemoryError()),
        raising(torch.OutOfMemoryError("CUDA out of memory")),
        lambda _: torch.empty(2**50),
    ],
    ids=["python", "cuda", "allocator"],
)
def test_memory_that_runs_out_names_the_batch_size(fault: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(TrainingError) as stopped:
        list(epochs_of(BreaksFrom(1, fault), numbered(8), batch_size=4))
    assert str(stopped.value) == (
        "training failed in epoch 1: out of memory with 4 samples per batch: "
        "set training.batch_size lower"
    )


def test_an_interrupt_is_not_taken_for_a_failing_model() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(epochs_of(BreaksFrom(1, raising(KeyboardInterrupt())), numbered(8)))


def test_training_may_be_stopped_by_not_asking_for_the_next_epoch() -> None:
    model = Witness()
    epochs = epochs_of(model, numbered(8), epochs=100)
    assert [next(epochs).number, next(epochs).number] == [1, 2]
    epochs.close()
    assert len(model.batches) == 4


# --- sets that are read while training ----------------------------------------------------------


class Readable(Dataset[tuple[Tensor | None, int]]):
    """Images of which only some can be read; the rest raise `error`, or are None."""

    def __init__(self, count: int, readable: set[int], error: Exception | None = None) -> None:
        self.images, self.readable, self.error = numbered(count), readable, error

    def __getitem__(self, index: int) -> tuple[Tensor | None, int]:
        if index in self.readable:
            return self.images.inputs[index], index % 2
        if self.error:
            raise self.error
        return None, index % 2


def streamed(count: int, readable: set[int], error: Exception | None = None) -> StreamedSplit:
    return StreamedSplit(Readable(count, readable, error), numbered(count).labels, (1, 2, 2))


def test_images_that_cannot_be_read_do_not_weigh_on_the_loss() -> None:
    torch.manual_seed(0)
    model = Witness()
    readable = numbered(10).select(torch.arange(6))
    expected = cross_entropy(model.linear(readable.inputs.flatten(1)), readable.labels).item()
    (epoch,) = epochs_of(model, streamed(10, set(range(6))), learning_rate=1e-12, batch_size=10)
    assert epoch.loss == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_which_one_image_can_be_read_does_not_break_batch_norm() -> None:
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(nn.Flatten(), norm, nn.Linear(4, 2))
    list(epochs_of(model, streamed(12, set(range(7))), batch_size=3, epochs=5))
    assert 0 < norm.num_batches_tracked < 20


def test_a_warm_up_of_which_one_image_can_be_read_does_not_break_batch_norm() -> None:
    training_of(with_state(), streamed(4, {1}), batch_size=3).warm_up()


def test_a_set_of_which_nothing_can_be_read_is_refused() -> None:
    with pytest.raises(DataError, match="no training image could be read: check"):
        list(epochs_of(Witness(), streamed(8, set())))


def test_an_error_that_names_a_broken_image_is_passed_on_as_it_is() -> None:
    error = DataError("cat/7.png cannot be read as an image: remove it")
    with pytest.raises(DataError) as stopped:
        list(epochs_of(Witness(), streamed(8, {0}, error)))
    assert stopped.value is error
