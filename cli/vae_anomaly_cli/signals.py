"""Requests to end, SIGTERM and SIGHUP: heard as Ctrl-C is, so that what was begun is cleaned up."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vae_anomaly_cli.errors import Terminated

# Windows has no SIGHUP.
HEARD = tuple(number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None)
# A clean-up goes on for so long although the request is repeated.
PATIENCE_SECONDS = 10.0


@contextmanager
def terminated_by_signals() -> Iterator[None]:
    """Raise `Terminated` where a request to end arrives; one that is ignored, as under nohup, stays ignored.

    Raises
    ------
    Terminated
        Where it arrived, or at the end where it arrived in code that drops exceptions.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, float]] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if received and now - received[-1][1] < PATIENCE_SECONDS:
            return
        received.append((number, now))
        raise Terminated(number)

    taken = [number for number in HEARD if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, stop)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
    if received:
        raise Terminated(received[0][0])
