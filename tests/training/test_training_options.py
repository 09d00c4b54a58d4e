"""Clipping, accumulation, averages, mixup: each is what PyTorch's own means by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from greensweep.config import schema
from greensweep.config.schema import TrainConfig
from greensweep.data import TensorSplit
from greensweep.energy import UnmeteredMeter
from greensweep.errors import ConfigError, ModelError
from greensweep.runs import kept_model
from greensweep.runs.once import run_once
from greensweep.tasks.classification import Classification
from greensweep.tracking.tracker import MemoryTracker
from greensweep.training import Normalise, Training
from greensweep.training.state import first_steps_undone

Compose = Callable[..., TrainConfig]

CLASSES = Classification(torch.arange(3), 3)
SGD = schema.SgdConfig(learning_rate=0.1, momentum=0.5)
CONSTANT = schema.ConstantConfig()


def samples(count: int = 24) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 1, 3, 3, generator=generator)
    return TensorSplit(inputs, torch.arange(count).remainder(3))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3))


def training_of(
    model: nn.Module,
    split: TensorSplit | None = None,
    *,
    optimizer: schema.OptimizerConfig = SGD,
    scheduler: schema.SchedulerConfig = CONSTANT,
    **options: Any,
) -> Training:
    return Training(
        model,
        split or samples(),
        Normalise(None, torch.device("cpu"), "contiguous"),
        CLASSES,
        training=schema.TrainingConfig(**{"epochs": 3, "batch_size": 8, **options}),
        optimizer=optimizer,
        scheduler=scheduler,
        seed=0,
    )


def flat(model: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def batches(epochs: int, size: int, count: int = 24) -> list[Tensor]:
    """The indices of each step, in the order that training draws."""
    order = torch.Generator().manual_seed(0)
    drawn = [torch.randperm(count, generator=order).split(size) for _ in range(epochs)]
    return [batch for epoch in drawn for batch in epoch]


def by_hand(
    model: nn.Module,
    steps: list[Tensor],
    update: torch.optim.Optimizer,
    after_step: Callable[[], object] = lambda: None,
    clip_norm: float | None = None,
) -> None:
    split = samples()
    for batch in steps:
        update.zero_grad()
        cross_entropy(model(split.inputs[batch]), split.labels[batch]).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        update.step()
        after_step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


def trained(model: nn.Module, **options: Any) -> nn.Module:
    list(training_of(model, **options))
    return model


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_gradients_are_clipped_to_a_norm(precision: str) -> None:
    """Scaled losses of float16 are clipped by their own gradients' norm."""
    expected = network()
    by_hand(expected, batches(3, 8), sgd(expected), clip_norm=0.05)
    found = trained(network(), clip_norm=0.05, precision=precision)
    rounding = 1e-6 if precision == "float32" else 2e-3
    assert torch.allclose(flat(found), flat(expected), atol=rounding)
    assert not torch.allclose(flat(found), flat(trained(network())), atol=1e-2)


def test_accumulated_batches_train_as_one_of_their_size() -> None:
    expected = trained(network(), batch_size=24)
    found = trained(network(), batch_size=6, accumulate=4)
    assert torch.allclose(flat(found), flat(expected), atol=1e-6)


def test_accumulated_batches_are_computed_one_by_one_and_each_counts_by_its_samples() -> None:
    sizes: list[int] = []
    model = network()
    model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    training = training_of(model, batch_size=5, accumulate=2, epochs=1)
    (epoch,) = training
    # Of 24 samples: steps of 10, 10 and 4.
    assert sizes == [5, 5, 5, 5, 4]
    same = network()
    by_hand(same, batches(1, 10), sgd(same))
    assert torch.allclose(flat(model), flat(same), atol=1e-6)
    whole = training_of(network(), batch_size=10, epochs=1)
    assert epoch.loss == pytest.approx(next(iter(whole)).loss, rel=1e-5)


def test_more_batches_than_there_are_make_one_step_an_epoch() -> None:
    model = trained(network(), batch_size=8, accumulate=100)
    assert torch.allclose(flat(model), flat(trained(network(), batch_size=24)), atol=1e-6)


def test_schedules_count_steps_of_the_optimizer() -> None:
    schedule = schema.CosineConfig()
    found = training_of(network(), batch_size=4, accumulate=3, scheduler=schedule)
    plain = training_of(network(), batch_size=12, scheduler=schedule)
    rates = [epoch.learning_rate for epoch in found]
    assert rates == [epoch.learning_rate for epoch in plain]


# --- the average of the weights -----------------------------------------------------------------


