"""Each declared hyperparameter and schedule has PyTorch's own effect on the weights."""

import math
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from greensweep.config import schema
from greensweep.data import TensorSplit
from greensweep.errors import ModelError
from greensweep.tasks.classification import Classification
from greensweep.training import Normalise, Training
from greensweep.training.optimizers import build_optimizer, build_schedule

STEPS = 8
CONSTANT = schema.ConstantConfig()
CLASSES = Classification(torch.arange(3), 3)

# Option, its value, PyTorch's name and value. Each differs from the default by enough to be seen.
ADAM = [
    ("learning_rate", 0.02, {"lr": 0.02}),
    ("weight_decay", 0.3, {"weight_decay": 0.3}),
    ("beta1", 0.5, {"betas": (0.5, 0.999)}),
    ("beta2", 0.7, {"betas": (0.9, 0.7)}),
    ("epsilon", 0.1, {"eps": 0.1}),
]
SGD = [
    ("learning_rate", 0.02, {"lr": 0.02}),
    ("weight_decay", 0.3, {"weight_decay": 0.3}),
    ("momentum", 0.4, {"momentum": 0.4}),
    ("nesterov", True, {"nesterov": True}),
]
ADAM_DEFAULTS = {"lr": 0.05, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
SGD_DEFAULTS = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
CASES = [
    *[("adam", *case) for case in ADAM],
    *[("adamw", *case) for case in ADAM],
    *[("sgd", *case) for case in SGD],
]


def images() -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    return TensorSplit(torch.randn(24, 1, 3, 3, generator=generator), torch.arange(24).remainder(3))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 3))


def as_they_are() -> Normalise:
    ones = torch.ones(1, 1, 1)
    return Normalise((ones - 1, ones), torch.device("cpu"), "contiguous")


def configured(name: str, **options: Any) -> schema.OptimizerConfig:
    kind = schema.SgdConfig if name == "sgd" else schema.AdamConfig
    return kind(**{"name": name, "learning_rate": 0.05, **options})


def trained(
    optimizer: schema.OptimizerConfig, scheduler: schema.SchedulerConfig = CONSTANT
) -> tuple[Tensor, list[float]]:
    """Weights after STEPS steps, each over the whole set, and the rate of each step."""
    model, split = network(), images()
    training = schema.TrainingConfig(epochs=STEPS, batch_size=len(split), device="cpu")
    epochs = Training(
        model,
        split,
        as_they_are(),
        CLASSES,
        training=training,
        optimizer=optimizer,
        scheduler=scheduler,
        seed=0,
    )
    rates = [epoch.learning_rate for epoch in epochs]
    return flat(model), rates


def trained_by_hand(name: str, rates: list[float] | None = None, **options: Any) -> Tensor:
    """The same with PyTorch's plain (not fused) optimizer and, if given, a rate per step."""
    model, split = network(), images()
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    defaults = SGD_DEFAULTS if name == "sgd" else ADAM_DEFAULTS
    optimizer = kinds[name](model.parameters(), foreach=False, **{**defaults, **options})
    for step in range(STEPS):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.zero_grad()
        cross_entropy(model(split.inputs), split.labels).backward()
        optimizer.step()
    return flat(model)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "option", "value", "in_torch"), CASES)
def test_hyperparameter_reaches_the_optimizer(
    name: str, option: str, value: Any, in_torch: dict[str, Any]
) -> None:
    weights, _ = trained(configured(name, **{option: value}))
    assert same(weights, trained_by_hand(name, **in_torch))
    default, _ = trained(configured(name))
    assert same(default, trained_by_hand(name))
    assert not same(weights, default)


def test_no_hyperparameter_goes_untested() -> None:
    for kind, cases in ((schema.AdamConfig, ADAM), (schema.SgdConfig, SGD)):
        declared = {field.name for field in fields(kind)} - {"name", "beta2_applied"}
        assert declared == {option for option, _, _ in cases}


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_beta2_that_is_not_applied_leaves_the_optimizers_own(name: str) -> None:
    ignored = configured(name, beta1=0.5, beta2=0.7, beta2_applied=False)
    (group,) = build_optimizer(ignored, network().parameters()).param_groups
    assert group["betas"] == (0.5, 0.999)
    weights, _ = trained(ignored)
    assert same(weights, trained_by_hand(name, betas=(0.5, 0.999)))
    assert not same(weights, trained_by_hand(name, betas=(0.5, 0.7)))


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    adam, _ = trained(configured("adam", weight_decay=0.3))
    adamw, _ = trained(configured("adamw", weight_decay=0.3))
    assert not same(adam, adamw)


