"""How many threads an operation deserves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

LARGE_PRODUCT = 1 << 26

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Restraint:
    """Counts who holds PyTorch at one thread, and remembers the number from before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_holders = 0
        self.before = 1

    def available(self) -> int:
        """Threads that the caller has when nobody holds them back."""
        with self.lock:
            return self.before if self.n_holders else torch.get_num_threads()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One thread inside; outside, what was there before the first holder came."""
        with self.lock:
            if self.n_holders == 0:
                self.before = torch.get_num_threads()
            self.n_holders += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self.lock:
                self.n_holders -= 1
                torch.set_num_threads(self.before)


_RESTRAINT = _Restraint()


def one_thread() -> AbstractContextManager[None]:
    """One PyTorch thread inside, whatever the operations are."""
    return _RESTRAINT.hold()


@contextmanager
def threads_for(largest_product: int) -> Iterator[None]:
    """One PyTorch thread while products are small, the caller's number where they are large.

    Small operations gain little from a second thread, and wait for the slowest thread after each of hundreds of
    operations a step: beside another busy process that costs many times what it gains.  One thread also makes
    weights independent of the number of cores.

    Parameters
    ----------
    largest_product : int
        Multiplications of the largest matrix product inside.
    """
    if largest_product >= LARGE_PRODUCT:
        yield
        return
    with _RESTRAINT.hold():
        yield


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], *, on_cpu: bool) -> list[Result]:
    """Results in the order of the items, each computed whole by one thread.

    Parameters
    ----------
    function : callable
        Safe to run at once on different items.
    items : iterable
        Taken all at once.
    on_cpu : bool
        Whether to use as many threads as PyTorch would; otherwise the calling one.
    """
    if not on_cpu:
        return [function(item) for item in items]
    n_threads = _RESTRAINT.available()
    with _RESTRAINT.hold():
        if n_threads == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
