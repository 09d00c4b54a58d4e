"""What begins by `with`, and says so where it is used without."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from greensweep.errors import StudyError

P = ParamSpec("P")
T = TypeVar("T")


class NotBegunError(StudyError, AttributeError):
    """A block is used that has not begun; an `AttributeError`, as of any attribute there is not."""


class Begins:
    """What gives what a block works with, once the block has begun.

    Attributes:
        begun_by: the line that begins the block.
    """

    begun_by: str

    if not TYPE_CHECKING:  # a type checker finds it by itself

        def __getattr__(self, name: str) -> object:
            """Raise NotBegunError for what only the block has."""
            if name.startswith("_"):
                raise AttributeError(name)
            raise NotBegunError(
                f"there is no {name} before its block begins: write `{self.begun_by}`"
            )


class Block(Begins, AbstractContextManager[T], ContextDecorator, Generic[T]):
    """A context manager that is made as its block begins."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]], begun_by: str) -> None:
        self._make, self.begun_by = make, begun_by
        self._open: list[AbstractContextManager[T]] = []

    def __enter__(self) -> T:
        self._open.append(self._make())
        return self._open[-1].__enter__()

    def __exit__(self, *raised: object) -> bool | None:
        return self._open.pop().__exit__(*raised)  # type: ignore[arg-type]


def block(
    begun_by: str,
) -> Callable[[Callable[P, Iterator[T]]], Callable[P, AbstractContextManager[T]]]:
    """Let a generator of one value be a block, as `contextmanager` does.

    Args:
        begun_by: the line that begins the block, for whoever leaves `with` out.
    """

    def made(function: Callable[P, Iterator[T]]) -> Callable[P, AbstractContextManager[T]]:
        manager = contextmanager(function)

        @wraps(function)
        def begin(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[T]:
            return Block(partial(manager, *args, **kwargs), begun_by)

        return begin

    return made
