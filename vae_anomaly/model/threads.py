"""How many threads an operation deserves."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeVar

import torch
from joblib import Parallel, delayed
from joblib.parallel import ThreadingBackend, get_active_backend

LARGE_PRODUCT = 1 << 26

Item = TypeVar("Item")
Result = TypeVar("Result")


class _ThreadLimit:
    """Counts the callers that limit PyTorch to one thread, and remembers the number from before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_holders = 0
        self.before = 1

    def available(self) -> int:
        """Threads that the caller has without the limit."""
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


_THREAD_LIMIT = _ThreadLimit()


def one_thread() -> AbstractContextManager[None]:
    """One PyTorch thread inside, whatever the operations are."""
    return _THREAD_LIMIT.hold()


@contextmanager
def threads_for(largest_product: int) -> Iterator[None]:
    """One PyTorch thread while products are small, the caller's number where they are large.

    Small operations gain little from a second thread, and wait for the slowest thread after each of hundreds of
    operations per step: beside another busy process that costs many times what it gains.  One thread also makes
    weights independent of the number of cores.

    Parameters
    ----------
    largest_product : int
        Multiplications of the largest matrix product inside.
    """
    if largest_product >= LARGE_PRODUCT:
        yield
        return
    with _THREAD_LIMIT.hold():
        yield


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item], *, on_cpu: bool) -> list[Result]:
    """Results in the order of the items, each computed whole by one thread.

    There are as many workers as PyTorch would use threads.  They are threads, unless the caller chose another backend
    with `joblib.parallel_config`.  A single item, or a single thread, goes without workers.

    Parameters
    ----------
    function : callable
        Safe to run at once on different items; it can be pickled where the backend is one of processes.
    items : iterable
        What to compute.
    on_cpu : bool
        Whether the arithmetic runs on the CPU; elsewhere the calling thread does it all.
    """
    if not on_cpu:
        return [function(item) for item in items]
    n_threads = _THREAD_LIMIT.available()
    rest = iter(items)
    begin = list(itertools.islice(rest, 2))
    work = itertools.chain(begin, rest)
    with _THREAD_LIMIT.hold():
        if n_threads == 1 or len(begin) < 2:
            return [function(item) for item in work]
        backend, _ = get_active_backend(prefer="threads")
        if isinstance(backend, ThreadingBackend):
            # joblib asks for results every hundredth of a second, in which a thread computes two chunks.
            with ThreadPoolExecutor(n_threads) as pool:
                return list(pool.map(partial(_in_worker, function), work))
        results: list[Result] = Parallel(n_jobs=n_threads)(delayed(_in_worker)(function, item) for item in work)
        return results


def _in_worker(function: Callable[[Item], Result], item: Item) -> Result:
    """One item in a thread or a process that has a number of threads of its own."""
    if _THREAD_LIMIT.n_holders:
        torch.set_num_threads(1)
        return function(item)
    with _THREAD_LIMIT.hold():
        return function(item)
