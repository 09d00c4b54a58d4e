"""What Hydra 1.3, with OmegaConf 2.3, and Hydra 1.4 want to be asked differently."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from inspect import signature
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from greensweep.config import hydra_internals, omegaconf_internals  # noqa: F401 - 1.3 as 1.4
from greensweep.config.folders import CONF

IS_1_4 = "execution_whitelist" in signature(hydra.main).parameters
# Hydra 1.3 else works as 1.1 did, with other working directories; 1.4 needs to be told nothing.
_VERSION: dict[str, Any] = {} if IS_1_4 else {"version_base": "1.3"}


def program(
    name: str,
    task: Callable[..., Any],
    trusted: tuple[str, ...] | None,
    folder: str | None = str(CONF),
) -> Callable[[], None]:
    """Make a function the main one of a program that is composed by the file `name` of a folder.

    Args:
        trusted: what the configuration may let Hydra call, None for what Hydra itself trusts;
            Hydra 1.3 does not ask.
        folder: None where it is no file, but stored.
    """
    options = {"execution_whitelist": trusted} if IS_1_4 else _VERSION
    made: Callable[[], None] = hydra.main(folder, name, **options)(task)
    return made


def composing(folder: str | None) -> AbstractContextManager[None]:
    """Let `hydra.compose` read a folder; None for what is stored alone."""
    if folder is None:
        return hydra.initialize(None, **_VERSION)
    return hydra.initialize_config_dir(folder, **_VERSION)


def store(group: str | None, name: str, node: object) -> None:
    """Store options for Hydra, also where they are: a worker imports a plugin before Hydra does."""
    replace: dict[str, Any] = {"replace": True} if IS_1_4 else {}  # as 1.3 does unasked
    ConfigStore.instance().store(name, node, group, provider="greensweep", **replace)


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Let configurations ask for `${name:}`."""
    register: Any = OmegaConf.register_resolver if IS_1_4 else OmegaConf.register_new_resolver
    register(name, resolver, replace=True)
