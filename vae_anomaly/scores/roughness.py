"""How much of an image its own neighbouring pixels leave unexplained, whatever was seen in training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.columns import Batch


def neighbor_residuals(batch: Batch, grid: tuple[int, int]) -> Tensor:
    """Pixels less the mean of their neighbours above, below, left and right.

    Parameters
    ----------
    batch : Batch
        Images as rows of pixels, channel after channel.
    grid : (int, int)
        Height and width.

    Returns
    -------
    Tensor of shape (rows, pixels)
        0 where the pixel or all of its neighbours are missing.
    """
    pixels, seen = _maps(batch, grid)
    around = _neighbors(pixels).sum(0)
    n_around = _neighbors(seen).sum(0)
    residuals = (pixels - around / n_around.clamp(min=1)) * seen * (n_around > 0)
    return residuals.flatten(1)


def predictive_residuals(batch: Batch, grid: tuple[int, int]) -> Tensor:
    """Pixels less what those above and to the left predict: the median edge detector of lossless coding.

    Parameters
    ----------
    batch : Batch
        Images as rows of pixels, channel after channel.
    grid : (int, int)
        Height and width.

    Returns
    -------
    Tensor of shape (rows, pixels)
        0 where the pixel is missing; missing ones count as 0, the mean, for their neighbours.

    References
    ----------
    Weinberger, Seroussi and Sapiro, "The LOCO-I lossless image compression algorithm", IEEE TIP 9(8), 2000, eq. 1.
    """
    pixels, seen = _maps(batch, grid)
    left = functional.pad(pixels, (1, 0))[..., :-1]
    above = functional.pad(pixels, (0, 0, 1, 0))[..., :-1, :]
    corner = functional.pad(pixels, (1, 0, 1, 0))[..., :-1, :-1]
    larger, smaller = torch.maximum(left, above), torch.minimum(left, above)
    expected = torch.where(corner >= larger, smaller, torch.where(corner <= smaller, larger, left + above - corner))
    # The first line has nothing above it, the first column nothing to its left.
    expected[..., 0, :] = left[..., 0, :]
    expected[..., :, 0] = above[..., :, 0]
    return ((pixels - expected) * seen).flatten(1)


def _maps(batch: Batch, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    pixels = (batch.values * batch.observed).unflatten(-1, (-1, *grid))
    return pixels, batch.observed.to(pixels.dtype).unflatten(-1, (-1, *grid))


def _neighbors(maps: Tensor) -> Tensor:
    """The four neighbours of every pixel, 0 outside the image: (4, rows, channels, height, width)."""
    padded = functional.pad(maps, (1, 1, 1, 1))
    return torch.stack([padded[..., :-2, 1:-1], padded[..., 2:, 1:-1], padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]])
