"""The settings that results may not depend on: what the caller set of PyTorch and NumPy, and this library's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import numpy as np
import torch

from vae_anomaly.errors import ForkedProcessError, VAEAnomalyError
from vae_anomaly.forks import is_forked
from vae_anomaly.model.shared_setting import SharedSetting
from vae_anomaly.model.threads import one_thread

DEVICES_WITH_AUTOCAST = ("cpu", "cuda", "mps", "xpu")

Item = TypeVar("Item")


_DTYPE = SharedSetting(torch.get_default_dtype, torch.set_default_dtype, lambda wanted: wanted[0])


@contextmanager
def own_settings() -> Iterator[None]:
    """The settings that this library computes with, whatever those of the caller are; these are given back.

    Inside there is one PyTorch thread, no autocast, no inference mode, the CPU and single precision as defaults,
    numbers below the normal ones as they are, and warnings of NumPy instead of its errors.  All of these belong to the
    present thread, but for the default dtype.  What is as it should be is left alone.

    As a decorator it is for functions; a generator takes `each_in_own_settings`.

    Raises
    ------
    ForkedProcessError
        If PyTorch cannot compute in this process because it was forked from one that uses a GPU.
    """
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(_DTYPE.hold(torch.float32))
        stack.enter_context(np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in DEVICES_WITH_AUTOCAST:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        if _flushes_denormals() and torch.set_flush_denormal(False):
            stack.callback(torch.set_flush_denormal, True)
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, VAEAnomalyError) or not (is_forked() and torch.backends.cuda.is_built()):
                raise
            raise ForkedProcessError(str(error)) from error


def each_in_own_settings(items: Iterator[Item]) -> Iterator[Item]:
    """What an iterator gives, each made in `own_settings`; who takes them keeps the settings of the caller."""
    while True:
        with own_settings():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def _flushes_denormals() -> bool:
    """Whether this thread takes numbers below the smallest normal one for 0."""
    return bool(np.float32(1e-39) * np.float32(1) == 0)
