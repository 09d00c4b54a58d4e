"""All that greensweep uses of OmegaConf's private interface, each with the reason.

`tests/config/test_omegaconf_internals.py` holds each of them to the OmegaConf that is installed.
"""

from typing import Any

import yaml
from omegaconf import Container, DictConfig
from omegaconf._utils import get_omega_conf_dumper


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
