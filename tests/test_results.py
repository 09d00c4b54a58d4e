"""docs/results.md says what the tables beside it hold, and these follow from the kept runs."""

import json
import math
from functools import cache
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT

from greensweep.analysis import (
    RunTable,
    analyse_tradeoff,
    compare_strategies,
    explain_layers,
    read_file,
    standard_table,
)
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    LayersConfig,
    StrategiesConfig,
    TradeoffConfig,
)

RESULTS = PROJECT / "docs" / "results"
VARIANTS = ("corrected", "faithful")
NETWORKS = ("simple_cnn", "dense_poly", "dense_linear")
REPEATED = "searches"  # the faithful searches of one network again, with further seeds


@cache
def runs(variant: str, experiment: str | None = None, **columns: str) -> RunTable:
    """Return the kept runs of a variant, or those of the searches that were made again."""
    named = ColumnsConfig(setting=["dataset", "model"], seed="cell", **columns)
    table = standard_table(read_file(RESULTS / variant / "runs.csv"), named, "runs.csv")
    return table.only(experiment and {"experiment": experiment}, "where")


def kept(variant: str, table: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / variant / f"{table}.csv")


@pytest.mark.parametrize(
    ("variant", "baseline", "folder"),
    [
        (REPEATED, "random@paper", "spaces"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                *((variant, "random@paper", "spaces") for variant in VARIANTS),
                (REPEATED, "random@paper_log", "log_target"),
            )
        ),
    ],
)
def test_the_kept_searches_follow_from_the_kept_runs(
    variant: str, baseline: str, folder: str
) -> None:
    searches = runs(variant, "rq1_strategies", strategy="strategy_in_space")
    spaces = compare_strategies(searches, StrategiesConfig(baseline=baseline))
    for table in ("ratios", "energy_to_target"):
        pd.testing.assert_frame_equal(
            spaces.tables[table], kept(variant, f"{folder}/{table}"), check_dtype=False
        )


@pytest.mark.parametrize(
    "variant", [VARIANTS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in VARIANTS[1:])]
)
def test_the_kept_layers_and_front_follow_from_the_kept_runs(variant: str) -> None:
    factors = ["model.conv_layers", "model.linear_layers", "model.relu"]
    layers = explain_layers(runs(variant, "rq2_layers"), LayersConfig(factors=factors))
    tradeoff = analyse_tradeoff(runs(variant), TradeoffConfig())
    for found, table in (
        (layers.tables["joules_per_layer"], "layers/joules_per_layer"),
        (layers.tables["anova_architectures"], "layers/anova_architectures"),
        (tradeoff.tables["front"], "tradeoff/front"),
    ):
        pd.testing.assert_frame_equal(found, kept(variant, table), check_dtype=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_says_what_the_tables_hold(variant: str) -> None:
    page = (PROJECT / "docs" / "results.md").read_text().splitlines()
    told = [*bill_lines(variant), *space_lines(variant)]
    told += [*layer_lines(variant), *front_lines(variant)]
    assert len(told) > 5
    assert [line for line in told if line not in page] == []


def test_the_page_says_how_the_searches_varied() -> None:
    page = (PROJECT / "docs" / "results.md").read_text().splitlines()
    told = repeated_lines()
    assert len(told) == 4
    assert [line for line in told if line not in page] == []


def bill_lines(variant: str) -> list[str]:
    frame = runs(variant).frame
    spent, constant = frame["energy_spent_joules"].sum(), frame["energy/ram_joules"].sum()
    share = constant / frame["energy_joules"].sum()
    quality = " and ".join(sorted(frame["energy_quality"].unique()))
    return [f"| `{variant}` | {len(frame)} | {spent / 1000:.1f} kJ | {quality} | {share:.0%} |"]


def space_lines(variant: str) -> list[str]:
    """A row for each search: energy to target over that of random search in the paper's space."""
    ratios = kept(variant, "spaces/ratios")
    ratios["model"] = ratios["setting"].str.split().str[-1]
    summary = json.loads((RESULTS / variant / "spaces" / "analysis.json").read_text())["figures"]
    lines = []
    for name, own in ratios.groupby("strategy"):
        strategy, space = str(name).split("@")
        by_model = own.set_index("model")["ratio"]
        cells = [ratio(by_model[network]) for network in NETWORKS if network in by_model]
        median = ratio(summary["ratios"][name]["median_ratio"])
        lines.append(f"| `{strategy}` | {scale(space)} | {' | '.join(cells)} | {median} |")
    return lines


def repeated_lines() -> list[str]:
    """A row for each strategy in each space: how often and for how much it met two targets."""
    searches = kept(REPEATED, "spaces/searches").groupby("strategy")
    lines = []
    for name, own in searches:
        strategy, space = str(name).split("@")
        met = " | ".join(arrivals(table, str(name)) for table in ("spaces", "log_target"))
        best = own["best_accuracy"].median()
        lines.append(f"| `{strategy}` | {scale(space)} | {met} | {best:.3f} |")
    return lines


def arrivals(table: str, name: str) -> str:
    """How many searches met the target, and their median energy to it with its interval."""
    own = kept(REPEATED, f"{table}/searches").query("strategy == @name")["joules_to_target"]
    median = kept(REPEATED, f"{table}/energy_to_target").set_index("strategy").loc[name]
    ends = [kilojoules(median[f"joules_to_target_{end}"]) for end in ("low", "high")]
    arrived = int(own.map(math.isfinite).sum())
    return f"{arrived} of {len(own)}: {kilojoules(own.median())} ({' to '.join(ends)})"


def kilojoules(joules: float) -> str:
    return f"{joules / 1000:.2f} kJ" if math.isfinite(joules) else "never"


def scale(space: str) -> str:
    return "log" if space.endswith("_log") else "uniform"


def ratio(value: Any) -> str:
    return f"{float(value):.2f}" if math.isfinite(float(value)) else "never"


def layer_lines(variant: str) -> list[str]:
    costs = kept(variant, "layers/joules_per_layer").set_index("layer")
    tests = kept(variant, "layers/anova_architectures").set_index("term")
    lines = []
    for name in ("conv_layers", "linear_layers", "relu"):
        cost, test = costs.loc[f"model.{name}"], tests.loc[f"model.{name}"]
        interval = f"{cost['joules_per_layer']:.1f} J ({cost['low']:.1f} to {cost['high']:.1f})"
        lines.append(f"| `{variant}` | `{name}` | {interval} | {test['F']:.1f} | {test['p']:.2g} |")
    return lines


def front_lines(variant: str) -> list[str]:
    front = kept(variant, "tradeoff/front")
    return [
        f"| `{variant}` | {row['model']} | {row['accuracy']:.4f} | {row['energy_joules']:.1f} J |"
        for _, row in front.iterrows()
    ]
