"""How far the work on an input has come, for people at a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.sources import RowBatch, TableSource


@contextmanager
def row_progress(table: TableSource, doing: str, messages: Messages) -> Iterator[Callable[[RowBatch], None]]:
    """Draw a bar on standard error with rows, rows per second and the time left; nothing where nobody looks.

    Parameters
    ----------
    table : TableSource
        What is read.
    doing : str
        What is done with it.
    messages : Messages
        Says whether there is someone to look at it.

    Yields
    ------
    callable
        To be called with every batch that is done.
    """
    with _bar(table.size if messages.progress else 0, doing, "rows", messages) as advance:
        yield lambda batch: advance(batch.n_rows, batch.size)


@contextmanager
def image_progress(n_images: int, doing: str, messages: Messages) -> Iterator[Callable[[int], None]]:
    """Draw a bar on standard error with images, images per second and the time left.

    Parameters
    ----------
    n_images : int
        How many there are.
    doing : str
        What is done with them.
    messages : Messages
        Says whether there is someone to look at it.

    Yields
    ------
    callable
        To be told how many more are done.
    """
    with _bar(n_images, doing, "images", messages, decimals=1) as advance:
        yield lambda count: advance(count, count)


@contextmanager
def _bar(
    total: int, doing: str, noun: str, messages: Messages, decimals: int = 0
) -> Iterator[Callable[[int, int], None]]:
    """Count what is done, and how much of the total that is."""
    if not messages.progress:
        yield lambda _count, _size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn(f"{{task.fields[done]:,}} {noun}, {{task.fields[rate]:,.{decimals}f}} {noun}/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    done = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total, done=0, rate=0.0)

        def advance(count: int, size: int) -> None:
            nonlocal done
            done += count
            bar.update(task, advance=size, done=done, rate=done / max(time.monotonic() - start, 1e-9))

        yield advance
