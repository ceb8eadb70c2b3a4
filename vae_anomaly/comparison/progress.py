"""A progress bar on stderr while detectors are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def comparison_progress(n_fits: int, *, enabled: bool) -> Iterator[Callable[[str], None]]:
    """A callback that names the fit that begins, and moves a bar where one is wanted.

    Parameters
    ----------
    n_fits : int
        Of all detectors.
    enabled : bool
        Whether to draw.
    """
    if not enabled:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fit]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        task = progress.add_task("comparing", total=n_fits, fit="", completed=-1)
        yield lambda fit: progress.update(task, advance=1, fit=fit)
