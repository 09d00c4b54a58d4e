"""The documentation builds, its links lead somewhere, and its examples run."""

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
from conftest import PROJECT, Finished
from pages import IN_ORDER, SMALLER, Block, blocks, gallery, smaller, write_files
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from test_rooms import ROOMS

from greensweep.__main__ import main
from greensweep.config import schema, schema_analysis, sweeper

PAGES = sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "docs").glob("*.md"))
GREENSWEEP = "python -m greensweep "
GALLERY = PROJECT / "docs" / "gallery"
IN_GALLERY = sorted(path.stem for path in GALLERY.glob("*.html"))


def shown(language: str) -> Iterator[tuple[Block, str]]:
    """Yield each command, or block of Python, that pages show and a test runs, once each."""
    seen = set()
    for page in ["README.md", *sorted({*PAGES} - {*IN_ORDER})]:
        for block in blocks(page):
            if block.is_run and block.path is None and block.language == language:
                for each in block.commands or [block.code]:
                    if each not in seen and not each.startswith("make "):
                        seen.add(each)
                        yield block, each


def examples(language: str) -> Iterator[object]:
    for block, each in shown(language):
        if not each.startswith(GREENSWEEP):
            marks = [pytest.mark.slow] if block.mark == "slow" else []
            name = f"{Path(block.page).stem}:{block.line}"
            yield pytest.param(block.page, each, marks=marks, id=name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all commands: making one takes a second or two."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="module")
def searched() -> list[str]:
    """The strategies whose sweeps are in the store."""
    return []


@pytest.fixture
def earlier_runs(cli: Callable[..., Finished], searched: list[str]) -> Callable[[str], None]:
    """Make what a command reads of earlier ones: a run, or two searches in the store."""

    def make(command: str) -> None:
        small = SMALLER["train.py"]
        if "outputs/my_run" in command:
            cli("train.py", "hydra.run.dir=outputs/my_run", *small)
        reads_store = "source=" not in command or "source=mlflow" in command
        if reads_store and re.search(r"src/(analyse|report)\.py", command):
            for sampler in {"random", "tpe"} - set(searched):
                sweep = ("-m", "hydra/sweeper=greensweep", f"hydra/sweeper/sampler={sampler}")
                small = [text for text in SMALLER["train.py"] if text != "energy=unmetered"]
                small += [*SMALLER["-m"], *SMALLER["sweeper"], "inference.seconds=0"]
                study = f"hydra.sweeper.study_name={sampler}"
                assert cli("train.py", *sweep, study, *small).status == 0
                searched.append(sampler)

    return make


@pytest.fixture
def reader(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put the test into a folder as a page's reader has it: `reader("docs/own-data.md")`."""

    def settle(page: str) -> None:
        write_files(page, tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "my_package", raising=False)  # another page's
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    return settle


# --- examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, "README.md", "CONTRIBUTING.md"])
def test_every_command_is_one_that_is_tested_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        assert re.fullmatch(r"|slow|not run, .+", block.mark), f"{page}:{block.line}"
        for command in block.commands if block.is_run and page not in IN_ORDER else []:
            assert command.startswith(("python src/", "python -m greensweep ", "make ")), command


@pytest.mark.parametrize(("page", "command"), examples("sh"))
def test_command_of_a_page_works(
    cli: Callable[..., Finished],
    reader: Callable[[str], None],
    earlier_runs: Callable[[str], None],
    page: str,
    command: str,
) -> None:
    reader(page)
    earlier_runs(command)
    ended = cli(Path(shlex.split(command)[1]).name, *smaller(command))
    assert ended.status == 0, ended.errors
    assert ended.output


def test_commands_on_results_work(
    cli: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = [each for _, each in shown("sh") if each.startswith(GREENSWEEP)]
    arguments = [shlex.split(each)[3:] for each in commands]
    results = ["outputs/my_run", "outputs/sweep"]
    assert sorted(arguments) == [
        ["doctor"], ["study"], ["summarise", results[1]], ["upload", results[0]],
    ]  # fmt: skip
    small = (*SMALLER["train.py"], *SMALLER["-m"])
    cli("train.py", "hydra.run.dir=outputs/my_run", "tracking=local", *small)
    cli("train.py", "-m", "seed=1,2", "hydra.sweep.dir=outputs/sweep", *small)
    arguments[arguments.index(["doctor"])] = ["doctor", "energy=unmetered"]  # a meter takes seconds
    assert [main(each) for each in arguments if each != ["study"]] == [0, 0, 0]
    monkeypatch.chdir(PROJECT)
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    assert "A sweep will run here." in printed
    assert "Take trial " in printed
    assert "params.yaml: size=smoke, variant=corrected" in printed


@pytest.mark.parametrize(("page", "code"), examples("python"))
def test_python_of_a_page_runs(reader: Callable[[str], None], page: str, code: str) -> None:
    reader(page)
    exec(compile(code, page, "exec"), {})


@pytest.mark.parametrize("page", [*PAGES, "README.md", "CONTRIBUTING.md"])
def test_shown_files_of_the_project_are_as_shown(page: str) -> None:
    for block in blocks(page):
        if block.path is not None and (PROJECT / block.path).exists():
            _, _, shown = block.code.partition("\n")
            assert shown in (PROJECT / block.path).read_text(encoding="utf-8"), block


@pytest.mark.parametrize("page", ["README.md", *PAGES, "CONTRIBUTING.md"])
def test_make_targets_of_a_page_exist(page: str) -> None:
    listed = re.search(r"\.PHONY: (.*)", (PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert listed is not None
    text = (PROJECT / page).read_text(encoding="utf-8")
    for options, target in re.findall(r"(?:^|`)make ((?:[A-Z]+=\S+ )*)([a-z-]+)", text, re.M):
        assert target in listed[1].split(), f"make {options}{target}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    """Links, and paths in code but those of the made-up additions of CONTRIBUTING.md."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    folder = (PROJECT / page).parent
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (folder / link).exists(), link
    for path in re.findall(r"`((?:src|tests|conf|benchmarks)/[\w/.]+)`", text):
        made_up = re.search(r"/(stripes|ladder|ordinal|wattmeter|nearest_first)\.", path)
        assert made_up or (PROJECT / path).exists(), path


# --- what pages say -----------------------------------------------------------------------------


def test_the_index_leads_to_every_page_and_so_does_the_menu() -> None:
    names = {Path(page).name for page in PAGES} - {"index.md"} | {"config.md"}
    index = (PROJECT / "docs" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == names
    menu = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"([\w-]+\.md)$", menu, re.M)) == names | {"index.md"}


def test_the_answer_that_the_page_of_decisions_shows_is_what_its_code_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = (
        block for block in blocks("docs/decision.md") if block.language in ("python", "text")
    )
    exec(compile(code.code, "decision.md", "exec"), {})
    assert capsys.readouterr().out.split() == said.code.split()


def test_the_short_table_of_strategies_quotes_the_long_ones() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (PROJECT / "docs" / "strategies.md").read_text(encoding="utf-8").splitlines()
        if re.match(r"\| .* \| (uniform|log) \| ", line)
    ]
    # Of both targets, in their order: the median before its quartiles, and how many got there.
    found: dict[tuple[str, str], list[str]] = {}
    for name, space, seeds, median, _, reached, _ in (row for row in rows if len(row) == 7):
        assert seeds == "30"
        found.setdefault((name, space), []).extend([median.split(" [")[0], reached])
    short = [row for row in rows if len(row) == 6]
    assert len(short) == 9
    for name, space, *figures in short:
        assert figures == found[name, space], name


@pytest.mark.parametrize("name", IN_GALLERY)
def test_a_report_of_the_gallery_opens_with_what_is_said_of_its_runs(name: str) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", (GALLERY / f"{name}.html").read_text("utf-8")))
    assert " ".join(gallery().answer(GALLERY / f"{name}.csv").split()) in " ".join(text.split())


@pytest.mark.parametrize(("page", "name"), [("docs/tutorial.md", "own-loop")])
def test_an_answer_that_a_page_quotes_is_said_of_the_runs_in_the_gallery(
    page: str, name: str
) -> None:
    (quoted,) = (block.code for block in blocks(page) if block.code.startswith("Take "))
    assert quoted.split() == gallery().answer(GALLERY / f"{name}.csv").split()


def test_the_gallery_is_small_and_names_no_folder_of_the_machine_that_made_it() -> None:
    pictures = [*(PROJECT / "docs" / "images").iterdir()]
    files = [*GALLERY.iterdir()]
    assert sum(path.stat().st_size for path in [*files, *pictures]) < 1_000_000
    for path in files:
        assert not re.search(r"/(?:tmp|home|root|work)/", path.read_text("utf-8")), path


# --- the page of options ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    sys.path.insert(0, str(PROJECT / "docs"))
    try:
        return __import__("_hooks")
    finally:
        sys.path.pop(0)


def declared_options() -> Iterator[tuple[str, dataclasses.Field]]:
    for module in (schema, schema_analysis, sweeper):
        for name, node in vars(module).items():
            if dataclasses.is_dataclass(node) and name.endswith("Config"):
                for field in dataclasses.fields(node):
                    # A group has no row, its options have; names are the group's choices.
                    if not dataclasses.is_dataclass(field.default_factory):
                        yield node.__name__, field


def test_every_option_is_in_the_reference_with_its_description(hooks: ModuleType) -> None:
    found = set()
    for row in hooks.reference().splitlines():
        if row.startswith("| `"):
            option, *_, what = row.removeprefix("| `").removesuffix(" |").split(" | ")
            name = option.removesuffix("`").rpartition(".")[2]
            found.add((name, unescape(what).replace("\\*", "*")))
    options = [(node, field) for node, field in declared_options() if "doc" in field.metadata]
    assert len(options) > 150
    for node, field in options:
        if (node, field.name) != ("TrainConfig", "replay") and field.name != "name":
            assert (field.name, field.metadata["doc"]) in found, f"{node}.{field.name}"


def test_every_choice_of_every_group_is_in_the_reference(hooks: ModuleType) -> None:
    page = hooks.reference()
    for path in (PROJECT / "conf").glob("*/*.yaml"):
        if path.parent.name != "search":  # which follows the sweeper by itself
            assert f"| `{path.parent.name}={path.stem}` |" in page, path


def test_no_option_goes_without_a_description() -> None:
    """But names that a choice sets, groups, and what Hydra itself reads."""
    for node, field in declared_options():
        exempt = {"name", "_target_", "_recursive_", "defaults", "sampler", *hooks_groups()}
        assert "doc" in field.metadata or field.name in exempt, f"{node}.{field.name}"


def hooks_groups() -> set[str]:
    from greensweep.config.register import SCHEMAS

    return {*SCHEMAS, "tradeoff", "strategies", "layers"}


def test_the_reference_has_type_default_and_range(hooks: ModuleType) -> None:
    rows = hooks.reference()
    for row in (
        "| `training.epochs` | whole number | `30` | ≥ 1 | passes over the training split |",
        "| `dataset.validation_fraction` | number | `0.15` | > 0 and < 1 | share of the training ",
        "| `energy.gpus` | any | `null` |  | GPUs to count: a list of ",
        "| `model.name` | text | none, set it |  | name of the network in its library |",
        "weights | `name: adamw`<br>`weight_decay: 0.01` |",
    ):
        assert row in rows


# --- the site -----------------------------------------------------------------------------------


def build(folder: Path, config: Path = PROJECT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_with_every_page(site: Path) -> None:
    pages = {path.parent.name for path in site.glob("*/index.html")}
    assert pages == {Path(page).stem for page in PAGES} - {"index"} | {"config"}
    shown = (site / "config" / "index.html").read_text(encoding="utf-8")
    assert "folder with train/&lt;class&gt;/* and optional val/ and test/" in shown


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = r"<(?:script|img|iframe|source)[^>]*src=[\"']?(\w*:?//[^\"'> ]+)"
    styles = r"<link(?![^>]*rel=[\"']?canonical)[^>]*href=[\"']?(\w*:?//[^\"'> ]+)"
    for page in site.glob("**/*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(loads, text) + re.findall(styles, text), page
    for style in site.glob("**/*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"url\([\"']?(?:https?:)?//[^)]+\)|@import[^;]+//", text), style


@pytest.mark.slow
def test_a_reader_finds_an_option_without_another_host(browser: Any, site: Path) -> None:
    serve = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        browser.get_log("browser")
        browser.get(home)
        search = browser.find_element(By.CSS_SELECTOR, "input[data-md-component=search-query]")
        browser.execute_script("arguments[0].focus()", search)
        search.send_keys("min_gain_per_kilojoule")
        links = WebDriverWait(browser, 20).until(
            lambda _: browser.find_elements(By.CSS_SELECTOR, "a.md-search-result__link")
        )
        assert any("/config/" in link.get_attribute("href") for link in links)
        browser.get(f"{home}architecture/")
        resources = "return performance.getEntriesByType('resource').map(each => each.name)"
        loaded = browser.execute_script(resources)
        assert loaded and all(name.startswith((home, "blob:")) for name in loaded), loaded
        assert browser.get_log("browser") == []
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["[x](nowhere.md)", "[x](energy.md#nowhere)", "[x](/energy/)"])
def test_a_link_to_nowhere_ends_the_build(tmp_path: Path, broken: str) -> None:
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "faq.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{broken}\n")
    built = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert built.returncode == 1
    assert "faq.md" in built.stderr


def test_the_picture_of_the_rooms_and_their_table_are_complete() -> None:
    table = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == ROOMS
    picture = (PROJECT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    assert re.findall(r'y="[\d.]+" font-size="1[13]"[^>]*monospace">(\w+)<', picture) == ROOMS


def test_every_picture_is_shown_on_a_page() -> None:
    text = "".join((PROJECT / page).read_text("utf-8") for page in ["README.md", *PAGES])
    shown = set(re.findall(r"!\[[^\]]+\]\((?:docs/)?images/([^)]+)\)", text))
    assert shown == {path.name for path in (PROJECT / "docs" / "images").iterdir()}
    assert all((PROJECT / "docs" / "images" / name).stat().st_size > 5_000 for name in shown)


def test_the_table_of_groups_names_every_choice_and_nothing_else() -> None:
    text = (PROJECT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|", text, re.M)
    assert len(rows) == 13
    for group, choices in rows:
        found = {path.stem for path in (PROJECT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", choices)) == found, group
