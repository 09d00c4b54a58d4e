"""What stands in the figures, and how they live together in a page."""

import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from greensweep.analysis import (
    Result,
    RunTable,
    analyse_tradeoff,
    compare_strategies,
    standard_table,
)
from greensweep.analysis.collect import analyses_of
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    LayersConfig,
    ReportConfig,
    StrategiesConfig,
    TradeoffConfig,
)
from greensweep.rendering import build_page, draw_curves, draw_front, draw_shares, draw_survival
from greensweep.rendering.figures.options import draw_parallel, draw_slices, searched_of
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


def test_bars_of_one_quality_tell_it_once() -> None:
    table = pd.DataFrame({"layer_type": ["batch_norm", "relu"], "joules": [2.0, 1.0]})
    drawing = draw_shares(table.assign(quality="attributed"), "layer_types", "measured")
    assert drawing.alt == "batch norm: 2 J, relu: 1 J"
    assert drawing.caption == "Energy of all runs by layer type (attributed)."


def test_no_label_of_a_bar_is_cut() -> None:
    table = pd.DataFrame({"part": ["a", "b"], "joules": [3000.0, 20.0]})
    quality = ["attributed and estimated", "measured"]  # the longest that the bill has
    drawing = draw_shares(table.assign(quality=quality), "parts", "mixed")
    drawing.figure.draw_without_rendering()
    (bars,) = drawing.figure.axes[0].containers
    (beside,) = drawing.figure.axes[0].child_axes
    for text in beside.get_yticklabels():
        box = text.get_window_extent()
        assert box.x1 <= drawing.figure.bbox.x1
        assert all(box.x0 >= bar.get_window_extent().x1 for bar in bars)


def searched(**columns: list[object]) -> tuple[Result, RunTable]:
    rates = [10.0**-place for place in range(1, 5)]
    raw = pd.DataFrame(
        {
            "optimizer.learning_rate": rates,
            "model.name": ["a", "b", "c", "a"],
            "training.epochs": 3,
            "energy_joules": [10.0, 20.0, 30.0, 40.0],
            "accuracy": [0.5, 0.6, 0.8, 0.7],
            **columns,
        }
    )
    runs = standard_table(raw, ColumnsConfig(), "here")
    return analyse_tradeoff(runs, TradeoffConfig(resamples=100)), runs


def test_parallel_coordinates_have_a_line_for_each_run_through_what_was_searched() -> None:
    result, runs = searched()
    found = searched_of(result, runs, [], "all")
    assert found is not None
    (axes,) = draw_parallel(found, result).figure.axes
    labels = [each.get_text() for each in axes.get_yticklabels()]
    assert labels == [
        "learning rate\n0.0001 – 0.1", "model\na – c", "training energy\n10 J – 40 J",
        "accuracy\n0.5000 – 0.8000",
    ]  # fmt: skip
    others, front, taken = (each.get_segments() for each in axes.collections[:3])
    assert (len(others), len(front), len(taken)) == (4, 3, 1)
    assert taken[0][:, 0].tolist() == pytest.approx([1 / 3, 1.0, 2 / 3, 1.0])


def test_slices_show_metric_and_energy_along_each_option() -> None:
    result, runs = searched()
    found = searched_of(result, runs, [], "all")
    assert found is not None
    figure = draw_slices(found, result).figure
    assert [axes.get_title() for axes in figure.axes[:2]] == ["accuracy", "training energy"]
    assert [axes.get_xlabel() for axes in figure.axes[::2]] == ["learning rate", "model"]
    others = figure.axes[1].lines[0].get_ydata()
    assert sorted(set(others[~np.isnan(others)])) == [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    "columns",
    [
        {"optimizer.learning_rate": [1.0] * 4, "model.name": ["a"] * 4},
        {"optimizer.learning_rate": [0.0, 1.0, -5.0, 2.0]},
        {"optimizer.learning_rate": [True, False, True, False]},
        {"optimizer.learning_rate": [1e-300, 1e300, 1.0, 2.0]},
        {"energy_joules": [0.0, 1.0, 2.0, 3.0]},
    ],
)
def test_odd_options_are_drawn_or_left_out(columns: dict[str, list[object]]) -> None:
    result, runs = searched(**columns)
    found = searched_of(result, runs, [], "all")
    assert (found is None) == (columns.get("model.name") == ["a"] * 4)
    if found is not None:
        for drawing in (draw_parallel(found, result), draw_slices(found, result)):
            assert drawing.png(30).startswith(b"\x89PNG")


