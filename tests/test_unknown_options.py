"""An option that does not exist is refused by every script, with what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from test_bad_input import one_sentence

from greensweep.__main__ import main

Cli = Callable[..., Finished]

FAST = ("training.epochs=1", "tracking=local", "energy=unmetered", "warmup=0")
OWN = ("-m", "hydra/sweeper=greensweep")
STOCK = ("-m", "hydra/sweeper=optuna")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("training.epoch=3", "training.epochs"),
        ("+training.epocs=99", "training.epochs"),
        ("++training.epoch=3", "training.epochs"),
        ("training={epocs:3}", "training.epochs"),
        ("+optimiser.learning_rate=5", "optimizer.learning_rate"),
        ("optimiser.learning_rate=5", "optimizer.learning_rate"),
        ("+optimiser=adam", "optimizer"),
        ("optimizer=adm", "adam or adamw"),
        ("learning_rate=1", "optimizer.learning_rate"),
        ("training.learning_rate=1", "optimizer.learning_rate"),
        ("lr=1", "optimizer.learning_rate"),
        ("epochs=3", "training.epochs"),
        ("batch_size=3", "training.batch_size or inference.batch_size"),
        ("expermient=none", "experiment"),
        ("n_trials=3", "hydra.sweeper.n_trials"),
        ("hydra/swepeer=optuna", "hydra/sweeper"),
        ("+hydra.run.dirr=here", "hydra.run.dir"),
        ("hydra.sweep.subdirr=here", "hydra.sweep.subdir"),
    ],
)
def test_the_closest_option_is_named(cli: Cli, wrong: str, meant: str) -> None:
    said = one_sentence(cli("train.py", *FAST, wrong).errors)
    assert said.endswith(f": did you mean {meant}?")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("optimizer.momentum=0.5", "here: it belongs to optimizer=sgd"),
        ("+objective.price_per_kilojoule=1", "here: it belongs to objective=priced"),
        ("+model.kwargs.width=1", "here: it belongs to model=custom or timm or torchvision"),
        ("hydra.sweeper.n_trials=3", "here: it belongs to hydra/sweeper=greensweep or optuna"),
        ("hydra.launcher.n_jobs=3", "here: it belongs to hydra/launcher=joblib"),
        ("+training.a.b=1", "there is no option training.a.b"),
        ("training.epochs.x=1", "there is no option training.epochs.x"),
        ("~training.epochs", "training.epochs cannot be taken away: set training.epochs=VALUE"),
        ("~training.epocs", "there is no option training.epocs that ~ could take away"),
        ("replay.table=x.csv", "set training=replay too"),
        ("space.seed={low:1,high:2}", "write +space.seed=VALUE to add it"),
    ],
)
def test_an_option_that_is_not_here_says_where_it_is(cli: Cli, wrong: str, said: str) -> None:
    ended = cli("train.py", *FAST, wrong)
    assert ended.status == 1
    assert said in one_sentence(ended.errors)


@pytest.mark.parametrize("sweeper", [("-m", "seed=1,2"), STOCK, OWN], ids=" ".join)
@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("+training.epocs=3", "training.epochs"),
        ("+training.epocs=3,4", "training.epochs"),
        ("training.epocs=3,4", "training.epochs"),
        ("+optimiser=adam,sgd", "optimizer"),
    ],
)
def test_a_sweep_is_refused_before_it_begins(
    cli: Cli, tmp_path: Path, sweeper: tuple[str, ...], wrong: str, meant: str
) -> None:
    ended = cli("train.py", *FAST, *sweeper, wrong)
    assert one_sentence(ended.errors).endswith(f"did you mean {meant}?")
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize("sweeper", [STOCK, OWN], ids=" ".join)
@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("hydra.sweeper.n_trails=3", "hydra.sweeper.n_trials"),
        ("+hydra.sweeper.n_trails=3", "hydra.sweeper.n_trials"),
        ("hydra.sweeper.storag=sqlite:///x.db", "hydra.sweeper.storage"),
        ("hydra/sweeper/sampler=tpx", "tpe or motpe"),
    ],
)
def test_an_option_of_a_sweeper_is_named(
    cli: Cli, sweeper: tuple[str, ...], wrong: str, meant: str
) -> None:
    assert one_sentence(cli("train.py", *FAST, *sweeper, wrong).errors).endswith(
        f"did you mean {meant}?"
    )


@pytest.mark.parametrize(
    ("script", "arguments", "meant"),
    [
        ("evaluate.py", ["checkpoint=model.pt", "devise=cpu"], "device"),
        ("evaluate.py", ["checkpoint=model.pt", "+energy.contry=NLD"], "energy.country"),
        ("prepare.py", ["+datset.name=mine"], "dataset.name"),
        ("prepare.py", ["+dataset.vaidation_fraction=0.1"], "dataset.validation_fraction"),
        ("analyse.py", ["source=x.csv", "analysis.confidense=0.9"], "analysis.confidence"),
        ("analyse.py", ["source=x.csv", "+columns.enrgy=joules"], "columns.energy"),
        ("report.py", ["titel=mine"], "title"),
        ("report.py", ["+strategies.tagret=0.9"], "strategies.target"),
    ],
)
def test_every_script_refuses_it(
    cli: Cli, tmp_path: Path, script: str, arguments: list[str], meant: str
) -> None:
    ended = cli(script, *arguments)
    assert ended.status == 1
    assert one_sentence(ended.errors).endswith(f"did you mean {meant}?")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("wrong", ["energy.contry=NLD", "+energy.contry=NLD"])
def test_the_doctor_refuses_it(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", wrong]) == 1
    assert one_sentence(capsys.readouterr().err).endswith("did you mean energy.country?")


@pytest.mark.parametrize(
    ("group", "text", "said"),
    [
        (
            "experiment",
            "# @package _global_\ntraining:\n  epocs: 3\n",
            "experiment/mine.yaml: there is no option training.epocs: did you mean training.epochs",
        ),
        (
            "experiment",
            "# @package _global_\nhydra:\n  sweep:\n    dirr: here\n",
            "experiment/mine.yaml: there is no option hydra.sweep.dirr: did you mean hydra.sweep.d",
        ),
        ("experiment", "training:\n  epochs: 3\n", "does not begin with # @package _global_"),
        (
            "optimizer",
            "defaults: [/schema/optimizer/adam@_here_]\nname: adam\nbetta1: 0.5\n",
            "optimizer/mine.yaml: there is no option optimizer.betta1: did you mean optimizer.beta",
        ),
        (
            "experiment",
            "# @package _global_\ntraining:\n  epochs: ${training.epocs}\n",
            "training.epochs asks for another option: there is no option training.epocs: did you",
        ),
        (
            "experiment",
            "# @package _global_\ntraining:\n  epochs: many\n",
            "experiment/mine.yaml: training.epochs: Value 'many'",
        ),
        ("experiment", "training:\n  epochs: [3\n", "experiment/mine.yaml, line 3: did not find"),
        ("experiment", "a: 1\na: 2\n", "experiment/mine.yaml, line 2: found duplicate key a"),
    ],
)
def test_a_users_own_file_is_named(
    cli: Cli, tmp_path: Path, group: str, text: str, said: str
) -> None:
    (tmp_path / "own" / group).mkdir(parents=True)
    (tmp_path / "own" / group / "mine.yaml").write_text(text)
    ended = cli("train.py", "--config-dir", "own", f"{group}=mine", *FAST[1:])
    assert ended.status == 1
    assert said in one_sentence(ended.errors)


@pytest.mark.parametrize(
    "arguments",
    [
        ["+replay.where.dataset=digits", "training=replay", "replay.table=none.csv"],
        ["dataset=custom", "dataset.target=nowhere.splits", "+dataset.kwargs.size=3"],
        ["model=custom", "model.target=nowhere.Net", "+model.kwargs.drop_rate=0.1"],
        [*OWN, "+hydra.sweeper.constraints.max_joules_per_run=-1", "+space.x={low:1,high:0}"],
        [*OWN, "+hydra.sweeper.sampler._target_=none.Sampler", "+hydra.sweeper.sampler.mine=3"],
    ],
    ids=" ".join,
)
def test_mappings_that_are_open_take_any_name(cli: Cli, arguments: list[str]) -> None:
    """Each is refused for another reason, which comes after the names."""
    ended = cli("train.py", *FAST, *arguments)
    assert ended.status == 1
    assert "there is no option" not in ended.errors


def test_another_scripts_configuration_is_refused(cli: Cli) -> None:
    said = one_sentence(cli("train.py", "--config-name", "report").errors)
    assert "got ReportConfig: leave out --config-name" in said
