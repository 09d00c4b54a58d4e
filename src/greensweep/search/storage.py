"""Open a search's study: in SQLite, a journal or a server, new or to go on with."""

import json
import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
)

from greensweep.config.folders import journal_file, storage_file
from greensweep.errors import StorageLost, StudyError, first_line
from greensweep.search.heartbeats import GRACE_SECONDS, HEARTBEAT_SECONDS
from greensweep.search.patience import STORAGE_FAULTS, Patience, hurried, is_away
from greensweep.search.records import OWNED, keep_of_study, kept_of_study
from greensweep.search.space import range_text
from greensweep.search.spec import SearchSpec
from greensweep.search.storage_internals import PatientStorage, TrialStorage
from greensweep.secrets.data import mask_override, mask_text, masked
from greensweep.secrets.output import private

optuna.logging.set_verbosity(optuna.logging.WARNING)
# Said of every search that has a sampler of its own in each trial, or heartbeats.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")

log = logging.getLogger(__name__)

_ASKED = "greensweep"  # what a study keeps so is what it searches

_WRITE = (
    "write sqlite:///FILE.db or postgresql+psycopg://USER@HOST/NAME, say, or leave it out, which "
    "keeps optuna.db in the sweep's folder"
)

_BUSY_SECONDS = 60
_TABLES_SECONDS = 5


_set_user_attr = optuna.trial.Trial.set_user_attr


def _masked_user_attr(trial: optuna.trial.Trial, key: str, value: Any) -> None:
    _set_user_attr(trial, key, masked(value, key))


# The stock sweeper keeps every option that the command line fixes with each trial.
optuna.trial.Trial.set_user_attr = _masked_user_attr  # type: ignore[method-assign, assignment]


def open_storage(url: str, *, waits: bool = False) -> BaseStorage:
    """Open a storage by its URL or the path of its journal; a file is made when missing.

    Args:
        waits: for a server that is away, as whatever is asked of it later does in any case.

    Raises:
        StudyError: it cannot be opened.
    """
    if (journal := journal_file(url)) is not None:
        with storage_faults(url):
            return _opened_journal(journal)
    check_storage(url)
    if url.startswith("sqlite") and make_url(url).database in (None, "", ":memory:"):
        raise StudyError(
            f"hydra.sweeper.storage={url} is in memory, where no worker finds it and nothing "
            f"outlives the command: {_WRITE}"
        )
    with storage_faults(url):
        return _opened(url, waits)


def check_storage(url: str) -> None:
    """Refuse what is no address of a database, or of one that nothing here can talk to.

    Raises:
        StudyError: it is none, or its driver is missing.
    """
    if url.startswith("redis"):
        raise StudyError(f"hydra.sweeper.storage is in Redis, which Optuna left: {_WRITE}")
    try:
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError) as error:
        raise StudyError(
            f"hydra.sweeper.storage={mask_text(url)} is no address of a database: {_WRITE}"
        ) from error
    except ImportError as error:
        raise StudyError(
            f"the study's storage {mask_text(url)} needs a database driver "
            f"({first_line(error)}): install greensweep[postgresql] and write "
            "postgresql+psycopg://…, or greensweep[mysql] and write mysql+pymysql://…"
        ) from error


def _opened(url: str, waits: bool) -> BaseStorage:
    if url.startswith("sqlite"):
        keep_private(url)
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})
        # A commit then waits for no disk; it survives the death of every process.
        event.listen(storage.engine, "connect", _write_ahead)
        storage.engine.dispose()
        return storage
    with nullcontext() if waits else hurried():
        try:
            return _on_server(url)
        except (IntegrityError, ProgrammingError):
            # Another command makes the tables of a new database just now, and was faster.
            time.sleep(_TABLES_SECONDS)
            return _on_server(url)


def _opened_journal(file: Path) -> BaseStorage:
    """Open a journal, a line for each thing that a study keeps.

    Raises:
        StudyError: it is none.
    """
    keep_private(str(file))
    try:
        return JournalStorage(JournalFileBackend(str(file)))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise StudyError(
            f"{file} is no journal of Optuna's, or a line of it is broken ({first_line(error)}): "
            "set hydra.sweeper.storage to another file, or move this one away"
        ) from error


def keep_private(url: str) -> None:
    """Let only its owner read a storage that is a new file: what programs keep in it is theirs.

    Raises:
        OSError: the file cannot be made.
    """
    file = storage_file(url)
    if file is not None and file.parent.is_dir():
        private(file)


def _on_server(url: str) -> RDBStorage:
    connect = partial(
        RDBStorage, url, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS
    )
    return Patience().ask(connect)


