"""The choice between trials: best, chosen, Pareto front, and the sentence about them."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from greensweep.config.metrics import Direction
from greensweep.csv_files.frame import read_frame
from greensweep.energy.units import joules_text
from greensweep.errors import StudyError
from greensweep.record.ending import Status
from greensweep.record.result import RunResult, read_result, write_result
from greensweep.record.summaries import ComponentSummary, LayerEnergySummary
from greensweep.search.cost import SearchCost
from greensweep.study.sentences import (
    answer_text,
    beside_sentence,
    comparison_sentence,
    layers_sentence,
    selection_sentence,
    sources,
    trust_sentence,
    uncertainty_sentence,
)
from greensweep.study.summary import StudySummary, read_summary, summarise, write_summary
from greensweep.study.trials import (
    Trial,
    best_trial,
    contenders,
    keep_searched,
    pareto_trials,
    read_trials,
    winners,
)
from greensweep.study.trials_table import trials_table


def trial(
    number: int, accuracy: float | None, joules: float | None, status: Status = "finished"
) -> Trial:
    result = RunResult(
        status=status, error=None, model="m", dataset="d", seed=0, trial=number,
        validation_accuracy=accuracy, energy_joules=joules, energy_spent_joules=joules,
        energy_quality="unmeasured" if joules is None else "estimated", seconds=1.0 + number,
    )  # fmt: skip
    return Trial(number, Path(str(number)), result, {})


TRIALS = [
    trial(0, 0.95, 100.0),
    trial(1, 0.94, 40.0),  # exactly one point below the best
    trial(2, 0.9399, 10.0),
    trial(3, 0.90, 50.0),  # beaten by 1
    trial(4, 0.95, 120.0),  # as accurate as 0, dearer
    trial(5, 0.99, 1.0, "failed"),
    trial(6, None, 5.0, "stopped"),
]

# The most accurate breaks a bound, the cheapest is a cheaper run.
CONSTRAINED = [
    replace(TRIALS[0], broken=("max_joules_per_run",)),
    TRIALS[1],
    replace(TRIALS[2], broken=("whole_run",)),
    TRIALS[3],
]


def test_best_is_the_most_accurate_finished_trial_and_of_equals_the_cheapest() -> None:
    assert best_trial(TRIALS).number == 0


@pytest.mark.parametrize(("price", "chosen"), [(0.0, 0), (0.3, 0), (0.31, 2)])
def test_what_half_the_energy_may_cost_decides(price: float, chosen: int) -> None:
    summary = summarise(TRIALS, points_per_halving=price)
    assert (summary.best_trial, summary.chosen_trial) == (0, chosen)
    assert summary.chosen_figures["energy_joules"] == TRIALS[chosen].result.energy_joules
    assert summary.metrics()["decision/points_per_halving"] == price


def by(name: str, direction: Direction, *ends: tuple[float, float]) -> list[Trial]:
    """Trials of a metric and joules."""
    return [
        replace(found, result=replace(
            found.result, metrics={"validation": {name: value}}, objective_metric=name,
            objective_direction=direction,
        ))
        for number, (value, joules) in enumerate(ends)
        for found in [trial(number, None, joules)]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "best", "chosen", "front"),
    [
        (
            by("rmse", "minimize", (50.0, 90.0), (50.5, 60.0), (53, 20.0), (70.0, 80.0)),
            0, 1, [2, 1, 0],
        ),
        (
            by("macro_f1", "maximize", (0.7, 90.0), (0.695, 60.0), (0.6, 20.0), (0.5, 30.0)),
            0, 1, [2, 1, 0],
        ),
        (by("mine", "minimize", (-2.0, 50.0), (-1.99, 20.0)), 0, 1, [1, 0]),
    ],
    ids=["rmse", "macro_f1", "mine"],
)  # fmt: skip
def test_trials_are_compared_by_their_metric_in_its_direction(
    trials: list[Trial], best: int, chosen: int, front: list[int]
) -> None:
    assert best_trial(trials).number == best
    assert summarise(trials, points_per_halving=2.0).chosen_trial == chosen
    assert [each.number for each in pareto_trials(trials)] == front


def test_a_metric_that_was_selected_on_test_is_said_to_be_optimistic() -> None:
    (only,) = by("rmse", "minimize", (50.0, 90.0))
    metrics = {"validation": {"rmse": 52.0}, "test": {"rmse": 50.0}}
    tested = replace(only.result, metrics=metrics, selected_on_test=True)
    summary = summarise([replace(only, result=tested)])
    assert summary.best_figures[summary.selected_by] == 50.0
    assert selection_sentence(summary) == (
        "Trials were selected by RMSE on the test split (select_on=test), so the best of them are "
        "optimistic; on the validation split, which selected nothing, the best by RMSE has 52."
    )


def test_a_summary_holds_its_metric_under_its_own_name(tmp_path: Path) -> None:
    trials = by("macro_f1", "maximize", (0.7, 90.0), (0.6, 20.0))
    summary = summarise(trials)
    write_summary(summary, trials, tmp_path)
    kept = json.loads((tmp_path / "study.json").read_text())
    assert kept["best_validation_macro_f1"] == 0.7
    assert kept["chosen_test_macro_f1"] is kept["best_validation_accuracy"] is None
    assert not {"best_figures", "best_validation_rmse"} & kept.keys()
    assert read_summary(tmp_path) == replace(summary, pareto_trials=summary.pareto_trials)
    assert summary.metrics()["best/validation_macro_f1"] == 0.7
    header = (tmp_path / "trials.csv").read_text().splitlines()[0].split(",")
    assert "validation_macro_f1" in header and "validation_accuracy" not in header


def test_front_holds_what_nothing_beats() -> None:
    assert [each.number for each in pareto_trials(TRIALS)] == [2, 1, 0]


def shared(each: Trial) -> Trial:
    """Return a trial that shared a machine whose idle power nobody knows."""
    return replace(each, result=replace(each.result, energy_comparable=False))


def test_energy_that_does_not_compare_is_on_no_front_and_not_chosen() -> None:
    trials = [TRIALS[0], TRIALS[1], shared(TRIALS[2]), shared(trial(7, 0.945, 1.0))]
    assert [each.number for each in pareto_trials(trials)] == [1, 0]
    summary = summarise(trials)
    assert summary.chosen_trial == 1
    assert (summary.trials_not_comparable, summary.pareto_trials) == (2, (0, 1))
    assert comparison_sentence(summary) == (
        "The machine was shared while its idle power was not known by 2 of 4 finished trials: such "
        "energy does not compare, and is on no front; set energy.baseline=measure."
    )
    assert comparison_sentence(summarise(TRIALS)) is None


def test_a_best_trial_whose_energy_does_not_compare_is_taken_with_that_said() -> None:
    trials = [shared(TRIALS[0]), TRIALS[1], TRIALS[3]]
    summary = summarise(trials)
    assert (summary.best_trial, summary.chosen_trial) == (0, 0)
    assert "does not compare with the others'" in answer_text(summary)
    assert [each.number for each in winners(trials)] == [1, 0]  # whose weights are kept


def test_a_searched_seed_is_one_column_of_the_table(tmp_path: Path) -> None:
    searched = {"seed": "0", "repeats": "1", "training.epochs": "2"}
    write_summary(summarise(TRIALS), [replace(TRIALS[0], searched=searched)], tmp_path)
    header = (tmp_path / "trials.csv").read_text().splitlines()[0].split(",")
    assert [header.count(name) for name in searched] == [1, 1, 1]


def test_of_one_trial_only_what_is_searched_is_a_column(tmp_path: Path) -> None:
    asked = ("seed=3", "warmup=0", "+model.kwargs.width=5")
    (tmp_path / "0").mkdir()
    write_result(replace(TRIALS[0].result, overrides=asked), tmp_path / "0")
    assert read_trials(tmp_path)[0].searched.keys() == {"seed", "warmup", "model.kwargs.width"}
    keep_searched(tmp_path, ["seed", "model.kwargs.width"])
    assert read_trials(tmp_path)[0].searched == {"seed": "3", "model.kwargs.width": "5"}


def test_only_whole_runs_that_keep_the_constraints_are_compared() -> None:
    assert best_trial(CONSTRAINED).number == 1
    assert summarise(CONSTRAINED).chosen_trial == 1
    assert [each.number for each in pareto_trials(CONSTRAINED)] == [1]
    summary = summarise(CONSTRAINED)
    assert (summary.best_trial, summary.pareto_trials) == (1, (1,))
    assert summary.trials_breaking == {"max_joules_per_run": 1, "whole_run": 1}


def test_where_none_keeps_the_constraints_the_sentence_says_so() -> None:
    assert best_trial([CONSTRAINED[0], CONSTRAINED[2]]) is None
    assert answer_text(summarise([CONSTRAINED[0], CONSTRAINED[2]])) == (
        "None of the finished trials is a whole run that keeps the constraints (1 broke "
        "max_joules_per_run, 1 ran in a cheaper way), so none is the best: search on with more "
        "trials, or widen hydra.sweeper.constraints under a new hydra.sweeper.study_name."
    )


ENDED = {"status": "finished"}


def test_a_trial_knows_from_its_folder_what_it_breaks(tmp_path: Path) -> None:
    for number, constraints in enumerate([{}, {"max_joules": -1.0, "whole_run": 1.0}]):
        (tmp_path / str(number)).mkdir()
        write_result(TRIALS[number].result, tmp_path / str(number))
        kept = {"number": number, "values": [0.9], "outcome": ENDED, "constraints": constraints}
        (tmp_path / str(number) / "trial.json").write_text(json.dumps(kept))
    (tmp_path / "2").mkdir()
    write_result(TRIALS[2].result, tmp_path / "2")  # of a sweeper that has no such file
    assert [each.broken for each in read_trials(tmp_path)] == [(), ("whole_run",), ()]


def test_the_record_of_a_trial_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        write_result(TRIALS[number].result, tmp_path / str(number))
        kept = {"number": number, "values": [0.9], "outcome": ENDED, "constraints": {}}
        (tmp_path / str(number) / "trial.json").write_text(json.dumps(kept))
    read, read_text = [], Path.read_text

    def counted(path: Path, *arguments: Any, **options: Any) -> str:
        read.append(path.name)
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", counted)
    assert len(read_trials(tmp_path)) == 3
    assert read.count("trial.json") == read.count("result.json") == 3


@pytest.mark.parametrize("status", ["finished", "pruned", "failed", "stopped"])
def test_a_trial_whose_result_broke_counts_by_what_the_search_knows_of_it(
    tmp_path: Path, status: str
) -> None:
    (tmp_path / "0").mkdir()
    outcome = {"status": status, "error": None if status == "finished" else "why"}
    outcome |= {"accuracy": 0.99, "joules": 3.0, "spent_joules": 4.0, "epochs": 2}
    kept = {"number": 0, "values": [0.99], "outcome": outcome, "constraints": {}}
    (tmp_path / "0" / "trial.json").write_text(json.dumps(kept))
    (tmp_path / "0" / "result.json").write_text('{"status": "fini')
    (tmp_path / "1").mkdir()
    write_result(replace(TRIALS[1].result, trial=1), tmp_path / "1")
    for _ in range(2):  # as the file breaks, and ever after
        trials = read_trials(tmp_path)
        summary = summarise(trials)
        assert (trials[0].result.status, trials[0].result.error) == (status, outcome["error"])
        assert summary.energy_spent_joules == 4.0 + (TRIALS[1].result.energy_spent_joules or 0.0)
        assert sum(summary.trials_by_status.values()) == summary.trials == 2
        assert summary.best_trial == 1, "the broken one cannot be looked into"
    assert not (tmp_path / "0" / "result.json").exists(), "nothing is made up in its place"


def test_what_the_bill_leaves_out_is_said_beside_it() -> None:
    cost = asdict(SearchCost(4, 4, {"finished": 4}, spent_joules=244.0))
    summary = StudySummary("finished", 4, {"finished": 4}, search=cost)
    assert beside_sentence(summary) is None
    spent = replace(summary, energy_reference_joules=155.0, energy_test_joules=12.5)
    assert beside_sentence(spent) == (
        "Not in the bill: 155 J for the reference job, 12.5 J for testing the winners."
    )
    assert beside_sentence(replace(spent, search=None)) is None


def test_the_sources_of_energy_are_those_of_every_trial() -> None:
    cpu, both = ({"cpu": ComponentSummary(source=name)} for name in ("rapl", "rapl+lost"))
    parts = (cpu, both, {})  # the last one failed before it was metered
    metered = [replace(TRIALS[0].result, energy_components=each) for each in parts]
    assert sources(metered) == {"cpu": "rapl+lost"}
    assert trust_sentence(sources(metered), "mixed", 0.71) == (
        "Energy is of mixed quality: cpu from RAPL counters and a counter that "
        "failed before the end; 71 % is a constant times the time."
    )
    assert trust_sentence({}, "mixed", None) == "Energy is of mixed quality."


def test_without_energy_the_cost_is_time() -> None:
    unmetered = [trial(0, 0.9, None), trial(1, 0.9, None), trial(2, 0.95, None)]
    assert best_trial(unmetered).number == 2
    assert [each.number for each in pareto_trials(unmetered)] == [0, 2]


def test_no_finished_trial_has_no_best(tmp_path: Path) -> None:
    assert best_trial(TRIALS[5:]) is None
    assert answer_text(summarise(TRIALS[5:])) == "No trial finished."
    assert pareto_trials(TRIALS[5:]) == []
    write_summary(summarise(TRIALS[5:]), TRIALS[5:], tmp_path)
    kept = json.loads((tmp_path / "study.json").read_text())
    assert kept["best_trial"] is kept["best_test_accuracy"] is kept["chosen_energy_joules"] is None


def test_summary_counts_the_energy_of_every_trial_however_it_ended() -> None:
    summary = summarise(TRIALS)
    assert summary.energy_spent_joules == 326.0
    assert summary.trials_by_status == {"finished": 5, "failed": 1, "stopped": 1}
    assert summary.pareto_trials == (0, 1, 2)


def test_emissions_stand_beside_all_the_energy_that_was_spent(tmp_path: Path) -> None:
    trials = [
        replace(each, result=replace(each.result, emissions_kg=0.1, emissions_spent_kg=0.25))
        for each in TRIALS[:2]
    ]
    write_summary(summarise(trials), trials, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text())["emissions_spent_kg"] == 0.5
    assert summarise(trials).metrics()["sweep/emissions_spent_kg"] == 0.5
    rows = read_frame(tmp_path / "trials.csv")
    assert (rows["emissions_kg"] + rows["emissions_spent_kg"]).tolist() == [0.35, 0.35]
    partly = [*trials, TRIALS[2]]
    assert summarise(partly).emissions_spent_kg is None, "the grid of one is not known"


def columns_of(trials: list[Trial]) -> dict[str, list[str]]:
    """The cells of the table of trials, by column."""
    _, table, _ = trials_table(trials, 160)
    return {str(each.header): [str(cell) for cell in each.cells] for each in table.columns}


def on_test(each: Trial, test_accuracy: float) -> Trial:
    """The trial as selected by that test accuracy."""
    result = replace(each.result, test_accuracy=test_accuracy, selected_on_test=True)
    return replace(each, result=result)


def test_trials_selected_on_test_go_by_their_test_accuracy_and_the_summary_says_so() -> None:
    trials = [on_test(TRIALS[0], 0.80), on_test(TRIALS[2], 0.85), TRIALS[5]]
    summary = summarise(trials)
    assert (summary.best_trial, summary.pareto_trials) == (2, (2,))
    assert [summary.best_figures[name] for name in ("test_accuracy", "validation_accuracy")] == [
        0.85, 0.9399,
    ]  # fmt: skip
    assert summary.metrics()["best/validation_accuracy"] == 0.9399
    assert "trial 2" in answer_text(summary)
    assert selection_sentence(summary) == (
        "Accuracies were selected on the test split (select_on=test), so the best of them are "
        "optimistic; on the validation split, which selected nothing, the most accurate has "
        "0.9399."
    )
    accuracies = columns_of(trials)["test accuracy"]
    assert accuracies[:2] == ["0.8000", "0.8500"]


def test_trials_selected_on_validation_need_no_sentence() -> None:
    assert selection_sentence(summarise(TRIALS)) is None
    assert "validation accuracy" in columns_of(TRIALS)


def test_a_sweep_selected_on_both_splits_says_that_they_do_not_compare() -> None:
    trials = [on_test(TRIALS[0], 0.80), TRIALS[1], TRIALS[2]]
    assert selection_sentence(summarise(trials)) == (
        "Test accuracy selected 1 of 3 finished trials, validation accuracy the others: these do "
        "not compare."
    )
    assert "accuracy" in columns_of(trials)


def uncertain(number: int, accuracy: float, joules: float, uncertainty: float) -> Trial:
    each = trial(number, accuracy, joules)
    return replace(each, result=replace(each.result, energy_uncertainty_joules=uncertainty))


def test_trials_within_each_others_uncertainty_are_not_ranked_by_energy() -> None:
    trials = [uncertain(0, 0.955, 105.0, 10.0), uncertain(1, 0.95, 100.0, 10.0)]
    summary = summarise(trials)
    assert summary.pareto_trials == (0,)
    assert summary.trials_not_told_apart == (1,)
    assert summary.chosen_trial == 0
    assert uncertainty_sentence(summary) == (
        "Trial 1 does not differ in energy from a more accurate one beyond the uncertainty; longer "
        "trainings may."
    )
    assert columns_of(trials)["energy J"] == ["105 ± 10", "100 ± 10"]


def test_trials_that_can_be_told_apart_are_ranked_by_energy() -> None:
    trials = [
        uncertain(0, 0.955, 105.0, 3.0),
        uncertain(1, 0.95, 100.0, 3.0),
        uncertain(2, 0.948, 98.0, 3.0),
        uncertain(3, 0.90, 60.0, 3.0),
    ]
    assert [each.number for each in pareto_trials(trials)] == [3, 1, 0]
    summary = summarise(trials)
    assert summary.trials_not_told_apart == (2,)


def test_a_dense_front_keeps_the_steps_that_can_be_told() -> None:
    """No step between neighbours can, which says nothing of the ends."""
    trials = [uncertain(number, 0.9 + number / 1000, 100.0 + number, 1.0) for number in range(30)]
    assert [each.number for each in pareto_trials(trials)] == [*range(1, 30, 2)]
    assert len(contenders(trials)) == 30  # whose weights are kept: more trials may tell


def test_joules_scale_their_unit() -> None:
    assert [joules_text(value) for value in (0.01234, 999.9, 1234.5, 2.5e6, None)] == [
        "12.34 mJ", "999.9 J", "1.234 kJ", "2.5 MJ", "not metered",
    ]  # fmt: skip


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    write_result(TRIALS[0].result, tmp_path)
    assert read_result(tmp_path) == TRIALS[0].result
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_folder_without_a_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"holds no result\.json"):
        read_result(tmp_path)


BROKEN_RESULTS = {
    "cut": '{"status": ',
    "empty": "",
    "zeros": "\0" * 40,
    "binary": "\x89PNG\x1a",
    "a list": "[1, 2]",
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", BROKEN_RESULTS.values(), ids=BROKEN_RESULTS)
def test_a_broken_result_costs_its_own_trial_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    for trial in TRIALS[:2]:
        (tmp_path / str(trial.number)).mkdir()
        write_result(trial.result, tmp_path / str(trial.number))
    (tmp_path / "1" / "result.json").write_bytes(text.encode("latin-1"))
    assert [trial.number for trial in read_trials(tmp_path)] == [0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{tmp_path}/1/result.json is broken (" in caplog.text
    assert "kept as result.json.broken" in caplog.text
    assert (tmp_path / "1" / "result.json.broken").read_bytes() == text.encode("latin-1")
    assert [trial.number for trial in read_trials(tmp_path)] == [0]
    assert len(caplog.records) == 1  # it was told


@pytest.mark.parametrize("text", ["", '{"number": 1, "outco', "\0\0", '{"number": 1}'])
def test_a_trial_whose_record_is_broken_is_never_the_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
        write_result(replace(TRIALS[number].result, trial=number), tmp_path / str(number))
    best = max((0, 1), key=lambda number: TRIALS[number].result.score)
    (tmp_path / str(best) / "trial.json").write_text(text)
    trials = read_trials(tmp_path)
    assert len(trials) == 2
    assert best_trial(trials).number != best
    assert "trial.json is broken" in caplog.text


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"conv": 0.625, "batch_norm": 0.02, "other": 0.355},
         "conv 62 %, no layer 36 %, batch norm 2 %"),
        ({"linear": 1.0}, "linear 100 %"),
        ({"linear": 0.9999, "conv": 1e-5, "other": 0.0},
         "linear >99 %, conv <0.01 %, no layer 0 %"),
        ({"conv": 0.5, **{f"l{n}": 0.1 for n in range(5)}},
         "conv 50 %, l0 10 %, l1 10 %, l2 10 %, l3 10 %, 1 more 10 %"),
    ],
)  # fmt: skip
def test_a_run_says_which_layers_took_its_energy(shares: dict[str, float], said: str) -> None:
    run = replace(TRIALS[0].result, layer_energy=LayerEnergySummary(key="time", shares=shares))
    assert layers_sentence(run) == f"Training energy by layer type, attributed by time: {said}."
    assert layers_sentence(TRIALS[0].result) is None
