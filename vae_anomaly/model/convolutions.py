"""Convolutions on CUDA that give the same bits every time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.backends import cudnn

from vae_anomaly.model.shared_setting import SharedSetting


def _allows_tf32() -> bool | None:
    """Whether cuDNN may round operands to ten bits; None where the user gave its parts settings of their own."""
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return None


def _set_deterministic(value: bool) -> None:
    cudnn.deterministic = value


def _allow_tf32(value: bool | None) -> None:
    if value is not None:
        cudnn.allow_tf32 = value


# Settings of cuDNN for the whole process.
_DETERMINISTIC = SharedSetting(lambda: bool(cudnn.deterministic), _set_deterministic, any)
_TF32 = SharedSetting(_allows_tf32, _allow_tf32, all)


@contextlib.contextmanager
def repeatable_convolutions(device: torch.device, *, exact: bool) -> Iterator[None]:
    """The same bits inside for the same convolution, forwards and backwards.

    Left to itself, cuDNN chooses algorithms that add up gradients in any order, and rounds operands to TF32.

    Parameters
    ----------
    device : torch.device
        Nothing is set but for CUDA.
    exact : bool
        Whether operands keep single precision; otherwise that is left as PyTorch is set.
    """
    if device.type != "cuda":
        yield
        return
    with _DETERMINISTIC.hold(True):
        if not exact or _allows_tf32() is None:
            yield
            return
        with _TF32.hold(False):
            yield
