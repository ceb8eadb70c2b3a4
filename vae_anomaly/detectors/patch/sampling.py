"""Which images and windows a fit sees."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import torch

from vae_anomaly.columns import Batch
from vae_anomaly.data import Images
from vae_anomaly.detectors.patch.window_encoder import WindowEncoder
from vae_anomaly.detectors.patch.windows import IntArray, PaddedImage
from vae_anomaly.errors import DataError, DataWarning, callers_level

HELD_OUT_SHARE, MAX_HELD_OUT, MIN_TO_HOLD_OUT = 0.15, 48, 10


def with_pixels(images: Images) -> Images:
    """The images that have at least one observed pixel."""
    if images.pixels.dtype.kind != "f":
        return images
    seen = ~np.isnan(images.pixels).all((1, 2, 3))
    if seen.all():
        return images
    if np.count_nonzero(seen) < 2:
        raise DataError(f"{np.count_nonzero(seen)} images have observed pixels; expected at least 2. Give more.")
    empty = np.flatnonzero(~seen)
    warnings.warn(
        f"{len(empty)} training images without any observed pixel are left out, image {empty[0]} the first.",
        DataWarning,
        stacklevel=callers_level(),
    )
    return images.take(np.flatnonzero(seen))


def split(n_images: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Images to stop and calibrate by, and images to learn from; all for both where there are few."""
    order = rng.permutation(n_images)
    if n_images < MIN_TO_HOLD_OUT:
        return np.sort(order), np.sort(order)
    n_held_out = min(max(round(HELD_OUT_SHARE * n_images), 1), MAX_HELD_OUT)
    return np.sort(order[:n_held_out]), np.sort(order[n_held_out:])


def joined(encoder: WindowEncoder, windows: Iterable[tuple[PaddedImage, IntArray]]) -> Batch:
    """Windows of several images as one batch."""
    parts = [encoder.encode(part) for part in windows]
    return Batch(torch.cat([part.values for part in parts]), torch.cat([part.observed for part in parts]))