def test_an_average_of_the_weights_follows_its_definition_and_leaves_training_alone() -> None:
    model, hand = network(), network()
    training = training_of(model, ema=0.7)
    list(training)
    average: list[Tensor] = []

    def follow() -> None:
        now = flat(hand)
        average.append(now if not average else 0.7 * average[-1] + 0.3 * now)

    by_hand(hand, batches(3, 8), sgd(hand), follow)
    assert torch.allclose(flat(model), flat(hand), atol=1e-6)
    assert torch.allclose(flat(training.model), average[-1], atol=1e-6)


def test_without_an_average_the_network_itself_is_evaluated() -> None:
    model = network()
    assert training_of(model).model is model


def test_what_a_run_keeps_and_tests_is_the_average(config: Compose, tmp_path: Path) -> None:
    quick = (
        "training.epochs=2", "dataset.train_limit=200", "model=dense_linear", "tracking=local",
        "energy=unmetered", "inference.seconds=0", "training.keep=last",
    )  # fmt: skip
    kept = {}
    for name, options in (("plain", ()), ("averaged", ("training.ema=0.9",))):
        result = run_once(
            config(*quick, *options), tmp_path / name,
            meter=UnmeteredMeter(), tracker=MemoryTracker(), test=True,
        )  # fmt: skip
        kept[name] = torch.load(tmp_path / name / "model.pt", weights_only=True)
        tested = kept_model.evaluate_checkpoint(tmp_path / name / "model.pt", UnmeteredMeter())
        assert tested.test.accuracy == result.test_accuracy
    assert kept["plain"].keys() == kept["averaged"].keys()
    assert any(
        not torch.equal(kept["plain"][each], kept["averaged"][each]) for each in kept["plain"]
    )


class Single(nn.Linear):
    def __deepcopy__(self, memo: object) -> None:
        raise TypeError("a socket cannot be copied")


def test_a_model_that_cannot_be_copied_has_no_average() -> None:
    with pytest.raises(ModelError) as refused:
        training_of(nn.Sequential(nn.Flatten(), Single(9, 3)), ema=0.9)
    assert str(refused.value) == (
        "training.ema averages a copy of the model, which cannot be copied (TypeError: a socket "
        "cannot be copied): set training.ema=null"
    )


# --- mixup --------------------------------------------------------------------------------------


