"""Processes that run what they are given, each with an environment of its own."""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any
from unittest.mock import patch


class Worker:
    """One process, which starts at once.

    Args:
        environment: variables that it has besides this process's.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=spawning)
        with patch.dict(os.environ, environment or {}):
            self.run(os.getpid)

    def run(self, function: Any, *arguments: Any) -> "Future[Any]":
        """Let it call a function of a module."""
        return self._pool.submit(function, *arguments)

    def end(self) -> None:
        """Let the process end when it has done what it was given."""
        self._pool.shutdown(wait=False)
