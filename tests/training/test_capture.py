"""Captured steps train as plain ones do, and what cannot be captured runs plainly.

Where there is no GPU, a tape of operations stands for the CUDA graph. All else, static memory,
batches of other shapes, what is undone and what is refused, is the same code.
"""

import gc
import json
import random
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import Dataset

from greensweep.config import schema
from greensweep.data import Split, StreamedSplit, TensorSplit
from greensweep.errors import TrainingError
from greensweep.tasks.classification import Classification
from greensweep.training import Normalise, Training, deterministic
from greensweep.training.capture import Recorder, Repeat

CPU = torch.device("cpu")
WORDS = "Training steps are taken plainly: "
CONSTANT = schema.ConstantConfig()
ADAM = schema.AdamConfig(name="adam", learning_rate=0.02)
SGD = schema.SgdConfig(learning_rate=0.05, momentum=0.9, nesterov=True)


class Tape(TorchDispatchMode):
    """Records the operations of one step, as a stream does, and replays them on the same memory.

    No Python of the step runs in a replay, and its numbers are those that it was recorded with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing\nat line 2")
        result = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, result))
        return result

    def __call__(self, step: Repeat) -> Repeat:
        for _ in range(3):
            step()
        with self:
            loss = step()

        @torch.no_grad()
        def replay() -> Tensor:
            self.replays += 1
            for operation, args, kwargs, result in self.calls:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
            return loss

        return replay


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),  # whose gradient would be rounding alone
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(48, 3),
    )


def images(count: int = 30) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return TensorSplit(pixels, torch.arange(count).remainder(3))


class Read(Dataset[tuple[Tensor | None, int]]):
    """The same images, read one by one; `unreadable` are left out."""

    def __init__(self, unreadable: set[int]) -> None:
        self.split, self.unreadable = images(), unreadable

    def __getitem__(self, index: int) -> tuple[Tensor | None, int]:
        image = None if index in self.unreadable else self.split.inputs[index]
        return image, int(self.split.labels[index])


def streamed(unreadable: set[int] = frozenset()) -> StreamedSplit:  # type: ignore[assignment]
    return StreamedSplit(Read(unreadable), images().labels, (1, 4, 4))


def training_of(
    model: nn.Module,
    split: Split,
    *,
    optimizer: schema.OptimizerConfig = ADAM,
    scheduler: schema.SchedulerConfig = CONSTANT,
    device: torch.device = CPU,
    graph: Recorder | None = None,
    **options: Any,
) -> Training:
    middle = torch.full((1, 1, 1), 127.5)
    return Training(
        model.to(device),
        split.to(device),
        Normalise((middle, middle), device, "contiguous"),
        Classification(split.labels, 3, label_smoothing=options.get("label_smoothing", 0.0)),
        training=schema.TrainingConfig(**{"epochs": 3, "batch_size": 7, **options}),
        optimizer=optimizer,
        scheduler=scheduler,
        seed=0,
        graph=graph,
    )


def learnt(training: Training) -> tuple[list[float], Tensor]:
    """Losses of the epochs, and weights, running statistics and random numbers after them."""
    training.warm_up()
    torch.manual_seed(1)
    losses = [epoch.loss for epoch in training]
    state = training._plain.model.state_dict().values()
    return losses, torch.cat([each.double().flatten().cpu() for each in state])


@pytest.mark.parametrize("split", [images, streamed], ids=["in memory", "read"])
@pytest.mark.parametrize("optimizer", [ADAM, replace(ADAM, name="adamw", weight_decay=0.1), SGD])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_captured_steps_train_bit_by_bit_as_plain_ones(
    split: Callable[[], Split], optimizer: schema.OptimizerConfig, precision: str
) -> None:
    options = {"optimizer": optimizer, "precision": precision, "flip": True, "crop_padding": 1}
    tape = Tape()
    captured = training_of(network(), split(), graph=tape, capture="graph", **options)
    losses, weights = learnt(captured)
    assert captured.capture.mode == "graph"
    # Of 30 images in batches of 7 the last 2 are a batch of their own; a trial takes 3 steps.
    assert tape.replays == 3 * 4 + 3
    plain, expected = learnt(training_of(network(), split(), capture="none", **options))
    assert losses == plain
    assert torch.equal(weights, expected)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("options", [{"clip_norm": 0.1}, {"mixup": 0.4}, {"accumulate": 2}])
def test_captured_steps_clip_mix_and_accumulate_as_plain_ones(
    options: dict[str, Any], precision: str
) -> None:
    captured = training_of(
        network(), images(), graph=Tape(), capture="graph", precision=precision, **options
    )
    losses, weights = learnt(captured)
    assert captured.capture.mode == "graph"
    plain = training_of(network(), images(), capture="none", precision=precision, **options)
    plain_losses, plain_weights = learnt(plain)
    assert losses == plain_losses
    assert torch.equal(weights, plain_weights)


@pytest.mark.parametrize("optimizer", [ADAM, SGD])
@pytest.mark.parametrize("scheduler", [schema.CosineConfig(), schema.OneCycleConfig()])
def test_a_schedule_acts_on_captured_steps(
    optimizer: schema.OptimizerConfig, scheduler: schema.SchedulerConfig
) -> None:
    options = {"optimizer": optimizer, "scheduler": scheduler}
    captured = training_of(network(), images(), graph=Tape(), capture="graph", **options)
    losses, weights = learnt(captured)
    plain, expected = learnt(training_of(network(), images(), capture="none", **options))
    assert losses == pytest.approx(plain, rel=1e-5)
    assert torch.allclose(weights, expected, rtol=1e-4, atol=1e-6)
    (group,) = captured._plain.update.param_groups
    assert isinstance(group["lr"], Tensor)  # a graph would not see a number of Python's change


def test_the_scale_of_float16_begins_anew_after_the_trial() -> None:
    class Loud(nn.Sequential):
        def forward(self, seen: Tensor) -> Tensor:
            return 100 * super().forward(seen)

    def training(capture: str) -> Training:
        return training_of(
            Loud(network()), images(), graph=Tape(), capture=capture, precision="float16"
        )

    losses, weights = learnt(captured := training("graph"))
    plain, expected = learnt(training("none"))
    assert captured._plain.scaler.get_scale() < 2**16  # some steps were too loud, and skipped
    assert losses == plain
    assert torch.equal(weights, expected)


def traces(training: Training) -> list[Any]:
    model, update = training._plain.model, training._plain.update
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [each.grad for each in model.parameters()],
        [float(v.abs().sum()) for s in update.state.values() for v in s.values() if v is not None],
        [group["lr"] for group in update.param_groups],
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    ]


class Waiting(nn.Module):
    """A network that looks at a value, for which a GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, seen: Tensor) -> Tensor:
        outputs: Tensor = self.net(seen)
        return outputs if outputs.sum().item() < 1e9 else -outputs


