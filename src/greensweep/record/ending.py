"""How a run ended: its status, and one sentence on why it did not finish."""

from dataclasses import dataclass
from typing import Literal

from greensweep.errors import GreensweepError, TrialEnded, first_line, plain_text

Status = Literal["finished", "failed", "pruned", "stopped"]


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        error: one sentence on why it did not finish, or None.
        interrupted: it was stopped from outside, and may run again.
    """

    status: Status
    error: str | None = None
    interrupted: bool = False


def ending_of(raised: BaseException) -> Ending:
    """Return what an exception says of the run that it ended."""
    raised = ctrl_c_or(raised)
    match raised:
        case KeyboardInterrupt():
            return Ending("stopped", "interrupted", interrupted=True)
        case TrialEnded():
            return Ending(raised.status, plain_text(raised), raised.interrupted)
        case SystemExit(code=str(why)):
            return Ending("failed", f"the program ended itself: {plain_text(why.strip())}")
        case SystemExit():
            return Ending("failed", f"the program ended itself with status {raised.code}")
        case GreensweepError():
            return Ending("failed", plain_text(raised))
    return Ending("failed", f"{type(raised).__name__}: {first_line(raised)}")


def exits_well(raised: BaseException) -> bool:
    """Tell whether a program ended itself without a fault, as by `sys.exit()` or `sys.exit(0)`."""
    return isinstance(ctrl_c_or(raised), SystemExit) and getattr(raised, "code", 1) in (None, 0)


def ctrl_c_or(raised: BaseException) -> BaseException:
    """Return the Ctrl-C that a library turned into an exit, as Lightning does; else what it is."""
    context = raised.__context__
    is_exit = isinstance(raised, SystemExit) and isinstance(context, KeyboardInterrupt)
    return context if is_exit and context is not None else raised
