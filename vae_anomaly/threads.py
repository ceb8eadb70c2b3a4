"""How many threads an operation deserves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

LARGE_PRODUCT = 1 << 26

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def threads_for(largest_product: int) -> Iterator[None]:
    """One PyTorch thread while products are small, the caller's number where they are large.

    Small operations gain little from a second thread (1.4 times on two idle cores), and wait for the slowest
    thread after each of hundreds of operations a step: with another process on the same two cores a fit was measured
    at 51 s in two threads and 4 s in one.  One thread also makes weights independent of the number of cores.

    Parameters
    ----------
    largest_product : int
        Multiplications of the largest matrix product inside.
    """
    before = torch.get_num_threads()
    if before == 1 or largest_product >= LARGE_PRODUCT:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], n_threads: int) -> list[Result]:
    """Results in the order of the items, each computed whole by one of `n_threads` threads with PyTorch's own at one.

    Parameters
    ----------
    function : callable
        Safe to run at once on different items.
    items : iterable
        Taken all at once.
    n_threads : int
        1 runs in the calling thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if n_threads == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(before)
