"""`python src/analyse.py` as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished

from greensweep.analysis import Result, RunTable
from greensweep.errors import AnalysisError

Cli = Callable[..., Finished]


def table(path: Path) -> None:
    rows = [
        {"dataset": "d", "strategy": strategy, "trial": trial, "joules": 10.0, "acc": accuracy}
        for strategy, accuracies in (("random", (0.5, 0.6, 0.8)), ("tpe", (0.8, 0.7, 0.9)))
        for trial, accuracy in enumerate(accuracies)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def test_a_table_of_ones_own_is_answered(cli: Cli, tmp_path: Path) -> None:
    table(tmp_path / "mine.csv")
    named = ("columns.energy=joules", "columns.accuracy=acc")
    finished = cli("analyse.py", "source=mine.csv", "analysis=strategies", *named)
    assert finished.status == 0, finished.errors
    assert "tpe reaches the target for 10 J, 0.333 times what random needs: which of both" in (
        finished.output
    )
    folder = tmp_path / "outputs" / "analysis" / "strategies"
    searches = pd.read_csv(folder / "searches.csv").set_index("strategy")
    assert searches["joules_to_target"].to_dict() == {"random": 30.0, "tpe": 10.0}
    summary = json.loads((folder / "analysis.json").read_text())
    assert summary["figures"]["ratios"]["tpe"]["median_ratio"] == pytest.approx(1 / 3)
    assert summary["rows"] == 6


def test_tables_are_replaced_and_other_files_left_alone(cli: Cli, tmp_path: Path) -> None:
    table(tmp_path / "mine.csv")
    named = ("source=mine.csv", "columns.energy=joules", "columns.accuracy=acc", "output=out")
    assert cli("analyse.py", *named, "analysis.trainings=10").status == 0
    folder = tmp_path / "out" / "tradeoff"
    assert (folder / "at_scale.csv").is_file()
    (folder / "mine.txt").write_text("keep me")
    assert cli("analyse.py", *named).status == 0
    assert {path.name for path in folder.iterdir()} == {
        "analysis.json", "front.csv", "halving.csv", "mine.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("front.csv", "the user's own"),
        ("analysis.json", '{"my": "analysis"}'),
        ("analysis.json", "broken {"),
        ("analysis.json", None),
    ],
)
def test_a_file_that_is_not_ours_is_never_replaced(
    tmp_path: Path, name: str, text: str | None
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    if text is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_text(text)
    rows = pd.DataFrame({"energy_joules": [1.0]})
    result = Result("tradeoff", ["Yes."], {"front": rows, "halving": rows}, RunTable(rows, "", 1))
    with pytest.raises(AnalysisError, match=f"{name} is not of an earlier analysis"):
        result.write(folder)
    assert [path.name for path in folder.iterdir()] == [name]
    if text is not None:
        assert (folder / name).read_text() == text


@pytest.mark.parametrize("script", ["analyse.py", "report.py"])
def test_a_folder_that_cannot_be_made_is_one_sentence(
    cli: Cli, tmp_path: Path, script: str
) -> None:
    table(tmp_path / "mine.csv")
    (tmp_path / "out").write_text("a file")
    named = ("source=mine.csv", "columns.energy=joules", "columns.accuracy=acc", "output=out")
    finished = cli(script, *named)
    assert finished.status == 1
    assert finished.errors.startswith("Error: output=out cannot be written (")
    assert finished.errors.endswith("): name another\n")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["source=none.csv"], "source=none.csv is no file"),
        (["source=mine.csv"], "columns.energy: no column of mine.csv is called 'energy_joules'"),
        ([], "source has no value: set source="),
        (
            [
                "source=mine.csv",
                "columns.energy=joules",
                "columns.accuracy=acc",
                "columns.order=trail",
            ],
            "columns.order: no column of mine.csv is called 'trail': did you mean trial",
        ),
        (["source=broken.csv"], "broken.csv, line 3 has fewer cells than its header has names"),
        (
            [
                "source=mine.csv",
                "analysis=strategies",
                "analysis.target=0.5",
                "analysis.fraction_of_best=0.9",
            ],
            "analysis.target and analysis.fraction_of_best both state",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_sentence_and_leaves_nothing(
    cli: Cli, tmp_path: Path, overrides: list[str], said: str
) -> None:
    table(tmp_path / "mine.csv")
    (tmp_path / "broken.csv").write_text("energy_joules,accuracy\n1,0.5\n2\n")
    finished = cli("analyse.py", *overrides)
    assert finished.status == 1
    assert said in finished.errors
    assert "Traceback" not in finished.errors
    assert not (tmp_path / "outputs" / "analysis").exists()
