"""Maps of nats per pixel, and how they are coloured."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.fitting.predict import saturated_rows, score_shares
from vae_anomaly.model import VAE
from vae_anomaly.scores import ELBO


def pixel_excess(vae: VAE, grid: tuple[int, int], batch: Batch, noise: Tensor, cells: Tensor) -> FloatArray:
    """Nats by which pixels are less likely than they could be at best, over all channels: (rows, height, width).

    Parameters
    ----------
    vae : VAE
    grid : (int, int)
        Height and width.
    batch : Batch
        Images as rows of pixels, channel after channel.
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    cells : Tensor of shape (rows, columns)
        Log-likelihoods of the pixels; NaN is returned where a pixel is missing.
    """
    excess = (saturated_rows(vae, batch, noise) - cells).clamp(min=0).where(batch.observed, torch.nan)
    summed: FloatArray = excess.numpy().reshape(len(batch), -1, *grid).sum(1)
    return summed


def map_scale(vae: VAE, grid: tuple[int, int], batch: Batch, noise: Tensor) -> tuple[float, float]:
    """Nats per pixel from which on, and up to which, maps of anomalous images are coloured.

    What one pixel in a hundred of training images exceeds, and twice what one in ten thousand does: the same for
    all images of a model, so that they can be compared.
    """
    cells = score_shares(vae, batch, ELBO(noise.shape[1]), noise).cells
    excess = pixel_excess(vae, grid, batch, noise, cells)
    low, high = np.nanquantile(excess, [0.99, 0.9999]) if np.isfinite(excess).any() else (0.0, 1.0)
    return float(low), float(max(2 * high, 2 * low, 1e-6))