@pytest.mark.parametrize("fails", [False, True])
def test_capturing_leaves_no_trace(fails: bool) -> None:
    torch.manual_seed(3)
    model = Waiting() if fails else network()
    training = training_of(model, images(), graph=Tape(), capture="graph", flip=True)
    before = traces(training)
    training.warm_up()
    after = traces(training)
    assert all(torch.equal(before[0][name], value) for name, value in after[0].items())
    assert not any(after[2])  # the optimizer's sums are there, and zero
    assert after[1] == before[1]
    assert after[3] == before[3]
    assert torch.equal(after[4], before[4])
    assert after[5:] == before[5:]
    assert (training.capture.mode == "none") is fails


@pytest.mark.parametrize("capture", ["graph", pytest.param("none", marks=pytest.mark.slow)])
def test_what_a_training_holds_is_free_as_soon_as_it_ends(capture: str) -> None:
    training_of(network(), images())  # PyTorch keeps what its first optimizer was made in
    gc.disable()
    try:
        model = network()
        training = training_of(
            model, images(), graph=Tape(), capture=capture, scheduler=schema.CosineConfig()
        )
        learnt(training)
        held = [weakref.ref(each) for each in (model, training, training._plain.update)]
        del model, training
        assert [each() for each in held] == [None, None, None]
    finally:
        gc.enable()


# --- what cannot be captured --------------------------------------------------------------------


class Impure(nn.Module):
    """A network that does something which its kernels do not."""

    def __init__(self, what: Callable[["Impure"], object]) -> None:
        super().__init__()
        self.net, self.what, self.calls = network(), what, 0
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, seen: Tensor) -> Tensor:
        self.what(self)
        return self.net(seen)


def count(module: Impure) -> None:
    module.calls += 1


