"""What a detector says about pixels."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, ImageEncoder
from vae_anomaly.data import ImageFiles, Images, arranged
from vae_anomaly.detectors.inputs import warn_of_files
from vae_anomaly.explain import ImageExplanation, expected_cells
from vae_anomaly.fitting import cell_terms, saturated_rows, score_rows
from vae_anomaly.model import VAE
from vae_anomaly.scores import Score


def explain_images(
    vae: VAE,
    encoder: ImageEncoder,
    images: Images,
    noise: Tensor,
    score: Score,
    independence: float,
    offset: float,
) -> ImageExplanation:
    """Where images are anomalous.

    Parameters
    ----------
    vae : VAE
    encoder : ImageEncoder
    images : Images
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    score : Score
        What images are judged by.
    independence : float
        Weight of the independence model in the ELBO that is explained.
    offset : float
        Scores below it are flagged.
    """
    batch = encoder.encode(images)
    cells, kl = cell_terms(vae, batch, noise, independence)
    shape = (len(batch), *encoder.shape)
    return ImageExplanation(
        score=-score_rows(vae, batch, score, noise).numpy(),
        threshold=-offset,
        excess=pixel_excess(vae, encoder, batch, noise, cells),
        contributions=-cells.numpy().reshape(shape),
        kl=kl.numpy(),
        reconstruction=encoder.decode(expected_cells(vae, batch, noise, weighted=False).numpy()),
    )


def map_scale(vae: VAE, encoder: ImageEncoder, batch: Batch, noise: Tensor) -> tuple[float, float]:
    """Nats per pixel from which on, and up to which, maps of anomalous images are coloured.

    What one pixel in a hundred of training images exceeds, and twice what one in ten thousand does: the same for
    all images of a model, so that they can be compared.
    """
    cells, _ = cell_terms(vae, batch, noise, 0.0)
    excess = pixel_excess(vae, encoder, batch, noise, cells)
    low, high = np.nanquantile(excess, [0.99, 0.9999]) if np.isfinite(excess).any() else (0.0, 1.0)
    return float(low), float(max(2 * high, 2 * low, 1e-6))


def pixel_excess(
    vae: VAE, encoder: ImageEncoder, batch: Batch, noise: Tensor, cells: Tensor
) -> npt.NDArray[np.float64]:
    """Nats by which pixels are less likely than they could be at best, over all channels: (rows, height, width).

    NaN where a pixel is missing; ``cells`` are their log-likelihoods, (rows, places).
    """
    excess = (saturated_rows(vae, batch, noise) - cells).clamp(min=0).where(batch.observed, torch.nan)
    summed: npt.NDArray[np.float64] = excess.numpy().reshape(len(batch), *encoder.shape).sum(1)
    return summed


def score_images(files: ImageFiles, score: Callable[[Images], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Scores of image files in their order, some read at a time; NaN, with a warning, where a file cannot be read."""
    scores: list[float] = []
    for paths, images, problems in files.chunks():
        warn_of_files(problems)
        found = deque(zip(paths, score(images).tolist() if paths else [], strict=True))
        part = files.paths[len(scores) : len(scores) + len(paths) + len(problems)]
        scores += [found.popleft()[1] if found and found[0][0] == path else math.nan for path in part]
    return np.array(scores)


def fill_pixels(vae: VAE, encoder: ImageEncoder, images: Images, noise: Tensor) -> npt.NDArray[Any]:
    """Images with their missing pixels filled by what the others let expect, in the layout that they came in."""
    batch = encoder.encode(images)
    expected = encoder.in_data_units(expected_cells(vae, batch, noise, weighted=True).numpy())
    observed = batch.observed.numpy().reshape(expected.shape)
    filled = np.where(observed, images.pixels, expected).astype(images.pixels.dtype)
    return arranged(filled, channels_last=images.channels_last, channel_axis=images.channel_axis)