class Seen(nn.Module):
    """A network that notes what it is shown, and says more of what is brighter."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.3, 0.2, 0.1]))
        self.shown: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.shown.append(inputs.clone())
        return inputs.flatten(1)[:, :1] * self.bias


def test_mixup_mixes_inputs_and_losses_by_one_share_a_batch() -> None:
    numbered = TensorSplit(
        torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 3, 3), torch.arange(8).remainder(3)
    )
    model = Seen()
    epochs = iter(training_of(model, numbered, mixup=0.4, epochs=30, reshuffle=False))
    shares = []
    (order,) = batches(1, 8, 8)
    labels = numbered.labels[order]
    for shown_before, epoch in enumerate(epochs):
        first, last = order[0].item(), order[-1].item()
        mixed = model.shown[shown_before][:, 0, 0, 0]
        share = (mixed[0].item() - last) / (first - last)
        shares.append(share)
        assert 0 <= share <= 1
        assert torch.allclose(mixed, share * order + (1 - share) * order.flip(0), atol=1e-5)
        if shown_before == 0:
            outputs = mixed[:, None] * torch.tensor([0.3, 0.2, 0.1])
            losses = [cross_entropy(outputs, each).item() for each in (labels, labels.flip(0))]
            assert epoch.loss == pytest.approx(share * losses[0] + (1 - share) * losses[1])
    assert len(set(shares)) > 20
    # Beta(0.4, 0.4) is mostly near its ends.
    assert sum(min(each, 1 - each) < 0.25 for each in shares) > 15


def test_ids_are_not_mixed() -> None:
    ids = TensorSplit(torch.zeros(24, 9, dtype=torch.int64), torch.arange(24).remainder(3))
    with pytest.raises(ConfigError, match=r"mixup mixes numbers, not ids: set training\.mixup=0"):
        training_of(nn.Embedding(3, 3), ids, mixup=0.4).warm_up()


# --- optimizers and schedules of others ---------------------------------------------------------


def custom(target: str, **options: Any) -> schema.CustomOptimizerConfig:
    return schema.CustomOptimizerConfig(target=f"torch.optim.{target}", **options)


@pytest.mark.parametrize(
    ("target", "kwargs"),
    [
        ("RMSprop", {"alpha": 0.5, "momentum": 0.3}),
        ("Adagrad", {"initial_accumulator_value": 0.2}),
        ("NAdam", {}),
        ("SGD", {"momentum": 0.5, "dampening": 0.4}),
    ],
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_another_optimizer_trains_as_pytorch_builds_it(
    target: str, kwargs: dict[str, Any], weight_decay: float
) -> None:
    config = custom(target, learning_rate=0.02, weight_decay=weight_decay, kwargs=kwargs)
    model, hand = network(), network()
    training = training_of(model, optimizer=config)
    training.warm_up()
    list(training)
    build = getattr(torch.optim, target)
    by_hand(
        hand,
        batches(3, 8),
        build(hand.parameters(), lr=0.02, weight_decay=weight_decay, **kwargs),
    )
    assert torch.allclose(flat(model), flat(hand), atol=1e-6)


def test_undone_first_steps_leave_the_state_of_another_optimizer_as_it_was() -> None:
    """It begins elsewhere than at zero, unlike those that are captured."""
    config = custom("Adagrad", learning_rate=0.02, kwargs={"initial_accumulator_value": 0.2})
    model, undisturbed = network(), network()
    training = training_of(model, optimizer=config)
    with first_steps_undone(training._plain):
        training._plain(torch.arange(len(samples())))
    list(training)
    trained(undisturbed, optimizer=config)
    assert torch.equal(flat(model), flat(undisturbed))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            custom("RMSprop", kwargs={"alfa": 1}),
            "optimizer.target=torch.optim.RMSprop cannot be built (TypeError: ",
        ),
        (custom("RMSProp"), "no name in torch.optim is called 'RMSProp': did you mean RMSprop"),
        (
            custom("LBFGS"),
            "optimizer.target=torch.optim.LBFGS computes the loss several times a step, which the "
            "training loop does not: take another optimizer",
        ),
        (
            custom("lr_scheduler.Counter"),
            "optimizer.target=torch.optim.lr_scheduler.Counter must give a torch.optim.optimizer."
            "Optimizer, got Counter: name such a class",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_is_one_sentence(
    config: schema.CustomOptimizerConfig, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        training_of(network(), optimizer=config)
    assert said in str(refused.value)


def schedule(target: str, interval: Any = "epoch", **kwargs: Any) -> schema.CustomSchedulerConfig:
    target = f"torch.optim.lr_scheduler.{target}"
    return schema.CustomSchedulerConfig(target=target, kwargs=kwargs, interval=interval)


@pytest.mark.parametrize(
    ("config", "build", "every"),
    [
        (schedule("StepLR", step_size=2, gamma=0.1), lambda it: StepLR(it, 2, 0.1), 3),
        (schedule("CosineAnnealingLR", "step", T_max=15), lambda it: CosineAnnealingLR(it, 15), 1),
    ],
)
def test_another_schedule_changes_the_rate_after_its_interval(
    config: schema.CustomSchedulerConfig, build: Callable[..., Any], every: int
) -> None:
    model, hand = network(), network()
    rates = [epoch.learning_rate for epoch in training_of(model, scheduler=config, epochs=5)]
    update = sgd(hand)
    expected, used, count = build(update), [], iter(range(1, 16))

    def follow() -> None:
        used.append(update.param_groups[0]["lr"])
        if next(count) % every == 0:
            expected.step()

    by_hand(hand, batches(5, 8), update, follow)
    assert rates == pytest.approx(used[2::3])
    assert torch.allclose(flat(model), flat(hand), atol=1e-6)


def test_a_schedule_of_plateaus_goes_by_the_loss_that_is_evaluated() -> None:
    config = schedule("ReduceLROnPlateau", factor=0.5, patience=0)
    training = training_of(network(), scheduler=config, epochs=4)
    rates = []
    for epoch, loss in zip(training, [1.0, 2.0, 0.5, 0.6], strict=True):
        rates.append(epoch.learning_rate)
        training.evaluation_loss = loss
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05])
    assert isinstance(training._schedule, ReduceLROnPlateau)
    with pytest.raises(ConfigError, match=r"after each epoch: set scheduler\.interval=epoch"):
        training_of(network(), scheduler=schedule("ReduceLROnPlateau", "step"))


def test_another_optimizer_is_not_captured_and_the_run_says_why() -> None:
    training = training_of(network(), optimizer=custom("RMSprop"), capture="graph")
    training.warm_up()
    assert training.capture.mode == "none"
    assert training.capture.reason == "CUDA graphs are of Greensweep's own optimizers and schedules"
