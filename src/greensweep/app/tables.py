"""Answers from a table of runs: src/analyse.py and src/report.py."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greensweep.app.compose import checked, written_to
from greensweep.config.schema_analysis import (
    AnalyseConfig,
    ReportConfig,
    StatementConfig,
)
from greensweep.tracking.mlflow_places import tracking_uri
from greensweep.tracking.view import ui_address

if TYPE_CHECKING:
    from greensweep.analysis.collect import Analyses

log = logging.getLogger(__name__)


def analyse(composed: DictConfig) -> None:
    """Answer a question from a table of runs, and leave its tables in a folder."""
    from greensweep.analysis import answer, read_runs

    config = checked(composed, AnalyseConfig)
    result = answer(read_runs(config), config.analysis)
    folder = Path(config.output) / config.analysis.name
    with written_to(config.output):
        result.write(folder)
    for said in [*result.answers, *(f"Warning: {each}." for each in result.warnings)]:
        log.info(said)
    log.info(f"{result.runs}. Tables: {folder}")


def report(composed: DictConfig) -> None:
    """Write one page about a table of runs, with its figures and tables as files."""
    from greensweep.analysis import read_runs
    from greensweep.analysis.collect import analyses_of
    from greensweep.sources.sweeps import beside_runs

    config = checked(composed, ReportConfig)
    uri = tracking_uri(config.mlflow_uri)
    config = replace(config, ui=config.ui or ui_address(uri))
    if config.compare:
        _compare(config)
        return
    runs = read_runs(config)
    analyses = analyses_of(runs, config, beside_runs(config))
    with written_to(config.output):
        write_page(analyses, config)
    results = analyses.results.values()
    for said in [result.answers[0] for result in results]:
        log.info(said)
    for doubt in dict.fromkeys(each for result in results for each in result.warnings):
        log.info(f"Warning: {doubt}.")


def _compare(config: ReportConfig) -> None:
    """Write one page about sweeps side by side."""
    from greensweep.analysis.collect import analyses_of
    from greensweep.analysis.side_by_side import hold_side_by_side
    from greensweep.rendering.comparison import build_comparison, comparison_tables
    from greensweep.rendering.method import colophon
    from greensweep.rendering.write import write_report
    from greensweep.sources.sweeps import read_named_sweep

    called = {str(name): Path(str(name)).name for name in config.compare}
    if len({*called.values()}) < len(called):
        called = {name: name for name in called}
    analyses, configs = {}, {}
    for name, short in called.items():
        runs, sweeps = read_named_sweep(name, config)
        configs[short] = replace(config, source=name)
        analyses[short] = analyses_of(runs, configs[short], sweeps)
    side = hold_side_by_side(analyses, config.tradeoff)
    sections, tables = build_comparison(side, configs), comparison_tables(side)
    title = config.title or f"{' and '.join(analyses)} side by side"
    with written_to(config.output):
        page = write_report(
            Path(config.output), title, sections, tables, colophon(" and ".join(called))
        )
    log.info(f"Report: {page}")
    log.info(sections[0].sentences[0])


def statement(composed: DictConfig) -> None:
    """State what runs used and emitted: for a paper, and for a model card."""
    from greensweep.analysis.statement import state
    from greensweep.energy import declared_grid
    from greensweep.rendering.model_card import model_card
    from greensweep.rendering.statement_files import markdown, write_statement
    from greensweep.sources.tracked_table import read_tracked

    config = checked(composed, StatementConfig)
    grid = declared_grid(config.grid)
    stated = state(read_tracked(config), config.final, grid)
    card = model_card(stated, config.training_type, config.location)
    with written_to(config.output):
        files = write_statement(Path(config.output), stated, card)
    log.info(f"{markdown(stated)}\n{card}")
    log.info(f"In {config.output}: {', '.join(each.name for each in files)}")


def write_page(analyses: "Analyses", config: ReportConfig) -> Path:
    """Write the page of analyses and return its path.

    Raises:
        OSError: the folder `output` cannot be written.
    """
    from greensweep.rendering.build import build_page, report_tables, tradeoff_title
    from greensweep.rendering.method import colophon
    from greensweep.rendering.write import write_report

    sections, tables = build_page(analyses, config), report_tables(analyses)
    title = config.title or tradeoff_title(analyses.runs.metric)
    origin = colophon(config.source)
    page = write_report(Path(config.output), title, sections, tables, origin)
    log.info(f"Report: {page}")
    return page
