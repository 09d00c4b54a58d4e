"""The paper's study: its cells and its sizes, as they are composed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from greensweep.config.schema import TrainConfig

CONF = Path(__file__).resolve().parents[2] / "conf"
STRATEGIES, LAYERS = "experiment=rq1_strategies", "experiment=rq2_layers"

Compose = Callable[..., TrainConfig]


def sweeper(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF)):
        composed = compose("train", overrides=list(overrides), return_hydra_config=True)
    return composed.hydra.sweeper


def test_the_first_question_is_asked_as_published(config: Compose) -> None:
    asked = config(STRATEGIES, "size=paper")
    assert (asked.dataset.name, asked.dataset.train_limit) == ("cifar10", None)
    network = asked.model
    assert (network.name, network.conv_layers, network.linear_layers, network.relu) == (  # type: ignore[attr-defined]
        "simple_cnn", 2, 3, True,
    )  # fmt: skip
    assert (asked.optimizer.name, asked.scheduler.name) == ("adam", "constant")
    assert (asked.training.epochs, asked.training.batch_size, asked.repeats) == (25, 512, 8)
    assert asked.objective.name == "accuracy"
    assert asked.inference.seconds == 0
    assert list(asked.space) == [
        f"optimizer.{name}" for name in ("learning_rate", "beta1", "beta2")
    ]


def test_the_second_question_searches_the_spans_of_the_recorded_runs(config: Compose) -> None:
    asked = config(LAYERS, "size=paper", "model.conv_layers=4", "model.relu=false")
    ends = {name: (each["low"], each["high"]) for name, each in asked.space.items()}
    assert ends == {
        "optimizer.learning_rate": (1.7e-5, 9.6e-4),
        "optimizer.beta1": (0.5, 0.97),
        "optimizer.beta2": (0.81, 0.99),
    }
    network = asked.model
    assert (network.conv_layers, network.linear_layers, network.relu) == (4, 3, False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("experiment", [STRATEGIES, LAYERS])
def test_a_search_of_the_study_begins_with_nothing_and_gives_no_trial_up(experiment: str) -> None:
    asked = sweeper(experiment, "size=small")
    assert asked._target_.endswith("GreensweepSweeper")
    assert asked.sampler._target_.endswith("RandomSampler")
    assert asked.pruner == "none"
    assert asked.enqueue is None
    plain = sweeper("hydra/sweeper=greensweep", "size=small")
    assert (plain.pruner, plain.enqueue) == ("auto", "present")


@pytest.mark.parametrize(
    ("size", "trials", "hours"), [("none", 12, None), ("smoke", 3, None), ("small", 24, None),
    ("paper", 64, 24.0)],
)  # fmt: skip
def test_a_size_sets_the_trials_of_both_sweepers(
    size: str, trials: int, hours: float | None
) -> None:
    ours = sweeper("hydra/sweeper=greensweep", f"size={size}")
    assert (ours.n_trials, ours.confirm_hours) == (trials, hours)
    assert sweeper("hydra/sweeper=optuna", f"size={size}").n_trials == trials
    assert sweeper(f"size={size}")._target_.endswith("BasicSweeper")


def test_the_command_line_wins_over_a_size_and_an_experiment(config: Compose) -> None:
    given = (STRATEGIES, "size=small")
    for first in (given, given[::-1]):
        asked = config(*first, "training.epochs=9", "dataset.train_limit=77", "repeats=3")
        assert (asked.training.epochs, asked.dataset.train_limit, asked.repeats) == (9, 77, 3)
    assert config(*given).dataset.evaluation_limit == config(*given).dataset.train_limit == 2000
    chosen = config(*given, "dataset=fashion_mnist", "model=dense_poly", "space=paper_five")
    assert (chosen.dataset.name, chosen.model.name) == ("fashion_mnist", "dense_poly")
    assert len(chosen.space) == 5
    assert sweeper(*given, "hydra.sweeper.n_trials=5").n_trials == 5
    assert sweeper(*given, "hydra/sweeper/sampler=paper_gp").sampler._target_ == (
        "greensweep.search.samplers.PaperGpSampler"
    )


def test_the_smoke_size_takes_the_digits_unless_told_otherwise(config: Compose) -> None:
    small = config(STRATEGIES, "size=smoke")
    assert (small.dataset.name, small.dataset.image_size, small.warmup) == ("digits", 32, 0)
    told = config(STRATEGIES, "size=smoke", "dataset=cifar10")
    assert (told.dataset.name, told.dataset.image_size) == ("cifar10", 32)


def test_cells_have_folders_of_their_own() -> None:
    cells = [
        (STRATEGIES, "size=small"),
        (STRATEGIES, "size=smoke"),
        (STRATEGIES, "size=small", "dataset=fashion_mnist"),
        (STRATEGIES, "size=small", "model=dense_poly"),
        (STRATEGIES, "size=small", "space=paper_log"),
        (STRATEGIES, "size=small", "hydra/sweeper/sampler=paper_gp"),
        (STRATEGIES, "size=small", "seed=1"),
        (LAYERS, "size=small"),
        (LAYERS, "size=small", "model.conv_layers=4"),
        (LAYERS, "size=small", "model.linear_layers=7"),
        (LAYERS, "size=small", "model.relu=false"),
    ]
    names = [sweeper(*cell).study_name for cell in cells]
    assert len(set(names)) == len(cells)
    assert names[5] == "rq1-small-cifar10-simple_cnn-paper-paper_gp-0"
    assert names[8] == "rq2-small-cifar10-conv_4-linear_3-relu_True-0"
