"""All that greensweep uses of OmegaConf's private interface, or changes, each with the reason.

`tests/config/test_omegaconf_internals.py` holds each of them to the OmegaConf that is installed.
"""

from typing import Any, Literal, get_origin

import yaml
from omegaconf import Container, DictConfig, OmegaConf, omegaconf
from omegaconf._utils import get_omega_conf_dumper

from greensweep.secrets.data import learn, masked

_plain_yaml = OmegaConf.to_yaml


def to_yaml(plain: Any) -> str:
    """Return plain data as YAML that OmegaConf reads back: text that looks like a number in quotes.

    The public `OmegaConf.to_yaml` makes nodes of the values first, which takes ten times as long.
    """
    text: str = yaml.dump(
        plain, Dumper=get_omega_conf_dumper(), sort_keys=False, allow_unicode=True
    )
    return text


def root_of(node: Container) -> DictConfig:
    """Return the whole configuration that a node is part of, which no public function does."""
    root = node._get_root()
    assert isinstance(root, DictConfig)
    return root


def _let_options_be_literals() -> None:
    """Let OmegaConf 2.3, which Hydra 1.3 needs, take `Literal` options as 2.4 does.

    2.3 refuses the annotation; their values are then held to it by `option_faults` alone.
    """
    if hasattr(omegaconf, "LiteralNode"):
        return
    wrap = omegaconf._node_wrap

    def wrap_any(*, ref_type: Any, **others: Any) -> Any:
        return wrap(ref_type=Any if get_origin(ref_type) is Literal else ref_type, **others)

    omegaconf._node_wrap = wrap_any  # type: ignore[assignment]


def mask_yaml() -> None:
    """Mask all that OmegaConf writes as YAML in this process; configurations themselves stay whole.

    Hydra keeps each job's configuration before any of its callbacks could.
    """
    setattr(OmegaConf, "to_yaml", staticmethod(masked_yaml))  # noqa: B010


def masked_yaml(cfg: Any, *, resolve: bool = False, **options: Any) -> str:
    """Return a configuration as YAML without secrets, which this process knows from now on."""
    if not OmegaConf.is_config(cfg):
        return _plain_yaml(cfg, resolve=resolve, **options)
    plain = OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)
    learn(plain)
    shown = masked(plain)
    if shown == plain:  # nearly always, and a new configuration takes long to make
        return _plain_yaml(cfg, resolve=resolve, **options)
    return _plain_yaml(OmegaConf.create(shown), **options)


_let_options_be_literals()  # before any schema is composed
