"""Shell completion of `greensweep`: Hydra's own, for the program that stands in the line."""

import os
from collections.abc import Collection

from greensweep.app.programs import start

_LINE = "COMP_LINE"  # of the shell: what is typed so far


def complete(arguments: list[str], programs: Collection[str], commands: Collection[str]) -> None:
    """Answer `greensweep -sc install=SHELL`, or the query of the shell that this set up.

    Args:
        programs: those of `commands` that Hydra composes.
    """
    typed = os.environ.get(_LINE, "")
    _, name, *rest = [*typed.split(maxsplit=2), "", ""][:3]
    if not typed:
        start("train", arguments)
    elif not name or (not rest[0] and not typed.endswith(" ")):
        print(*commands)
    elif name in programs:
        sweeper = "hydra/sweeper=greensweep " if name == "sweep" else ""
        os.environ[_LINE] = f"greensweep {sweeper}{rest[0]}{' ' * typed.endswith(' ')}"
        start(name, arguments)
