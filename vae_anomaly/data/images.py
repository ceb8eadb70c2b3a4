"""Images as users hand them in, checked once and brought to one layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.errors import DataError

CHANNEL_COUNTS = (1, 2, 3, 4)
CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
SAMPLE_PIXELS = 1 << 22


@dataclass(frozen=True)
class Images:
    """Images of one size in one layout, with the grey values as they were given.

    Parameters
    ----------
    pixels : ndarray of shape (images, channels, height, width)
        Bool, integers or floats; NaN where a pixel is missing.
    channels_last : bool
        Whether they were given with the channels as the last axis.
    channel_axis : bool
        Whether they were given with an axis for their one channel, if that came first.
    depth : int, optional
        Bits of a grey level in the files that they come from.
    """

    pixels: npt.NDArray[Any]
    channels_last: bool = False
    channel_axis: bool = False
    depth: int | None = None

    @property
    def n_rows(self) -> int:
        """Number of images."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.pixels.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels."""
        n_channels = self.shape[0]
        return CHANNEL_NAMES.get(n_channels, tuple(f"channel {number}" for number in range(n_channels)))

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Images:
        """Images by their numbers."""
        return dataclasses.replace(self, pixels=self.pixels[rows])

    def sample(self) -> npt.NDArray[Any]:
        """The pixels of evenly spread images, as many as fit a few million: what channels are learned from."""
        n_taken = max(1, SAMPLE_PIXELS // int(np.prod(self.shape)))
        chosen = np.unique(np.linspace(0, self.n_rows - 1, min(n_taken, self.n_rows)).round().astype(np.intp))
        return self.pixels[chosen]


def arranged(pixels: npt.NDArray[Any], *, channels_last: bool, channel_axis: bool) -> npt.NDArray[Any]:
    """From (images, channels, height, width) to the axes that images were given with."""
    if channels_last:
        return np.moveaxis(pixels, 1, 3)
    return pixels if channel_axis or pixels.shape[1] > 1 else pixels[:, 0]


def is_images(X: Any) -> bool:
    """Whether these are images that were read already, an array or tensor with their axes, or a list of such."""
    if isinstance(X, list | tuple):
        return bool(X) and all(_is_image(one) for one in X)
    return isinstance(X, Images) or (isinstance(X, np.ndarray | torch.Tensor) and X.ndim in (3, 4))


def _is_image(one: Any) -> bool:
    return isinstance(one, np.ndarray | torch.Tensor) and one.ndim in (2, 3)


def read_arrays(X: Any, image_shape: Sequence[int] | None) -> Images:
    """Images from an array or tensor.

    Parameters
    ----------
    X : array-like, Tensor, Images or list
        Of shape (n, height, width), (n, height, width, channels), (n, channels, height, width), or with rows that are
        flattened images of `image_shape`; a list of arrays or tensors of one size.
    image_shape : sequence of int, optional
        (height, width), (height, width, channels) or (channels, height, width) of one image.

    Returns
    -------
    Images

    Raises
    ------
    DataError
        If the axes are ambiguous, do not fit `image_shape`, or there is no pixel.

    Examples
    --------
    >>> read_arrays(np.zeros((5, 28, 28, 3), dtype=np.uint8), None).shape
    (3, 28, 28)
    >>> read_arrays(np.zeros((5, 784)), (28, 28)).shape
    (1, 28, 28)
    """
    if isinstance(X, Images):
        return X
    if isinstance(X, list | tuple) and is_images(X):
        X = _stacked(X)
    cells = as_array(X)
    if cells.dtype.kind not in "buif":
        raise DataError(f"images hold {cells.dtype} values; expected booleans, integers or floats. Convert them.")
    if image_shape is not None:
        shape = tuple(int(size) for size in image_shape)
        n_given = int(np.prod(cells.shape[1:]))
        if n_given != np.prod(shape):
            raise DataError(
                f"a row has {n_given} values, and image_shape={shape} asks for {int(np.prod(shape))}. "
                "Give the height and width of the images, and the channels if there are several."
            )
        cells = cells.reshape(len(cells), *shape)
    if cells.ndim == 3:
        return _checked(Images(cells[:, None]))
    if cells.ndim != 4:
        raise DataError(
            f"images have the shape {cells.shape}; expected (n, height, width), (n, height, width, channels) or (n, "
            "channels, height, width). For flattened images give image_shape=(height, width)."
        )
    return _checked(_channels_first(cells))


def _checked(images: Images) -> Images:
    if min(images.shape) == 0:
        raise DataError(f"the images have no pixels (shape {images.pixels.shape}).")
    return images


def as_array(X: Any) -> npt.NDArray[Any]:
    """An array; what a mask hides is NaN, and numbers that NumPy does not have become floats."""
    if isinstance(X, torch.Tensor):
        tensor = X.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if not isinstance(X, np.ma.MaskedArray):
        return np.asarray(X)
    if X.dtype.kind in "mM":
        raise DataError("masked arrays of dates are not read; give a DataFrame, with NaT where a date is missing.")
    if X.dtype.kind not in "buif":
        cells: npt.NDArray[Any] = X.data.astype(object)
        cells[np.ma.getmaskarray(X)] = None
        return cells
    return np.ma.filled(X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32), np.nan)


def _stacked(images: Sequence[Any]) -> npt.NDArray[Any]:
    arrays = [as_array(one) for one in images]
    dtypes = sorted({str(one.dtype) for one in arrays})
    if len(dtypes) > 1:
        raise DataError(f"images have different types, {dtypes[0]} and {dtypes[1]} among them. Bring them to one.")
    shapes = {one.shape for one in arrays}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise DataError(f"images have different shapes, {first} and {second} among them. Bring them to one.")
    return np.stack(arrays)


def _channels_first(cells: npt.NDArray[Any]) -> Images:
    first, last = cells.shape[1] in CHANNEL_COUNTS, cells.shape[3] in CHANNEL_COUNTS
    if first and last:
        raise DataError(
            f"cannot tell which axis of the shape {cells.shape} is that of the channels: both the second and the last "
            "have 1 to 4. Give images of more than 4 pixels per side, or grey ones as (n, height, width)."
        )
    if not (first or last):
        raise DataError(
            f"the shape {cells.shape} has no axis of 1 to 4 channels; expected (n, height, width, channels) or (n, "
            "channels, height, width)."
        )
    if first:
        return Images(cells, channel_axis=True)
    return Images(np.ascontiguousarray(np.moveaxis(cells, 3, 1)), channels_last=True)
