"""What a node must have before trials are sent to it: one short probe asks, one sentence tells."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import greensweep
from greensweep.config.folders import command_folder, journal_file, sqlite_file
from greensweep.config.schema_tracking import MlflowConfig, TrackingConfig
from greensweep.energy.gpus import machine_gpus
from greensweep.errors import StudyError, describe, first_line, plural
from greensweep.search.folders import is_of, mark_of
from greensweep.search.planned_run import Input
from greensweep.search.records import this_process
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage
from greensweep.secrets.data import mask_text
from greensweep.tracking.mlflow_places import tracking_uri
from greensweep.tracking.mlflow_store import unreachable


@dataclass(frozen=True)
class Needs:
    """What the trials of a sweep need of a node, as who submits them knows it.

    Attributes:
        directory: the sweep's folder.
        mark: tells that folder from another of the same path.
        storage: URL of the study's.
        tracking: URI of the store of runs; None without one.
        inputs: what runs read; a relative path is meant from where trials run.
        gpus: of each trial.
        shares_folder: results cannot come home where the node does not see the sweep's folder.
        servers: of study and runs have to answer; who waits for them needs none to, for a while.
    """

    directory: Path
    mark: str
    storage: str
    tracking: str | None = None
    inputs: tuple[Input, ...] = ()
    gpus: int = 0
    shares_folder: bool = False
    servers: bool = True
    python: str = field(default_factory=lambda: _minor(platform.python_version()))
    version: str = greensweep.__version__
    machine: tuple[str, str] = field(default_factory=lambda: this_process().clock)


def needs_of(spec: SearchSpec, tracking: TrackingConfig, inputs: Iterable[Input]) -> Needs:
    """Return what the trials of a search need of a node.

    Args:
        inputs: what runs read; below the folder of the command it is looked for where trials run.
    """
    here = command_folder()
    return Needs(
        spec.directory,
        mark_of(spec.directory),
        spec.storage,
        tracking_uri(tracking.uri) if isinstance(tracking, MlflowConfig) else None,
        tuple(
            Input(each.option, each.path.relative_to(here), each.is_made)
            if each.path.is_relative_to(here)
            else each
            for each in inputs
        ),
    )


class Node(NamedTuple):
    """What a probe found of a node.

    Attributes:
        fault: what keeps trials from running there, and the remedy; None of nothing.
    """

    name: str
    sees_folder: bool
    fault: str | None


def probe(needs: Needs, load: Callable[[], object]) -> Node:
    """Look at the node that this process runs on, within seconds, and train nothing.

    Args:
        load: makes the program ready there, as for a trial.
    """
    sees_folder = is_of(needs.directory, needs.mark)
    return Node(platform.node(), sees_folder, next(_faults(needs, load, sees_folder), None))


def check_node(name: str, fault: str | None) -> None:
    """Raise StudyError where a probe found what keeps trials from running on a node."""
    if fault is not None:
        raise StudyError(f"node {name} {fault}")


def _faults(needs: Needs, load: Callable[[], object], sees_folder: bool) -> Iterator[str]:
    python, version = _minor(platform.python_version()), greensweep.__version__
    if python != needs.python:
        yield f"has Python {python}, and this command {needs.python}: give both the same"
    if version != needs.version:
        yield (
            f"has greensweep {version}, and this command {needs.version}: install the same there, "
            f"as by pip install greensweep=={needs.version}"
        )
    try:
        load()
    except Exception as error:
        yield f"cannot load the program ({describe(error)}): install what it needs there"
    if needs.shares_folder and not sees_folder:
        yield (
            f"does not see the sweep's folder {needs.directory}: set hydra.sweep.dir to one that "
            "all nodes share"
        )
    yield from _storage_faults(needs)
    for each in needs.inputs:
        if not (each.path.exists() or (each.is_made and _can_be_made(each.path))):
            yield (
                f"has no {each.path}, which runs read: put it there, or set {each.option} to a "
                "place that all nodes share"
            )
    if needs.gpus and (shown := _gpus()) < needs.gpus:
        yield (
            f"shows {plural(shown, 'GPU')}, and a trial takes {needs.gpus}: start it with its "
            "GPUs, or set hydra.sweeper.gpus_per_worker=0"
        )


def _storage_faults(needs: Needs) -> Iterator[str]:
    """Yield what of study and tracking only the machine of the command reaches."""
    is_another = this_process().clock != needs.machine
    server = "set hydra.sweeper.storage=postgresql+psycopg://USER@HOST/NAME, which all nodes reach"
    journal = journal_file(needs.storage)
    if journal is not None:
        if not journal.is_file():
            yield (
                f"does not see the study's journal {journal}: set hydra.sweeper.storage to a file "
                "in a folder that all nodes share"
            )
    elif sqlite_file(needs.storage) is None:
        try:
            if needs.servers:
                open_storage(needs.storage)
        except StudyError as error:
            cause = first_line(error.__cause__ or error)
            yield f"does not reach the study in {mask_text(needs.storage)} ({cause}): {server}"
    elif is_another:
        yield f"does not share the study with {needs.machine[0]}, a SQLite file there: {server}"
    if needs.tracking is None:
        return
    remedy = "set MLFLOW_TRACKING_URI=http://HOST:5000, which all nodes reach, or tracking=local"
    if is_another and sqlite_file(needs.tracking) is not None:
        home = needs.machine[0]
        yield f"does not share MLflow's store with {home}, a SQLite file there: {remedy}"
    elif needs.servers and (fault := unreachable(needs.tracking)):
        yield f"does not reach MLflow at {mask_text(needs.tracking)} ({fault}): {remedy}"


def _can_be_made(path: Path) -> bool:
    parent = next(each for each in path.absolute().parents if each.exists())
    return parent.is_dir() and os.access(parent, os.W_OK)


def _gpus() -> int:
    try:
        return len(machine_gpus())
    except Exception:  # of NVML, whose class needs the library
        return 0


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