def replace_buffer(module: Impure) -> None:
    module.mean = module.mean + 1


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (count, "calls"),
        (replace_buffer, "mean"),
        (lambda _: random.random(), "the state of random"),
        (lambda _: np.random.rand(), "the state of numpy.random"),
    ],
    ids=["attribute", "buffer", "random", "numpy"],
)
def test_what_a_network_does_in_python_is_not_lost_to_a_graph(
    what: Callable[[Impure], object], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, tape, plain_model = Impure(what), Tape(), Impure(what)
    random.seed(0)
    training = training_of(model, images(), graph=tape, capture="graph")
    losses, _ = learnt(training)
    assert training.capture.mode == "none"
    reason = f"the network changes {told} in Python as it computes"
    assert training.capture.reason == reason
    assert [record.message for record in caplog.records] == [f"{WORDS}{reason}."]
    assert tape.replays == 0
    drawn = random.random()
    random.seed(0)
    plain, _ = learnt(training_of(plain_model, images(), capture="none"))
    assert losses == plain
    assert (drawn, model.calls) == (random.random(), plain_model.calls)


def test_a_capture_that_fails_costs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    options = {"scheduler": schema.CosineConfig()}
    training = training_of(Waiting(), images(), graph=Tape(), capture="graph", **options)
    losses, weights = learnt(training)
    plain, expected = learnt(training_of(Waiting(), images(), capture="none", **options))
    assert (losses, True) == (plain, torch.equal(weights, expected))
    said = f"{WORDS}RuntimeError: operation not permitted when stream is capturing."
    assert [record.message for record in caplog.records] == [said]


def test_complex_parameters_are_trained_plainly() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(16, 3, dtype=torch.cfloat))

        def forward(self, seen: Tensor) -> Tensor:
            return (seen.flatten(1).cfloat() @ self.weight).abs()

    training = training_of(Complex(), images(), graph=Tape(), capture="graph")
    training.warm_up()
    losses = [epoch.loss for epoch in training]
    assert training.capture.reason == "complex parameters have no fused optimizer"
    assert losses[2] < losses[0]


def test_images_that_cannot_be_read_leave_no_shape_to_capture() -> None:
    training = training_of(network(), streamed({1, 20}), graph=Tape(), capture="graph")
    losses, _ = learnt(training)
    assert training.capture.reason == "some of the first images cannot be read"
    assert len(losses) == 3


# --- auto ---------------------------------------------------------------------------------------


def frozen(step: Repeat) -> Repeat:
    """A graph that holds nothing of the step."""
    loss = step()
    return lambda: loss


def forgetful(step: Repeat) -> Repeat:
    """A graph that lacks the update of the weights."""
    tape = Tape()
    replay = tape(step)
    tape.calls = [each for each in tape.calls if "adam" not in str(each[0])]
    return replay


def lame(step: Repeat) -> Repeat:
    def replay() -> Tensor:
        time.sleep(0.02)
        return step()

    return replay


@pytest.mark.parametrize(
    ("graph", "options", "mode", "reason"),
    [
        (Tape(), {"epochs": 100}, "graph", "captured steps took 0."),
        (frozen, {"epochs": 100}, "none", "captured steps gave other losses than plain ones"),
        (forgetful, {"epochs": 100}, "none", "captured steps gave other losses than plain ones"),
        (lame, {"epochs": 100}, "none", "captured steps took "),
        (Tape(), {"epochs": 3}, "none", "15 steps are too few to pay for a capture"),
        (None, {"epochs": 100}, "none", "CUDA graphs need a GPU"),
        (Tape(), {"epochs": 100, "capture": "none"}, "none", "training.capture=none"),
    ],
)
def test_auto_captures_where_a_trial_shows_that_it_pays(
    graph: Recorder | None,
    options: dict[str, Any],
    mode: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = network()
    model[0].register_forward_hook(lambda *_: time.sleep(0.01))  # Python, of which a graph has none
    training = training_of(model, images(), graph=graph, **options)
    training.warm_up()
    assert training.capture.mode == mode
    assert training.capture.reason.startswith(reason)
    assert not caplog.records


def test_auto_does_not_capture_steps_in_which_launches_are_hidden() -> None:
    model = nn.Sequential(network(), nn.Identity())
    model[1].register_forward_hook(lambda *_: time.sleep(0.06))
    training = training_of(model, images(), graph=Tape(), epochs=100)
    training.warm_up()
    assert training.capture.mode == "none"
    assert training.capture.reason.endswith(" ms do not wait for launches")


# --- a run --------------------------------------------------------------------------------------

QUICK = (
    "training.epochs=1",
    "dataset.train_limit=200",
    "energy=unmetered",
    "tracking=local",
    "inference.seconds=0",
    "training.device=cpu",
    "hydra.run.dir=run",
)


@pytest.mark.parametrize(
    ("option", "reason", "lines"),
    [
        ("training.capture=auto", "CUDA graphs need a GPU", 0),
        ("training.capture=graph", "CUDA graphs need a GPU", 1),
        ("training.capture=none", "training.capture=none", 0),
    ],
)
def test_a_run_says_how_its_steps_were_taken(
    cli: Callable[..., Any], tmp_path: Path, option: str, reason: str, lines: int
) -> None:
    ended = cli("train.py", *QUICK, option)
    assert ended.status == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["capture"], result["capture_reason"]) == ("none", reason)
    assert (ended.output + ended.errors).count(WORDS) == lines


