"""Windows: which pixels are predicted at once, and which surroundings they are predicted from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.caching import cached_property
from vae_anomaly.errors import DataError

IntArray = npt.NDArray[np.intp]
# Of an image, over all channels: 33 million pixels in colour. Maps and margins take some ten times as much memory.
MAX_IMAGE_VALUES = 100_000_000


@dataclass(frozen=True)
class Windows:
    """A square of pixels, a ring of pixels around it, and a coarse view of a wider square around both.

    Parameters
    ----------
    target : int
        Side of the square whose pixels have a likelihood.
    near : int
        Side of the square whose other pixels are given; equal to `target` where nothing is given.
    far : int
        Side of the square that is given as means of cells, but for its part in `near`; equal to `near` where there is
        none.
    cell : int
        Side of these cells.
    """

    target: int
    near: int
    far: int
    cell: int = 4

    @property
    def margin(self) -> int:
        """Pixels that a window reaches beyond its target on each side."""
        return -((self.target - max(self.near, self.far)) // 2)

    @property
    def n_target(self) -> int:
        """Target pixels of a channel."""
        return self.target**2

    @property
    def n_given(self) -> int:
        """Given numbers of a channel: of the ring and of the cells, counted without making them."""
        n_ring = self.near**2 - self.target**2
        if self.far <= self.near:
            return n_ring
        first, near_first = (self.target - self.far) // 2, (self.target - self.near) // 2
        corners = range(first, first + self.far, self.cell)
        n_covered = len(corners[_position(corners, near_first) : _position(corners, near_first + self.near)])
        return n_ring + len(corners) ** 2 - n_covered**2

    @cached_property
    def inside(self) -> IntArray:
        """Lines and columns of the target pixels, from its corner: (pixels, 2)."""
        return _square(0, self.target)

    @cached_property
    def ring(self) -> IntArray:
        """Lines and columns of the given pixels, from the target's corner."""
        first = (self.target - self.near) // 2
        positions = _square(first, self.near)
        return positions[~_within(positions, 0, self.target)]

    @cached_property
    def cells(self) -> IntArray:
        """Lines and columns of the corners of the coarse cells, from the target's corner."""
        first, near_first = (self.target - self.far) // 2, (self.target - self.near) // 2
        positions = _square(first, self.far, self.cell)
        return positions[~_within(positions, near_first, self.near)] if self.far > self.near else positions[:0]

    def check(self, height: int, width: int) -> None:
        """Refuse images that are smaller than a window's target.

        Raises
        ------
        DataError
            If they are.
        """
        if min(height, width) < self.target:
            raise DataError(
                f"the images are {height}x{width} pixels, and windows have {self.target}x{self.target}. Give larger "
                "images, a smaller window, or use VAEDetector, which takes small images as a whole."
            )

    def corners(self, height: int, width: int, stride: int) -> IntArray:
        """Corners of targets that cover an image, `stride` pixels apart and flush with its last line and column."""
        lines, columns = (_steps(length, self.target, stride) for length in (height, width))
        return np.stack(np.meshgrid(lines, columns, indexing="ij"), -1).reshape(-1, 2)


def check_image_size(shape: tuple[int, int, int]) -> None:
    """Refuse images that are too large to be scored as a whole.

    Parameters
    ----------
    shape : (channels, height, width)

    Raises
    ------
    DataError
        If they are.
    """
    if math.prod(shape) > MAX_IMAGE_VALUES:
        raise DataError(
            f"the images are {shape[1]}x{shape[2]} pixels with {shape[0]} channels; expected at most "
            f"{MAX_IMAGE_VALUES:,} numbers. Make them smaller, with image_shape=(height, width), or cut them."
        )


@dataclass(frozen=True)
class PaddedImage:
    """An image with a margin, ready for windows to be cut from it.

    Parameters
    ----------
    pixels, coarse : Tensor of shape (channels, height, width)
        With a margin around; 0 where missing.  `coarse` holds the mean of the cell whose corner a pixel is.
    seen, coarse_seen : Tensor of shape (channels, height, width)
        1 where observed, and where any pixel of the cell is.
    windows : Windows
    """

    pixels: Tensor
    seen: Tensor
    coarse: Tensor
    coarse_seen: Tensor
    windows: Windows

    @classmethod
    def of(cls, image: Tensor, windows: Windows) -> PaddedImage:
        """From an image, (channels, height, width), NaN where a pixel is missing."""
        margin, cell = windows.margin, windows.cell
        pad = (margin, margin + cell, margin, margin + cell)
        seen = functional.pad((~image.isnan()).to(image.dtype), pad)
        pixels = functional.pad(image.nan_to_num(0.0), pad)
        if windows.far <= windows.near:
            return cls(pixels, seen, pixels, seen, windows)
        sums, counts = (
            functional.avg_pool2d(functional.pad(part, (0, cell - 1, 0, cell - 1)), cell, stride=1, divisor_override=1)
            for part in (pixels, seen)
        )
        return cls(pixels, seen, sums / counts.clamp(min=1), (counts > 0).to(seen.dtype), windows)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image, without the margin."""
        beyond = 2 * self.windows.margin + self.windows.cell
        return self.pixels.shape[1] - beyond, self.pixels.shape[2] - beyond

    def cut(self, corners: IntArray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows by the corners of their targets.

        Parameters
        ----------
        corners : int ndarray of shape (windows, 2)
            Line and column in the image.

        Returns
        -------
        target, target_seen : Tensor of shape (windows, channels, target pixels)
        given, given_seen : Tensor of shape (windows, channels, given numbers)
        """
        target, target_seen = self._taken(self.pixels, self.seen, corners, self.windows.inside)
        near, near_seen = self._taken(self.pixels, self.seen, corners, self.windows.ring)
        far, far_seen = self._taken(self.coarse, self.coarse_seen, corners, self.windows.cells)
        return target, target_seen, torch.cat([near, far], -1), torch.cat([near_seen, far_seen], -1)

    def _taken(self, pixels: Tensor, seen: Tensor, corners: IntArray, offsets: IntArray) -> tuple[Tensor, Tensor]:
        width = pixels.shape[-1]
        bases = (corners + self.windows.margin) @ np.array([width, 1])
        positions = torch.from_numpy(bases[:, None] + (offsets @ np.array([width, 1]))[None])
        flat = positions.flatten()
        shape = (len(pixels), *positions.shape)
        taken, taken_seen = (part.flatten(1).index_select(1, flat).view(shape) for part in (pixels, seen))
        return taken.transpose(0, 1), taken_seen.transpose(0, 1)


def _square(first: int, side: int, step: int = 1) -> IntArray:
    steps = np.arange(first, first + side, step)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)


def _position(corners: range, line: int) -> int:
    """How many of the corners lie before a line."""
    return min(max(-(-(line - corners.start) // corners.step), 0), len(corners))


def _within(positions: IntArray, first: int, side: int) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = np.logical_and.reduce((positions >= first) & (positions < first + side), axis=1)
    return inside


def _steps(length: int, side: int, stride: int) -> IntArray:
    steps = np.arange(0, length - side + 1, stride)
    return steps if steps[-1] == length - side else np.append(steps, length - side)
