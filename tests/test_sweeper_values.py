"""What a sweep gives each trial: the very value, where it is there, or a failed trial."""

import csv
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Finished
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from greensweep.config.grammar import as_override, escape_interpolations
from greensweep.config.searched import Searched
from greensweep.sweeper.command import with_values

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

QUICK = (
    *("-m", "energy=unmetered", "tracking=local", "report.auto=false", "warmup=0"),
    *("inference.seconds=0", "dataset.train_limit=300", "training.epochs=1"),
)
OURS, STOCK = "hydra/sweeper=greensweep", "hydra/sweeper=optuna"
ODD = [None, 300, "a,b", "true", "5", "1e-3", "it's", "#ü=(", "", [1, [None]], {"a b": "x"}]
SAME_TO_OPTUNA = [1, True, 1.0, "${seed}", "[1,2]", "null"]


def space(folder: Path, declared: dict[str, Any], name: str = "own") -> tuple[str, ...]:
    """Return the options that choose a space of this test's own."""
    (folder / "more" / "space").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(
        OmegaConf.create(escape_interpolations(declared)),
        folder / "more" / "space" / f"{name}.yaml",
    )
    return "--config-dir", str(folder / "more"), f"space={name}"


@pytest.fixture
def recording(tmp_path: Path) -> tuple[str, ...]:
    """The options of a model that notes the argument `given` that it was built with."""
    (tmp_path / "recording.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes, given=None):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "        with open('given.txt', 'a', encoding='utf-8') as file:\n"
        "            file.write(ascii(given) + '\\n')\n"
    )
    return "model=custom", "model.target=recording.Net"


def given(folder: Path) -> set[str]:
    return set((folder / "given.txt").read_text().splitlines())


