"""Which pictures and windows a fit sees."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import torch

from vae_anomaly.batch import Batch
from vae_anomaly.errors import DataError, DataWarning
from vae_anomaly.images.pictures import Pictures
from vae_anomaly.patches.encoding import WindowEncoder
from vae_anomaly.patches.windows import IntArray, Surface

HELD_OUT_SHARE, MOST_HELD_OUT, FEWEST_TO_HOLD_OUT = 0.15, 48, 10


def with_pixels(pictures: Pictures) -> Pictures:
    """The pictures that have at least one observed pixel."""
    if pictures.pixels.dtype.kind != "f":
        return pictures
    seen = ~np.isnan(pictures.pixels).all((1, 2, 3))
    if seen.all():
        return pictures
    if np.count_nonzero(seen) < 2:
        raise DataError(f"{np.count_nonzero(seen)} pictures have observed pixels; expected at least 2. Give more.")
    empty = np.flatnonzero(~seen)
    warnings.warn(
        f"left out: {len(empty)} training pictures without any observed pixel, picture {empty[0]} the first.",
        DataWarning,
        stacklevel=4,
    )
    return pictures.take(np.flatnonzero(seen))


def split(n_pictures: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Pictures to stop and calibrate by, and pictures to learn from; all for both where there are few."""
    order = rng.permutation(n_pictures)
    if n_pictures < FEWEST_TO_HOLD_OUT:
        return np.sort(order), np.sort(order)
    n_held_out = min(max(round(HELD_OUT_SHARE * n_pictures), 1), MOST_HELD_OUT)
    return np.sort(order[:n_held_out]), np.sort(order[n_held_out:])


def joined(encoder: WindowEncoder, windows: Iterable[tuple[Surface, IntArray]]) -> Batch:
    """Windows of several pictures as one batch."""
    parts = [encoder.encode(part) for part in windows]
    return Batch(torch.cat([part.values for part in parts]), torch.cat([part.observed for part in parts]))
