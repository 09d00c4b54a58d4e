"""Which layers use the energy: the paper's digits, and the architecture as the unit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_tables import paper, runs

from greensweep.analysis import explain_layers, read_file, standard_table
from greensweep.analysis.anova import factorial_anova
from greensweep.analysis.architectures import predicted_energy
from greensweep.analysis.collect import analyses_of
from greensweep.analysis.result import Result
from greensweep.analysis.units import cell
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    LayersConfig,
    ReportConfig,
    StrategiesConfig,
    TradeoffConfig,
)
from greensweep.errors import AnalysisError

PAPER_FACTORS = ["linear_layers", "conv_layers", "has_relu"]


def design(repeats: int = 3, noise: float = 1.0, **levels: tuple[int, ...]) -> list[dict[str, Any]]:
    """Runs of all architectures: 100 J, 10 J for each linear layer and 50 J a convolution."""
    draw = np.random.default_rng(0)
    linear, conv = levels.get("linear", (1, 2, 3)), levels.get("conv", (1, 4))
    return [
        {
            "linear": a,
            "conv": b,
            "accuracy": 0.5,
            "energy_joules": 100.0 + 10.0 * a + 50.0 * b + noise * draw.normal(),
        }
        for a in linear
        for b in conv
        for _ in range(repeats)
    ]


def layers(rows: list[dict[str, Any]], **options: Any) -> Result:
    return explain_layers(runs(rows), LayersConfig(**{"factors": ["linear", "conv"], **options}))


@pytest.fixture(scope="module")
def paper_layers() -> Result:
    columns = ColumnsConfig(spent=None, setting=[], strategy=None)
    table = standard_table(read_file(paper("rq2_layers_cifar10.csv")), columns, "rq2")
    return explain_layers(table, LayersConfig(factors=PAPER_FACTORS))


def test_the_papers_anova_to_its_last_digit(paper_layers: Result) -> None:
    table = paper_layers.tables["anova"].set_index("term")
    printed = {  # sum of squares, F, as printed
        "linear_layers": ("4.279473e+07", "22631.71"),
        "conv_layers": ("2.577509e+09", "1.363098e+06"),
        "has_relu": ("8.730399e+06", "4617.013"),
        "linear_layers × conv_layers": ("20453.81", "10.81686"),
        "linear_layers × has_relu": ("79283.32", "41.92845"),
        "conv_layers × has_relu": ("1.878764e+06", "993.5715"),
        "linear_layers × conv_layers × has_relu": ("3.239509e+06", "1713.193"),
    }
    for term, digits in printed.items():
        for name, text in zip(("sum_sq", "F"), digits, strict=True):
            assert f"{table.loc[term, name]:{_format(text)}}" == text, (term, name)
    assert f"{table.loc['residual', 'sum_sq']:.6e}" == "5.793777e+06"
    assert table["df"].tolist() == [1, 1, 1, 1, 1, 1, 1, 3064]
    printed_eta = {"linear_layers": ".016210", "conv_layers": ".976312", "has_relu": ".003307"}
    for term, text in printed_eta.items():
        assert f"{table.loc[term, 'eta_sq']:.6f}" == f"0{text}"


def _format(text: str) -> str:
    mantissa = text.partition("e")[0]
    return f".{len(mantissa.partition('.')[2])}{'e' if 'e' in text else 'f'}"


def test_the_papers_kruskal_wallis_and_differences(paper_layers: Result) -> None:
    by_rank = paper_layers.tables["kruskal_wallis"].set_index("factor")["H"]
    assert [f"{by_rank[name]:.3f}" for name in PAPER_FACTORS] == ["496.807", "2303.250", "106.655"]
    differences = paper_layers.tables["post_hoc"].set_index("factor")
    assert [f"{differences.loc[name, 'difference']:.3f}" for name in PAPER_FACTORS] == [
        "236.056", "1831.975", "106.619",
    ]  # fmt: skip
    assert (differences["low"] < differences["difference"]).all()


def test_over_architectures_the_papers_relu_is_no_longer_significant(paper_layers: Result) -> None:
    table = paper_layers.tables["anova_architectures"].set_index("term")
    assert table["df"].tolist() == [1, 1, 1, 4]
    assert table.loc["conv_layers", "p"] < 1e-5
    assert table.loc["linear_layers", "p"] == pytest.approx(0.0046, abs=1e-4)
    assert table.loc["has_relu", "p"] == pytest.approx(0.0609, abs=1e-4)
    per_layer = paper_layers.tables["joules_per_layer"].set_index("layer")
    assert per_layer.loc["conv_layers", "joules_per_layer"] == pytest.approx(1831.975 / 3, abs=1e-3)
    assert per_layer.loc["has_relu", "low"] < 0 < per_layer.loc["has_relu", "high"]
    assert paper_layers.warnings == [
        "the p-values over runs treat 3072 runs as independent, but only the 8 architectures are: "
        "go by the figures over architectures"
    ]
    assert "cluster_bootstrap" not in paper_layers.tables
    assert any("No cluster bootstrap" in note for note in paper_layers.notes)


def test_a_layer_that_is_there_or_not_has_its_joules_whatever_its_truth_is_written_as() -> None:
    rows = design(linear=(1, 2, 3), conv=(0, 1))
    for truths in ((False, True), ("False", "True"), ("false", "true")):
        result = layers([{**row, "conv": truths[row["conv"]]} for row in rows])
        per_layer = result.tables["joules_per_layer"].set_index("layer")["joules_per_layer"]
        assert per_layer["conv"] == pytest.approx(50.0, abs=1.0)
        assert "predictions" in result.tables


def test_joules_per_layer_are_those_that_made_the_runs() -> None:
    result = layers(design(noise=0.5))
    for name in ("joules_per_layer", "mixed_model"):
        table = result.tables[name].set_index("layer")
        assert table.loc["linear", "joules_per_layer"] == pytest.approx(10.0, abs=0.5)
        assert table.loc["conv", "joules_per_layer"] == pytest.approx(50.0, abs=0.5)
        assert (table["low"] < table["joules_per_layer"]).all()
        assert (table["joules_per_layer"] < table["high"]).all()
    assert result.tables["joules_per_layer"]["residual_df"].tolist() == [3, 3]
    assert result.figures["architectures"] == 6
    assert result.answers[0] == (
        "Over 6 architectures: 9.75 J (9.29 to 10.22) for one more of linear; 49.96 J (49.71 to "
        "50.22) for one more of conv."
    )


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (1.0, "9.75 J (9.29 to 10.22) for one more of linear"),
        (1e-3, "9.75 mJ (9.29 to 10.22) for one more of linear"),
        (1e6, "9.75 MJ (9.29 to 10.22) for one more of linear"),
    ],
)
def test_energy_of_one_more_is_told_in_a_unit_that_suits_it(scale: float, told: str) -> None:
    rows = [{**row, "energy_joules": scale * row["energy_joules"]} for row in design(noise=0.5)]
    assert told in layers(rows).answers[0]


def test_what_layers_explain_exactly_is_told_as_such() -> None:
    rows = [{**row, "energy_joules": 100.0 - 10.0 * row["linear"]} for row in design(noise=0.0)]
    per_layer, by_runs, predicted = layers(rows, order=1).answers
    assert "-10 J (-10 J to -10 J) for one more of linear" in per_layer
    assert by_runs == "Over runs, linear explains 100 % of the variance of energy (η², Type III)."
    assert (
        "misses the energy of an architecture that it has not seen by 0 J in the mean" in predicted
    )


def test_sums_of_squares_of_a_balanced_design_are_those_of_the_textbook() -> None:
    frame = pd.DataFrame({"f": [0, 0, 1, 1], "g": [0, 1, 0, 1], "y": [1.0, 2.0, 5.0, 10.0]})
    table = factorial_anova(frame, "y", ["f", "g"], 1).set_index("term")
    assert table.loc["f", "sum_sq"] == pytest.approx(36.0)  # 4 x 3 x 3
    assert table.loc["g", "sum_sq"] == pytest.approx(9.0)
    assert table.loc["residual", "sum_sq"] == pytest.approx(4.0)
    assert table.loc["f", "eta_sq"] == pytest.approx(36 / 49)
    assert table.loc["f", "partial_eta_sq"] == pytest.approx(36 / 40)
    assert table.loc["f", "omega_sq"] == pytest.approx((36 - 4) / (49 + 4))


def test_names_that_are_no_formula_are_factors_all_the_same() -> None:
    rows = [
        {**row, "layers/conv 2d": row["conv"], "model.kwargs['a']": row["linear"]}
        for row in design()
    ]
    result = layers(rows, factors=["layers/conv 2d", "model.kwargs['a']"])
    assert result.tables["anova"]["term"].tolist() == [
        "layers/conv 2d",
        "model.kwargs['a']",
        "layers/conv 2d × model.kwargs['a']",
        "residual",
    ]


def test_clusters_are_drawn_where_each_cell_has_several_architectures() -> None:
    rows = [{**row, "width": width} for row in design(noise=2.0) for width in (1, 2)]
    for row in rows:
        row["energy_joules"] += 3.0 * row["width"]
    result = layers(rows, architecture=["linear", "conv", "width"])
    table = result.tables["cluster_bootstrap"].set_index("layer")
    assert table.loc["conv", "joules_per_layer"] == pytest.approx(50.0, abs=1.0)
    assert table.loc["conv", "low"] <= 50.5 and table.loc["conv", "high"] >= 49.5
    assert result.figures["architectures"] == 12


def test_an_architecture_is_predicted_from_the_others() -> None:
    means = pd.DataFrame({"flops": [1e9, 2e9, 3e9, 4e9], "energy_joules": [10.0, 20.0, 30.0, 80.0]})
    told = predicted_energy(means, ["flops"])
    # Without the last, a straight line through the three others; and their mean.
    assert told["predicted_joules"].iloc[3] == pytest.approx(40.0)
    assert told["mean_of_others"].tolist() == pytest.approx([130 / 3, 40.0, 110 / 3, 20.0])


def test_runs_of_one_architecture_each_raise_no_warning() -> None:
    assert layers(design(repeats=1), order=1).warnings == []


def test_attributed_layer_energy_stands_beside() -> None:
    rows = [
        {**row, "layer_energy/conv_joules": 30.0, "layer_energy/linear_joules": 10.0}
        for row in design()
    ]
    table = layers(rows).tables["attributed"]
    one = table[(table["linear"] == 1) & (table["conv"] == 4)]
    assert one["layer_type"].tolist() == ["conv", "linear"]
    assert one["energy_joules"].tolist() == [30.0, 10.0]
    assert one["share"].tolist() == [0.75, 0.25]
    assert "attributed" not in layers(design()).tables


def test_more_levels_than_architectures_leave_no_test_over_them() -> None:
    result = layers(design(linear=(1,), conv=(1, 2, 3)), factors=["conv"])
    assert result.tables["anova"]["df"].tolist() == [2, 6]
    assert "anova_architectures" not in result.tables
    assert (
        "No test with architectures as the unit: 3 of them leave no residual beside the levels of "
        "conv."
    ) in result.notes
    per_layer = result.tables["joules_per_layer"]
    assert per_layer["residual_df"].tolist() == [1]
    assert per_layer[["low", "high"]].isna().to_numpy().all(), "an interval of one is no interval"
    assert "J (too few architectures for an interval) for one more of conv." in result.answers[0]


@pytest.mark.parametrize("seed", range(3))
def test_no_variance_between_architectures_is_an_estimate(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = [{**row, "energy_joules": row["energy_joules"] + draw.normal()} for row in design(8, 0)]
    result = layers(rows)
    mixed = result.tables["mixed_model"].set_index("layer")
    assert mixed.loc["conv", "joules_per_layer"] == pytest.approx(50.0, abs=0.4)
    assert not any("does not converge" in note for note in result.notes)
    deviation = mixed["architecture_deviation_joules"].iloc[0]
    said = any("finds a variance of 0 between architectures" in note for note in result.notes)
    assert said == (deviation == 0.0)
    # Of a balanced design: no variance where the means scatter by less than their runs let expect.
    frame = pd.DataFrame(rows)
    within = frame.groupby(["linear", "conv"])["energy_joules"].var().mean()
    means = frame.groupby(["linear", "conv"])["energy_joules"].mean().reset_index()
    columns = np.column_stack([np.ones(6), means[["linear", "conv"]]])
    (between,) = np.linalg.lstsq(columns, means["energy_joules"], rcond=None)[1] / 3
    assert deviation**2 == pytest.approx(max(between - within / 8, 0.0), abs=1e-3) or said


def test_what_the_tests_and_intervals_are_is_noted() -> None:
    rows = [{**row, "width": width} for row in design(noise=2.0) for width in (1, 2)]
    notes = layers(rows, architecture=["linear", "conv", "width"]).notes
    assert "Levene's test is the one by medians (Brown and Forsythe)." in notes
    assert (
        "The cluster bootstrap draws from 2 architectures in a cell at the fewest: its intervals "
        "are 0.71 times as wide as they should be."
    ) in notes


def sized(**more: float) -> list[dict[str, Any]]:
    return [
        {**row, "model/flops": 1e9 * row["linear"] * row["conv"], "model/parameters": 7.0, **more}
        for row in design(noise=0.0, linear=(1, 2, 3, 5))
    ]


def test_energy_is_predicted_from_sizes_too_where_these_say_more() -> None:
    rows = sized()
    for row in rows:
        row["energy_joules"] += 3e-9 * row["model/flops"]
    result = layers(rows)
    assert result.figures["prediction_mean_error_joules"] == pytest.approx(0.0, abs=1e-6)
    assert "A regression on linear, conv, model/flops misses" in result.answers[-1]
    assert "model/parameters" not in result.tables["predictions"], "it is the same in all"
    of_few = [row for row in rows if row["linear"] < 3]
    assert "model/flops" not in layers(of_few).tables["architectures"], "too few architectures"
    assert "model/flops" not in layers(rows, features=["conv"]).tables["predictions"]


def test_counts_that_vary_together_are_one_factor() -> None:
    rows = [
        {
            "accuracy": 0.5,
            "energy_joules": row["energy_joules"],
            "layers/batch_norm": row["conv"],
            "layers/conv": row["conv"],
            "layers/linear": row["linear"],
            "layers/max_pool": 2 * row["conv"],
            "layers/relu": row["conv"] + row["linear"],
            "layers/softmax": 1,
        }
        for row in design()
    ]
    analyses = analyses_of(runs(rows), report())
    layers = analyses.results["layers"]
    assert layers.tables["anova"]["term"].tolist() == [
        "layers/conv",
        "layers/linear",
        "residual",
    ]
    assert layers.notes[-2:] == [
        "layers/conv and layers/linear together stand for layers/relu too, which varies with them.",
        "layers/conv stands for layers/batch_norm and layers/max_pool too, which vary with it.",
    ]


def test_columns_named_as_layers_are_factors_where_they_count_and_vary() -> None:
    rows = [
        {
            "accuracy": 0.5,
            "energy_joules": row["energy_joules"],
            "relu_layers": row["conv"] * row["linear"],
            "dense_layers": row["linear"],
            "max_norm": 0.5 * row["linear"],
            "optimizer.pooling": row["linear"],
            "pool": 2,
            "conv3x3": row["conv"],
            "depth": 1 + row["conv"],
        }
        for row in design()
    ]
    for result in (
        explain_layers(runs(rows), LayersConfig()),
        analyses_of(runs(rows), report()).results["layers"],
    ):
        assert result.tables["joules_per_layer"]["layer"].tolist() == ["conv3x3", "dense_layers"]
        assert result.notes[-1] == (
            "conv3x3 and dense_layers together stand for relu_layers too, which varies with them."
        )
        assert result.answers[0].endswith("for one more of dense_layers.")


def test_networks_of_the_same_layers_are_told_apart_by_their_size() -> None:
    rows = [
        {**row, "layers/conv": row["conv"], "model/parameters": 100.0 * width}
        for row in design()
        for width in (1, 2)
    ]
    result = analyses_of(runs(rows), report()).results["layers"]
    assert result.figures["architectures"] == 4
    assert "cluster_bootstrap" in result.tables


def report() -> ReportConfig:
    options = (TradeoffConfig(), StrategiesConfig(), LayersConfig())
    return ReportConfig(tradeoff=options[0], strategies=options[1], layers=options[2])


def test_the_ends_of_an_interval_are_in_the_unit_of_its_middle() -> None:
    names = [str(name) for name in layers(design()).tables["joules_per_layer"].columns]
    assert [cell(name, 558.5, names) for name in names[1:4]] == ["558 J", "558 J", "558 J"]
    assert cell("low", 558.5) == "558.5"
    assert cell("high", 0.5, ["accuracy", "low", "high"]) == "0.5000"


# Bad input


@pytest.mark.filterwarnings("error")
def test_a_design_that_is_refused_is_not_fitted() -> None:
    frame = pd.DataFrame({"f": [1, 2, 3], "g": [1, 2, 3], "y": [1.0, 2.0, 5.0]})
    with pytest.raises(AnalysisError, match=r"3 runs leave no residual beside f \+ g: add runs"):
        factorial_anova(frame, "y", ["f", "g"], 1)


def test_a_factor_with_one_level_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"conv has one level \(4\) in these runs"):
        layers(design(conv=(4,)))


def test_an_empty_cell_is_named() -> None:
    rows = [row for row in design() if (row["linear"], row["conv"]) != (2, 4)]
    with pytest.raises(AnalysisError, match=r"no run has linear=2, conv=4: .*analysis\.order=1"):
        layers(rows)
    assert "anova" in layers(rows, order=1).tables


def test_a_design_without_residual_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"leave no residual .* set analysis\.order=1"):
        layers(design(repeats=1))


def test_energy_that_never_varies_is_refused() -> None:
    rows = [{**row, "energy_joules": 5.0} for row in design()]
    with pytest.raises(AnalysisError, match="energy_joules is the same in all runs"):
        layers(rows)


def test_a_factor_that_is_no_column_names_the_nearest() -> None:
    with pytest.raises(AnalysisError, match=r"called 'conv_': did you mean conv\?"):
        layers(design(), factors=["linear", "conv_"])
    unnamed = [{"accuracy": 0.5, "energy_joules": row["energy_joules"]} for row in design()]
    with pytest.raises(AnalysisError, match=r"has no factors: set analysis\.factors="):
        layers(unnamed, factors=[])


def test_a_feature_that_varies_within_an_architecture_is_refused() -> None:
    rows = [{**row, "flops": number} for number, row in enumerate(design())]
    with pytest.raises(AnalysisError, match="flops varies between runs of one architecture"):
        layers(rows, features=["flops"])


def test_runs_without_a_factor_are_counted_and_left_out() -> None:
    rows = [*design(), {**design()[0], "conv": None}]
    result = layers(rows)
    assert result.runs.left_out == {"conv is missing, or infinite": 1}
    assert result.figures["runs"] == len(design())


def test_factors_that_go_together_are_refused() -> None:
    rows = [{**row, "twin": 10 * row["conv"]} for row in design()]
    with pytest.raises(AnalysisError, match="conv, twin cannot be separated"):
        layers(rows, factors=["conv", "twin"], order=1)


def test_nothing_finished_is_one_sentence() -> None:
    rows = [{**row, "status": "failed"} for row in design()]
    with pytest.raises(AnalysisError, match=r"no run of runs\.csv finished, of 18"):
        layers(rows)
    with pytest.raises(AnalysisError, match=r"analysis\.architecture: no column .* 'con'"):
        layers(design(), architecture=["con"])


@pytest.mark.filterwarnings("error")
def test_cells_without_variance_leave_their_tests_missing() -> None:
    result = layers([row for row in design(repeats=2, noise=0.0) for _ in range(2)])
    assert "levene_W" not in result.figures
    assert result.tables["anova"]["eta_sq"].iloc[1] == pytest.approx(75**2 / (75**2 + 200 / 3))


def test_a_factor_named_twice_counts_once() -> None:
    once, twice = layers(design()), layers(design(), factors=["linear", "conv", "conv"])
    pd.testing.assert_frame_equal(once.tables["anova"], twice.tables["anova"])


@pytest.mark.parametrize("name", ["const", "number_of_runs", "layer_type", "seed", "y"])
def test_a_factor_may_be_called_as_a_column_of_ours(name: str) -> None:
    rows = [
        {**{name if key == "conv" else key: value for key, value in row.items()},
         "layer_energy/conv_joules": "30", "layer_energy/linear_joules": "much"}
        for row in design(noise=0.0)
    ]  # fmt: skip
    result = layers(rows, factors=["linear", name])
    told = result.tables["joules_per_layer"]
    assert told["joules_per_layer"].tolist() == pytest.approx([10.0, 50.0])
    assert result.tables["attributed"]["energy_joules"].unique().tolist() == [30.0]


def test_energy_does_not_explain_itself() -> None:
    with pytest.raises(AnalysisError, match=r"analysis\.factors names energy_joules"):
        layers(design(), factors=["linear", "energy_joules"])


def test_levels_of_several_types_are_texts_and_infinite_ones_are_left_out() -> None:
    mixed = [{**row, "conv": "four" if row["conv"] == 4 else row["conv"]} for row in design()]
    assert layers(mixed).tables["post_hoc"]["level"].tolist()[-1] == "1"
    result = layers([*design(), {**design()[0], "conv": float("inf")}])
    assert result.runs.left_out == {"conv is missing, or infinite": 1}


def test_tiny_energies_that_differ_are_explained() -> None:
    rows = [{**row, "energy_joules": row["energy_joules"] * 1e-9} for row in design()]
    pd.testing.assert_frame_equal(
        layers(rows).tables["anova"].drop(columns="sum_sq"),
        layers(design()).tables["anova"].drop(columns="sum_sq"),
    )
