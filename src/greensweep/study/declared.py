"""What the chosen space declares: where, and under which conditions."""

from collections.abc import Iterator
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from greensweep.config.searched import any_of
from greensweep.config.unknown import is_option_somewhere, no_option
from greensweep.errors import unknown
from greensweep.sweeper.command import declared_space, fixed_keys, task_overrides


def declared_in(hydra: DictConfig, key: str) -> str:
    """Return where the chosen space declares an option, in brackets, for errors; or nothing."""
    if any(name.startswith("space.") for name in fixed_keys(hydra)) or any(
        text.lstrip("+").startswith("space={") for text in task_overrides(hydra)
    ):
        return " (with what the command line says)"
    name = OmegaConf.select(hydra, "runtime.choices.space")
    for source in OmegaConf.select(hydra, "runtime.config_sources", default=[]):
        file = Path(source.path) / "space" / f"{name}.yaml"
        if source.schema == "file" and file.is_file():
            keys = [
                line.partition(":")[0].strip("'\" ")
                for line in file.read_text(encoding="utf-8").splitlines()
            ]
            return f" (in {file}, line {keys.index(key) + 1})" if key in keys else ""
    return ""


def condition_faults(config: DictConfig, app: DictConfig) -> Iterator[str]:
    """Say which conditions of the space name what does not exist: they would hold for no trial."""
    loader = GlobalHydra.instance().config_loader()
    for key, declared in declared_space(config).items():
        for name, needed in declared.get("when", {}).items():
            fault = None
            if name in config.hydra.runtime.choices:
                choices = loader.get_group_options(name)
                missing = [each for each in any_of(needed) if each not in choices]
                fault = unknown(name, missing[0], choices) if missing else None
            elif not is_option_somewhere(app, name):
                fault = no_option(name, app)
            if fault:
                yield f"space: {key} needs, under when: {fault}{declared_in(config.hydra, key)}"
