"""What the page says, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from greensweep.analysis import Result, RunTable
from greensweep.analysis.collect import Analyses
from greensweep.config.metrics import Metric, capitalised
from greensweep.config.schema_analysis import (
    AnalysisConfig,
    ColumnsConfig,
    ReportConfig,
    TradeoffConfig,
)
from greensweep.errors import plural
from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.figures.options import draw_parallel, draw_slices, searched_of
from greensweep.rendering.figures.parts import draw_layers, draw_quantiles, draw_shares
from greensweep.rendering.figures.strategies import draw_curves, draw_ranks, draw_survival
from greensweep.rendering.figures.tradeoff import draw_front, draw_importance
from greensweep.rendering.first_screen import facts_of
from greensweep.rendering.headings import LEFT_OUT, UNCERTAINTY, says_nothing
from greensweep.rendering.links import mlflow_links, run_links
from greensweep.rendering.method import method_of, reworded
from greensweep.rendering.page import Section, Table
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, OPTION_GROUPS

_FIRST = ("run_id", "name", "cell", "dataset", "model", "strategy", "trial", "starting_point")
_MOST_COLUMNS = 12
_MOST_RECOMMENDED = 3  # groups, in the answer
_MOST_FRONTS = 2  # on the first screen
_MOST_GROUPS = 6  # whose options are drawn
_ORIGIN = ("run_id", "experiment_id", "trial", "folder")  # that the links lead to
_FRONT = "The Pareto front"
# Under which names a table for people has what `standard_table` adds.
_SHOWN = {col.SPENT: "spent_joules", col.STATUS: "status"}


# Which tables of an analysis the page has, in this order; of others than these, all.
_CAPTIONS = {
    "tradeoff": {
        "front": "The Pareto front, cheapest first",
        "halving": "The best for less energy",
        "at_scale": "What the choice means at scale",
    },
    "strategies": {
        "energy_to_target": "Energy to the target in each setting",
        "searches": "Each search, and its energy to the target",
        "ratios": "Energy to the target over that of {baseline}",
        "pairs": "Pairs of strategies over the settings",
    },
    "layers": {
        "anova": "Analysis of variance over runs",
        "anova_architectures": "Analysis of variance over architectures",
        "joules_per_layer": "Energy of one more layer, over architectures",
        "attributed": "Energy attributed to layer types",
    },
    "options": {
        "options": "What each option saves between its cheapest and its dearest values",
        "values": "Means over the runs of each value",
    },
    "bill": {
        "bill": "The bill of searching",
        "nodes": "Energy of each node while sweeps had it",
        "ends": "Energy of all runs by how they ended",
    },
}


def build_page(analyses: Analyses, config: ReportConfig) -> list[Section]:
    """Return the sections of the page: the answer first, the raw table last."""
    results = analyses.results
    sections = {name: _section(result, config) for name, result in results.items()}
    first = [sections.pop(name) for name in ("tradeoff", "strategies", "layers") if name in results]
    if "tradeoff" in results:
        fronts = first[0].drawings
        first[0] = replace(first[0], drawings=fronts[_MOST_FRONTS:])
        first.insert(1, _options(results["tradeoff"], config))
    else:
        fronts = []
    return [
        answered_by(analyses, config, fronts[:_MOST_FRONTS]), *first, *sections.values(),
        *_missing(analyses), method_of(analyses), _raw(analyses.runs, config),
    ]  # fmt: skip


def report_tables(analyses: Analyses) -> dict[str, pd.DataFrame]:
    """Return all tables by the names of their files: every column of the runs, and all results."""
    tables = {"runs": _all_columns(analyses.runs.frame)}
    for result in analyses.results.values():
        for name, table in result.tables.items():
            tables[name if name not in tables else f"{result.name}_{name}"] = table
    return tables


def answered_by(
    analyses: Analyses,
    config: ReportConfig,
    fronts: Sequence[Drawing] = (),
    title: str = "The answer",
) -> Section:
    """Return what runs answer, with what is known of it at a glance."""
    results = analyses.results
    tradeoff = results.get("tradeoff")
    links = [] if tradeoff is None else run_links(tradeoff.tables["front"], config)
    warnings = [warning for result in results.values() for warning in result.warnings]
    return Section(
        title,
        [] if tradeoff is None else _recommended(tradeoff),
        fronts,
        warnings=list(dict.fromkeys(warnings)),
        facts=facts_of(tradeoff, analyses.runs, results["bill"].figures["spent_joules"], links),
    )


def _recommended(tradeoff: Result) -> list[str]:
    sentences = list(tradeoff.answers[:_MOST_RECOMMENDED])
    more = len(tradeoff.answers) - len(sentences)
    if more:
        sentences.append(f"Recommendations for {more} more are under {_FRONT}.")
    return sentences


def _missing(analyses: Analyses) -> list[Section]:
    said = [_not_answered(name, why) for name, why in analyses.missing.items()]
    return [Section("What these runs do not answer", said)] if said else []


def _not_answered(name: str, why: str) -> str:
    reason = reworded(why, name)
    hint = f" ({name}.… are options of src/report.py)" if f"{name}." in reason else ""
    return f"Not answered: {reason}{hint}."


def _section(result: Result, config: ReportConfig) -> Section:
    plain = {name: name.replace("_", " ").capitalize() for name in result.tables}
    tables = [
        _table(name, caption.format_map(result.figures), result, config)
        for name, caption in _CAPTIONS.get(result.name, plain).items()
        if name in result.tables
    ]
    is_told = result.name == "tradeoff" and len(result.answers) <= _MOST_RECOMMENDED
    return Section(
        _title(result), [] if is_told else result.answers, _drawings(result, config), tables
    )


def _table(name: str, caption: str, result: Result, config: ReportConfig) -> Table:
    frame, metric = result.tables[name], result.runs.metric.name
    if name == "front":
        return _with_links(name, caption, frame, run_links(frame, config))
    if name == "halving":
        values = frame[metric].astype(object).where(frame[metric].notna(), frame["remark"])
        frame = frame.assign(**{metric: values}).drop(columns=["remark", "run_id"], errors="ignore")
    return Table(name, caption, frame)


def front_table(analyses: Analyses, config: ReportConfig, of: str) -> Table:
    """Return the front of one of several sweeps, as a table of its own name."""
    frame = analyses.results["tradeoff"].tables["front"]
    name = f"front-{''.join(each if each.isalnum() else '-' for each in of)}"
    return _with_links(name, "The front, cheapest first", frame, run_links(frame, config))


def _with_links(
    name: str, caption: str, frame: pd.DataFrame, links: Sequence[Mapping[str, str]]
) -> Table:
    """Return the front with what is to be taken, and a column for each kind of link."""
    is_best = frame["group"].ne(frame["group"].shift(-1))
    marks = {"take": frame["is_chosen"], "best": is_best & ~frame["is_chosen"]}
    told = pd.DataFrame(marks | {"start": frame.get("is_start", False)}).eq(True)
    choice = told.apply(lambda row: ", ".join(row.index[row]), axis=1)
    words = sorted({word for each in links for word in each})
    leading = {word: [word if word in each else "" for each in links] for word in words}
    same = [name for name in ("commit", "data") if name in frame and frame[name].nunique() == 1]
    kept = frame.drop(columns=[*_ORIGIN, *same], errors="ignore").assign(choice=choice, **leading)
    first = ["group", "choice", "configuration"]
    addresses = {word: [each.get(word, "") for each in links] for word in words}
    return Table(name, caption, kept[[*first, *kept.columns.drop(first)]], addresses)


def _title(result: Result) -> str:
    if result.name == "tradeoff":
        return _FRONT
    if result.name == "bill":
        return "Where the energy went"
    return str(AnalysisConfig.choices[result.name].title)


def _drawings(result: Result, config: ReportConfig) -> list[Drawing]:
    runs, tables, figures = result.runs, result.tables, result.figures
    drawn: list[Drawing | None] = []
    match result.name:
        case "tradeoff":
            drawn += draw_front(result, runs, config.tradeoff.within, _axis(runs, config))
        case "strategies":
            drawn = [
                draw_curves(result),
                draw_survival(result) if len(tables["survival"]) else None,
                draw_ranks(result) if "critical_difference" in figures else None,
            ]
        case "layers":
            drawn = [draw_layers(result), draw_quantiles(result)]
        case "bill":
            shares = [
                name
                for name in ("phases", "components", "layer_types")
                if len(tables.get(name, ())) > 1
            ]
            drawn += [draw_shares(tables[name], name, figures["quality"]) for name in shares]
    return [each for each in drawn if each is not None]


def tradeoff_title(metric: Metric) -> str:
    """Return the heading of the part on a metric against energy."""
    return TradeoffConfig.title.replace("Accuracy", capitalised(metric.label))


def _axis(runs: RunTable, config: ReportConfig) -> str:
    """Return what the metric is called: of a table of the user's it may be any split's."""
    columns, label = config.columns, runs.metric.label
    if columns.metric is not None:
        return label
    if columns.accuracy in ("validation_accuracy", "test_accuracy"):
        return columns.accuracy.replace("_", " ")
    # Our own tables say of each run on which split it was selected.
    ours = columns.accuracy == ColumnsConfig().accuracy and columns.selected_on_test in runs.frame
    on_test = runs.finished[col.SELECTED_ON_TEST]
    if not ours or on_test.nunique() > 1:
        return label
    return f"test {label}" if on_test.all() else f"validation {label}"


def _options(tradeoff: Result, config: ReportConfig) -> Section:
    """Return what matters for energy and the metric, or why that is not told; and how it looks."""
    groups = [str(each) for each in tradeoff.tables["front"]["group"].unique()[:_MOST_GROUPS]]
    parts = [_options_of(group, tradeoff, config, place) for place, group in enumerate(groups)]
    first, *others = [part for part in parts if part.drawings] or [Section("")]
    sentences = first.sentences
    if "importance" not in tradeoff.tables:
        why = [note for note in tradeoff.notes if note.startswith("No importance")]
        sentences = [reworded(each, "tradeoff") for each in why]
    return replace(first, title="What matters", sentences=sentences, parts=others)


def _options_of(group: str, tradeoff: Result, config: ReportConfig, place: int) -> Section:
    """Return what matters in a group, and how it looks; no drawing where no option tells it."""
    table, metric = tradeoff.tables.get("importance"), tradeoff.runs.metric
    untold: list[str] = []
    drawings: list[Drawing] = []
    if table is not None and group in {*table["group"]}:
        known = {*table[table["group"] == group]["target"]}
        labels = {ENERGY: "energy", metric.name: metric.label}
        untold = [label for target, label in labels.items() if target not in known]
        drawings = [draw_importance(tradeoff, group)]
    searched = searched_of(tradeoff, tradeoff.runs, config.tradeoff.within, group)
    if searched is not None:
        drawings += [draw_parallel(searched, tradeoff), draw_slices(searched, tradeoff)]
    return Section(
        group,
        [
            f"No importance for {label}: a random forest on these options predicts it no better "
            "than its mean does, on runs that the forest has not seen."
            for label in untold
        ],
        [replace(each, name=f"{each.name}_{place}" if place else each.name) for each in drawings],
    )


def _raw(runs: RunTable, config: ReportConfig) -> Section:
    frame = runs.frame
    first = [name for name in _FIRST if name in frame]
    unsure = [UNCERTAINTY] if UNCERTAINTY in frame else []  # in one column with the energy
    ours = [*first, runs.metric.name, ENERGY, *unsure, col.SPENT, col.STATUS]
    # Runs that are compared by another metric may have an accuracy too: the file has it. So it has
    # that of validation, where they were selected on test.
    others = [each for each in frame if str(each).endswith("accuracy")]
    if runs.metric.name.endswith("accuracy"):
        on_test = set(runs.finished[col.SELECTED_ON_TEST]) == {True}
        others = ["validation_accuracy"] if on_test else []
    further = [
        name
        for name in map(str, frame.columns)
        if name not in (*ours, *col.ADDED, *others) and _adds_information(frame, name, ours)
    ]
    # What was chosen first, then a table's own columns, then what our own runs measured; last
    # what is for the file alone.
    chosen = {*runs.configuration}
    further.sort(
        key=lambda name: (
            LEFT_OUT.fullmatch(name) is not None,
            name not in chosen,
            not name.startswith(OPTION_GROUPS),
            "/" in name,
        )
    )
    columns = [*ours, *further]
    # The page leaves out what is the same for all: there is room for as many others.
    most = _MOST_COLUMNS + len(unsure) + sum(says_nothing(frame, name) for name in first)
    shown = frame[columns[:most]].rename(columns=_SHOWN)
    caption = "All runs."
    if len(columns) > most:
        more = plural(len(columns) - most, "more column")
        caption += f" In tables/runs.csv: {more}."
    links = mlflow_links(frame, config)
    return Section(
        "Runs", tables=[Table("runs", caption, shown, {"run_id": links} if links else {})]
    )


def _adds_information(frame: pd.DataFrame, name: str, others: Sequence[str]) -> bool:
    """Return whether a column varies, and is none of the others where these have a value."""
    values = frame[name]
    if values.astype(str).nunique() < 2:
        return False
    known = [frame[other].dropna() for other in others]
    return not any(len(each) and values[each.index].equals(each) for each in known)


def _all_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the source's columns, and those that we add under names that it does not have."""
    added = {name: shown for name, shown in _SHOWN.items() if shown not in frame}
    left = [name for name in col.ADDED if name not in added]
    return frame.drop(columns=left).rename(columns=added)
