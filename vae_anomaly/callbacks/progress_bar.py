"""A bar that moves while a detector trains."""

from __future__ import annotations

from typing import Any

from vae_anomaly.callbacks.bars import Bar, clock_time, open_bar
from vae_anomaly.callbacks.base import Callback
from vae_anomaly.model import TrainingCheck


class ProgressBar(Callback):
    """Steps, ELBO, KL, rows per second and the time left, on standard error or in a notebook.

    What ``verbose=True`` stands for.  On a terminal the bar is gone when the fit ends, in a notebook it stays; where
    neither is, nothing is drawn.  The ELBO is that of the held-out rows, where there are some.
    """

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._last: TrainingCheck | None = None

    def __repr__(self) -> str:
        return "ProgressBar()"

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        """Draw a bar of which nobody knows yet how long it is."""
        self._bar = open_bar("fitting", None)

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        """Move the bar."""
        self._last = check
        if self._bar is not None:
            title = "training" if check.n_trainings == 1 else f"training {check.training + 1}/{check.n_trainings}"
            self._bar.update(check.iteration, described(check), title=title, total=check.max_iter)

    def on_fit_end(self, detector: Any) -> None:
        """Say what it came to, where the bar stays."""
        if self._bar is not None and self._last is not None:
            self._bar.update(self._last.max_iter, outcome(self._last), title="trained")

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._last = None


def described(check: TrainingCheck) -> str:
    """How far a training is, in a line that fits beside a bar.

    Examples
    --------
    >>> from vae_anomaly.model import History
    >>> history = History([350], [-5.5], [2.0], [-5.25], [0.01])
    >>> described(TrainingCheck.last(history, 700, rows_per_step=512, seconds=3.0))
    '350/700 steps, ELBO -5.25 held out, KL 2.00, 59.7k rows/s, 0:03 left'
    """
    rate = f"{_short(check.rows_per_second)} rows/s"
    return f"{check.iteration}/{check.max_iter} steps, {_bounds(check)}, {rate}, {clock_time(check.seconds_left)} left"


def outcome(check: TrainingCheck) -> str:
    """What a training came to, by its last check."""
    return f"{check.iteration} steps, {_bounds(check)}, in {clock_time(check.seconds)}"


def _bounds(check: TrainingCheck) -> str:
    held_out = check.validation_elbo
    elbo = f"ELBO {check.elbo:.2f}" if held_out is None else f"ELBO {held_out:.2f} held out"
    return f"{elbo}, KL {check.kl:.2f}"


def _short(count: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.0f}"
