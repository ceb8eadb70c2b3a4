"""Reading, work and writing at the same time, in three threads."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")
Done = TypeVar("Done")

DEPTH = 2


def run_stages(
    read: Generator[Read, None, None],
    work: Callable[[Read], Done],
    write: Callable[[Done], None],
    *,
    separate_writer: bool = True,
    stopped: threading.Event | None = None,
) -> None:
    """Take items one after the other from a reader to a writer, with work on each in between.

    One thread reads, the calling one works, one writes; each is at most `DEPTH` items ahead of the next. The first
    failure of any of them, or Ctrl-C, ends all three and is raised here. Nothing is written before the item that
    follows has been read: a failure in reading a short input leaves nothing written.

    Parameters
    ----------
    read : generator
        Yields items, and is closed in the end.
    work, write : callable
        Take an item, and what becomes of it.
    separate_writer : bool
        Whether a thread of its own writes. Not where whoever reads a pipe may let it wait for ever: Ctrl-C would wait
        for that thread, and only the calling one notices it.
    stopped : Event, optional
        Is set when nothing more is wanted, so that a writer that takes long over an item may leave it.
    """
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
        ahead = deque(reader.submit(next, read, None) for _ in range(DEPTH))
        behind: deque[Future[None]] = deque()
        try:
            while (item := ahead.popleft().result()) is not None:
                ahead.append(reader.submit(next, read, None))
                done = work(item)
                ahead[0].result()
                if not separate_writer:
                    write(done)
                    continue
                while len(behind) >= DEPTH:
                    behind.popleft().result()
                behind.append(writer.submit(write, done))
            for written in behind:
                written.result()
        finally:
            if stopped is not None:
                stopped.set()
            for pool in (reader, writer):
                pool.shutdown(cancel_futures=True)
            read.close()
