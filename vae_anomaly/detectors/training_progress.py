"""A progress bar on stderr while a detector trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vae_anomaly.model import History


@contextmanager
def training_progress(max_iter: int, *, enabled: bool) -> Iterator[Callable[[History], None] | None]:
    """A callback that moves a bar, or None where none is wanted.

    Parameters
    ----------
    max_iter : int
        Steps of a full training.
    enabled : bool
        Whether to draw.
    """
    if not enabled:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} steps, ELBO {task.fields[elbo]} nats"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        task = progress.add_task("training", total=max_iter, elbo="...")

        def on_check(history: History) -> None:
            values = history.validation_elbo or history.elbo
            progress.update(task, completed=history.iteration[-1], elbo=f"{values[-1]:.2f}")

        yield on_check