def test_frozen_parameters_stay_as_they_were() -> None:
    model, split = network(), images()
    model[1].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training = schema.TrainingConfig(epochs=2, batch_size=8, device="cpu")
    list(
        Training(
            model,
            split,
            as_they_are(),
            CLASSES,
            training=training,
            optimizer=configured("adamw", weight_decay=0.3),
            scheduler=CONSTANT,
            seed=0,
        )
    )
    after = model.state_dict()
    assert torch.equal(after["1.weight"], before["1.weight"])
    assert not torch.equal(after["3.weight"], before["3.weight"])


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = network().requires_grad_(False)
    with pytest.raises(ModelError, match="at least 1 trainable parameter, the model has 0"):
        build_optimizer(configured("adam"), model.parameters())


# --- schedules ----------------------------------------------------------------------------------


def rates(scheduler: schema.SchedulerConfig, steps: int, peak: float = 0.5) -> list[float]:
    """The rate of each step."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=peak)
    schedule = build_schedule(scheduler, optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return found


def test_constant_rate_stays() -> None:
    assert rates(CONSTANT, 5) == [0.5] * 5


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_follows_its_closed_form(steps: int, final: float) -> None:
    expected = [
        0.5 * (final + (1 - final) * (1 + math.cos(math.pi * step / steps)) / 2)
        for step in range(steps)
    ]
    assert rates(schema.CosineConfig(final_fraction=final), steps) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [4, 10, 99])
@pytest.mark.parametrize("warmup", [0.3, 0.5, 0.77])
def test_one_cycle_is_that_of_pytorch(steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.5)
    reference = OneCycleLR(
        optimizer,
        max_lr=0.5,
        total_steps=steps,
        pct_start=warmup,
        div_factor=20,
        final_div_factor=300,
        cycle_momentum=False,
    )
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    config = schema.OneCycleConfig(warmup_fraction=warmup, initial_division=20, final_division=300)
    assert rates(config, steps) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "warmup"), [(2, 0.5), (10, 0.1), (4, 0.25), (2, 0.3), (3, 0.01), (5, 0.2)]
)
def test_one_cycle_without_room_to_rise_starts_at_the_peak_and_falls(
    steps: int, warmup: float
) -> None:
    config = schema.OneCycleConfig(warmup_fraction=warmup, initial_division=20, final_division=300)
    found = rates(config, steps)
    assert found[0] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(found))
    assert found[-1] == pytest.approx(0.5 / 20 / 300)


@pytest.mark.parametrize("warmup", [0.01, 0.3, 0.99])
def test_one_cycle_of_a_single_step_is_at_the_peak(warmup: float) -> None:
    assert rates(schema.OneCycleConfig(warmup_fraction=warmup), 1) == pytest.approx([0.5])


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_one_cycle_leaves_momentum_and_beta1_as_declared(name: str) -> None:
    option = {"momentum": 0.6} if name == "sgd" else {"beta1": 0.6}
    optimizer = build_optimizer(configured(name, **option), network().parameters())
    schedule = build_schedule(schema.OneCycleConfig(), optimizer, 6)
    for _ in range(6):
        group = optimizer.param_groups[0]
        assert (group["momentum"] if name == "sgd" else group["betas"][0]) == 0.6
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    "scheduler",
    [CONSTANT, schema.CosineConfig(final_fraction=0.1), schema.OneCycleConfig()],
    ids=["constant", "cosine", "one_cycle"],
)
def test_training_steps_at_the_scheduled_rate_and_reports_it(
    scheduler: schema.SchedulerConfig,
) -> None:
    expected = rates(scheduler, STEPS, peak=0.05)
    weights, reported = trained(configured("sgd"), scheduler)
    assert reported == pytest.approx(expected)
    assert same(weights, trained_by_hand("sgd", rates=expected))


def test_the_rate_of_an_epoch_is_that_of_its_last_step() -> None:
    training = schema.TrainingConfig(epochs=3, batch_size=12, device="cpu")
    epochs = Training(
        network(),
        images(),
        as_they_are(),
        CLASSES,
        training=training,
        optimizer=configured("sgd"),
        scheduler=schema.CosineConfig(),
        seed=0,
    )
    every = rates(schema.CosineConfig(), 6, peak=0.05)
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(
        [every[1], every[3], every[5]]
    )


@pytest.mark.parametrize(
    "config", [schema.AdamConfig(learning_rate=0.1), schema.SgdConfig(learning_rate=0.1)]
)
def test_complex_parameters_are_trained(config: schema.OptimizerConfig) -> None:
    parameter = nn.Parameter(torch.ones(2, dtype=torch.cfloat))
    update = build_optimizer(config, [parameter, nn.Parameter(torch.ones(2))])

    (parameter * parameter.conj()).real.sum().backward()
    update.step()

    assert (parameter.detach().abs() < 1).all()
