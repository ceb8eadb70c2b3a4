"""Where the arithmetic runs."""

from __future__ import annotations

import torch

from vae_anomaly.errors import SpecificationError


def resolve_device(device: str) -> torch.device:
    """The device by name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    SpecificationError
        If this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecificationError("device='cuda', but PyTorch finds no CUDA device here; use device='auto' or 'cpu'.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise SpecificationError("device='mps', but PyTorch finds no Apple GPU here; use device='auto' or 'cpu'.")
    return torch.device(device)