def test_the_front_names_the_run_to_take_and_the_best_above_the_points() -> None:
    result, runs = searched(accuracy=[0.5, 0.7, 0.798, 0.8])
    (drawing,) = draw_front(result, runs, [])
    drawing.figure.draw_without_rendering()
    (axes,) = drawing.figure.axes
    texts = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    assert [*texts] == ["take configuration 3", "best: configuration 4"]
    top = axes.transData.transform([(0.0, 0.8)])[0][1]
    assert all(box.y0 > top for box in texts.values())
    assert not texts["take configuration 3"].overlaps(texts["best: configuration 4"])


def test_a_ring_is_around_the_point_that_the_search_started_from() -> None:
    result, runs = searched(starting_point=[False, False, False, True])
    (drawing,) = draw_front(result, runs, [])
    ((axes,), (legend,)) = drawing.figure.axes, drawing.figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["starting point"]
    (ring,) = [line for line in axes.lines if line.get_label() == "starting point"]
    assert ring.get_xydata().tolist() == [[40.0, 0.7]]


def test_what_matters_is_drawn_for_each_data_set_the_first_one_unfolded() -> None:
    _, runs = searched()
    parts = [runs.frame.assign(dataset=name) for name in ("one", "two", "three")]
    config = ReportConfig(
        columns=ColumnsConfig(),
        tradeoff=TradeoffConfig(resamples=100),
        strategies=StrategiesConfig(),
        layers=LayersConfig(),
    )
    of_all = standard_table(pd.concat(parts).filter(regex="^[^_]"), ColumnsConfig(), "here")
    sections = {s.title: s for s in build_page(analyses_of(of_all, config), config)}
    matters = sections["What matters"]
    assert [each.name for each in matters.drawings] == ["parallel_coordinates", "slices"]
    assert [part.title for part in matters.parts] == ["three", "two"]
    names = [each.name for each in matters.all_drawings]
    assert len(names) == len({*names}) == 6


def test_models_have_a_colour_each() -> None:
    result, runs = searched(model=["cnn", "cnn", "vit", "vit"])
    (drawing,) = draw_front(result, runs, [])
    assert {gid: len(tips) for gid, tips in drawing.tips.items() if gid != "front-0"} == {
        "runs-0-0": 2, "runs-0-1": 2,
    }  # fmt: skip
    assert [each.get_text() for each in drawing.figure.legends[0].get_texts()] == ["cnn", "vit"]


def test_data_sets_that_share_a_figure_have_a_colour_each() -> None:
    result, runs = searched(dataset=["one", "one", "two", "two"])
    together = analyse_tradeoff(runs, TradeoffConfig(within=[], resamples=100))
    (drawing,) = draw_front(together, runs, [])
    assert [each.get_text() for each in drawing.figure.legends[0].get_texts()] == ["one", "two"]
    assert all(not each.figure.legends for each in draw_front(result, runs, ["dataset"]))


def test_why_no_importance_is_told() -> None:
    _, runs = searched()
    config = ReportConfig(
        columns=ColumnsConfig(),
        tradeoff=TradeoffConfig(resamples=100),
        strategies=StrategiesConfig(),
        layers=LayersConfig(),
    )
    sections = {each.title: each for each in build_page(analyses_of(runs, config), config)}
    assert sections["What matters"].sentences == [
        "No importance of hyperparameters: it takes 10 finished runs, and there are 4."
    ]
