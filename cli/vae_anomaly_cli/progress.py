"""How far the work on an input has come, for people at a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.sources import Batch

SLOW = {"image": 1}


@contextmanager
def progress_bar(size: int, doing: str, noun: str, messages: Messages) -> Iterator[Callable[[Batch], None]]:
    """Draw a bar on standard error with rows, rows per second and the time left; nothing where nobody sees it.

    Parameters
    ----------
    size : int
        What there is to do, in the units of `Batch.size`.
    doing : str
        What is done.
    noun : str
        What a row is: ``row`` or ``image``.
    messages : Messages
        Says whether there is someone to see it.

    Yields
    ------
    callable
        To be given every batch that is done.
    """
    if not messages.progress:
        yield lambda _batch: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn(f"{{task.fields[done]:,}} {noun}s, {{task.fields[rate]:,.{SLOW.get(noun, 0)}f}} {noun}s/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    done = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=size, done=0, rate=0.0)

        def advance(batch: Batch) -> None:
            nonlocal done
            done += batch.n_rows
            bar.update(task, advance=batch.size, done=done, rate=done / max(time.monotonic() - start, 1e-9))

        yield advance
