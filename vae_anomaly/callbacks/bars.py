"""Progress bars on standard error, and in notebooks without widgets."""

from __future__ import annotations

import html
import importlib
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

MAX_BAR_WIDTH, MIN_BAR_WIDTH, TEXT_WIDTH = 40, 4, 78


class Bar(Protocol):
    """A bar that is drawn until it is closed."""

    def update(self, completed: float, text: str, *, title: str | None = None, total: float | None = None) -> None:
        """Move it, and say how far it is in words."""

    def close(self) -> None:
        """Draw no more."""


def open_bar(title: str, total: float | None, *, clock: bool = False) -> Bar | None:
    """A bar on a terminal or in a notebook; None where nobody would see it move.

    Parameters
    ----------
    title : str
        What is done.
    total : float or None
        How much of it there is; None where that is not known yet.
    clock : bool
        Whether the time since the beginning stands beside it.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        return _NotebookBar(title, total, clock=clock)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return _TerminalBar(console, title, total, clock=clock)


class _TerminalBar:
    """Drawn by rich, and gone when it is closed."""

    def __init__(self, console: Console, title: str, total: float | None, *, clock: bool) -> None:
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

        width = min(max(console.width - TEXT_WIDTH, MIN_BAR_WIDTH), MAX_BAR_WIDTH)
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(width),
            TextColumn("{task.fields[text]}", markup=False),
        ]
        self._progress = Progress(*columns, *([TimeElapsedColumn()] if clock else []), console=console, transient=True)
        self._task = self._progress.add_task(title, total=total, text="")
        self._progress.start()

    def update(self, completed: float, text: str, *, title: str | None = None, total: float | None = None) -> None:
        # What moves it comes rarely: each time is drawn, however short the work is.
        self._progress.update(self._task, completed=completed, text=text, description=title, total=total, refresh=True)

    def close(self) -> None:
        self._progress.stop()


class _NotebookBar:
    """An element of HTML that is replaced: rich would want ipywidgets, and warn where these are not installed."""

    def __init__(self, title: str, total: float | None, *, clock: bool) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._start = time.monotonic()
        self._handle: Any = None
        self.update(0, "")

    def update(self, completed: float, text: str, *, title: str | None = None, total: float | None = None) -> None:
        self._title, self._total = title or self._title, total or self._total
        known = "" if self._total is None else f' value="{max(completed, 0):g}" max="{self._total:g}"'
        seconds = f" {clock_time(time.monotonic() - self._start)}" if self._clock else ""
        # Where there is a notebook, there is IPython, and nowhere else is it needed.
        shown = importlib.import_module("IPython.display")
        drawn = {
            "text/plain": f"{self._title} {text}{seconds}",
            "text/html": f"{html.escape(self._title)} <progress{known}></progress> {html.escape(text)}{seconds}",
        }
        if self._handle is None:
            self._handle = shown.display(drawn, raw=True, display_id=True)
        else:
            self._handle.update(drawn, raw=True)

    def close(self) -> None:
        self._handle = None


def clock_time(seconds: float) -> str:
    """A time as on a clock.

    Examples
    --------
    >>> clock_time(7.2), clock_time(3725)
    ('0:07', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
