"""What `python src/report.py` leaves on disk, and what it refuses."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from conftest import PROJECT, Finished

Cli = Callable[..., Finished]


def rows(path: Path, count: int = 12, **more: object) -> None:
    columns: dict[str, object] = {
        "dataset": "d",
        "energy_joules": [1000.0 + 500.0 * number for number in range(count)],
        "accuracy": [0.5 + 0.4 * number / count for number in range(count)],
    }
    pd.DataFrame({**columns, **more}).to_csv(path, index=False)


def test_the_page_stands_alone_with_its_figures_and_tables_beside(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", name="50% & more_or_less")
    finished = cli("report.py", "source=runs.csv")
    assert finished.status == 0, finished.errors
    folder = tmp_path / "outputs" / "report"
    text = (folder / "index.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
    assert ElementTree.parse(folder / "figures" / "front.svg").getroot().tag.endswith("svg")
    assert (folder / "figures" / "front.png").read_bytes().startswith(b"\x89PNG")
    front = pd.read_csv(folder / "tables" / "front.csv")
    assert front["accuracy"].tolist() == pd.read_csv(tmp_path / "runs.csv")["accuracy"].tolist()
    assert r"50\% \& more\_or\_less" in (folder / "tables" / "runs.tex").read_text()


def test_energy_is_shown_with_what_it_may_be_off_by(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", energy_uncertainty_joules=[40.0 + number for number in range(12)])
    finished = cli("report.py", "source=runs.csv")
    assert finished.status == 0, finished.errors
    page = (tmp_path / "outputs" / "report" / "index.html").read_text()
    assert page.count('data-sort="1000.0">1.00 ± 0.04 kJ<') == 2  # on the front, and of all runs


def test_a_further_accuracy_of_ones_own_table_is_shown(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", train_accuracy=[0.9 - 0.01 * number for number in range(12)])
    finished = cli("report.py", "source=runs.csv")
    assert finished.status == 0, finished.errors
    assert ">train accuracy<" in (tmp_path / "outputs" / "report" / "index.html").read_text()


def test_a_thousand_runs_are_a_page_of_less_than_three_megabytes(cli: Cli, tmp_path: Path) -> None:
    varying = [0.1 * n for n in range(1000)]
    names = ["optimizer.learning_rate", *(f"column_{place}" for place in range(14))]
    options = dict.fromkeys(names, varying)
    ids = {"run_id": [f"{n:032x}" for n in range(1000)], "experiment_id": 1}
    rows(tmp_path / "runs.csv", 1000, **ids, **options)
    assert cli("report.py", "source=runs.csv").status == 0
    page = tmp_path / "outputs" / "report" / "index.html"
    assert page.stat().st_size < 3_000_000
    assert page.read_text().count("data-tip=") >= 1000


def test_an_earlier_report_is_replaced_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv")
    assert cli("report.py", "source=runs.csv", "tradeoff.trainings=10").status == 0
    folder = tmp_path / "outputs" / "report"
    assert (folder / "tables" / "at_scale.csv").is_file()
    assert cli("report.py", "source=runs.csv").status == 0
    assert not (folder / "tables" / "at_scale.csv").exists()
    (folder / "thesis.txt").write_text("mine")
    refused = cli("report.py", "source=runs.csv")
    assert refused.status == 1
    assert "output=outputs/report holds something other than a report" in refused.errors
    assert (folder / "thesis.txt").read_text() == "mine"
    assert not list(tmp_path.rglob(".part-*")), "half a report is left"


def test_what_a_killed_report_left_is_not_in_the_way_of_the_next(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv")
    (tmp_path / "outputs" / "report" / ".part-of-a-killed-one").mkdir(parents=True)
    for _ in range(2):
        assert cli("report.py", "source=runs.csv").status == 0


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["source=none.csv"], "source=none.csv is no file"),
        (["source=runs.csv", "ui=javascript:alert"], "is no address"),
        (["source=runs.csv", "columns.energy=joule"], "no column of runs.csv is called 'joule'"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(
    cli: Cli, tmp_path: Path, overrides: list[str], said: str
) -> None:
    rows(tmp_path / "runs.csv")
    refused = cli("report.py", *overrides)
    assert refused.status == 1
    assert said in refused.errors
    assert "Traceback" not in refused.errors
    assert not (tmp_path / "outputs" / "report").exists()


def test_curves_are_held_against_a_strategy_that_is_there(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", strategy=["gp", "tpe"] * 6, trial=[n // 2 for n in range(12)])
    assert cli("report.py", "source=runs.csv").status == 0
    folder = tmp_path / "outputs" / "report"
    assert "Energy to the target over that of gp" in (folder / "index.html").read_text()
    assert "multiples of gp" in (folder / "figures" / "survival.svg").read_text()


def test_what_is_not_told_names_the_options_of_the_report(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", strategy="gp", trial=range(12))
    assert cli("report.py", "source=runs.csv").status == 0
    text = (tmp_path / "outputs" / "report" / "index.html").read_text()
    assert "the analysis of layers has no factors: set layers.factors=[" in text
    assert "(layers.… are options of src/report.py)" in text
    assert "analysis." not in text and "analysis=" not in text
    assert "12 runs took 45 kJ (12.5 Wh) in all" in text


def test_what_is_doubtful_is_printed_beside_the_answers(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", energy_contended=[n < 2 for n in range(12)])
    printed = cli("report.py", "source=runs.csv").output
    assert "in all (of unknown quality; 2 of them sharing the machine with other work)" in printed
    assert printed.count("Warning: 2 of 12 runs shared the machine with other work, so that") == 1


def test_of_many_data_sets_three_are_recommended_for(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", dataset=[f"set {n % 5}" for n in range(12)])
    assert cli("report.py", "source=runs.csv").status == 0
    text = (tmp_path / "outputs" / "report" / "index.html").read_text()
    answer = text[: text.index("<details")]
    assert answer.count(": Take ") == 3
    assert "Recommendations for 2 more are under The Pareto front." in answer


def test_the_front_leads_to_the_code_and_data_of_each_run(cli: Cli, tmp_path: Path) -> None:
    rows(tmp_path / "runs.csv", commit=["a" * 40, "b" * 40] * 6, data="c" * 32)
    assert cli("report.py", "source=runs.csv").status == 0
    page = (tmp_path / "outputs" / "report" / "index.html").read_text()
    front = page[page.index('<table id="table-front">') : page.index('<table id="table-halving">')]
    assert ">commit</button>" in front and "<td>aaaaaaaa</td>" in front and "bbbbbbbb" in front
    assert ">data</button>" not in front, "it is the same for all, as the first screen says"
    assert "<dt>Code and data</dt><dd>data cccccccc</dd>" in page


def test_a_report_is_written_without_pytorch(tmp_path: Path) -> None:
    """It takes seconds to load, and a table of runs has no need of it."""
    rows(tmp_path / "runs.csv")
    said = (
        "import atexit, runpy, sys; sys.argv = ['report.py', 'source=runs.csv'];"
        "atexit.register(lambda: print('torch' in sys.modules));"
        f"runpy.run_path({str(PROJECT / 'src' / 'report.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
