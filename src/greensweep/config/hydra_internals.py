"""All that greensweep uses of Hydra's private interface, each with the reason.

`tests/config/test_hydra_internals.py` holds each of them to the Hydra that is installed.
"""

from typing import Any

from hydra._internal import defaults_list
from hydra._internal.grammar import grammar_functions
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from greensweep.errors import StudyError


def let_choices_be_null() -> None:
    """Let choice(…) and shuffle(…) take null, as `OPTION=1,null` does.

    Hydra checks the arguments of its functions by their annotations, and offers no other.
    """
    for function in (grammar_functions.choice, grammar_functions.shuffle):
        function.__annotations__["args"] |= None


def fault_of(returned: JobReturn) -> BaseException | None:
    """Return what a job raised, None where it did not fail.

    The public `return_value` raises it, after a line of its own on stderr.
    """
    fault = returned._return_value if returned.status == JobStatus.FAILED else None
    return fault if isinstance(fault, BaseException | None) else StudyError(str(fault))


def _let_defaults_follow_choices() -> None:
    """Let a program's defaults follow `${hydra/sweeper}` under Hydra 1.3, as 1.4 does.

    1.3 asks for it before it comes to its own groups, but knows by then what is chosen of them.
    """
    known = getattr(defaults_list, "_create_interpolation_map", None)
    if known is None:
        return

    def chosen(overrides: Any, *others: Any) -> DictConfig:
        defaults = {"hydra/sweeper": "basic", "hydra/sweeper/sampler": "auto"}
        choices = {**defaults, **overrides.override_choices}
        return OmegaConf.merge(choices, known(overrides, *others))  # type: ignore[return-value]

    defaults_list._create_interpolation_map = chosen  # type: ignore[attr-defined]


_let_defaults_follow_choices()  # before any program is composed
