"""Where paths are meant from, and which file a study's storage is."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from greensweep.config.grammar import as_override
from greensweep.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
# What Hydra composes: inside of an installed package, or beside src/ in a checkout.
CONF = next(filter(Path.is_dir, [_PACKAGE / "conf"]), _PACKAGE.parents[1] / "conf")

# What ends a URL's path, what it decodes, and what Optuna takes for a template of its own.
_NOT_IN_URLS = re.compile(r"[%?#{}]")

# What the journal of a study, Optuna's storage for network file systems, is called.
_JOURNALS = (".log", ".journal")


def check_folder() -> None:
    """Raise ConfigError in a folder in whose name Hydra would read a reference."""
    if "${" in str(Path.cwd()):
        raise ConfigError(
            f"the folder {Path.cwd()} has ${{ in its name, which Hydra takes for a reference to "
            "an option: rename it, or work in another one"
        )


def command_folder() -> Path:
    """Return the folder that the command was given in: relative paths are meant from there.

    With `hydra.job.chdir=true` a run itself works in its own folder.
    """
    here = Path.cwd()
    if not HydraConfig.initialized():
        return here
    hydra: Any = HydraConfig.get()
    own = OmegaConf.select(hydra, "runtime.output_dir")
    # Of an earlier run of this process Hydra may know another folder.
    is_changed = hydra.job.chdir and own is not None and Path(own).resolve() == here
    return Path(hydra.runtime.cwd) if is_changed else here


def located(path: str) -> str:
    """Return a path as it was written, or absolute where the command was given elsewhere."""
    folder = command_folder()
    return path if folder == Path.cwd() else str(folder / path)


def locate(config: Any) -> None:
    """Let the options of a (nested) config that are paths be meant from `command_folder`."""
    for declared in fields(config):
        value = getattr(config, declared.name)
        if is_dataclass(value):
            locate(value)
        elif declared.metadata.get("path") and value is not None:
            setattr(config, declared.name, located(value))


def use_sweep_folder(config: DictConfig, folder: str) -> None:
    """Let a composed sweep, and the jobs that it composes, use this folder."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = folder
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={as_override(folder)}")


def storage_url(given: str | None, directory: Path, *, several_machines: bool = False) -> str:
    """Return a sweep's storage: a URL, or as Optuna's own tools have it, the path of a journal.

    None is a file in the sweep's own folder: `journal.log` where several machines write to it, or
    did, else `optuna.db`.
    """
    if given is None:
        journal = directory / "journal.log"
        is_journal = several_machines or journal.is_file()
        return str(journal) if is_journal else sqlite_url(directory / "optuna.db")
    if (journal_found := journal_file(given)) is not None:
        return str(journal_found)
    file = sqlite_file(given)
    return given if file is None else sqlite_url(file, given)


def storage_file(storage: str) -> Path | None:
    """Return the file that a study's storage is, absolute; None of a server or of memory."""
    return sqlite_file(storage) or journal_file(storage)


def journal_file(storage: str) -> Path | None:
    """Return the journal that a storage is, absolute; None of any other."""
    is_journal = "://" not in storage and Path(storage).suffix in _JOURNALS
    return command_folder() / storage if is_journal else None


def sqlite_file(url: str, folder: Path | None = None) -> Path | None:
    """Return the file that a URL of SQLAlchemy's names, absolute; None of a server or of memory.

    It is meant from `folder`, or from that of the command.
    """
    scheme, _, path = url.partition(":///")
    name = unquote(path.partition("?")[0])
    if not scheme.startswith("sqlite") or name in ("", ":memory:") or name.startswith("file:"):
        return None
    return (folder or command_folder()) / name


def sqlite_url(file: Path, url: str = "") -> str:
    """Return the URL of a SQLite file, whatever its folder is called; with the query of `url`."""
    path = _NOT_IN_URLS.sub(lambda found: f"%{ord(found[0]):02X}", str(file))
    # Of a URL without a driver MLflow makes the folders as they stand in it, not as they are.
    scheme = "sqlite" if path == str(file) else "sqlite+pysqlite"
    _, question, query = url.partition("?")
    return f"{scheme}:///{path}{question}{query}"
