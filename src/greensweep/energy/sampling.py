"""A thread that calls a function from time to time."""

import threading
import weakref
from collections.abc import Callable
from types import MethodType


class Sampler:
    """Calls a method every so many seconds, until it is stopped or the method's owner is gone.

    A forked child has none: threads stay with the parent.
    """

    def __init__(self, method: Callable[[], None], seconds: float) -> None:
        assert isinstance(method, MethodType)
        # Weak: an owner that nobody stopped is not kept alive by its own sampler.
        self._method = weakref.WeakMethod(method)
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greensweep-meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a call that is under way comes to its end first."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            method = self._method()
            if method is None:
                return
            method()
            del method
