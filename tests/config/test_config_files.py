"""Every file of conf/ composes and parses, and a run's config.yaml can be read back."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf

from greensweep.config import schema, schema_dataset, schema_energy, schema_model, schema_tracking
from greensweep.config.register import SCHEMAS
from greensweep.config.schema import TrainConfig
from greensweep.config.store import load_run_config, save_run_config
from greensweep.errors import ConfigError
from greensweep.nested import dotted

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = (
    "dataset",
    "model",
    "task",
    "optimizer",
    "scheduler",
    "training",
    "energy",
    "tracking",
    "objective",
    "space",
    "experiment",
    "variant",
    "size",
)
# What the user has to state with an option.
STATED = {
    "dataset=image_folder": ["dataset.root=images"],
    "dataset=table": ["dataset.path=rows.csv", "dataset.target_column=y"],
    "dataset=custom": ["dataset.target=mine.splits", "+dataset.kwargs.count=3"],
    "energy=replay": ["energy.path=trace.csv"],
    "training=replay": ["replay.table=runs.csv", "replay.where.dataset=cifar10"],
    "optimizer=custom": ["optimizer.target=torch.optim.RMSprop", "+optimizer.kwargs.alpha=0.9"],
    "scheduler=custom": ["scheduler.target=mine.Schedule", "scheduler.interval=step"],
    "task=custom": ["task.target=mine.Task", "metrics=[rmse]"],
    "model=custom": ["model.target=mine.Net", "+model.kwargs.widths=[8,16]"],
}
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*"))]

Compose = Callable[..., TrainConfig]


def saved(config: TrainConfig, folder: Path) -> Path:
    """Write the config as a run does."""
    path = folder / "config.yaml"
    save_run_config(asdict(config), path)
    return path


def test_every_group_has_options() -> None:
    assert {choice.partition("=")[0] for choice in CHOICES} == set(GROUPS)


def test_what_tests_compose_is_what_hydra_composes(
    quick_composition: dict[type, tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def composed() -> list[DictConfig]:
        with initialize_config_dir(str(CONF)):
            return [
                compose("train", [f"hydra/sweeper={name}", *chosen], return_hydra_config=True)
                for name, *chosen in (["greensweep"], ["optuna", "model=timm", "optimizer=sgd"])
            ]

    first, second = composed(), composed()
    for owner, (name, plain) in quick_composition.items():
        monkeypatch.setattr(owner, name, plain)
    assert [*map(shape, first)] == [*map(shape, second)] == [*map(shape, composed())]


def shape(node: Any) -> Any:
    """All that OmegaConf knows of a node: its types and flags, and its values, not resolved."""
    known = {**vars(node._metadata), "resolver_cache": None}  # the time
    if not isinstance(node, DictConfig | ListConfig) or not isinstance(node._content, dict | list):
        return known, node._value()
    items = node._content.items() if isinstance(node, DictConfig) else enumerate(node._content)
    return known, {key: shape(child) for key, child in items}


def test_a_file_that_was_changed_is_composed_anew(tmp_path: Path) -> None:
    for value in (1, 2):
        (tmp_path / "mine.yaml").write_text(f"value: {value}\n")
        with initialize_config_dir(str(tmp_path)):
            assert compose("mine").value == value


@pytest.mark.parametrize("choice", CHOICES)
def test_option_composes_parses_and_survives_its_file(
    config: Compose, tmp_path: Path, choice: str
) -> None:
    parsed = config(choice, *STATED.get(choice, []))
    group, _, name = choice.partition("=")
    if group in ("optimizer", "scheduler", "energy", "tracking", "objective"):
        assert getattr(parsed, group).name == name
    read = load_run_config(saved(parsed, tmp_path))
    assert read == parsed
    assert type(getattr(read, group, None)) is type(getattr(parsed, group, None))


@pytest.mark.parametrize("name", ["1e5", "007", "true", "null", "1:30", "Überblick"])
def test_a_name_that_looks_like_something_else_survives_its_file(
    config: Compose, tmp_path: Path, name: str
) -> None:
    parsed = config(f"tracking.experiment='{name}'")
    assert parsed.tracking.experiment == name
    assert load_run_config(saved(parsed, tmp_path)) == parsed


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ("dataset=digits", schema_dataset.DigitsConfig),
        ("dataset=cifar10", schema_dataset.TorchvisionDatasetConfig),
        ("model=simple_cnn", schema_model.SimpleCnnConfig),
        ("model=dense_linear", schema_model.DenseConfig),
        ("model=timm", schema_model.NamedModelConfig),
        ("optimizer=adamw", schema.AdamConfig),
        ("optimizer=sgd", schema.SgdConfig),
        ("scheduler=constant", schema.ConstantConfig),
        ("scheduler=cosine", schema.CosineConfig),
        ("energy=codecarbon", schema_energy.CodeCarbonConfig),
        ("energy=nvml_rapl", schema_energy.NvmlRaplConfig),
        ("energy=unmetered", schema_energy.UnmeteredConfig),
        ("tracking=local", schema_tracking.LocalConfig),
        ("objective=priced", schema.PricedConfig),
    ],
)
def test_option_becomes_a_plain_object_of_its_own_class(
    config: Compose, choice: str, kind: type
) -> None:
    assert type(getattr(config(choice), choice.partition("=")[0])) is kind


def test_each_choice_names_what_it_builds() -> None:
    named = {
        path
        for kinds in SCHEMAS.values()
        for kind in kinds.values()
        for attribute in ("implementation", "reader", "builder")
        if (path := getattr(kind, attribute, None))
    }
    assert len(named) >= 20
    assert [path for path in named if not callable(resolve_name(path))] == []


@pytest.mark.parametrize(
    "path", sorted((CONF / "space").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_space_searches_options_that_exist(config: Compose, path: Path) -> None:
    space = config(f"space={path.stem}").space
    assert space
    for key, declared in space.items():
        chosen = [f"{group}={choice}" for group, choice in declared.get("when", {}).items()]
        assert OmegaConf.select(OmegaConf.structured(config(*chosen)), key) is not None, key


def test_the_variants_differ_from_the_defaults_by_the_papers_flaws_and_nothing_else(
    config: Compose,
) -> None:
    plain = dotted(asdict(config("training.batch_size=512")))
    corrected = dotted(asdict(config("training.batch_size=512", "variant=corrected")))
    faithful = dotted(asdict(config("training.batch_size=512", "variant=faithful")))
    assert corrected == {**plain, "variant": "corrected"}
    assert {key: value for key, value in faithful.items() if value != plain[key]} == {
        "variant": "faithful",
        "optimizer.beta2_applied": False,
        "training.reshuffle": False,
        "training.evaluation_mode": False,
        "training.evaluation_batch_size": 512,
        "training.keep": "last",
        "select_on": "test",
    }


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "gp"])
def test_the_search_follows_the_sweeper_and_its_sampler(sampler: str) -> None:
    with initialize_config_dir(str(CONF)):
        composed = compose(
            "train",
            overrides=["hydra/sweeper=optuna", f"hydra/sweeper/sampler={sampler}", "seed=7"],
            return_hydra_config=True,
        )
    sweeper = composed.hydra.sweeper
    assert sweeper.direction == "maximize"
    assert sweeper.max_failure_rate == 1.0
    assert sweeper.sampler.seed == 7
    assert set(sweeper.params) == set(composed.space)


@pytest.mark.parametrize(
    ("choice", "lacking"),
    [
        ("scheduler=cosine", "scheduler.final_fraction"),
        ("scheduler=one_cycle", "scheduler.final_division"),
        ("optimizer=sgd", "optimizer.nesterov"),
        ("optimizer=adam", "optimizer.epsilon"),
        ("energy=codecarbon", "energy.tracking_mode"),
        ("objective=priced", "objective.price_per_kilojoule"),
        ("model=timm", "model.kwargs"),
        ("training=default", "training.cutout_size"),
        ("training=default", "seed"),
        ("space=default", "space"),
    ],
)
def test_a_config_from_before_an_option_has_its_default(
    config: Compose, tmp_path: Path, choice: str, lacking: str
) -> None:
    parsed = config(choice)
    if lacking == "space":
        parsed.space = {}
    plain = OmegaConf.create(asdict(parsed))
    node, _, key = lacking.rpartition(".")
    del (OmegaConf.select(plain, node) if node else plain)[key]
    OmegaConf.save(plain, tmp_path / "config.yaml")
    read = load_run_config(tmp_path / "config.yaml")
    assert read == parsed


@pytest.mark.parametrize(
    "choice",
    [
        ["dataset=digits"],
        ["dataset=image_folder", "dataset.root=birds"],
        ["dataset=custom", "dataset.target=birds.splits"],
    ],
)
def test_a_data_set_may_have_a_name_of_its_own(
    config: Compose, tmp_path: Path, choice: list[str]
) -> None:
    parsed = config(*choice, "dataset.name=birds")
    save_run_config(asdict(parsed), tmp_path / "config.yaml")
    read = load_run_config(tmp_path / "config.yaml")
    assert read == parsed
    assert type(read.dataset) is type(parsed.dataset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list\n",
        "{ broken",
        "just words",
        "dataset: {name: digits}\n",
        "\x00\x01",
    ],
    ids=["empty", "list", "no yaml", "words", "part", "binary"],
)
def test_a_file_that_is_no_config_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_run_config(path)
    said = str(refused.value)
    assert said.startswith(f"{path} is not the config of a run of Greensweep's training (")
    assert "): put the run's own config.yaml beside its checkpoint, or, " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.batch_size", "many", "'many'"),
        ("model.name", "simple_cn", "did you mean simple_cnn"),
        ("dataset.bogus", 1, "bogus"),
        ("optimizer.name", "adm", "did you mean adam"),
        ("optimizer.beta3", 0.5, "beta3"),
        ("training", 5, "5"),
    ],
)
def test_a_config_with_a_broken_value_names_it(
    config: Compose, tmp_path: Path, key: str, value: object, said: str
) -> None:
    plain = OmegaConf.create(asdict(config()))
    OmegaConf.update(plain, key, value, merge=False)
    OmegaConf.save(plain, tmp_path / "config.yaml")
    with pytest.raises(ConfigError) as refused:
        load_run_config(tmp_path / "config.yaml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_config_says_where_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError) as refused:
        load_run_config(path)
    assert str(refused.value) == (
        f"no config at {path}: a checkpoint needs its run's config.yaml beside it"
    )
