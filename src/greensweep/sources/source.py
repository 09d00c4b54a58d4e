"""A table of runs out of the options `source`, `columns`, `join` and `on`."""

from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

from greensweep.config.folders import located
from greensweep.config.schema_analysis import SourceConfig
from greensweep.errors import AnalysisError
from greensweep.sources.join import join_table
from greensweep.sources.mlflow import read_mlflow
from greensweep.sources.standard import standard_table
from greensweep.sources.table import Rows, RunTable
from greensweep.tracking.mlflow_places import tracking_uri


def read_runs(config: SourceConfig) -> RunTable:
    """Return the runs of a source, with the columns of the table that is joined to it.

    Raises:
        AnalysisError: as `read_source`; or no run is left.
    """
    rows = read_source(config)
    has_metric = {config.columns.metric, config.columns.accuracy} & set(rows.frame)
    if config.join is None and config.columns.reads_energy_alone and not has_metric:
        raise AnalysisError(
            f"{config.source} has no {config.columns.metric or config.columns.accuracy}, which "
            "runs are compared by: give the table that has it, join=metrics.csv on=run_id say"
        )
    runs = standard_table(rows.frame, config.columns, config.source)
    return replace(
        runs,
        rows=runs.rows + sum(rows.left_out.values()),
        left_out={**rows.left_out, **runs.left_out},
        warnings=(*rows.warnings, *runs.warnings),
        searched=rows.searched,
    )


def read_source(config: SourceConfig) -> Rows:
    """Return the rows of a source, with the columns of the table that is joined to it.

    Raises:
        AnalysisError: one of the tables cannot be read, or they do not belong together.
    """
    if config.source == "mlflow":
        rows = Rows(read_mlflow(tracking_uri(config.mlflow_uri), config.mlflow_experiment))
    else:
        rows = resolve_name(config.columns.reader)(Path(located(config.source)))
    if config.join is None:
        return rows
    status = config.columns.status
    return join_table(rows, config.source, Path(located(config.join)), config.keys(), status)
