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

from vae_anomaly.forks import at_fork, is_forked

LARGE_PRODUCT = 1 << 26
# Backends of joblib that send work to other machines: a chunk with its model takes longer to send than to compute.
CLUSTERS = ("DaskDistributedBackend", "RayBackend")

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Hold(threading.local):
    """What the present thread holds: nothing, or PyTorch at one thread, and the number from before.

    Parameters
    ----------
    has_pool : bool
        Whether operations of ours were shared among several threads, which a process that it forks has not got.
    """

    is_held = False
    before = 1
    has_pool = False


class _ThreadLimit:
    """Limits PyTorch to one thread while any caller asks for it.

    PyTorch has a number of threads for each thread that computes, and one for threads that have not computed yet.  So
    each thread that holds remembers its own number.  A thread whose first operation falls into the hold of another
    finds 1: it has the number from before the first holder.

    In a forked process our operations keep to one thread: the pool of threads of its parent is dead in it, and what is
    handed to it never ends.  Where the pool is there because of us, operations of the caller's keep to one, too.
    """

    def __init__(self) -> None:
        self.own = _Hold()
        self.start_anew()

    def start_anew(self) -> None:
        """What a forked process begins with: a lock that nobody holds, and no holders but the thread that forked."""
        self.lock = threading.Lock()
        self.n_holders = int(self.own.is_held)
        if self.own.has_pool:
            torch.set_num_threads(1)
            self.own.before = 1
        self.before = self.own.before

    def available(self) -> int:
        """Threads that the caller has without the limit."""
        return self.own.before if self.own.is_held else self._present()

    def _present(self) -> int:
        present = torch.get_num_threads()
        with self.lock:
            return self.before if present == 1 and self.n_holders else present

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One thread inside; outside, what this thread had before.  Holds may be nested."""
        own = self.own
        if own.is_held:
            with self._set(1):
                yield
            return
        before = self._present()
        with self.lock:
            if self.n_holders == 0:
                self.before = before
            self.n_holders += 1
        own.before, own.is_held = before, True
        try:
            with self._set(1, before):
                yield
        finally:
            own.is_held = False
            with self.lock:
                self.n_holders -= 1

    def lift(self) -> AbstractContextManager[None]:
        """As many threads inside as without the limit; a forked process has one."""
        n_threads = 1 if is_forked() else self.available()
        self.own.has_pool = self.own.has_pool or n_threads > 1
        return self._set(n_threads)

    @staticmethod
    @contextmanager
    def _set(n_threads: int, afterwards: int | None = None) -> Iterator[None]:
        afterwards = torch.get_num_threads() if afterwards is None else afterwards
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != afterwards:
                torch.set_num_threads(afterwards)


_THREAD_LIMIT = _ThreadLimit()
at_fork(in_child=_THREAD_LIMIT.start_anew)


def one_thread() -> AbstractContextManager[None]:
    """One PyTorch thread inside, whatever the operations are."""
    return _THREAD_LIMIT.hold()


def usual_threads() -> AbstractContextManager[None]:
    """The caller's number of PyTorch threads inside, within `one_thread`, too; one in a forked process."""
    return _THREAD_LIMIT.lift()


def threads_for(largest_product: int) -> AbstractContextManager[None]:
    """One PyTorch thread while products are small, the caller's number where they are large.

    Small operations gain little from a second thread, and wait for the slowest thread after each of hundreds of
    operations per step: beside another busy process that costs many times what it gains.  One thread also makes
    weights independent of the number of cores.

    Parameters
    ----------
    largest_product : int
        Multiplications of the largest matrix product inside.
    """
    return usual_threads() if largest_product >= LARGE_PRODUCT else one_thread()


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item], *, on_cpu: bool) -> list[Result]:
    """Results in the order of the items, each computed whole by one thread.

    There are as many workers as PyTorch would use threads.  They are threads, unless the caller chose another backend
    of this machine with `joblib.parallel_config`: a cluster computes whole fits.  A single item, or a single thread,
    goes without workers.

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
    with _THREAD_LIMIT.hold():
        begin = list(itertools.islice(rest, 2))
        work = itertools.chain(begin, rest)
        if n_threads == 1 or len(begin) < 2:
            return [function(item) for item in work]
        backend, _ = get_active_backend(prefer="threads")
        if isinstance(backend, ThreadingBackend) or type(backend).__name__ in CLUSTERS:
            # joblib asks for results every hundredth of a second, in which a thread computes two chunks.
            with ThreadPoolExecutor(n_threads) as pool:
                return list(pool.map(partial(_in_worker, function), work))
        results: list[Result] = Parallel(n_jobs=n_threads)(delayed(_in_worker)(function, item) for item in work)
        return results


def _in_worker(function: Callable[[Item], Result], item: Item) -> Result:
    """One item in a thread or a process that has a number of threads of its own."""
    with _THREAD_LIMIT.hold():
        return function(item)
