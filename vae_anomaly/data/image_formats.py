"""The format that images share: their size, their channels and their depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vae_anomaly.errors import DataError

ImageArray: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Size: TypeAlias = tuple[int, int]

COLOUR = (3, 8)
HOW_TO_RESIZE = "with --image-shape HEIGHTxWIDTH on the command line, in Python with image_shape=(height, width)"
MAX_LISTED = 5
KINDS = {
    "1": (1, 1),
    **dict.fromkeys(("L", "LA", "La"), (1, 8)),
    **dict.fromkeys(("I", "F", "I;16", "I;16B", "I;16L", "I;16N"), (1, 16)),
}


@dataclass(frozen=True)
class ImageFormat:
    """What all images of a model have in common.

    Parameters
    ----------
    height, width : int
        In pixels.
    channels : int
        1 for grey, 3 for red, green and blue.
    depth : int
        Bits: 1 for levels 0 and 1, 8 for 0 to 255, 16 for 0 to 65535.
    resizes : bool
        Whether images of another size are resized to this one; else they do not fit.
    """

    height: int
    width: int
    channels: int
    depth: int
    resizes: bool = True

    def refusal(self, size: Size) -> str | None:
        """Why an image of a (height, width) does not fit, and what to do; None if it does.

        Examples
        --------
        >>> ImageFormat(28, 28, 1, 8, resizes=False).refusal((32, 40)).partition(";")[0]
        '32x40 pixels (height x width) where the model takes 28x28'
        """
        own = self.height, self.width
        if self.resizes or size == own:
            return None
        taken = f"{self.height}x{self.width}"
        return (
            f"{size[0]}x{size[1]} pixels (height x width) where the model takes {taken}; leave it out, or have it "
            f"resized, with --image-shape {taken} on the command line, in Python with set_params(image_shape={own})."
        )


@dataclass(frozen=True)
class Problem:
    """A file that cannot be read, and why not."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Survey:
    """What the headers of some files say.

    Parameters
    ----------
    sizes : mapping of (height, width) to int
        How many images have which size, after EXIF orientation.
    modes : mapping of str to int
        How many images have which mode, in Pillow's words; palettes of greys count as L.
    problems : tuple of Problem
        Files without a readable header; of the others, the pixels may still be damaged.
    """

    sizes: Mapping[Size, int]
    modes: Mapping[str, int]
    problems: tuple[Problem, ...] = ()

    @property
    def n_images(self) -> int:
        """Number of files with a readable header."""
        return sum(self.sizes.values())

    def format(self, size: Size | None = None) -> ImageFormat:
        """The format that loses nothing of the images.

        They are colour if any is, by mode: RGB is colour, whatever its pixels.  They have 16 bits if all are
        grey with 16 bits or with floats, one bit if all are bilevel, and else 8.

        Parameters
        ----------
        size : (height, width), optional
            To which all images will be resized; by default the one size that they have.

        Raises
        ------
        DataError
            If there is no readable image, or if sizes differ and none is given.

        Examples
        --------
        >>> Survey({(28, 28): 70}, {"L": 70}).format()
        ImageFormat(height=28, width=28, channels=1, depth=8, resizes=True)
        """
        if not self.n_images:
            first = f" ({self.problems[0].path}: {self.problems[0].reason})" if self.problems else ""
            raise DataError(f"none of {len(self.problems)} files is a readable image{first}; expected at least one.")
        if size is None:
            size = self._one_size()
        if min(size) < 1:
            raise DataError(f"size {size[0]}x{size[1]} is empty; expected a height and a width of at least 1 pixel.")
        kinds = {KINDS.get(mode, COLOUR) for mode in self.modes}
        if COLOUR in kinds:
            return ImageFormat(*size, 3, 8)
        return ImageFormat(*size, *(kinds.pop() if len(kinds) == 1 else KINDS["L"]))

    def _one_size(self) -> Size:
        if len(self.sizes) == 1:
            return next(iter(self.sizes))
        common = sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{height}x{width} ({count})" for (height, width), count in common[:MAX_LISTED])
        more = f" and {len(common) - MAX_LISTED} more" if len(common) > MAX_LISTED else ""
        raise DataError(
            f"{self.n_images} images have {len(self.sizes)} sizes, height x width: {listed}{more}; a model takes "
            f"one. Have all resized, {HOW_TO_RESIZE}."
        )
