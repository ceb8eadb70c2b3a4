"""How far the work on an input has come, for people at a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.inputs import Input, Piece


@contextmanager
def row_progress(table: Input, doing: str, messages: Messages) -> Iterator[Callable[[Piece], None]]:
    """Draw a bar on standard error with rows, rows per second and the time left; nothing where nobody looks.

    Parameters
    ----------
    table : Input
        What is read.
    doing : str
        What is done with it.
    messages : Messages
        Says whether there is someone to look at it.

    Yields
    ------
    callable
        To be told of every piece that is done.
    """
    if not messages.progress:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    rows = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=table.size, rows=0, rate=0.0)

        def done(piece: Piece) -> None:
            nonlocal rows
            rows += piece.n_rows
            bar.update(task, advance=piece.size, rows=rows, rate=rows / max(time.monotonic() - start, 1e-9))

        yield done
