"""Statistics on tables of runs: from a table to frozen results. Nothing is drawn here."""

from pkgutil import resolve_name

from greensweep.analysis.bill import energy_bill
from greensweep.analysis.layers import explain_layers
from greensweep.analysis.result import Result
from greensweep.analysis.strategies import compare_strategies
from greensweep.analysis.tradeoff import analyse_tradeoff
from greensweep.config.schema_analysis import AnalysisConfig
from greensweep.sources.mlflow import read_mlflow, read_sweeps
from greensweep.sources.source import read_runs
from greensweep.sources.standard import standard_table
from greensweep.sources.table import RunTable, read_file

__all__ = [
    "Result",
    "RunTable",
    "analyse_tradeoff",
    "answer",
    "compare_strategies",
    "energy_bill",
    "explain_layers",
    "read_file",
    "read_mlflow",
    "read_runs",
    "read_sweeps",
    "standard_table",
]


def answer(runs: RunTable, config: AnalysisConfig) -> Result:
    """Return the analysis that a configuration asks for.

    Raises:
        AnalysisError: the runs do not answer it.
    """
    result: Result = resolve_name(config.implementation)(
        runs.only(config.where, "analysis.where"), config
    )
    return result
