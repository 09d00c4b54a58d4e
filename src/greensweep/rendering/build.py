"""What the page says, in which order."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import pandas as pd

from greensweep.analysis import Result, RunTable
from greensweep.analysis.collect import Analyses
from greensweep.analysis.table import ACCURACY, ENERGY, OPTION_GROUPS, SPENT, STATUS
from greensweep.config.schema_analysis import ReportConfig
from greensweep.rendering import figures
from greensweep.rendering.page import Section, Table

_FIRST = ("run_id", "name", "dataset", "model", "strategy", "trial")
_MOST_COLUMNS = 20


def build_page(analyses: Analyses, config: ReportConfig) -> list[Section]:
    """Return the sections of the page: the answer first, the raw table last."""
    sections = [
        _answer(analyses),
        _tradeoff(analyses, config),
        _strategies(analyses),
        _layers(analyses),
        _importance(analyses),
        _bill(analyses),
        _method(analyses),
        _raw(analyses.runs, config),
    ]
    return [section for section in sections if section is not None]


def _answer(analyses: Analyses) -> Section:
    tradeoff = analyses.tradeoff
    sentences = [result.answers[0] for result in analyses.found if result.answers][:3]
    tables = [] if tradeoff is None else [_table(tradeoff, "halving", "The price of less energy")]
    return Section(
        "The answer",
        [*sentences, *(f"Not told: {why}." for why in analyses.missing.values())],
        tables=tables,
        warnings=list(dict.fromkeys(each for result in analyses.found for each in result.warnings)),
    )


def _tradeoff(analyses: Analyses, config: ReportConfig) -> Section | None:
    result = analyses.tradeoff
    if result is None:
        return None
    captions = {
        "front": "The Pareto front, cheapest first",
        "at_scale": "What the choice means at scale",
    }
    return Section(
        "Accuracy and energy",
        result.answers,
        figures.draw_front(result, analyses.runs, config.tradeoff.within),
        _tables(result, captions),
    )


def _strategies(analyses: Analyses) -> Section | None:
    result = analyses.strategies
    if result is None:
        return None
    drawings: list[figures.Drawing] = [figures.draw_curves(result)]
    if len(result.tables["survival"]):
        drawings.append(figures.draw_survival(result))
    if "critical_difference" in result.figures:
        drawings.append(figures.draw_ranks(result))
    captions = {
        "searches": "Each search, and its energy to the target",
        "ratios": f"Energy to the target over that of {result.figures['baseline']}",
        "pairs": "Pairs of strategies over the settings",
    }
    return Section("Search strategies", result.answers, drawings, _tables(result, captions))


def _layers(analyses: Analyses) -> Section | None:
    result = analyses.layers
    if result is None:
        return None
    drawing = figures.draw_layers(result)
    drawings = [drawing] if drawing else []
    captions = {
        "anova": "Analysis of variance over runs",
        "anova_architectures": "Analysis of variance over architectures",
        "joules_per_layer": "Energy of one more layer, over architectures",
        "attributed": "Energy attributed to layer types",
    }
    return Section("Layers", result.answers, drawings, _tables(result, captions))


def _importance(analyses: Analyses) -> Section | None:
    if analyses.tradeoff is None or "importance" not in analyses.tradeoff.tables:
        return None
    return Section(
        "What matters",
        drawings=[figures.draw_importance(analyses.tradeoff.tables["importance"])],
        tables=[_table(analyses.tradeoff, "importance", "Importance of each option")],
    )


def _bill(analyses: Analyses) -> Section:
    bill = analyses.bill
    quality = str(bill.figures["quality"])
    return Section(
        "Where the energy went",
        bill.answers,
        [
            figures.draw_shares(bill.tables[name], name, quality)
            for name in ("phases", "components")
            if name in bill.tables
        ],
        [
            _table(bill, "bill", "The bill of searching"),
            _table(bill, "ends", "Energy of all runs by how they ended"),
        ],
    )


def _method(analyses: Analyses) -> Section:
    notes = [note for result in analyses.found for note in result.notes]
    runs = analyses.runs
    left = "".join(f"; left out: {count}, {why}" for why, count in runs.left_out.items())
    return Section("Method", [f"{runs.rows} rows of {runs.source}{left}.", *dict.fromkeys(notes)])


def _raw(runs: RunTable, config: ReportConfig) -> Section:
    frame = runs.frame
    first = [name for name in _FIRST if name in frame]
    options = [
        name
        for name in map(str, frame.columns)
        if name.startswith(OPTION_GROUPS) and frame[name].astype(str).nunique() > 1
    ]
    shown = frame[[*first, ACCURACY, ENERGY, SPENT, STATUS, *options][:_MOST_COLUMNS]]
    shown = shown.rename(columns={SPENT: "spent_joules", STATUS: "status"})
    return Section("Runs", tables=[Table("runs", "All runs", shown, _links(frame, config))])


def _links(frame: pd.DataFrame, config: ReportConfig) -> Sequence[str]:
    if not {"run_id", "experiment_id"} <= set(frame.columns):
        return []
    return [
        f"{config.ui}/#/experiments/{quote(str(experiment))}/runs/{quote(str(run))}"
        for experiment, run in zip(frame["experiment_id"], frame["run_id"], strict=True)
    ]


def _tables(result: Result, captions: Mapping[str, str]) -> list[Table]:
    there = {name: caption for name, caption in captions.items() if name in result.tables}
    return [_table(result, name, caption) for name, caption in there.items()]


def _table(result: Result, name: str, caption: str) -> Table:
    return Table(name, caption, result.tables[name])
