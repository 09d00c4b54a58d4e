"""The report as a reader has it: one page, in a real browser."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT
from hydra import compose, initialize_config_dir
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from greensweep.app.tables import report

EVIL = "<script>document.title='broken'</script>"
FIGURES = {
    "front", "energy_curves", "survival", "ranks", "joules_per_layer", "quantiles", "importance",
    "phases", "parallel_coordinates", "slices",
}  # fmt: skip


def table() -> pd.DataFrame:
    """Three strategies on three data sets; the layers and rates make the energy."""
    rows = []
    for place, dataset in enumerate(("a $x$ <b>", "b", EVIL)):
        for strategy, shift in (("random", 0), ("tpe", 5), (EVIL, 2)):
            for trial in range(12):
                rate, conv = ((trial + shift) * 7) % 12, 1 + trial % 3
                rows.append(
                    {
                        "dataset": dataset,
                        "strategy": strategy,
                        "trial": trial,
                        "optimizer.learning_rate": 10.0 ** (-rate / 3),
                        "layers/conv": conv,
                        "layers/linear": 1 + trial % 2,
                        "energy_joules": 900.0 + 400.0 * conv + 10.0 * rate + trial + place,
                        "accuracy": 0.5 + 0.03 * rate + 0.01 * conv,
                        "status": "finished" if trial else "pruned",
                        "phases/training_joules": 3.0,
                        "phases/setup_joules": 1.0,
                        "energy/cpu_joules": 2.0,
                        "energy.quality.cpu": "measured",
                        "run_id": f"{place:x}{trial:x}{shift:x}{'e' * 29}",
                        "experiment_id": 1,
                        "machine": "a big one",
                        "version.torch": "2.14.1",
                        "n_hyperparameters": 3 + trial % 2,
                        "note": "a bell \x07",
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    table().to_csv(folder / "runs.csv", index=False)
    overrides = [f"source={folder}/runs.csv", "title=Mine", f"output={folder}/out"]
    overrides += [f"{each}.resamples=200" for each in ("tradeoff", "strategies", "layers")]
    with initialize_config_dir(str(PROJECT / "conf")):
        report(compose("report", overrides=overrides))
    return folder / "out" / "index.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_drawn_and_nothing_fails(browser: Any, page: Path, width: int) -> None:
    screen(browser, width, 900)
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert browser.title == "Mine", "a name of the user's ran as a script"
    unfold(browser)
    figures = browser.find_elements(By.TAG_NAME, "figure")
    names = {figure.get_attribute("id").removeprefix("figure-") for figure in figures}
    assert names >= FIGURES
    for figure in figures:
        size = figure.find_element(By.TAG_NAME, "svg").rect
        assert size["width"] > 300 and size["height"] > 60
        assert figure.find_element(By.TAG_NAME, "svg").get_attribute("aria-label")
    assert EVIL in browser.find_element(By.ID, "table-searches").text
    assert "a $x$ <b>" in browser.find_element(By.ID, "figure-energy_curves").text
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    assert browser.execute_script(overflow) <= 0, "the page scrolls sideways"


def test_the_first_screen_answers(browser: Any, page: Path) -> None:
    """The answer, the front and what it holds for; the rest is folded, within two screens."""
    screen(browser, 1280, 900)
    browser.get(page.as_uri())
    bottom = "return arguments[0].getBoundingClientRect().bottom"
    answers = browser.find_elements(By.CSS_SELECTOR, "p.answer")
    assert browser.execute_script(bottom, answers[-1]) < 450
    assert browser.execute_script(bottom, browser.find_element(By.ID, "figure-front")) < 900
    facts = browser.find_element(By.CSS_SELECTOR, ".facts").text
    for about in ("Holds for", "Machine\na big one", "Joules", "Runs\n108: 99 finished, 9 pruned"):
        assert about in facts
    assert browser.execute_script("return document.documentElement.scrollHeight") < 2 * 900


def test_figures_can_be_read_on_a_phone(browser: Any, page: Path) -> None:
    screen(browser, 390, 844)
    browser.get(page.as_uri())
    unfold(browser)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure text')].map(text => {"
        " const scale = text.getScreenCTM();"
        " return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b); })"
    )
    assert len(sizes) > 50
    assert min(sizes) >= 12


def test_no_label_covers_a_point(browser: Any, page: Path) -> None:
    screen(browser, 1280, 900)
    browser.get(page.as_uri())
    unfold(browser)
    covered = browser.execute_script(
        "return [...document.querySelectorAll('[id^=figure-front]')].flatMap(figure => {"
        " const points = [...figure.querySelectorAll('[data-tip]')];"
        " return [...figure.querySelectorAll('text')].filter(text => {"
        "  const box = text.getBoundingClientRect();"
        "  return points.some(point => { const it = point.getBoundingClientRect();"
        "   const x = (it.left + it.right) / 2, y = (it.top + it.bottom) / 2;"
        "   return box.left < x && x < box.right && box.top < y && y < box.bottom; });"
        " }).map(text => text.textContent); })"
    )
    assert covered == []
    texts = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#figure-front text")]
    assert any(text.startswith("take run ") for text in texts)


def test_a_long_table_shows_its_first_rows_and_all_on_demand(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    unfold(browser)
    rows = browser.find_elements(By.CSS_SELECTOR, "#table-runs tbody tr")
    assert sum(row.is_displayed() for row in rows) == 8 < len(rows)
    button = browser.find_element(By.CSS_SELECTOR, "#runs .all")
    assert button.text == f"Show all {len(rows)} rows"
    browser.execute_script("arguments[0].click()", button)
    assert all(row.is_displayed() for row in rows)


def test_columns_are_headed_for_people(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    unfold(browser)
    headings = [each.text for each in browser.find_elements(By.TAG_NAME, "th")]
    assert headings and not [each for each in headings if "_" in each or "joules" in each]
    cells = browser.execute_script(
        "return [...document.querySelectorAll('td')].map(cell => cell.textContent)"
    )
    assert not [each for each in cells if re.search("[0-9a-f]{32}", each)]
    front = browser.find_element(By.ID, "table-front")
    assert {"choice", "learning rate", "MLflow run"} <= {
        each.text for each in front.find_elements(By.TAG_NAME, "th")
    }
    (link, *_) = front.find_elements(By.LINK_TEXT, "MLflow run")
    assert "/#/experiments/1/runs/" in link.get_attribute("href")


def test_tables_sort_and_filter(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    unfold(browser)
    runs = browser.find_element(By.ID, "table-runs")
    names = [each.text for each in runs.find_elements(By.CSS_SELECTOR, "th")]
    place = names.index("training energy")

    def energies() -> list[float]:
        script = (
            "return [...arguments[0].tBodies[0].rows].filter(row => !row.hidden)"
            ".map(row => Number(row.cells[arguments[1]].dataset.sort))"
        )
        return list(browser.execute_script(script, runs, place))

    assert len(energies()) == len(table())
    button = runs.find_elements(By.CSS_SELECTOR, "th button")[place]
    browser.execute_script("arguments[0].click()", button)
    assert energies() == sorted(table()["energy_joules"])
    browser.execute_script("arguments[0].click()", button)
    assert energies() == sorted(table()["energy_joules"], reverse=True)
    head = runs.find_elements(By.TAG_NAME, "th")[place]
    assert head.get_attribute("aria-sort") == "descending"
    browser.find_element(By.CSS_SELECTOR, "input[data-table=table-runs]").send_keys("tpe PRUNED")
    assert len(energies()) == 3
    field = browser.find_element(By.CSS_SELECTOR, "input[data-table=table-runs]")
    told = field.find_element(By.XPATH, "ancestor::div[1]//*[@role='status']")
    assert told.text == f"3 of {len(table())} rows"


def test_hovering_tells_what_a_point_is(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    points = browser.find_elements(By.CSS_SELECTOR, "#figure-front [data-tip]")
    front = pd.read_csv(page.parent / "tables" / "front.csv")
    first = front[front["group"] == front["group"].iloc[0]]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", points[-1])
    ActionChains(browser).move_to_element(points[-1]).perform()
    tip = browser.find_element(By.ID, "tip")
    assert tip.is_displayed()
    kilojoules = first["energy_joules"].iloc[-1] / 1000
    assert f"{first['accuracy'].iloc[-1]:.4f} for {kilojoules:.3g} kJ" in tip.text


def test_the_keyboard_reaches_the_front_and_few_other_points(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    front = browser.find_elements(By.CSS_SELECTOR, "#figure-front [data-tip][tabindex='0']")
    table = pd.read_csv(page.parent / "tables" / "front.csv")
    labels = [point.get_attribute("aria-label") for point in front]
    for accuracy in table.loc[table["group"] == table["group"].iloc[0], "accuracy"]:
        assert any(label.startswith(f"{accuracy:.4f} for") for label in labels)
    browser.execute_script("arguments[0].focus()", front[-1])
    tip = browser.find_element(By.ID, "tip")
    assert tip.is_displayed()
    assert tip.text == labels[-1]
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()
    for figure in browser.find_elements(By.TAG_NAME, "figure"):
        assert len(figure.find_elements(By.CSS_SELECTOR, "[tabindex]")) <= 60


def test_text_stands_out_in_light_and_dark(browser: Any, page: Path) -> None:
    """WCAG AA asks for a contrast of 4.5 between text and ground."""
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.get(page.as_uri())
        colours = browser.execute_script(
            "const style = getComputedStyle(document.body);"
            "return [style.color, style.backgroundColor,"
            " getComputedStyle(document.querySelector('footer a')).color]"
        )
        text, ground, link = (luminance(colour) for colour in colours)
        assert (ground > 0.5) == (scheme == "light")
        for each in (text, link):
            high, low = max(each, ground), min(each, ground)
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_field_to_type_in_is_seen(browser: Any, page: Path) -> None:
    """WCAG AA asks for a contrast of 3 between the edge of a field and what is beside it."""
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.get(page.as_uri())
        edge, *others = browser.execute_script(
            "const field = getComputedStyle(document.querySelector('input'));"
            "return [field.borderTopColor, field.backgroundColor,"
            " getComputedStyle(document.body).backgroundColor]"
        )
        for other in others:
            high, low = sorted((luminance(edge), luminance(other)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3, scheme


def test_one_finds_the_way_without_a_mouse(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    script = "return [...document.querySelectorAll('[id]')].map(each => each.id)"
    ids = browser.execute_script(script)
    assert len(ids) == len(set(ids)), "two things have one id"
    ActionChains(browser).send_keys(Keys.TAB).perform()
    skip = browser.switch_to.active_element
    assert skip.is_displayed() and skip.text == "Skip to the content"
    skip.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.tag_name == "main"


def test_paper_shows_wide_tables_whole(browser: Any, page: Path) -> None:
    """In black on white too, though the screen is dark."""
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    width = 718  # of A4 without its margins
    screen(browser, width, 1000)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    browser.get(page.as_uri())
    right, clipped, ground, ink = browser.execute_script(
        "const tables = [...document.querySelectorAll('table')];"
        "const style = getComputedStyle(document.body);"
        "return [Math.max(...tables.map(each => each.getBoundingClientRect().right)),"
        " tables.map(each => getComputedStyle(each.parentElement).overflowX),"
        " style.backgroundColor, style.color]"
    )
    assert right <= width
    assert set(clipped) == {"visible"}
    broken = browser.execute_script(
        "return [...document.querySelectorAll('th button, td:not(.long)')].filter(cell => {"
        " const range = document.createRange(), text = cell.firstChild;"
        " if (!text || text.nodeType !== 3) return false;"
        " return [...text.data.matchAll(/[\\p{L}\\d]+/gu)].some(word => {"
        "  range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);"
        "  return new Set([...range.getClientRects()].map(each => Math.round(each.top))).size > 1;"
        " }); }).map(cell => cell.textContent)"
    )
    assert broken == []
    assert (luminance(ground), luminance(ink)) == (1, 0)
    for hidden in (".all", ".filter", "#tip", ".skip"):
        assert not browser.find_element(By.CSS_SELECTOR, hidden).is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_answer_is_short_and_names_every_data_set(page: Path) -> None:
    text = unescape(page.read_text())
    said = re.findall('<p class="answer">(.*?)</p>', text)
    assert [each.partition(": Take ")[0] for each in said] == [EVIL, "a $x$ <b>", "b"]
    folds = dict(re.findall("<summary><h2>(.*?)</h2><p>(.*?)</p>", text))
    assert folds["Search strategies"].startswith("Which strategy needs the least energy")
    assert folds["Layers"].startswith("Over 6 architectures: ")


def test_what_is_too_dear_to_halve_is_said(page: Path) -> None:
    halving = pd.read_csv(page.parent / "tables" / "halving.csv")
    short = int(halving["accuracy"].isna().sum())
    assert short
    assert page.read_text().count("<td>nothing costs that little</td>") == short


def test_every_table_is_a_file(page: Path) -> None:
    there = {path.name for path in (page.parent / "tables").glob("*.csv")}
    named = set(re.findall(r"tables/(\w+\.csv)", page.read_text()))
    assert named == there
    assert {name.removesuffix(".csv") for name in there} >= {
        "front", "halving", "importance", "searches", "ratios", "curves", "bands", "pairs", "ranks",
        "survival", "anova", "post_hoc", "kruskal_wallis", "quantiles", "architectures",
        "predictions", "bill", "ends", "phases", "components", "runs",
    }  # fmt: skip


def test_the_method_names_the_machine_and_versions_of_the_runs(page: Path) -> None:
    text = page.read_text()
    assert f"Machine of the runs: a big one ({len(table())} runs)." in text
    assert "They ran with torch 2.14.1." in text


def test_runs_show_the_columns_of_their_table(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    heads = browser.find_elements(By.CSS_SELECTOR, "#table-runs th")
    names = [each.get_attribute("textContent") for each in heads]
    assert names.index("learning rate") < names.index("options searched")
    assert names.index("options searched") < names.index("conv layers")
    assert "machine" not in names, "it is the same in all runs"
    assert set(pd.read_csv(page.parent / "tables" / "runs.csv")) >= set(table())


def screen(browser: Any, width: int, height: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def unfold(browser: Any) -> None:
    """Open all that is folded, and wait until that is drawn: it counts as hidden before."""
    browser.execute_async_script(
        "document.querySelectorAll('details').forEach(fold => { fold.open = true; });"
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(done));"
    )


def luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
