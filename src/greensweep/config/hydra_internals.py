"""All that greensweep uses of the private interfaces of Hydra and its Optuna sweeper, with reasons.

`tests/config/test_hydra_internals.py` holds each of them to the Hydra that is installed.
"""

from typing import TYPE_CHECKING

from hydra._internal.grammar import grammar_functions
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def let_choices_be_null() -> None:
    """Let choice(…) and shuffle(…) take null, as `OPTION=1,null` does.

    Hydra checks the arguments of its functions by their annotations, and offers no other.
    """
    for function in (grammar_functions.choice, grammar_functions.shuffle):
        function.__annotations__["args"] |= None


def fault_of(returned: JobReturn) -> object:
    """Return what a job raised, None where it did not fail.

    The public `return_value` raises it, after a line of its own on stderr.
    """
    return returned._return_value if returned.status == JobStatus.FAILED else None


def distribution_of(override: Override) -> "BaseDistribution":
    """Return the distribution that the stock Optuna sweeper searches for a range or a choice.

    Both sweepers so search the same space. It has no public name.

    Raises:
        ValueError, NotImplementedError, AssertionError, HydraException: it cannot be searched.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override

    found: BaseDistribution = create_optuna_distribution_from_override(override)
    return found
