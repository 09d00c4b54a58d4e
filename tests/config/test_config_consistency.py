"""Options that contradict each other, or have no value, are refused in one sentence each."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from greensweep.config.options import option_faults
from greensweep.config.schema import EvaluateConfig, PrepareConfig, TrainConfig
from greensweep.config.schema_energy import CodeCarbonConfig
from greensweep.config.store import parse
from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"

Compose = Callable[..., TrainConfig]


def script_config(name: str, *overrides: str) -> object:
    with initialize_config_dir(str(CONF)):
        return parse(compose(name, overrides=list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["energy.country=NLD", "energy.grams_co2e_per_kwh=300"],
            "energy.country and energy.grams_co2e_per_kwh both state the grid: "
            "leave one of them out",
        ),
        (
            ["energy.region=texas"],
            "energy.region=texas needs energy.country: set energy.country=USA, say",
        ),
        (
            ["energy.calibration.idle_watts=40"],
            "energy.calibration needs both idle_watts and load_watts: set load_watts too",
        ),
        (
            ["energy.calibration.load_watts=40"],
            "energy.calibration needs both idle_watts and load_watts: set idle_watts too",
        ),
        (
            ["energy.calibration.idle_watts=40", "energy.calibration.load_watts=40"],
            "energy.calibration.load_watts must be above idle_watts, got 40 and 40: "
            "measure with all cores busy",
        ),
        (
            ["energy.calibration.idle_watts=0", "energy.calibration.load_watts=40"],
            "energy.calibration.idle_watts must be above 0, got 0: "
            "set energy.calibration.idle_watts=40",
        ),
        (
            [
                "energy.calibration.idle_watts=40",
                "energy.calibration.load_watts=90",
                "energy.tracking_mode=process",
            ],
            "energy.calibration is of the whole machine, but energy.tracking_mode=process: "
            "set energy.tracking_mode=machine",
        ),
        (
            ["repeats=2", "seed=4294967295"],
            "the seeds of repeats=2 go from seed=4294967295 beyond 4294967295: set a smaller seed",
        ),
        (
            ["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"],
            "optimizer.nesterov needs momentum, got 0: set optimizer.momentum=0.9",
        ),
        (
            ["layer_energy=true", "training.accumulate=4"],
            "layer_energy=true samples steps of one batch, but training.accumulate=4 takes one "
            "step of several: set layer_energy=false",
        ),
        (
            ["training=replay", "replay.table=runs.csv", "repeats=3"],
            "repeats=3 asks for several seeds, but training=replay answers all alike: "
            "set repeats=1",
        ),
        (
            ["training=replay", "replay.table=runs.csv", "layer_energy=true"],
            "layer_energy=true samples training steps, but training=replay takes none: "
            "set layer_energy=false",
        ),
        (
            ["objective=pareto", "energy=unmetered"],
            "objective=pareto needs energy, but energy=unmetered: "
            "set energy=codecarbon or objective=accuracy",
        ),
        (
            ["objective=priced", "energy=unmetered"],
            "objective=priced needs energy, but energy=unmetered: "
            "set energy=codecarbon or objective=accuracy",
        ),
        (
            ["objective.direction=up"],
            "objective.direction must be minimize or maximize for each value of "
            "objective=accuracy, got up: set objective.direction=maximize",
        ),
        (
            ["objective.direction=[maximize]"],
            "objective.direction must be minimize or maximize for each value of "
            "objective=accuracy, got ['maximize']: set objective.direction=maximize",
        ),
        (
            ["objective=pareto", "objective.direction=maximize"],
            "objective.direction must be minimize or maximize for each value of "
            "objective=pareto, got maximize: set objective.direction=[maximize,minimize]",
        ),
        (
            ["objective=pareto", "objective.direction=[maximize,minimize,minimize]"],
            "objective.direction must be minimize or maximize for each value of "
            "objective=pareto, got ['maximize', 'minimize', 'minimize']: "
            "set objective.direction=[maximize,minimize]",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_contradiction_is_refused(config: Compose, overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(*overrides)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "overrides",
    [
        ["energy.country=NLD"],
        ["energy.grams_co2e_per_kwh=300"],
        ["optimizer=sgd", "optimizer.nesterov=true"],
        ["objective=pareto"],
        ["objective=pareto", "energy=unmetered", "training=replay", "replay.table=runs.csv"],
        ["energy=unmetered"],
        ["training.device=cpu", "training.precision=float16"],
    ],
    ids=" ".join,
)
def test_each_half_of_a_contradiction_is_allowed_alone(
    config: Compose, overrides: list[str]
) -> None:
    config(*overrides)


@pytest.mark.parametrize(
    ("overrides", "missing"),
    [
        (["dataset=image_folder"], ["dataset.root"]),
        (["dataset=custom"], ["dataset.target"]),
        (["model=custom"], ["model.target"]),
        (["training=replay"], ["replay.table"]),
        (["dataset=image_folder", "model=custom"], ["dataset.root", "model.target"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_an_option_without_a_value_is_named_with_what_to_set(
    config: Compose, overrides: list[str], missing: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        config(*overrides)
    said = str(refused.value).split("; ")
    assert sorted(said) == [f"{key} has no value: set {key}=…" for key in missing]


def test_evaluating_needs_a_checkpoint() -> None:
    with pytest.raises(ConfigError, match=r"^checkpoint has no value: set checkpoint=…$"):
        script_config("evaluate")
    parsed = script_config("evaluate", "checkpoint=run/model.pt")
    assert isinstance(parsed, EvaluateConfig)
    assert parsed.checkpoint == "run/model.pt"


def test_options_of_evaluating_and_preparing_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"energy.country and energy.grams_co2e_per_kwh both"):
        script_config(
            "evaluate", "checkpoint=x", "energy.country=NLD", "energy.grams_co2e_per_kwh=1"
        )
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        script_config("evaluate", "checkpoint=x", "batch_size=0")
    with pytest.raises(ConfigError, match=r"dataset.test_fraction must be above 0 and below 1"):
        script_config("prepare", "dataset.test_fraction=1")
    assert isinstance(script_config("prepare"), PrepareConfig)


def test_the_meter_of_another_programs_sweep_is_held_to_the_same_rules() -> None:
    options = SweeperConfig(energy=CodeCarbonConfig(region="texas"))
    (fault,) = option_faults(options, "hydra.sweeper.")
    assert fault == (
        "hydra.sweeper.energy.region=texas needs hydra.sweeper.energy.country: set "
        "hydra.sweeper.energy.country=USA, say"
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"enqueue": [3]},
            "enqueue must be present, or a list of points, got [3]: set "
            "enqueue='[{optimizer.learning_rate: 0.01}]'",
        ),
        (
            {"energy": "gpu"},
            "energy must be a mapping of a meter's options, got gpu: set energy='{country: NLD}'",
        ),
        (
            {"constraints": 3},
            "constraints must be bounds by name, got 3: set "
            "constraints='{max_joules_per_run: 500}'",
        ),
        (
            {"study_name": ""},
            "study_name must be the name of one folder, not empty and without a slash, got '': "
            "set study_name=first",
        ),
        (
            {"n_workers": "many"},
            "n_workers must be auto or a whole number, got many: set n_workers=1",
        ),
    ],
)
def test_what_a_sweep_cannot_take_is_refused_with_what_it_takes(
    options: dict[str, object], fault: str
) -> None:
    assert list(option_faults(SweeperConfig(**options))) == [fault]


def test_points_bounds_and_a_meter_are_options_of_a_sweep() -> None:
    options = SweeperConfig(
        enqueue=[{"seed": 1}], constraints={"max_joules": 1}, energy=CodeCarbonConfig()
    )
    assert not list(option_faults(options))
