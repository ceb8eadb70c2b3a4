"""A progress bar while detectors are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vae_anomaly.callbacks import open_bar


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
    bar = open_bar("comparing", n_fits, clock=True) if enabled else None
    if bar is None:
        yield lambda _: None
        return
    begun = 0

    def begin(fit: str) -> None:
        nonlocal begun
        bar.update(begun, f"{begun}/{n_fits} {fit}")
        begun += 1

    try:
        yield begin
        bar.update(n_fits, f"{n_fits}/{n_fits}", title="compared")
    finally:
        bar.close()
