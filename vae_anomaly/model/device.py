"""Where the arithmetic runs."""

from __future__ import annotations

import torch

from vae_anomaly.errors import ForkedProcessError, SpecificationError
from vae_anomaly.forks import at_fork


class _CudaOfParent:
    """Whether the process that this one was forked from was using CUDA: then it cannot be used here."""

    def __init__(self) -> None:
        self.in_use = self.is_lost = False

    def before_fork(self) -> None:
        """What the parent notes."""
        self.in_use = torch.cuda.is_initialized()

    def in_child(self) -> None:
        """What that means for the new process."""
        self.is_lost = self.is_lost or self.in_use


_CUDA = _CudaOfParent()
at_fork(before=_CUDA.before_fork, in_child=_CUDA.in_child)


def resolve_device(device: str) -> torch.device:
    """The device by name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    SpecificationError
        If this machine has no such device.
    ForkedProcessError
        If it is CUDA, or "auto", and this process was forked from one that uses CUDA.
    """
    if device in ("auto", "cuda") and _CUDA.is_lost:
        raise ForkedProcessError(f"device={device!r} after a fork")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecificationError("device='cuda', but PyTorch finds no CUDA device here; use device='auto' or 'cpu'.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise SpecificationError("device='mps', but PyTorch finds no Apple GPU here; use device='auto' or 'cpu'.")
    return torch.device(device)
