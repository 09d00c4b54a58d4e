"""Import a user's own class or function by its path."""

import importlib
import sys
from typing import Any

from greensweep.config.folders import command_folder
from greensweep.errors import ConfigError, describe, unknown


def import_target(option: str, path: str) -> Any:
    """Return the object that `path` ("package.module.Name") names.

    The folder that the command was given in is searched first, as `python -m` does.

    Raises:
        ConfigError: the module cannot be imported, or has no such name.
    """
    module_path, _, name = path.rpartition(".")
    if not module_path:
        raise ConfigError(
            f"{option}={path} is no import path: write it as module.Name, my_package.Net say"
        )
    folder = str(command_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_path)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{option}={path}: importing {module_path} failed "
            f"({describe(error)}): check the path and the module"
        ) from error
    if not hasattr(module, name):
        public = [each for each in dir(module) if not each.startswith("_")]
        raise ConfigError(f"{option}={path}: {unknown(f'name in {module_path}', name, public)}")
    return getattr(module, name)
