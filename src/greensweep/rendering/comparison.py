"""The page of sweeps side by side: their answers, their fronts in one figure, what each spent."""

from collections.abc import Mapping, Sequence

import pandas as pd

from greensweep.analysis.side_by_side import SideBySide
from greensweep.analysis.units import joules
from greensweep.config.schema_analysis import ReportConfig
from greensweep.decision.sentences import percent_text
from greensweep.rendering.build import answered_by, front_table
from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.figures.tradeoff import draw_front, draw_fronts
from greensweep.rendering.method import method_of
from greensweep.rendering.page import Section, Table


def build_comparison(side: SideBySide, configs: Mapping[str, ReportConfig]) -> list[Section]:
    """Return the sections of the page; the first has what each sweep answers.

    Args:
        configs: options of the report by sweep, whose `source` each run's configuration lies in.
    """
    parts = [answered_by(each, configs[name], title=name) for name, each in side.analyses.items()]
    fronts = [
        Section(f"{name}: the Pareto front", tables=[front_table(each, configs[name], name)])
        for name, each in side.analyses.items()
        if "tradeoff" in each.results
    ]
    methods = [method_of(each, f"{name}: method") for name, each in side.analyses.items()]
    return [
        Section("The answers", [_pooled(side)], _drawings(side), parts=parts), _spent(side),
        *fronts, *methods,
    ]  # fmt: skip


def comparison_tables(side: SideBySide) -> dict[str, pd.DataFrame]:
    """Return the tables by the names of their files: the fronts, the bills and all runs."""
    tables: dict[str, pd.DataFrame] = {}
    for name in ("front", "bill"):
        parts = [
            result.tables[name].assign(sweep=sweep)
            for sweep, each in side.analyses.items()
            for result in each.results.values()
            if name in result.tables
        ]
        if parts:
            tables[name] = pd.concat(parts, ignore_index=True)
    if side.pooled is not None:
        tables["pooled_front"] = side.pooled.tables["front"]
    runs = [each.runs.frame.assign(sweep=sweep) for sweep, each in side.analyses.items()]
    return tables | {"runs": pd.concat(runs, ignore_index=True)}


def _pooled(side: SideBySide) -> str:
    if side.pooled is None:
        return f"They are not pooled: they differ {', '.join(side.differences)}."
    return f"Of all their runs: {' '.join(side.pooled.answers)}"


def _drawings(side: SideBySide) -> Sequence[Drawing]:
    """Return the fronts in one figure where one metric decides, else in one each."""
    results = {
        name: each.results["tradeoff"]
        for name, each in side.analyses.items()
        if "tradeoff" in each.results
    }
    if (
        len({(each.runs.metric.name, each.runs.metric.direction) for each in results.values()}) == 1
        and len(results) > 1
    ):
        return [draw_fronts(results)]
    return [
        drawing
        for place, each in enumerate(results.values())
        for drawing in draw_front(each, each.runs, ["dataset"], first=place)[:1]
    ]


def _spent(side: SideBySide) -> Section:
    """Return what each sweep spent, part by part, in all and in shares."""
    bills = {name: each.results["bill"].tables["bill"] for name, each in side.analyses.items()}
    parts = dict.fromkeys(part for bill in bills.values() for part in bill["part"])
    rows = pd.DataFrame({"part": [*parts, "in all"]})
    said = []
    for name, bill in bills.items():
        spent, total = dict(zip(bill["part"], bill["joules"], strict=True)), bill["joules"].sum()
        texts = [
            f"{joules(spent[part])} ({percent_text(spent[part] / total)})" if part in spent else "–"
            for part in parts
        ]
        rows[name] = [*texts, joules(total)]
        said.append(f"{name} {joules(total)}")
    return Section(
        "What each spent", [f"{' and '.join(said)} in all."],
        tables=[Table("spent", "What each spent on what", rows, is_headed=True)],
    )  # fmt: skip