def open_study(spec: SearchSpec, storage: BaseStorage) -> optuna.Study:
    """Open the study of a search, or make it.

    Raises:
        StudyError: a study of that name searches something else.
    """
    kind = TrialStorage if spec.storage.startswith("sqlite") else PatientStorage
    with storage_faults(spec.storage):
        study = optuna.create_study(
            storage=kind(storage, OWNED) if isinstance(storage, RDBStorage) else storage,
            study_name=spec.study_name,
            directions=list(spec.directions),
            pruner=spec.build_pruner(),
            load_if_exists=True,
        )
        asked, kept = _asked(spec), kept_of_study(study).get(_ASKED)
        if kept is None and study.get_trials(deepcopy=False):
            raise StudyError(
                f"hydra.sweeper.study_name={spec.study_name} is a study of another program in "
                "this storage: choose another name"
            )
        if kept is not None:
            _check_known({**kept, "fixed": _fixed(kept["fixed"], spec)}, asked, spec)
        if kept != asked:
            keep_of_study(study, _ASKED, asked)
        return study


def _check_known(known: Mapping[str, Any], asked: Mapping[str, Any], spec: SearchSpec) -> None:
    """Refuse to go on where an earlier command searched something else."""
    if known == asked:
        return
    differences = "; ".join(_differences(known, asked))
    rename = "hydra.sweeper.study_name to a new name"
    fault = None
    if known["directions"] != asked["directions"]:
        fault = f"has other objectives ({differences}), which cannot be mixed: set {rename}"
    elif not spec.extend:
        fault = (
            f"searched something else ({differences}): set hydra.sweeper.extend=true to go on all "
            f"the same, hydra.sweeper.fresh=true to start anew, or {rename}"
        )
    elif _cannot_extend(known, asked):
        fault = (
            f"cannot be extended so ({differences}): choices and kinds of options stay as they "
            f"are; set {rename}"
        )
    if fault is not None:
        raise StudyError(f"the study {spec.study_name} {fault}")


def find_study(spec: SearchSpec) -> optuna.Study | None:
    """Return the study of an earlier command; None where there is none yet.

    Raises:
        StudyError: the storage cannot be opened.
    """
    file = spec.storage_file
    if file is not None and not file.is_file():
        return None  # to open it would make it
    storage = open_storage(spec.storage)
    if all(each.study_name != spec.study_name for each in storage.get_all_studies()):
        return None
    return optuna.load_study(study_name=spec.study_name, storage=storage)


@contextmanager
def storage_faults(url: str) -> Iterator[None]:
    """Turn what a storage raises into one sentence.

    Raises:
        StudyError: the storage failed; StorageLost: it was away for too long.
    """
    try:
        yield
    except STORAGE_FAULTS as error:
        cause = first_line(error.__cause__ or error)
        said = f"the study's storage {url} failed ({cause}): free or start it"
        if isinstance(error, OSError) and error.filename:  # it may be any file of the sweep
            said = f"cannot use {error.filename}: {error.strerror}: free it"
        kind = StorageLost if is_away(error) else StudyError
        raise kind(
            f"{mask_text(said)}, then give the same command again, which goes on where it stopped"
        ) from error


def _write_ahead(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _asked(spec: SearchSpec) -> dict[str, Any]:
    """What a study searches, as JSON keeps it, without secrets: another password is no change."""
    asked: dict[str, Any] = {
        "directions": list(spec.directions),
        "space": {
            name: json.loads(distribution_to_json(each))
            for name, each in sorted(spec.distributions.items())
        },
        "fixed": sorted(_fixed(spec.fixed, spec)),
        "constraints": dict(sorted(spec.constraints.items())),
        "price_per_kilojoule": spec.price_per_kilojoule,
    }
    if spec.conditions:
        asked["conditions"] = {
            name: {other: list(values) for other, values in sorted(needed.items())}
            for name, needed in sorted(spec.conditions.items())
        }
    if spec.metric:
        asked["metric"] = spec.metric
    if spec.fidelities:
        asked["fidelities"] = [[*map(mask_override, each)] for each in spec.fidelities]
    return asked


def _fixed(overrides: Iterable[str], spec: SearchSpec) -> list[str]:
    def is_changeable(override: str) -> bool:
        name = override.partition("=")[0].lstrip("+~")
        return any(name == each or name.startswith((f"{each}.", f"{each}@")) for each in changeable)

    changeable = spec.changeable
    return [mask_override(each) for each in overrides if not is_changeable(each)]


def _differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    before, after = _space(known), _space(asked)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            was, now = (
                range_text(space[name]) if name in space else "not searched"
                for space in (before, after)
            )
            kind = f" ({type(after[name]).__name__})" if was == now else ""
            yield f"{name} was {was}, is {now}{kind}"
    for name in (
        *("directions", "metric", "constraints", "price_per_kilojoule", "conditions"),
        "fidelities",
    ):
        if known.get(name) != asked.get(name):
            yield f"{name} was {known.get(name)}, is {asked.get(name)}"
    for text in sorted(set(known["fixed"]) - set(asked["fixed"])):
        yield f"{text} is no longer set"
    for text in sorted(set(asked["fixed"]) - set(known["fixed"])):
        yield f"{text} is new"


def _space(kept: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    return {name: json_to_distribution(json.dumps(each)) for name, each in kept["space"].items()}


def _cannot_extend(known: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Tell whether an option changes in a way that no storage can hold in one study."""
    before, after = _space(known), _space(asked)
    for name in before.keys() & after.keys():
        try:
            check_distribution_compatibility(before[name], after[name])
        except ValueError:
            return True
    return False
