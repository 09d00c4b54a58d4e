"""Folders of their own for runs and sweeps, also for two of one second."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from greensweep.config.folders import use_sweep_folder
from greensweep.errors import GreensweepError, StudyError
from greensweep.files import new_folder
from greensweep.messages import error_line
from greensweep.record.result import RESULT_FILE
from greensweep.search.folders import COMMAND_LOCK
from greensweep.study.preflight import check_sweep_folder
from greensweep.sweeper.command import check_subdir, resumes


class FolderCallback(Callback):
    """Gives each command a folder of its own: of those named by the second, and of the user's."""

    _held: FileLock | None = None

    @classmethod
    def _hold(cls, directory: Path) -> None:
        """Keep other commands out of a folder until this process ends, or takes another one.

        Raises:
            StudyError: one is at work there.
        """
        if cls._held is not None:
            cls._held.release()
        directory.mkdir(parents=True, exist_ok=True)
        cls._held = FileLock(directory / COMMAND_LOCK)
        try:
            cls._held.acquire(timeout=0)
        except Timeout as error:
            raise StudyError(
                f"another command is at work in {directory}: name another folder, or wait for it"
            ) from error

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusals():
            directory = Path(config.hydra.run.dir)
            if _is_by_time(config.hydra.run):
                with read_write(config.hydra):
                    config.hydra.run.dir = str(new_folder(directory))
                return
            self._hold(directory)
            resumes_training = OmegaConf.select(config, "training.resume", default=False)
            if (directory / RESULT_FILE).is_file() and not resumes_training:  # which looks itself
                raise StudyError(
                    f"hydra.run.dir={directory} holds the result of another run, which would be "
                    "overwritten: name a new folder, or move that one away"
                )

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if resumes(config.hydra):
            return  # it looks by itself
        with refusals():
            check_subdir(config.hydra)
            directory = Path(config.hydra.sweep.dir)
            if _is_by_time(config.hydra.sweep):
                directory = new_folder(directory)
                self._hold(directory)
                use_sweep_folder(config, str(directory))
                HydraConfig.instance().set_config(config)
            else:
                self._hold(directory)
                check_sweep_folder(directory)


class OpenFolder:
    """A folder that is known again, whatever takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._handle: int | None = None
        with suppress(PermissionError):  # Windows opens no folders, and deletes none in use
            self._handle = os.open(self._path, os.O_RDONLY)

    def close(self) -> bool:
        """Let go of the folder, and tell whether it still is where it was."""
        if self._handle is None:
            return self._path.is_dir()
        held = os.fstat(self._handle)
        os.close(self._handle)
        self._handle = None  # an interrupted end is taken up again
        return self._path.is_dir() and os.path.samestat(held, self._path.stat())


@contextmanager
def refusals() -> Iterator[None]:
    """End the program with one sentence for each fault.

    Hydra turns an Exception raised in a callback into a warning; SystemExit it lets through.
    """
    try:
        yield
    except (GreensweepError, OSError) as error:
        raise SystemExit(error_line(error)) from error


def _is_by_time(directory: DictConfig) -> bool:
    """Tell whether the user left the name of the folder to Hydra."""
    return "${now:" in str(OmegaConf.to_container(directory, resolve=False))