def study_in(folder: Path) -> optuna.Study:
    (path,) = folder.glob("multirun/**/optuna.db")
    (name,) = optuna.get_all_study_names(f"sqlite:///{path}")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("sweeper", "sampler", "values"),
    [
        (OURS, "random", [None, "1e-3", "it's #ü=(", "", [1, {"a b": None}], 1, True]),
        *(
            pytest.param(OURS, name, [*ODD, *SAME_TO_OPTUNA], marks=pytest.mark.slow)
            for name in ("random", "grid", "tpe", "gp")
        ),
        *(
            pytest.param(STOCK, name, values, marks=pytest.mark.slow)
            for name, values in (
                ("grid", ODD),
                ("tpe", ODD[:2]),
                ("gp", ODD[3:5]),
                ("random", ODD[7:9]),
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_a_choice_of_the_space_keeps_its_type(
    cli: Cli, tmp_path: Path, recording: tuple[str, ...], sweeper: str, sampler: str, values: Any
) -> None:
    chosen = space(tmp_path, {"+model.kwargs.given": {"choices": values}})
    ended = cli(
        "train.py", *QUICK, *recording, *chosen, sweeper, f"hydra/sweeper/sampler={sampler}",
        f"hydra.sweeper.n_trials={99 if sweeper == OURS else len(values) + 5}",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert given(tmp_path) == set(map(ascii, values))
    (table,) = tmp_path.glob("multirun/**/trials.csv")
    with table.open(newline="") as lines:
        read = {row["model.kwargs.given"] for row in csv.DictReader(lines)}
    assert read == {as_override(escape_interpolations(value)) for value in values}


@pytest.mark.parametrize("sweeper", [OURS, pytest.param(STOCK, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("option", "values"),
    [("training.patience", [None, 300]), ("dataset.name", ["a,b", "true", "5"])],
)
def test_each_choice_of_an_option_is_one_trial(
    cli: Cli, tmp_path: Path, results: Results, sweeper: str, option: str, values: list[Any]
) -> None:
    chosen = (*space(tmp_path, {option: {"choices": values}}), "hydra/sweeper/sampler=grid")
    ended = cli("train.py", *QUICK, sweeper, *chosen)
    assert ended.status == 0, ended.errors
    group, _, name = option.partition(".")
    folders = [path.parent for path in tmp_path.glob("multirun/**/result.json")]
    given = [OmegaConf.load(each / "config.yaml")[group][name] for each in folders]
    assert sorted(map(repr, given)) == sorted(map(repr, values))


def test_a_choice_on_the_command_line_keeps_its_type_and_can_be_started_from(
    cli: Cli, tmp_path: Path, recording: tuple[str, ...]
) -> None:
    ended = cli(
        "train.py", *QUICK, *recording, OURS, "+model.kwargs.given=null,[1,2],[3],'[3]',true,1",
        "hydra.sweeper.enqueue=[{+model.kwargs.given: [3]}, {+model.kwargs.given: null}]",
        "hydra.sweeper.params={}",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert given(tmp_path) == {"None", "[1, 2]", "[3]", "'[3]'", "True", "1"}
    assert [trial.params for trial in study_in(tmp_path).trials[:2]] == [
        {"+model.kwargs.given": "=[3]"}, {"+model.kwargs.given": None}
    ]  # fmt: skip


def test_a_swept_group_begins_with_the_present_choice(cli: Cli, results: Results) -> None:
    chosen = ("optimizer=adam,sgd", "hydra.sweeper.params={}", "hydra.sweeper.n_trials=9")
    ended = cli("train.py", *QUICK, OURS, *chosen, "hydra/sweeper/sampler=random")
    assert ended.status == 0, ended.errors
    found = [run["overrides"][0] for run in results("multirun")]
    assert found == ["optimizer=adam", "optimizer=sgd"], "two points, two trials"


CONDITIONAL = {
    "optimizer": {"choices": ["adam", "sgd"]},
    "optimizer.momentum": {"low": 0.0, "high": 0.8, "step": 0.6, "when": {"optimizer": "sgd"}},
    "optimizer.beta1": {"low": 0.8, "high": 0.9, "levels": 2, "when": {"optimizer": "adam"}},
    "optimizer.nesterov": {"choices": [False], "when": {"optimizer": "sgd"}},
}


def test_an_option_is_set_only_where_its_condition_holds(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    command = (*QUICK, OURS, *space(tmp_path, CONDITIONAL), "hydra/sweeper/sampler=grid")
    ended = cli("train.py", *command, "hydra.sweeper.n_trials=99")
    assert ended.status == 0, ended.errors
    searched = [
        tuple(text for text in run["overrides"] if text.startswith("optimizer"))
        for run in results("multirun")
    ]
    assert set(searched) == {
        *(
            ("optimizer=sgd", f"optimizer.momentum={each}", "optimizer.nesterov=false")
            for each in (0.0, 0.6)
        ),
        *(("optimizer=adam", f"optimizer.beta1={each}") for each in (0.8, 0.9)),
    }
    assert len(searched) == 4
    again = cli("train.py", *command, "hydra.sweeper.n_trials=99")
    assert again.status == 0, again.errors
    assert len(results("multirun")) == 4, "the same study"


@pytest.mark.slow
def test_an_option_whose_condition_no_choice_meets_is_left_out(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    chosen = (*space(tmp_path, CONDITIONAL), "optimizer=adam,adamw", "hydra.sweeper.n_trials=2")
    ended = cli("train.py", *QUICK, OURS, *chosen)
    assert ended.status == 0, ended.errors
    assert not any("momentum" in text for run in results("multirun") for text in run["overrides"])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_condition_on_what_is_not_searched_is_met_or_not_for_the_whole_sweep(
    cli: Cli, tmp_path: Path, results: Results, optimizer: str
) -> None:
    chosen = (*space(tmp_path, CONDITIONAL), f"optimizer={optimizer}", "hydra.sweeper.n_trials=1")
    ended = cli("train.py", *QUICK, STOCK, *chosen)
    assert ended.status == 0, ended.errors
    (run,) = results("multirun")
    searched = {text.partition("=")[0] for text in run["overrides"]} & CONDITIONAL.keys()
    of_it = {"adam": {"optimizer.beta1"}, "sgd": {"optimizer.momentum", "optimizer.nesterov"}}
    assert searched == {"optimizer", *of_it[optimizer]}


def test_the_stock_sweeper_refuses_conditions_and_what_it_takes_for_one(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    for name, declared in (
        ("conditional", CONDITIONAL),
        ("same", {"training.batch_size": {"choices": [1, True]}}),
    ):
        refused = cli("train.py", *QUICK, STOCK, *space(tmp_path, declared, name))
        assert refused.status == 1
        assert refused.errors.count("\n") == 1
        assert "choose hydra/sweeper=greensweep" in refused.errors
    assert results() == []


@pytest.mark.slow
def test_a_shuffled_range_is_the_same_search_each_time(cli: Cli, results: Results) -> None:
    command = (*QUICK, OURS, "training.batch_size=shuffle(range(16,64,16))")
    for asked in (1, 2):
        few = ("hydra.sweeper.params={}", f"hydra.sweeper.n_trials={asked}")
        ended = cli("train.py", *command, *few)
        assert ended.status == 0, ended.errors
    assert len(results("multirun")) == 2


@pytest.mark.slow
def test_all_choices_of_a_group_may_be_named_by_a_pattern(cli: Cli, results: Results) -> None:
    command = (*QUICK, "optimizer=glob(adam*)", "hydra.sweeper.params={}")
    refused = cli("train.py", *command, STOCK)
    assert refused.status == 1
    assert "the stock sweeper knows no glob" in refused.errors
    ended = cli("train.py", *command, OURS)
    assert ended.status == 0, ended.errors
    assert [run["overrides"][0] for run in results("multirun")] == [
        "optimizer=adam", "optimizer=adamw"
    ]  # fmt: skip


def test_a_program_of_ones_own_has_conditions_and_any_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(
        "defaults: [_self_, override hydra/sweeper: greensweep, "
        "override hydra/sweeper/sampler: grid]\n"
        "kind: a\n"
        "width: 0\n"
        "depth: 0\n"
        "hydra:\n"
        "  output_subdir: null\n"
        "  sweeper:\n"
        "    n_trials: 99\n"
        "    meter: nothing\n"
        "    params:\n"
        "      kind: null,[1],1,true\n"
        "      width: {sweep: 'range(0.1,0.4,0.1)', when: {kind: [[1], null]}}\n"
        "      depth: {sweep: 'choice(7,8)', when: {kind: never}}\n"
    )
    (tmp_path / "program.py").write_text(
        "import hydra\n"
        "@hydra.main(config_path='.', config_name='config')\n"
        "def main(config):\n"
        "    print('given', repr(config.kind), config.width, config.depth)\n"
        "    return 1.0\n"
        "main()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program.py", "-m"])
    runpy.run_path(str(tmp_path / "program.py"), run_name="__main__")
    said = sorted(line for line in capsys.readouterr().out.splitlines() if "given" in line)
    with_width = (
        f"given {kind} {width} 0" for kind in ("None", "[1]") for width in (0.1, 0.2, 0.3)
    )
    assert said == sorted([*with_width, "given 1 0 0", "given True 0 0"])


# Trials that cannot be composed


def test_a_trial_that_cannot_be_composed_fails_and_the_sweep_goes_on(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    declared = {"optimizer.beta1": {"choices": [0.8, 0.9]}}
    command = (*QUICK, OURS, "optimizer=adam,sgd", *space(tmp_path, declared))
    ended = cli("train.py", *command, "hydra.sweeper.n_trials=3", "hydra/sweeper/sampler=grid")
    assert ended.status == 0, ended.errors
    more = cli("train.py", *command, "hydra.sweeper.n_trials=4", "hydra/sweeper/sampler=grid")
    assert more.status == 0, more.errors
    runs = results("multirun")
    assert [run["trial"] for run in runs] == [0, 1, 2, 3]
    states = [trial.state.name for trial in study_in(tmp_path).trials]
    for run, state in zip(runs, states, strict=True):
        fails = "optimizer=sgd" in run["overrides"]
        assert (run["status"], state) == (("failed", "FAIL") if fails else ("finished", "COMPLETE"))
        if fails:
            assert run["error"].startswith("there is no option optimizer.beta1 here")
            assert (run["model"], run["dataset"], run["seed"]) == ("simple_cnn", "digits", 0)
    assert states.count("FAIL") == 2


@pytest.mark.slow
def test_a_batch_runs_without_the_trial_that_cannot_be_composed(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    declared = {"optimizer.beta1": {"choices": [0.8, 0.9]}}
    ended = cli(
        "train.py", *QUICK, OURS, "optimizer=adam,sgd", *space(tmp_path, declared),
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra/sweeper/sampler=grid",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert sorted(run["status"] for run in results("multirun")) == ["failed"] * 2 + ["finished"] * 2


@pytest.mark.parametrize(
    "sweeper",
    [
        OURS,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (STOCK, "hydra/sweeper=basic")),
    ],
)
@pytest.mark.parametrize(
    ("swept", "said"),
    [
        ("training.batch_size=choice(32,abc)", "training.batch_size cannot be abc"),
        ("training.batch_size=32,0", "training.batch_size must be at least 1, got 0"),
        ("model=choice(simple_cnn,nope)", "no model is called 'nope'"),
        ("model=simple_cnn,custom", "model.target has no value"),
        ("optimizer.learning_rate=interval(-1,-0.5)", "optimizer.learning_rate must be above 0"),
        ("optimizer.learning_rate=range(0,3)", "optimizer.learning_rate must be above 0, got 0"),
        ("training.epochs=range(1,-2,step=-1)", "training.epochs must be at least 1, got -1"),
        ("optimizer.momentum=0.1,0.9", "belongs to optimizer=sgd"),
        ("+training.epocs=1,2", "did you mean training.epochs"),
        ("+model.kwargs.x=1,2", "there is no option model.kwargs.x"),
    ],
)
def test_what_no_trial_could_have_is_refused_before_anything_is_trained(
    cli: Cli, tmp_path: Path, sweeper: str, swept: str, said: str
) -> None:
    refused = cli("train.py", *QUICK, sweeper, swept)
    assert refused.status == 1
    assert said in refused.errors
    assert refused.errors.count("\n") == 1
    assert "storage" not in refused.errors
    assert not list(tmp_path.glob("**/reference_job.json"))
    assert not list(tmp_path.glob("**/optuna.db"))


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"optimzer": "adam"}, "there is no option optimzer: did you mean optimizer"),
        ({"optimizer": ["sgd", "adm"]}, "no optimizer is called 'adm': did you mean adam"),
        ({"optimizer.betaa1": 0.9}, "there is no option optimizer.betaa1"),
        ({"hydra/launcher": "jobslib"}, "no hydra/launcher is called 'jobslib'"),
        ({"optimizer.nesterov": True, "seed": 1}, ""),  # of another optimizer
    ],
)
def test_a_condition_on_what_does_not_exist_is_refused(
    cli: Cli, tmp_path: Path, when: dict[str, Any], said: str
) -> None:
    declared = {"training.epochs": {"choices": [1]}, "seed": {"choices": [1]}}
    declared["training.batch_size"] = {"choices": [32], "when": when}
    (command := [*QUICK, OURS, *space(tmp_path, declared)]).remove("training.epochs=1")
    ended = cli("train.py", *command)
    if said:
        assert ended.errors.startswith("Error: space: training.batch_size needs, under when: ")
        assert said in ended.errors and "own.yaml, line 7" in ended.errors
    assert ended.status == (1 if said else 0)


def test_the_stock_sweeper_refuses_choices_that_do_not_go_together(
    cli: Cli, tmp_path: Path
) -> None:
    refused = cli("train.py", *QUICK, STOCK, "optimizer=adam,sgd", "space=paper_log")
    assert refused.status == 1
    assert "optimizer.beta1 cannot be 0.1 with optimizer=sgd" in refused.errors
    assert "when: {optimizer: adam}" in refused.errors
    assert not list(tmp_path.glob("**/optuna.db"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "sweeper",
    ["hydra/sweeper=basic", *(pytest.param(e, marks=pytest.mark.slow) for e in (OURS, STOCK))],
)
def test_an_option_without_a_value_may_be_swept(
    cli: Cli, tmp_path: Path, recording: tuple[str, ...], results: Results, sweeper: str
) -> None:
    (tmp_path / "other.py").write_text((tmp_path / "recording.py").read_text())
    names = ("model=custom", "model.target=recording.Net,other.Net")
    few = () if "basic" in sweeper else ("hydra.sweeper.params={}", "hydra.sweeper.n_trials=2")
    ended = cli("train.py", *QUICK, *names, sweeper, *few)
    assert ended.status == 0, ended.errors
    assert len(results("multirun")) == 2


# Space files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: {choices: [1, 2]}\ntraining.epochs: {low: 9, high: 3}\n", "own.yaml, line 2)"),
        ("training.batch_size: {low: 0, high: 3}\n", "own.yaml, line 1)"),
        ("training.epocs: {low: 1, high: 3}\n", "own.yaml, line 1)"),
        ("training.epochs: {low: 1, high: 9, step: 0}\n", "own.yaml, line 1)"),
        ("seed: {choices: [{'1': 2}]}\n", "own.yaml, line 1)"),
        ("training.epochs: {low: 1\n", "own.yaml, line 2"),
        ("", "space=own names no option"),
        ("- 1\n", "space/own.yaml is no mapping"),
        ("seed: {low: 1, high: 3} # caf\udce9\n", "own.yaml is no UTF-8 text"),
        ("\udcff\udcfes\0e\0e\0d\0", "own.yaml is no UTF-8 text"),
        ("seed: {choices: ['\x01', b]}\n", "own.yaml holds the character #x0001"),
    ],
)
@pytest.mark.parametrize("sweeper", [OURS, pytest.param(STOCK, marks=pytest.mark.slow)])
def test_a_malformed_space_file_is_named(
    cli: Cli, tmp_path: Path, sweeper: str, text: str, said: str
) -> None:
    chosen = space(tmp_path, {})
    (tmp_path / "more" / "space" / "own.yaml").write_bytes(text.encode(errors="surrogateescape"))
    refused = cli("train.py", *QUICK, sweeper, *chosen)
    assert refused.status == 1
    assert said in refused.errors
    assert refused.errors.count("\n") == 1


def test_what_only_a_job_resolves_is_left_to_it() -> None:
    app = OmegaConf.create({"place": "${hydra.runtime.output_dir}", "model": {"width": "???"}})
    widths = OverridesParser.create().parse_override("model.width=choice(8,16)")
    searched = Searched("model.width", widths, {}, True)
    assert with_values(app, [searched]).model.width == 8
