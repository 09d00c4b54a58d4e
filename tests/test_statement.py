"""A carbon statement: of a run, a sweep, a folder of runs, a study or an MLflow experiment."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import no_sensors
from mlflow import MlflowClient
from other_tools import logged_search
from pages import blocks

from greensweep.__main__ import main
from greensweep.analysis.statement import Account, Statement, state
from greensweep.analysis.statement_parts import Part
from greensweep.energy.carbon import Grid
from greensweep.errors import AnalysisError
from greensweep.record.result import RunResult, write_result
from greensweep.record.summaries import ComponentSummary, PhaseSummary, Spread
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.rendering.model_card import model_card
from greensweep.rendering.references import bibtex
from greensweep.rendering.statement import amount, counts, sentences
from greensweep.rendering.statement_files import escape_latex, latex, markdown, write_statement
from greensweep.search.cost import SearchCost
from greensweep.sources.tracked_runs import ENDED, read_experiment, read_folder
from greensweep.study.summary import summarise, write_summary
from greensweep.study.trials import read_trials
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import MlflowTracker
from greensweep.tracking.tracker import SweepRun

KG_PER_JOULE = 1e-7  # 360 g per kWh
MACHINE = {
    "hardware.cpu": "A processor", "hardware.cores": "4", "version.greensweep": "0.1.0",
    "version.torch": "2.14", "version.codecarbon": "3.3.2", "version.python": "3.11",
}  # fmt: skip


def result(
    accuracy: float | None = 0.9, training: float | None = 100.0, **changes: Any
) -> RunResult:
    """A run that spent as much again, a half of it, on set-up, and a quarter on evaluation."""
    phases = {"setup": 0.5, "training": 1.0, "evaluation": 0.2, "test": 0.05}
    joules = {name: training * share if training else None for name, share in phases.items()}
    spent = training * sum(phases.values()) if training else None
    whole = RunResult(
        status="finished", error=None, model="net", dataset="digits", seed=0, device="cpu",
        validation_accuracy=accuracy, energy_joules=training, energy_spent_joules=spent,
        energy_uncertainty_joules=training and 2.0, energy_quality="estimated",
        energy_measured_share=0.0, seconds=3.0,
        energy_components={"cpu": ComponentSummary(training, None, "cpu_load_model", "estimated")},
        energy_phases={
            name: PhaseSummary(each, None, 4 * phases[name], "estimated")
            for name, each in joules.items()
        },
        emissions_kg=training and training * KG_PER_JOULE,
        emissions_spent_kg=spent and spent * KG_PER_JOULE,
        emissions_grid="NLD", provenance=MACHINE,
    )  # fmt: skip
    return replace(whole, **changes)


def keep(folder: Path, kept: RunResult) -> None:
    folder.mkdir(parents=True)
    write_result(kept, folder)


def ungrid(kept: RunResult) -> RunResult:
    return replace(kept, emissions_kg=None, emissions_spent_kg=None, emissions_grid=None)


SEARCH = SearchCost(
    *(4, 4, {"finished": 2, "pruned": 1, "failed": 1}),
    spent_joules=537.5, finished_joules=437.5, pruned_joules=60.0, failed_joules=30.0,
    search_joules=10.0,
)  # fmt: skip


def keep_sweep(folder: Path, search: SearchCost | None = SEARCH) -> None:
    """A sweep of four trials, the best is trial 1; of earlier attempts only the search knows."""
    ended = [
        result(0.8, 150.0), result(0.9, 100.0), result(0.5, 20.0, status="pruned"),
        result(None, 5.0, status="failed", error="no luck"),
    ]  # fmt: skip
    for number, kept in enumerate(ended):
        keep(folder / str(number), replace(kept, trial=number))
    trials = read_trials(folder)
    summary = summarise(trials, search_cost=search, test_joules=7.0)
    write_summary(summary, trials, folder)


def stated(folder: Path, *arguments: Any) -> Statement:
    return state(read_folder(folder, "here"), *arguments)


def joules(parts: tuple[Part, ...]) -> dict[str, float | None]:
    return {part.name: part.joules for part in parts}


def test_a_run_is_stated_by_its_phases(tmp_path: Path) -> None:
    keep(tmp_path / "run", result())
    (account,) = stated(tmp_path / "run").accounts
    assert joules(account.parts) == {
        "Training": 100.0, "Evaluation and tests": 25.0, "Set-up and all else": 50.0
    }  # fmt: skip
    assert (account.total.joules, account.total.seconds) == (175.0, 7.0)
    assert account.total.kilograms == pytest.approx(175.0 * KG_PER_JOULE)
    assert account.final is not None
    assert account.final.part.kilograms == pytest.approx(100.0 * KG_PER_JOULE)
    said = sentences(stated(tmp_path / "run"))[0]
    assert "(run: net on digits) took 3 s and used 100 ± 2 J (27.8 mWh, 10 mg CO2e)." in said
    assert "The whole run, with set-up, evaluation and tests, used 175 J" in said
    assert "1.75 times the final training" in said
    assert "Evaluation and tests took 25 J (6.94 mWh, 2.5 mg CO2e), 14 % of it." in said
    assert "It ran on A processor (4 cores)." in said
    assert "cpu by a model of CPU load and TDP (estimated)" in said
    assert (
        "360 g CO2e per kWh, the yearly mean of the grid of NLD in the data of CodeCarbon" in said
    )


def test_a_sweep_is_stated_to_the_last_joule_of_its_bill(tmp_path: Path) -> None:
    keep_sweep(tmp_path)
    (account,) = stated(tmp_path).accounts
    assert joules(account.parts) == {
        "Finished trials": 437.5, "Pruned trials": 60.0, "Failed trials": 30.0,
        "Drawing trials and keeping records": 10.0, "Testing the best trials": 7.0,
    }  # fmt: skip
    assert account.total.joules == 537.5 + 7.0
    assert joules(account.of_which) == {
        "of which training": 275.0, "of which evaluation and tests": 275.0 * 0.25 + 7.0
    }  # fmt: skip
    assert account.final is not None
    assert (account.final.run, account.final.part.joules) == ("trial 1", 100.0)
    said = " ".join(sentences(stated(tmp_path)))
    assert "The whole search, 4 trials (1 failed, 2 finished, 1 pruned), used 544.5 J" in said
    assert "5.45 times the final training. The work of the search itself (10 J) is in it." in said


def test_a_search_is_stated_to_its_bill_also_where_a_run_knows_less_of_its_end(
    tmp_path: Path,
) -> None:
    """A run that ended well may be a failed trial to its search: one of them counts it."""
    keep_sweep(tmp_path)
    write_result(result(None, 17.0, trial=3), tmp_path / "3")
    (account,) = stated(tmp_path).accounts
    assert account.total.joules == 544.5
    assert joules(account.parts)["Finished trials"] == 437.5


def test_a_search_whose_trials_left_no_results_is_stated_by_its_bill(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"search": asdict(SEARCH)}))
    found = stated(tmp_path)
    (account,) = found.accounts
    assert account.total.joules == 537.5
    assert joules(account.parts)["Trials outside of their recorded runs"] == 437.5
    assert found.no_final == "No run is recorded, so there is no final training."
    assert "Energy is gross. " in " ".join(sentences(found))


def test_a_sweep_of_another_sweeper_is_the_sum_of_its_trials(tmp_path: Path) -> None:
    keep_sweep(tmp_path, search=None)
    (account,) = stated(tmp_path).accounts
    assert account.total.joules == pytest.approx(275.0 * 1.75 + 7.0)
    assert joules(account.parts)["Pruned trials"] == 35.0
    assert "The work of the search itself is not known." in sentences(stated(tmp_path))[0]


def test_a_study_and_single_runs_below_a_folder_are_stated_together(tmp_path: Path) -> None:
    keep_sweep(tmp_path / "study" / "tpe")
    keep_sweep(tmp_path / "study" / "random")
    keep(tmp_path / "one", result(0.95, 200.0))
    keep(tmp_path / "mlruns" / ("a" * 32) / "artifacts", result(0.99))  # MLflow's copy
    found = stated(tmp_path)
    (account,) = found.accounts
    assert account.total.joules == 2 * 544.5 + 350.0
    assert account.total.runs == 9
    assert found.final is not None
    assert found.final.run == "one"


@pytest.mark.parametrize(
    ("asked", "run"), [("0", "trial 0"), ("trial 0", "trial 0"), (None, "trial 1")]
)
def test_the_final_run_is_the_best_or_the_one_that_is_named(
    tmp_path: Path, asked: str | None, run: str
) -> None:
    keep_sweep(tmp_path)
    final = stated(tmp_path, asked).final
    assert final is not None
    assert final.run == run


def test_a_final_run_that_is_none_or_many_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        keep_sweep(tmp_path / name)
    with pytest.raises(AnalysisError, match=r"final: no run is called 'a/9': did you mean a/"):
        stated(tmp_path, "a/9")
    with pytest.raises(AnalysisError, match="final=1 names 2 runs: set final=a/1 or b/1"):
        stated(tmp_path, "1")
    assert stated(tmp_path, "b/1").final is not None


def test_runs_of_several_data_sets_have_no_final_one(tmp_path: Path) -> None:
    keep(tmp_path / "a", result())
    keep(tmp_path / "b", result(dataset="table"))
    found = stated(tmp_path)
    assert found.final is None
    assert str(found.no_final).startswith(
        "The runs are of several kinds (accuracy on digits; accuracy on table), so none is the"
    )
    assert found.accounts[0].total.joules == 350.0
    assert "emissions: grams of CO2e, not known: The runs are" in model_card(found, None, None)


def test_without_a_finished_run_what_was_spent_is_stated_all_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        keep(tmp_path / name, result(None, status="failed", error="no luck"))
    found = stated(tmp_path)
    assert sentences(found)[0] == "None of the 2 runs finished, so there is no final training."
    one = sentences(stated(tmp_path / "a"))[0]
    assert one == "The run did not finish, so there is no final training."
    assert found.accounts[0].total.joules == 350.0


def test_machines_and_grids_stand_apart(tmp_path: Path) -> None:
    keep(tmp_path / "a", result(0.9))
    other = {**MACHINE, "hardware.cpu": "Another", "hardware.gpu": "A GPU"}
    keep(tmp_path / "b", result(0.8, 10.0, provenance=other))
    keep(tmp_path / "c", ungrid(result(0.7, 1.0)))
    found = stated(tmp_path)
    assert [account.total.joules for account in found.accounts] == [175.0, 17.5, 1.75]
    assert [account.grid for account in found.accounts] == ["NLD", "NLD", None]
    text = markdown(found)
    assert text.startswith("The runs were on 3 machines or grids, whose figures stand apart")
    assert "**A GPU, Another (4 cores), with the grid NLD**" in text
    assert "Emissions are not known, as no grid was declared: set country=NLD, say" in text


def test_a_search_over_two_machines_is_added_to_neither(tmp_path: Path) -> None:
    keep_sweep(tmp_path)
    other = replace(result(0.9, 100.0), provenance={**MACHINE, "hardware.cpu": "Another"}, trial=1)
    write_result(other, tmp_path / "1")
    found = stated(tmp_path)
    assert sorted(account.total.joules or 0.0 for account in found.accounts) == [175.0, 306.25]
    assert found.spread_joules == 17.0
    assert "did beside their trials (17 J) is in no sum" in sentences(found)[-1]


def test_a_trial_that_died_counts_for_the_machine_of_its_sweep(tmp_path: Path) -> None:
    keep_sweep(tmp_path)
    died = ungrid(replace(result(None, 5.0), provenance={}, status="stopped", trial=3))
    write_result(died, tmp_path / "3")
    assert len(stated(tmp_path).accounts) == 1


def test_a_grid_that_no_run_declared_can_be_declared_afterwards(tmp_path: Path) -> None:
    keep(tmp_path / "run", ungrid(result()))
    (account,) = stated(tmp_path).accounts
    assert account.total.kilograms is None
    rows = markdown(stated(tmp_path)).splitlines()
    assert "| Total | 1 | 175 J | 48.6 mWh | not known | 7 s |" in rows
    (account,) = stated(tmp_path, None, Grid(0.36, "360 g CO2e/kWh")).accounts
    assert account.total.kilograms == pytest.approx(175.0 * KG_PER_JOULE)
    said = sentences(stated(tmp_path, None, Grid(0.36, "360 g CO2e/kWh")))[0]
    assert "360 g CO2e per kWh, the intensity that was declared." in said


def test_a_grid_that_no_run_needs_is_refused(tmp_path: Path) -> None:
    keep(tmp_path / "a", result())
    said = r"USA as the grid changes nothing, as all runs of here have a grid of their own \(NLD\)"
    with pytest.raises(AnalysisError, match=said):
        stated(tmp_path, None, Grid(0.4, "USA"))
    keep(tmp_path / "b", ungrid(result(0.8)))
    grids = {account.grid for account in stated(tmp_path, None, Grid(0.4, "USA")).accounts}
    assert grids == {"NLD", "USA"}, "it is for the run that declared none"


def test_only_what_was_used_is_listed_with_its_version(tmp_path: Path) -> None:
    keep(tmp_path / "net", result(provenance={**MACHINE, "version.statsmodels": "0.15"}))
    said = sentences(stated(tmp_path / "net"))[-1]
    assert "It ran with codecarbon 3.3.2, greensweep 0.1.0, python 3.11, torch 2.14." in said
    keep(tmp_path / "loop", result(device=None))
    assert "torch" not in sentences(stated(tmp_path / "loop"))[-1]


def test_a_search_tells_the_time_of_all_its_training(tmp_path: Path) -> None:
    keep_sweep(tmp_path, search=None)
    rows = markdown(stated(tmp_path)).splitlines()
    assert any(row.startswith("| of which training | 4 | 275 J |") for row in rows)
    (trained,) = [row for row in rows if "of which training" in row]
    assert trained.endswith("| 16 s |"), "4 s of each trial"
    (tested,) = [row for row in rows if "of which evaluation" in row]
    assert tested.endswith("| not known |"), "the time of testing the best trials is not recorded"


def test_results_of_earlier_versions_have_the_emissions_of_their_spent_energy(
    tmp_path: Path,
) -> None:
    keep(tmp_path / "run", result(emissions_spent_kg=None))
    (account,) = stated(tmp_path).accounts
    assert account.total.kilograms == pytest.approx(175.0 * KG_PER_JOULE)


def test_runs_that_were_not_metered_are_in_no_sum_and_counted(tmp_path: Path) -> None:
    keep(tmp_path / "a", result())
    keep(tmp_path / "b", result(0.99, None, energy_quality="unmeasured"))
    found = stated(tmp_path)
    assert found.accounts[0].total.joules == 175.0
    said = " ".join(sentences(found))
    assert "The final run (b) was not metered, so what its training took is not known." in said
    assert "Runs that were not metered (1) are in no sum" in said
    assert found.final is None


def test_repeats_are_a_mean_with_its_interval_beside_all_that_they_took(tmp_path: Path) -> None:
    repeated = result(repeats=3, spread={"energy_joules": Spread(5.0, 90.0, 110.0)})
    keep(tmp_path / "run", repeated)
    found = stated(tmp_path)
    assert "a mean of 3 trainings, with its 95 % interval 100 J (90 to 110)." in sentences(found)[0]
    assert "| Final training (run) | 1 | 100 ± 2 J" in markdown(found)


def test_figures_of_a_shared_machine_and_of_a_record_are_said_to_be_that(tmp_path: Path) -> None:
    keep(tmp_path / "a", result(energy_quality="attributed", energy_contended=True))
    keep(tmp_path / "b", result(0.1, energy_quality="replayed"))
    said = sentences(stated(tmp_path))[0]
    assert "attributed (a share of a machine that did other work too) and replayed" in said
    assert "Runs that shared the machine with other work (1 of 2) are attributed" in said


AWKWARD = r"R&D_50%~{x}#$^ \a <b>|\"é"


def test_latex_is_escaped_and_balanced(tmp_path: Path) -> None:
    keep(tmp_path / "run", result(model=AWKWARD, provenance={**MACHINE, "hardware.cpu": AWKWARD}))
    text = latex(stated(tmp_path))
    assert escape_latex(AWKWARD) in text
    assert escape_latex("a_b & 5 % of\n$x") == r"a\_b \& 5 \% of \$x"
    plain = re.sub(r"\\[\\{}$&#_%]", "", text)  # without what is escaped
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not set('#^~<>|%"_') & set(plain.replace("model_card", ""))
    assert re.findall(r"\\begin{(\w+)}", text) == ["table", "tabular"]
    assert re.findall(r"\\end{(\w+)}", text) == ["tabular", "table"]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {5}


def test_bibtex_has_each_entry_that_latex_cites(tmp_path: Path) -> None:
    keep_sweep(tmp_path)
    found = stated(tmp_path)
    text = bibtex(found, escape_latex)
    (cited,) = re.findall(r"\\cite{(.*?)}", latex(found))
    assert re.findall(r"^@\w+{(\w+),$", text, re.M) == cited.split(",")
    assert cited.split(",") == [
        "greensweep",
        "yarally2023",
        "codecarbon",
        "torch",
        "optuna",
        "hydra",
    ]
    for entry in re.split(r"\n\n(?=@)", text.strip()):
        assert entry.count("{") == entry.count("}")
        fields = re.findall(r"^  (\w+) = {", entry, re.M)
        assert {"author", "title", "year"} <= set(fields)
        assert len(fields) == len(set(fields)) == len(re.findall(r"},?\n", entry))
    assert "note = {Version 3.3.2}" in text
    assert "VERSION" not in text


def test_a_model_card_has_the_schema_of_the_hub(tmp_path: Path) -> None:
    keep(tmp_path / "run", result(provenance={**MACHINE, "hardware.gpu": "A: GPU #1"}))
    card = yaml.safe_load(model_card(stated(tmp_path), "fine-tuning", None))
    assert set(card) == {"co2_eq_emissions"}
    kept = card["co2_eq_emissions"]
    assert kept["emissions"] == pytest.approx(0.01), "grams, of the final training"
    assert kept["training_type"] == "fine-tuning"
    assert kept["geographical_location"] == "NLD"
    assert kept["hardware_used"] == "A: GPU #1, A processor (4 cores)"
    assert kept["source"].startswith(
        "Greensweep 0.1.0, training of the final model: 100 ± 2 J (27.8 mWh, 10 mg CO2e)"
    )
    assert "in all 175 J" in kept["source"]


def test_a_model_card_says_what_is_not_known_and_no_zero(tmp_path: Path) -> None:
    keep(tmp_path / "run", ungrid(result(provenance={})))
    text = model_card(stated(tmp_path), None, "Delft, Netherlands")
    assert yaml.safe_load(text)["co2_eq_emissions"].keys() == {"source", "geographical_location"}
    for name in ("emissions", "training_type", "hardware_used"):
        assert f"  # {name}: " in text
    assert "set country=NLD, say" in text


def test_an_experiment_of_mlflow_is_stated_as_its_folder_is(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    keep_sweep(sweep)
    keep(tmp_path / "one", result(0.95, 200.0))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))

    def track(name: str, kept: RunResult, above: SweepRun | None) -> MlflowTracker:
        tracker = MlflowTracker(store, above)
        tracker.start(name, {"energy.name": "codecarbon", "repeats": "1"}, kept.provenance)
        ended = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}[kept.status]
        repeat = tracker.child()
        repeat.start(f"{name}, repeat 0", {}, {})
        repeat.finish("FINISHED", {"energy/spent_joules": 1.0}, {}, [])
        tracker.finish(ended, tracked_metrics(kept), tracked_tags(kept), [])  # type: ignore[arg-type]
        return tracker

    above = SweepRun(sweep, "sweep TPE 1", "tpe")
    for trial in read_trials(sweep):
        track(f"trial {trial.number}", trial.result, above)
    track("one", result(0.95, 200.0), None)
    running = MlflowTracker(store, None)
    running.start("later", {}, {})
    client = MlflowClient(uri)
    (parent,) = client.search_runs([store.experiment_id], "tags.strategy = 'tpe'")
    trials = read_trials(sweep)
    summary = summarise(trials, search_cost=SEARCH, test_joules=7.0)
    store.log_now(parent.info.run_id, summary.metrics())
    by_folder, by_store = stated(tmp_path), state(read_experiment(uri, "mine"))
    (theirs,), (ours,) = by_store.accounts, by_folder.accounts
    assert joules(theirs.parts) == joules(ours.parts)
    assert theirs.total.joules == ours.total.joules == 544.5 + 350.0
    assert theirs.total.kilograms == pytest.approx(ours.total.kilograms)
    assert (theirs.by_status, theirs.machine) == (ours.by_status, ours.machine)
    assert by_store.final is not None
    assert by_store.final.run == "one"
    assert by_store.running == 1
    assert "mlflow" in by_store.used


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `greensweep statement` in an empty folder; gives its exit status and output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["greensweep", "statement", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code, said = ended.value.code, captured.out + captured.err
        return (1, f"{said}{code}\n") if isinstance(code, str) else (code or 0, said)

    return run


def test_the_command_prints_the_statement_and_leaves_its_files(
    statement: Command, tmp_path: Path
) -> None:
    keep(tmp_path / "run", ungrid(result()))
    status, said = statement("source=run", "country=NLD", "output=paper")
    assert status == 0, said
    names = ["model_card.yaml", "statement.bib", "statement.md", "statement.tex"]
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == names
    text = (tmp_path / "paper" / "statement.md").read_text()
    assert text in said
    assert (tmp_path / "paper" / "model_card.yaml").read_text() in said
    assert "the grid of NLD" in text
    card = yaml.safe_load((tmp_path / "paper" / "model_card.yaml").read_text())
    assert card["co2_eq_emissions"]["geographical_location"] == "NLD"


@no_sensors
def test_the_page_on_it_works(statement: Command, tmp_path: Path) -> None:
    code, command, of_tables = blocks("docs/statement.md")
    exec(code.code, {})
    status, said = statement(*command.commands[0].split()[2:])
    assert status == 0, said
    assert "Training the final model (mlp: mlp) took" in said
    assert "the yearly mean of the grid of NLD" in said
    assert [*(tmp_path / "outputs" / "statement").iterdir()]
    assert "torch" not in said, "the loop used none, though it is installed"
    logged_search(tmp_path, runs=10)
    status, said = statement(*of_tables.commands[0].split()[2:])
    assert status == 0, said
    assert "The whole search, 10 trials" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["source=none"],
            "source=none is no folder and no file: give the folder of a run, a sweep",
        ),
        (["source=runs.csv"], "columns.energy: no column of runs.csv is called 'energy_joules'"),
        (["source=empty"], "source=empty holds no run that has ended"),
        (["source=unmetered"], "source=unmetered holds no energy, as no run of 1 was metered"),
        (["source=run", "final=9"], "final: no run is called '9'"),
        (["source=run", "country=XXX"], "Error: country=XXX is no ISO 3166 alpha-3 code"),
        (["source=run", "region=Texas"], "region=Texas needs country: set country=USA"),
        (["source=run", "output=runs.csv"], "output=runs.csv cannot be written"),
        (["source=mlflow"], "no MLflow store at"),
        (["source=run", "training_type=none"], "training_type"),
        (["sorce=run"], "sorce"),
        ([], "source"),
    ],
)
def test_bad_input_is_one_sentence(
    statement: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    keep(tmp_path / "run", result())
    keep(tmp_path / "unmetered" / "a", result(0.9, None))
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    status, told = statement(*arguments)
    assert status == 1
    assert said in told
    assert "Traceback" not in told
    assert len([line for line in told.splitlines() if "rror" in line]) == 1


def test_a_statement_needs_no_library_that_trains_tracks_or_draws() -> None:
    code = (
        "import sys, greensweep.rendering.statement_files, greensweep.sources.tracked_runs\n"
        "sys.exit(bool({'torch', 'mlflow', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_earlier_statement_is_replaced(tmp_path: Path) -> None:
    keep(tmp_path / "run", result())
    found = stated(tmp_path)
    for _ in range(2):
        paths = write_statement(tmp_path / "out", found, model_card(found, None, None))
    assert all(path.stat().st_size for path in paths)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["model"] == "net"


@pytest.mark.parametrize(
    ("by_status", "is_search", "told"),
    [
        ({}, False, "of which no run is recorded"),
        ({"finished": 1}, False, "1 run, finished"),
        ({"failed": 1}, True, "1 trial, failed"),
        ({"failed": 2}, True, "2 trials, all failed"),
        ({"finished": 1, "pruned": 1}, True, "2 trials (1 finished, 1 pruned)"),
        ({ENDED: 1}, False, "1 run"),
        ({ENDED: 2}, False, "2 runs"),
    ],
)
def test_runs_are_counted_in_words(by_status: dict[str, int], is_search: bool, told: str) -> None:
    account = Account(
        None, None, None, by_status, (), {}, None, None, (), Part("Total", 1.0),
        is_search=is_search,
    )  # fmt: skip
    assert counts(account) == told


@pytest.mark.parametrize(
    ("joules", "off", "kilograms", "told"),
    [
        (None, None, None, "an energy that is not known"),
        (0.0, None, 0.0, "0 J (0 Wh, 0 g CO2e)"),
        (1.0, 2.0, None, "1 ± 2 J (0.278 mWh)"),
        (20230.0, 4545.0, 2.0, "20.2 ± 4.5 kJ (5.62 Wh, 2 kg CO2e)"),
    ],
)
def test_an_amount_is_told_with_what_is_known(
    joules: float | None, off: float | None, kilograms: float | None, told: str
) -> None:
    assert amount(Part("Total", joules, 1, off, kilograms)) == told
