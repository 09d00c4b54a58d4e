"""All that greensweep uses of psutil's private interface, with the reason.

`tests/energy/test_psutil_internals.py` holds it to the psutil that is installed.
"""

import psutil


def identity_of(process: psutil.Process) -> str:
    """Return what identifies a process among others that get its id.

    It is by what psutil itself compares processes; the public `create_time` moves with the clock.
    """
    return str(process._ident)
