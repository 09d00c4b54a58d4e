"""`params.yaml`, which describes a study, and the folder that DVC runs it in."""

from pathlib import Path
from typing import Any

from greensweep.errors import ConfigError, first_line

PARAMS_FILE = Path("params.yaml")


def check_pipeline() -> None:
    """Refuse a folder in which DVC cannot work.

    Raises:
        ConfigError: it is no git repository, or DVC was not set up in it.
    """
    if not Path(".dvc").is_dir():
        raise ConfigError(
            "there is no .dvc folder here: change to the project's folder, or call dvc init"
        )
    if not any((each / ".git").exists() for each in (Path.cwd(), *Path.cwd().parents)):
        raise ConfigError(
            "this folder is no git repository, which DVC expects: call git init, or else "
            "dvc config core.no_scm true"
        )


def read_param(key: str) -> Any:
    """Return a value of `params.yaml`, in the folder that the command runs in, by its path.

    Raises:
        ConfigError: there is no such file or value.
    """
    value: Any = read_params()
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise ConfigError(f"{PARAMS_FILE} has no {key}: add it")
    return value


def read_params() -> dict[str, Any]:
    """Return `params.yaml`, in the folder that the command runs in, as plain data.

    Raises:
        ConfigError: there is no such file, or it is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from greensweep.config.folders import command_folder

    try:
        values = YAML(typ="safe").load(command_folder() / PARAMS_FILE)
    except (OSError, YAMLError) as error:
        raise ConfigError(
            f"{PARAMS_FILE} cannot be read ({first_line(error)}): give this command in the folder "
            "of a study, which holds it"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{PARAMS_FILE} holds no names with values: see docs/pipeline.md")
    return values
