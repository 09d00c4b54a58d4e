"""Ctrl-C while a program still imports what it needs: one line, and exit status 130.

Imported first, by what is started alone; `greensweep.app.exit` sees to Ctrl-C from then on.
"""

import os
import sys
from types import TracebackType

INTERRUPTED = 130


def _end(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, trace)
        return
    print("Interrupted.", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # nothing is open yet, and Python would end by the signal once more


sys.excepthook = _end
