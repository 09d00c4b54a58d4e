"""From a run's config to what answers it, read and fitted once in a process."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple
from functools import cache
from pathlib import Path
from typing import Any

from greensweep.config.metrics import METRICS
from greensweep.config.schema import TrainConfig
from greensweep.config.schema_replay import ReplayColumnsConfig
from greensweep.decision.sentences import percent_text, points_text
from greensweep.errors import ConfigError, StudyError, plural, unknown
from greensweep.nested import dotted
from greensweep.runs.replay.answer import Method, ReplayModel
from greensweep.runs.replay.table import RecordedTable, as_text, last_part, read_table

log = logging.getLogger(__name__)

# Rows that differ in it alone are repeats of one configuration, which are averaged.
_SEED = "seed"

# So many of a curve's epochs are answered.
_EPOCHS = "training.epochs"


def replay_model(config: TrainConfig) -> ReplayModel:
    """Return what answers a run: one for all runs of a process that differ in values only.

    Raises:
        StudyError: the table cannot be read, or lacks what `config.replay` names.
    """
    settings = config.replay
    assert settings is not None
    path = Path(settings.table)
    try:
        stamp = path.stat()
    except OSError as error:
        raise StudyError(
            f"replay.table={path} cannot be read ({error.strerror}): name a CSV file with a header"
        ) from error
    ranges = ((key, each) for key, each in config.space.items() if isinstance(each, Mapping))
    model = _model(
        path.absolute(),
        (stamp.st_mtime_ns, stamp.st_size),
        options=None if settings.options is None else tuple(settings.options),
        searched=tuple(config.space),
        where=tuple((str(column), as_text(value)) for column, value in settings.where.items()),
        columns=astuple(settings.columns),
        method=settings.method,
        declared_log=tuple(key for key, declared in ranges if declared.get("log")),
        log=tuple(settings.log),
        radius=settings.radius,
    )
    _log_summary(model, tuple(config.space), tuple(dotted(asdict(config))))
    return model


def option_values(config: TrainConfig, options: Iterable[str]) -> dict[str, Any]:
    """Return the run's values of options, by their full names.

    Raises:
        ConfigError: the config has no such option.
    """
    known = dotted(asdict(config))
    # A table names what was chosen of a group as the command does: optimizer, not optimizer.name.
    known |= {
        name.removesuffix(".name"): known[name] for name in [*known] if name.endswith(".name")
    }
    for option in options:
        if option not in known:
            raise ConfigError(
                f"replay.options names {option}, but {unknown('option', option, known)}"
            )
    return {option: known[option] for option in options}


@cache  # until the table is another, by its size and time of change
def _model(
    path: Path,
    stamp: tuple[int, int],
    *,
    options: tuple[str, ...] | None,
    searched: tuple[str, ...],
    where: tuple[tuple[str, str], ...],
    columns: tuple[Any, ...],
    method: Method,
    declared_log: tuple[str, ...],
    log: tuple[str, ...],
    radius: float | None,
) -> ReplayModel:
    named = ReplayColumnsConfig(*columns)
    table = read_table(path, options=options, searched=searched, where=dict(where), columns=named)
    # The space may declare a logarithm of what the table lacks; replay.log may not.
    log = (*(key for key in declared_log if key in table.dimensions), *log)
    return ReplayModel(table, method=method, log=log, radius=radius)


@cache  # logged once in a process
def _log_summary(model: ReplayModel, searched: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Log once what answers, how well, and by what it does not distinguish runs."""
    table = model.table
    known = plural(len(table.configurations), "recorded configuration")
    said = f"{table.path} answers with {known} by {', '.join(table.dimensions)} ({model.method})"
    if (error := model.error) is not None:
        points = points_text(100 * error.accuracy, METRICS["accuracy"])
        said += f"; each left out in turn, they err by {points} of accuracy and "
        said += f"{percent_text(error.joules)} of the joules (root mean squares)"
    log.info(f"{said}.")
    for warning in _warnings(table, searched, names):
        log.warning(warning)


def _warnings(table: RecordedTable, searched: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    yield from table.warnings
    distinguished = {*table.dimensions, *([_EPOCHS] if table.curves else [])}
    if lacking := [key for key in searched if key not in distinguished]:
        yield (
            f"The table does not distinguish runs by {', '.join(lacking)}: searching that makes no "
            "difference."
        )
    known = {part for name in names for part in (name, last_part(name), name.partition(".")[0])}
    if ignored := [column for column in table.ignored_columns if column in known - {_SEED}]:
        yield (
            f"The rows used differ in {', '.join(ignored)} too, which the answers mix: keep one "
            "value by replay.where, or name the option in replay.options."
        )
