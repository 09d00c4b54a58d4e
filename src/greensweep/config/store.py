"""Turn what Hydra composed into plain, checked objects, and keep those of a run."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from greensweep.config import schema
from greensweep.config.checks import run_faults
from greensweep.config.folders import locate
from greensweep.config.groups import groups_of
from greensweep.config.omegaconf_internals import to_yaml
from greensweep.config.options import option_faults
from greensweep.config.unknown import unknown_options
from greensweep.errors import ConfigError, first_line, unknown
from greensweep.files import put_aside, write_text
from greensweep.secrets.data import learn, masked, restored


def parse(composed: DictConfig) -> Any:
    """Return the composed config as its schema's dataclass; its secrets are known from then on.

    Raises:
        ConfigError: an option does not exist, is missing, out of range or at odds with another;
            all faults in one.
    """
    missing = [f"{key} has no value: set {key}=…" for key in OmegaConf.missing_keys(composed)]
    raise_faults([*unknown_options(composed), *missing])
    config: Any = OmegaConf.to_object(composed)
    locate(config)
    learn(asdict(config))
    of_run = run_faults(config) if isinstance(config, schema.TrainConfig) else ()
    raise_faults([*option_faults(config), *of_run])
    return config


def without_hydra(composed: DictConfig) -> DictConfig:
    """Return what a program itself sees of a composed configuration."""
    program = copy.deepcopy(composed)
    with read_write(program), open_dict(program):
        program.pop("hydra", None)
    return program


def parse_run(composed: DictConfig) -> schema.TrainConfig | None:
    """Return a run's configuration, composed with `hydra` or without; None of another program's.

    Raises:
        ConfigError: as `parse`.
    """
    config = without_hydra(composed)
    if OmegaConf.get_type(config) is not schema.TrainConfig:
        return None
    run: schema.TrainConfig = parse(config)
    return run


def raise_faults(faults: list[str]) -> None:
    """Raise one ConfigError that names every fault, if there are any."""
    if faults:
        raise ConfigError("; ".join(faults))


def save_run_config(config: Mapping[str, Any], path: Path) -> None:
    """Write a run's resolved config, plain data, without secrets, for `load_run_config`.

    A secret that an environment variable holds refers to it.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, to_yaml(masked(config, restorable=True)))


def read_plain_config(path: Path) -> dict[str, Any]:
    """Read a run's config as plain data; empty where there is none, or only a broken one."""
    if not path.is_file():
        return {}
    try:
        plain = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(plain, dict), "it holds no mapping"
    except Exception as error:  # whatever YAML and OmegaConf make of what is left
        put_aside(path, first_line(error))
        return {}
    return {str(key): value for key, value in plain.items()}


# What the configuration of a run of ours has, and hardly that of another program.
_OURS = {"dataset", "model", "training", "objective"}


def is_our_config(plain: Mapping[str, Any]) -> bool:
    """Tell a run of ours by its configuration from one of another program."""
    return plain.keys() >= _OURS


def read_overrides(directory: Path) -> tuple[str, ...]:
    """Return what a run was asked for, which Hydra writes before it begins; empty if it did not."""
    try:
        kept = yaml.safe_load((directory / ".hydra" / "overrides.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ()
    return tuple(map(str, kept)) if isinstance(kept, list) else ()


def load_run_config(path: Path) -> schema.TrainConfig:
    """Read the resolved config that a run left beside its results.

    An option that the file lacks, since it came later, has its default. A secret is that of the
    environment variable that the file refers to, or of this process's own configuration; another
    stays masked.

    Raises:
        ConfigError: the file is missing, or not a run's config.
    """
    if not path.is_file():
        raise ConfigError(
            f"no config at {path}: a checkpoint needs its run's config.yaml beside it"
        )
    try:
        kept = OmegaConf.load(path)
        assert isinstance(kept, DictConfig), "it holds a list"
        # Runs of before there were others were classifications.
        older = {"task": {"name": "classification"}}
        plain = OmegaConf.create(older | restored(OmegaConf.to_container(kept)))
        typed = OmegaConf.structured(schema.TrainConfig)
        for group, kind in groups_of(schema.TrainConfig).items():
            chosen = _schema_of(group, kind.choices.values(), plain[group])
            typed[group] = OmegaConf.structured(chosen)
        config = OmegaConf.to_object(OmegaConf.merge(typed, plain))
    except Exception as error:
        raise ConfigError(
            f"{path} is not the config of a run of Greensweep's training ({first_line(error)}): "
            "put the run's own config.yaml beside its checkpoint, or, where your own program "
            "trained it, load it there, by model.load_state_dict(torch.load(…))"
        ) from error
    assert isinstance(config, schema.TrainConfig)
    locate(config)
    return config


def _schema_of(group: str, schemas: Iterable[type], options: Mapping[str, Any]) -> type:
    """Find the schema of a group's options: it fixes their name, or is the least that has them."""
    name = options["name"]
    types = {each: get_type_hints(each)["name"] for each in schemas}
    for each, allowed in types.items():
        if name in get_args(allowed) or name == getattr(each, "name", None):
            return each
    least = sorted((each for each in types if types[each] is str), key=lambda it: len(fields(it)))
    for each in least:
        if options.keys() <= {declared.name for declared in fields(each)}:
            return each
    names = [each for allowed in types.values() for each in get_args(allowed)]
    raise ConfigError(unknown(group, name, names))
