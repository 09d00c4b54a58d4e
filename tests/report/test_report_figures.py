"""What stands in the figures, and how they live together in a page."""

import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest

from greensweep.analysis import Result, analyse_tradeoff, compare_strategies, standard_table
from greensweep.analysis.collect import analyses_of
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    LayersConfig,
    ReportConfig,
    StrategiesConfig,
    TradeoffConfig,
)
from greensweep.rendering import build_page, draw_curves, draw_front, draw_shares, draw_survival
from greensweep.rendering.svg import inline_svg
from greensweep.sources import run_columns as col

HIDDEN, BELL = "_hidden", "a\x07b"  # Matplotlib hides the first, XML refuses the second
RUNS = standard_table(
    pd.DataFrame(
        [
            {
                "dataset": dataset,
                "strategy": strategy,
                "trial": trial,
                "energy_joules": 10.0 + place + trial,
                "accuracy": 0.5 + 0.01 * ((trial + place) % 4),
            }
            for dataset, strategies in (("one", ["random"]), ("two", ["random", HIDDEN, BELL]))
            for place, strategy in enumerate(strategies)
            for trial in range(4)
        ]
    ),
    ColumnsConfig(),
    "here",
)


@pytest.fixture(scope="module")
def strategies() -> Result:
    return compare_strategies(RUNS, StrategiesConfig(resamples=100))


def test_every_strategy_has_its_place_in_the_legend(strategies: Result) -> None:
    """Also one that the first setting lacks, and one called as hidden lines are."""
    for drawing in (draw_curves(strategies), draw_survival(strategies)):
        figure = drawing.figure
        legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
        assert legend is not None
        shown = {
            text.get_text(): (line.get_color(), line.get_linestyle())
            for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
        }
        assert set(shown) == {HIDDEN, "a\N{REPLACEMENT CHARACTER}b", "random"}
        assert len(set(shown.values())) == 3
        assert HIDDEN in drawing.svg


def test_the_name_of_a_setting_stands_above_its_own_panel() -> None:
    named = RUNS.frame.copy()
    named[col.SETTING] = "cifar10_images dense_linear paper_log " + named[col.SETTING]
    result = compare_strategies(replace(RUNS, frame=named), StrategiesConfig(resamples=100))
    figure = draw_curves(result).figure
    figure.draw_without_rendering()
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert len(titles) == 2
    assert titles[0].x0 >= 0 and titles[0].x1 < titles[1].x0
    assert titles[1].x1 <= figure.bbox.x1


def test_a_control_character_in_a_name_is_drawn_and_warns_of_nothing(strategies: Result) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for drawing in (draw_curves(strategies), draw_survival(strategies)):
            assert ElementTree.fromstring(drawing.svg).tag.endswith("svg")
            assert drawing.png(30).startswith(b"\x89PNG")
            assert BELL not in drawing.svg


def test_figures_in_one_page_share_no_id() -> None:
    tradeoff = analyse_tradeoff(RUNS, TradeoffConfig(resamples=100))
    drawings = draw_front(tradeoff, RUNS, ["dataset"])
    assert len(drawings) == 2
    ids: list[str] = []
    for drawing in drawings:
        text = inline_svg(drawing)
        own = re.findall(r' id="([^"]+)"', text)
        named = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert named and named <= set(own), "something refers to an id of another figure"
        ids += own
    assert len(ids) == len(set(ids))


def test_the_axis_claims_a_validation_accuracy_only_where_it_is_one() -> None:
    tradeoff = analyse_tradeoff(RUNS, TradeoffConfig(resamples=100))
    first = draw_front(tradeoff, RUNS, ["dataset"])[0]
    assert first.figure.axes[0].get_ylabel() == "accuracy"


def test_the_front_is_drawn_among_the_runs_that_where_leaves() -> None:
    tradeoff = TradeoffConfig(where={"strategy": HIDDEN})
    config = ReportConfig(
        columns=ColumnsConfig(),
        tradeoff=tradeoff,
        strategies=StrategiesConfig(),
        layers=LayersConfig(),
    )
    sections = build_page(analyses_of(RUNS, config), config)
    (front,) = [each for part in sections for each in part.drawings if each.name == "front"]
    assert len(front.tips["runs-0"]) == 4


def test_each_bar_tells_its_own_quality() -> None:
    table = pd.DataFrame(
        {
            "component": ["ram", "cpu"],
            "joules": [3000.0, 20.0],
            "quality": ["estimated", "measured"],
        }
    )
    drawing = draw_shares(table, "components", "mixed")
    assert drawing.alt == "ram: 3 kJ (estimated), cpu: 20 J (measured)"
    assert "3 kJ (estimated)" in drawing.svg
    assert drawing.caption == "Energy of all runs by component."
    drawing = draw_shares(table.drop(columns="quality"), "components", "mixed")
    assert drawing.caption == "Energy of all runs by component (mixed)."
