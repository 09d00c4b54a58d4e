"""The reports of real runs that the documentation shows, and the figures that pages quote of them.

    python benchmarks/gallery.py                  # write all anew, of the runs that are kept
    python benchmarks/gallery.py digits           # run the default sweep before
    python benchmarks/gallery.py own-loop=FOLDER  # of another sweep

A report is `docs/gallery/NAME.html`, its front NAME.svg, and its runs NAME.csv; where there is
Chromium, screenshots are in `docs/images/`. The runs of `digits` give the README's figures.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path
from textwrap import fill

import pandas as pd
from PIL import Image

from greensweep.analysis import RunTable, analyse_tradeoff, read_runs
from greensweep.config.schema_analysis import ColumnsConfig, SourceConfig, TradeoffConfig
from greensweep.decision.sentences import value_text
from greensweep.energy.units import energy_text, joules_text

PROJECT = Path(__file__).resolve().parents[1]
GALLERY = PROJECT / "docs" / "gallery"
README = PROJECT / "README.md"
STUDY = PROJECT / "docs" / "results" / "corrected" / "runs.csv"
TUTORIAL = PROJECT / "docs" / "tutorial.md"
REPORT = PROJECT / "docs" / "report.md"
_BLOCK = re.compile(r"(?<=`python benchmarks/gallery.py`. -->\n\n).*(?=<!-- end -->)", re.S)
_QUOTE = re.compile(r"(?<=```text\n)Take .*?(?=\n```)", re.S)
_FACT = re.compile(r"<dt>(.+?)</dt><dd>(.+?)</dd>")
_FACTS = re.compile(r"(?<=\| question \| answer \|\n\|---\|---\|\n).*?(?=\n\n)", re.S)
_ASKED = {
    "which configuration?": ["Take"],
    "what is lost?": ["Gives up"],
    "what is saved?": ["Saves", "Against the start"],
    "how sure?": ["How sure"],
    "for whom?": ["Holds for", "Machine", "Runs", "Joules"],
}
_OPTIONS = ("optimizer.learning_rate", "training.batch_size", "training.epochs")
# As the pipeline's last stage has them, in dvc.yaml.
_OF_STUDY = (
    "columns=study",
    "strategies.where={experiment: rq1_strategies}",
    "layers.where={experiment: rq2_layers}",
    "layers.factors=[model.conv_layers,model.linear_layers,model.relu]",
)
_SCREENSHOTS = {"report.png": "1280,800", "report_narrow.png": "390,844"}


def answer(runs: Path) -> str:
    """Return what the product says of a report's runs."""
    return analyse_tradeoff(_read(runs), TradeoffConfig()).answers[0]


