"""All that greensweep uses of Ray's private interface, each with the reason.

`tests/executors/test_ray_internals.py` holds each of them to the Ray that is installed.
"""

from typing import Any


def quiet_raylets() -> None:
    """Print nothing of what Ray's own processes say, as of a worker that died.

    Ray prints it on standard output also where no logs are asked for, and offers no way out. What
    was lost is said in one line by the search.
    """
    from ray._private import worker

    def print_nothing(*_: Any, **__: Any) -> None: ...

    worker.print_to_stdstream = print_nothing
