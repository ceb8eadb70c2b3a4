"""Processes that were forked: what they inherit, and what of it works no more.

A forked process has the memory of its parent and only the thread that forked.  Pools of threads are dead in it, and
locks that other threads held are never released.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class _Lineage:
    """Whether this process was forked since the library was loaded."""

    def __init__(self) -> None:
        self.is_forked = False

    def begin(self) -> None:
        """Where a forked process begins."""
        self.is_forked = True


_LINEAGE = _Lineage()


def is_forked() -> bool:
    """Whether this process was forked since the library was loaded, and not started anew."""
    return _LINEAGE.is_forked


def at_fork(*, before: Callable[[], object] | None = None, in_child: Callable[[], object] | None = None) -> None:
    """Call functions at each fork, where the system has such a thing.

    Parameters
    ----------
    before : callable, optional
        Called in the process that is about to fork.
    in_child : callable, optional
        Called first in the new process.
    """
    if hasattr(os, "register_at_fork"):
        if before is not None:
            os.register_at_fork(before=before)
        if in_child is not None:
            os.register_at_fork(after_in_child=in_child)


class ForkSafeLock:
    """A lock that a thread may take more than once, and that nobody holds where a forked process begins."""

    def __init__(self) -> None:
        self._renew()
        at_fork(in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()


def with_living_threads(function: Callable[[], Result]) -> Result:
    """What a function returns, called where libraries find no pool of threads that died with a fork.

    OpenMP keeps a pool for each thread that computes.  That of the thread that forked has lost its threads, and who
    waits for it waits for ever; a thread that was started since has none yet, and gets a new one.

    Parameters
    ----------
    function : callable
        Called in this thread, or in a forked process in another one.
    """
    if not is_forked():
        return function()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


at_fork(in_child=_LINEAGE.begin)