def before_and_after(runs: Path) -> str:
    """Return the README's figures of the default sweep, in Markdown."""
    table = _read(runs)
    front = analyse_tradeoff(table, TradeoffConfig()).tables["front"]
    frame = table.frame.set_index("trial")
    start = frame[frame["starting_point"].astype(bool)].iloc[0]
    chosen = frame.loc[front.loc[front["is_chosen"], "trial"].iloc[0]]
    rows = [("as it stood", start), ("as the answer says", chosen)]
    saved = start["energy_joules"] - chosen["energy_joules"]
    spent = frame["energy_spent_joules"].sum()
    pays = f", as much as {spent / saved:.0f} such trainings save" if saved > 0 else ""
    lines = [
        "| | learning rate | batch size | epochs | validation accuracy | training energy |",
        "|---|---|---|---|---|---|",
        *(f"| {name} | {' | '.join(_cells(row))} |" for name, row in rows),
        "",
        f"> {answer(runs)}",
        "",
        f"On {_machine(frame)}; energy {_quality(start, chosen)}. All {len(frame)} trials took "
        f"{joules_text(spent)}{pays}.",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for given in arguments:
            name, _, sweep = given.partition("=")
            keep(name, Path(sweep).resolve() if sweep else default_sweep(Path(folder)))
    for runs in sorted(GALLERY.glob("*.csv")):
        show(runs)
    if shutil.which("chromium"):
        take_pictures()
    figures = before_and_after(GALLERY / "digits.csv")
    README.write_text(with_figures(README.read_text("utf-8"), figures), "utf-8")
    quoted = fill(answer(GALLERY / "own-loop.csv"), 76)
    TUTORIAL.write_text(_QUOTE.sub(lambda _: quoted, TUTORIAL.read_text("utf-8")), "utf-8")
    told = first_screen(GALLERY / "digits.html")
    REPORT.write_text(_FACTS.sub(lambda _: told, REPORT.read_text("utf-8")), "utf-8")


def first_screen(page: Path) -> str:
    """Return what the first screen of a report says to each question, as rows in Markdown."""
    facts = dict(_FACT.findall(unescape(page.read_text(encoding="utf-8"))))
    said = {
        asked: "; ".join(f'"{facts[each]}"' for each in by if each in facts)
        for asked, by in _ASKED.items()
    }
    return "\n".join(f"| {asked} | {answer} |" for asked, answer in said.items())


def with_figures(readme: str, figures: str) -> str:
    """Return the README with other figures."""
    return _BLOCK.sub(lambda _: f"{figures}\n\n", readme, count=1)


def default_sweep(folder: Path) -> Path:
    """Run what `make sweep` runs in an empty folder, and return the sweep's."""
    options = ["-m", "hydra/sweeper=greensweep", "objective=pareto"]
    subprocess.run([sys.executable, PROJECT / "src" / "train.py", *options], cwd=folder, check=True)
    (sweep,) = folder.glob("multirun/*/")
    return sweep


def keep(name: str, sweep: Path) -> None:
    """Keep the runs of a sweep, as its report has them."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page"
        _report(sweep.parent, sweep.name, page)
        shutil.copy(page / "tables" / "runs.csv", GALLERY / f"{name}.csv")


def show(runs: Path) -> None:
    """Write the report of the runs that are kept, and its front."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page"
        shutil.copy(runs, folder)
        _report(Path(folder), runs.name, page)
        shutil.copy(page / "index.html", runs.with_suffix(".html"))
        front = (page / "figures" / "front.svg").read_text(encoding="utf-8")
    # The figure has no ground of its own, and these pages may be dark.
    runs.with_suffix(".svg").write_text(front.replace("fill: none", "fill: #ffffff", 1), "utf-8")


def take_pictures() -> None:
    """Take screenshots of two reports: of the default sweep, and of the study that is kept."""
    for name, size in _SCREENSHOTS.items():
        _take_picture(GALLERY / "digits.html", name, size)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(STUDY, Path(folder) / "study.csv")
        _report(Path(folder), "study.csv", Path(folder) / "page", *_OF_STUDY)
        _take_picture(Path(folder) / "page" / "index.html", "report_study.png", "1280,1100")


def _take_picture(page: Path, name: str, size: str) -> None:
    picture = PROJECT / "docs" / "images" / name
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={size}"]
    command = ["chromium", *flags, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    few = Image.open(picture).convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE)
    few.save(picture, optimize=True)


def _report(folder: Path, source: str, page: Path, *options: str) -> None:
    command = [sys.executable, PROJECT / "src" / "report.py", f"source={source}", f"output={page}"]
    subprocess.run([*command, *options], cwd=folder, check=True)


def _read(runs: Path) -> RunTable:
    return read_runs(SourceConfig(source=str(runs), columns=ColumnsConfig()))


def _cells(run: pd.Series) -> list[str]:
    energy = energy_text(run["energy_joules"], run["energy_uncertainty_joules"])
    accuracy = f"{run['validation_accuracy']:.4f}"
    return [*(value_text(run[option]) for option in _OPTIONS), accuracy, energy]


def _machine(frame: pd.DataFrame) -> str:
    sensors = "" if frame["energy_measured_share"].max() else ", without energy sensors"
    return f"{frame['machine'].iloc[0]}{sensors}"


def _quality(*runs: pd.Series) -> str:
    qualities = " and ".join(sorted({run["energy_quality"] for run in runs}))
    meter = runs[0]["energy.name"].replace("codecarbon", "CodeCarbon")
    shared = any(run["energy_contended"] for run in runs)
    return f"{qualities}, by {meter}" + (", beside other work" if shared else "")


if __name__ == "__main__":
    main(sys.argv[1:])
