"""From nats of windows to a map of an image, and from the map to one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.patch.windows import IntArray, Windows

POSITION_PIXELS = 8.0
MIN_FACTOR = 1e-3
MIN_PER_HALF = 4
CLEARLY = 0.95


class MapSums:
    """Maps whose pixels are means over the windows that cover them, from some of the windows after the other.

    Parameters
    ----------
    windows : Windows
    shape : (height, width)
        Of a map.
    n_maps : int
        Maps that are made at once.
    """

    def __init__(self, windows: Windows, shape: tuple[int, int], n_maps: int) -> None:
        self._shape = shape
        self._inside = windows.inside @ np.array([shape[1], 1])
        self._sums = np.zeros((n_maps, shape[0] * shape[1]))
        self._counts = np.zeros(shape[0] * shape[1], dtype=np.int64)

    def add(self, values: Sequence[FloatArray], corners: IntArray) -> None:
        """Take in windows.

        Parameters
        ----------
        values : sequence of ndarray of shape (windows, target pixels)
            For each map.
        corners : int ndarray of shape (windows, 2)
            Line and column of the windows.
        """
        pixels = ((corners @ np.array([self._shape[1], 1]))[:, None] + self._inside).ravel()
        for sums, own in zip(self._sums, values, strict=True):
            np.add.at(sums, pixels, own.ravel())
        np.add.at(self._counts, pixels, 1)

    def means(self) -> FloatArray:
        """The maps: (maps, height, width)."""
        means: FloatArray = (self._sums / np.maximum(self._counts, 1)).reshape(-1, *self._shape)
        return means


def smoothed(image: FloatArray, sigma: float) -> FloatArray:
    """The map under a Gaussian filter; missing pixels, NaN, take no part and stay NaN."""
    seen = np.isfinite(image)
    if sigma == 0 or not seen.any():
        return image
    from scipy.ndimage import gaussian_filter

    sums = gaussian_filter(np.where(seen, image, 0.0), sigma)
    weights = np.ones_like(sums) if seen.all() else gaussian_filter(seen.astype(float), sigma)
    return np.where(seen, sums / np.maximum(weights, 1e-9), np.nan)


@dataclass(frozen=True)
class MapReduction:
    """How a map becomes a score.

    Parameters
    ----------
    smoothing : float
        Standard deviation of the filter, in pixels.
    top_pixels : int
        How many of the largest values the score is the mean of.
    """

    smoothing: float
    top_pixels: int

    def score(self, smooth_map: FloatArray) -> float:
        """Nats per pixel of a smoothed map."""
        return top_mean(smooth_map, self.top_pixels)


@dataclass(frozen=True)
class PositionLevels:
    """How many times as much as on average maps of normal images vary at each pixel.

    Divided by it, maps vary alike everywhere, and a value is as rare at one pixel as at another.

    Parameters
    ----------
    factor : ndarray of shape (height, width)
    """

    factor: FloatArray

    @classmethod
    def of(cls, maps: FloatArray) -> PositionLevels:
        """From maps of normal images, (images, height, width)."""
        mean = smoothed(_mean(maps), POSITION_PIXELS)
        deviation = np.sqrt(smoothed(_mean((maps - mean) ** 2), POSITION_PIXELS))
        return cls(np.maximum(deviation / max(float(deviation.mean()), 1e-12), MIN_FACTOR))

    def applied(self, one: FloatArray) -> FloatArray:
        """A map weighted by position, nats per pixel."""
        changed: FloatArray = one / self.factor
        return changed


def _mean(maps: FloatArray) -> FloatArray:
    """Over the maps that have a value at a pixel, 0 where none has."""
    counts = np.isfinite(maps).sum(0)
    mean: FloatArray = np.nansum(maps, 0) / np.maximum(counts, 1)
    return mean


def position_helps(maps: FloatArray) -> bool:
    """Whether maps of normal images become more even when they are weighted by position.

    Each half of the images has its weights from the other; what counts is how far the highest thousandth is
    above the median, in units of what the highest tenth is.  Where parts are in the same position in every image,
    much of that comes from their edges and textures; where they are anywhere, it does not, and positions say little.

    Parameters
    ----------
    maps : ndarray of shape (images, height, width)
        Of normal images that no weight has seen.
    """
    halves = maps[::2], maps[1::2]
    if min(map(len, halves)) < MIN_PER_HALF:
        return False
    plain, weighted = 0.0, 0.0
    for half, other in (halves, halves[::-1]):
        levels = PositionLevels.of(other)
        plain += _tail_ratio(half)
        weighted += _tail_ratio(np.stack([levels.applied(one) for one in half]))
    return weighted < CLEARLY * plain


def _tail_ratio(maps: FloatArray) -> float:
    middle, high, extreme = np.nanquantile(maps, [0.5, 0.9, 0.999])
    return float((extreme - middle) / max(high - middle, 1e-12))


def top_mean(image: FloatArray, n_pixels: int) -> float:
    """Mean of the largest pixels, so many of them or all; NaN where all are missing."""
    pixels: npt.NDArray[np.float64] = image[np.isfinite(image)]
    if not pixels.size:
        return float("nan")
    n_top = min(n_pixels, pixels.size)
    return float(np.partition(pixels, -n_top)[-n_top:].mean())
