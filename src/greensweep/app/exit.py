"""How a script ends: its exit status, and one sentence for each fault."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any, NoReturn

from hydra.core.utils import JobReturn

from greensweep.app.sweep import SweepCallback, close_current
from greensweep.config.folders import check_folder
from greensweep.ctrl_c import INTERRUPTED
from greensweep.errors import StudyError
from greensweep.messages import drop_output, error_line, spell_output
from greensweep.secrets.output import mask_command_output

_RETURN_VALUE: Any = JobReturn.return_value


def run(main: Callable[[], None]) -> NoReturn:
    """Run a Hydra program to its exit status, with one sentence for each fault.

    0: done. 1: a user's error. 2: usage. 130: interrupted, with what was measured kept. With
    HYDRA_FULL_ERROR=1 in the environment faults keep their traceback.
    """
    wanted = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands faults on instead of printing them
    sys.excepthook = sys.__excepthook__
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.raiseExceptions = False  # a log file on a full disk is the fault itself
    SweepCallback.forget()
    _quiet_jobs()
    mask_command_output(sys.argv[1:])
    spell_output()
    fault: BaseException | None = None
    try:
        check_folder()
        main()
    except (Exception, KeyboardInterrupt) as error:
        fault = error
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # what a sweeper ends with that was interrupted
            fault = KeyboardInterrupt()
        elif isinstance(ended.code, str) and SweepCallback.current is not None:
            fault = StudyError(ended.code)  # what a trial ends its sweep with
        else:
            raise
    finally:
        os.environ["HYDRA_FULL_ERROR"] = wanted or "0"
    try:
        fault = close_current(fault)
    except KeyboardInterrupt as interrupt:  # while the winners were tested, say
        fault = close_current(interrupt)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    if fault is None:
        sys.exit(0)
    if wanted == "1":
        raise fault
    if isinstance(fault, KeyboardInterrupt):
        print("Interrupted: what was measured so far is kept.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(error_line(fault))


def _quiet_jobs() -> None:
    """Let Hydra hand on the fault of a job without a line of its overrides before it."""

    def value(job: JobReturn) -> Any:
        with redirect_stderr(StringIO()):
            return _RETURN_VALUE.fget(job)

    JobReturn.return_value = property(value, _RETURN_VALUE.fset)  # type: ignore[assignment]
