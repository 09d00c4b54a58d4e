"""Seconds by name, added up."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any


class Stopwatch:
    """Adds up seconds under names; names may nest, and each then has its own."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def over(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to `name`."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - began

    def on_calls(self, owner: Any, attribute: str, name: str) -> None:
        """Add the seconds of every call of a module's or class's function to `name`."""
        self._replace(owner, attribute, functools.partial(self._timed, name))

    def on_items(self, owner: Any, attribute: str, name: str) -> None:
        """Add the seconds that a generator function's items take to make to `name`."""
        self._replace(owner, attribute, functools.partial(self._timed_items, name))

    def take(self) -> dict[str, float]:
        """Return the sums so far and begin anew."""
        taken = dict(self.seconds)
        self.seconds.clear()
        return taken

    def _replace(
        self, owner: Any, attribute: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        original = getattr(owner, attribute)
        setattr(owner, attribute, functools.wraps(original)(wrap(original)))

    def _timed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.over(name):
                return original(*args, **kwargs)

        return timed

    def _timed_items(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(items: Iterator[Any]) -> Iterator[Any]:
            while True:
                with self.over(name):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        # The call itself is made at once, as without the stopwatch, and not timed.
        return lambda *args, **kwargs: timed(original(*args, **kwargs))
