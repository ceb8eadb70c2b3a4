"""A setting of the whole process that several threads want changed at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from vae_anomaly.forks import at_fork

Value = TypeVar("Value")


class SharedSetting(Generic[Value]):
    """A setting of the whole process that several threads want to change at once.

    Parameters
    ----------
    get, change : callable
        Reads it, and sets it.
    strictest : callable
        Which of several wanted values holds while all of them are wanted.
    """

    def __init__(
        self, get: Callable[[], Value], change: Callable[[Value], object], strictest: Callable[[list[Value]], Value]
    ) -> None:
        self.get, self.change, self.strictest = get, change, strictest
        self.lock = threading.Lock()
        self.wanted: list[Value] = []
        self.own: dict[int, list[Value]] = {}
        self.before: Value | None = None
        at_fork(in_child=self.start_anew)

    def start_anew(self) -> None:
        """What a forked process begins with: what the thread that forked wants."""
        self.lock = threading.Lock()
        forker = threading.get_ident()
        self.own = {forker: self.own[forker]} if forker in self.own else {}
        self.wanted = [value for values in self.own.values() for value in values]
        if self.before is not None:
            self._apply()

    @contextmanager
    def hold(self, value: Value) -> Iterator[None]:
        """The value inside, or a stricter one; what was there before the first holder after the last."""
        thread = threading.get_ident()
        with self.lock:
            if not self.wanted:
                self.before = self.get()
            self.wanted.append(value)
            self.own.setdefault(thread, []).append(value)
            self._apply()
        try:
            yield
        finally:
            with self.lock:
                self.wanted.remove(value)
                self.own[thread].remove(value)
                if not self.own[thread]:
                    del self.own[thread]
                self._apply()

    def _apply(self) -> None:
        assert self.before is not None
        value = self.strictest(self.wanted) if self.wanted else self.before
        if self.get() != value:
            self.change(value)
