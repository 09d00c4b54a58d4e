"""Config groups: the choices that conf/ has of one part of a configuration."""

from typing import Any, ClassVar, get_type_hints


class Group:
    """The options that all choices of a group have in common; each choice is a subclass.

    It stands in the head of its class by which name its file in conf/ refers to it:
    `class SgdConfig(OptimizerConfig, choice="sgd")`.
    """

    choices: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, choice: str | None = None) -> None:
        if Group in cls.__bases__:
            cls.choices = {}
        if choice is not None:
            cls.choices[choice] = cls


def groups_of(config: type) -> dict[str, type[Group]]:
    """Return the groups among the options of a configuration."""
    kinds = get_type_hints(config).items()
    return {
        name: kind for name, kind in kinds if isinstance(kind, type) and issubclass(kind, Group)
    }
