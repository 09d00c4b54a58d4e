"""What OmegaConf writes as YAML, without secrets: Hydra's `.hydra/`, `multirun.yaml`, `--cfg`."""

from typing import Any

from omegaconf import OmegaConf

from greensweep.secrets.data import learn, masked

_plain_yaml = OmegaConf.to_yaml


def mask_yaml() -> None:
    """Mask all that OmegaConf writes in this process; the configurations themselves stay whole.

    Hydra keeps each job's configuration before any of its callbacks could.
    """
    setattr(OmegaConf, "to_yaml", staticmethod(_masked_yaml))  # noqa: B010


def _masked_yaml(cfg: Any, *, resolve: bool = False, **options: Any) -> str:
    if not OmegaConf.is_config(cfg):
        return _plain_yaml(cfg, resolve=resolve, **options)
    plain = OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)
    learn(plain)
    shown = masked(plain)
    if shown == plain:  # nearly always, and a new configuration takes long to make
        return _plain_yaml(cfg, resolve=resolve, **options)
    return _plain_yaml(OmegaConf.create(shown), **options)