# --- compiled, and on a GPU ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [CONSTANT, schema.OneCycleConfig()])
def test_compiled_steps_train_as_plain_ones_within_rounding(
    scheduler: schema.SchedulerConfig, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"flip": True, "label_smoothing": 0.1, "scheduler": scheduler}
    compiled = training_of(network(), images(), capture="compile", **options)
    losses, weights = learnt(compiled)
    if compiled.capture.mode == "none":
        pytest.skip(f"nothing compiles here: {compiled.capture.reason}")
    assert WORDS not in caplog.text
    plain, expected = learnt(training_of(network(), images(), capture="none", **options))
    assert losses == pytest.approx(plain, rel=1e-4)
    assert torch.allclose(weights, expected, rtol=1e-2, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("optimizer", [ADAM, SGD])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scheduler", [CONSTANT, schema.OneCycleConfig()])
def test_a_cuda_graph_trains_as_plain_steps_within_rounding(
    optimizer: schema.OptimizerConfig, precision: str, scheduler: schema.SchedulerConfig
) -> None:
    options: dict[str, Any] = {
        "optimizer": optimizer,
        "scheduler": scheduler,
        "precision": precision,
        "device": torch.device("cuda"),
        "flip": True,
        "crop_padding": 1,
    }
    captured = training_of(network(), images(), capture="graph", **options)
    losses, weights = learnt(captured)
    assert captured.capture.mode == "graph", captured.capture.reason
    plain, expected = learnt(training_of(network(), images(), capture="none", **options))
    assert losses == pytest.approx(plain, rel=1e-2 if precision != "float32" else 1e-4)
    assert torch.allclose(weights, expected, rtol=5e-2, atol=5e-3)


@pytest.mark.cuda
def test_a_network_that_waits_for_the_gpu_is_trained_plainly_there() -> None:
    training = training_of(Waiting(), images(), capture="graph", device=torch.device("cuda"))
    losses, _ = learnt(training)
    assert training.capture.mode == "none"
    assert "synchroniz" in training.capture.reason
    assert len(losses) == 3
    again = training_of(network(), images(), capture="graph", device=torch.device("cuda"))
    again.warm_up()
    assert again.capture.mode == "graph"  # the refused one left CUDA in order


@pytest.mark.cuda
@pytest.mark.parametrize("capture", ["none", "graph"])
def test_steps_on_a_gpu_do_not_wait_for_it(capture: str) -> None:
    training = training_of(
        network(), images(700), capture=capture, epochs=1, device=torch.device("cuda"), flip=True
    )
    training.warm_up()
    take, split = training._take, training._split
    assert isinstance(split, TensorSplit)
    batches = split.indices(list(torch.arange(700).split(7)))
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for indices in batches:
            take(indices)
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.cuda
@pytest.mark.parametrize("capture", ["none", "graph"])
def test_a_loss_that_diverges_on_a_gpu_ends_the_epoch_early(capture: str) -> None:
    training = training_of(
        network(),
        images(7 * 20_000),
        optimizer=replace(SGD, learning_rate=1e20),
        capture=capture,
        epochs=1,
        device=torch.device("cuda"),
    )
    training.warm_up()
    seen, take = [], training._take
    training._take = lambda *batch: (seen.append(1), take(*batch))[1]
    with pytest.raises(TrainingError, match="the training loss became"):
        list(training)
    assert len(seen) < 20_000


@pytest.mark.cuda
@pytest.mark.parametrize("capture", ["none", "graph"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_weights_on_a_gpu(capture: str, precision: str) -> None:
    def weights() -> Tensor:
        with deterministic(True):
            return learnt(
                training_of(
                    network(),
                    images(700),
                    capture=capture,
                    precision=precision,
                    device=torch.device("cuda"),
                )
            )[1]

    assert torch.equal(weights(), weights())
