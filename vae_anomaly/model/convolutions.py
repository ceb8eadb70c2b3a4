"""Convolutions on CUDA that give the same bits every time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch.backends import cudnn


class _Settings:
    """Counts who wants repeatable and exact convolutions, and remembers the process's settings from before the first.

    The settings are those of cuDNN for the whole process.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: list[bool] = []
        self.before: tuple[bool, bool | None] = False, None

    @contextlib.contextmanager
    def hold(self, *, exact: bool) -> Iterator[None]:
        """Repeatable inside, and as precise as products of single-precision numbers if that is asked for."""
        with self.lock:
            if not self.held:
                self.before = bool(cudnn.deterministic), _allows_tf32()
            self.held.append(exact)
            self._apply()
        try:
            yield
        finally:
            with self.lock:
                self.held.remove(exact)
                self._apply()

    def _apply(self) -> None:
        deterministic, allows_tf32 = self.before
        cudnn.deterministic = deterministic or bool(self.held)
        if allows_tf32 is not None:
            cudnn.allow_tf32 = allows_tf32 and not any(self.held)


def _allows_tf32() -> bool | None:
    """Whether cuDNN may round operands to ten bits; None where the user gave its parts settings of their own."""
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return None


_SETTINGS = _Settings()


def repeatable_convolutions(device: torch.device, *, exact: bool) -> contextlib.AbstractContextManager[None]:
    """The same bits inside for the same convolution, forwards and backwards.

    Left to itself, cuDNN chooses algorithms that add up gradients in any order, and rounds operands to TF32.

    Parameters
    ----------
    device : torch.device
        Nothing is set but for CUDA.
    exact : bool
        Whether operands keep single precision; otherwise that is left as PyTorch is set.
    """
    return _SETTINGS.hold(exact=exact) if device.type == "cuda" else contextlib.nullcontext()
