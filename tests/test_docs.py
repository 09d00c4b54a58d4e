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
from pages import IN_ORDER, blocks, smaller, write_files
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from test_rooms import ROOMS

from greensweep.config import schema, schema_analysis, sweeper

PAGES = sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "docs").glob("*.md"))
IN_README = {command for block in blocks("README.md") for command in block.commands}


def examples(language: str) -> Iterator[object]:
    """Yield each command, or block of Python, that a page shows and its test runs."""
    for page in sorted({*PAGES} - {*IN_ORDER}):
        for block in blocks(page):
            if not block.is_run or block.path is not None:
                continue
            if block.language != language:
                continue
            shown = block.commands or [block.code]
            marks = [pytest.mark.slow] if block.mark == "slow" else []
            for each in shown:
                if each not in IN_README and not each.startswith("make "):
                    name = f"{Path(page).stem}:{block.line}"
                    yield pytest.param(page, each, marks=marks, id=name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all commands: making one takes a second or two."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


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
    cli: Callable[..., Finished], reader: Callable[[str], None], page: str, command: str
) -> None:
    reader(page)
    ended = cli(Path(shlex.split(command)[1]).name, *smaller(command))
    assert ended.status == 0, ended.errors
    assert ended.output


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


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
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
        "| `training.epochs` | whole number | `15` | ≥ 1 | passes over the training split |",
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
