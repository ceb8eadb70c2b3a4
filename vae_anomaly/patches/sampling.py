"""Which pictures and windows a fit sees."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from vae_anomaly.batch import Batch
from vae_anomaly.patches.encoding import WindowEncoder
from vae_anomaly.patches.windows import IntArray, Surface

HELD_OUT_SHARE, MOST_HELD_OUT, FEWEST_TO_HOLD_OUT = 0.15, 48, 10


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
