"""Figures, tables and one page from finished analyses. Draws; computes nothing."""

from greensweep.report.build import build_page
from greensweep.report.write import write_report

__all__ = ["build_page", "write_report"]
