"""What a detector of images makes of files, addresses and bytes: their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vae_anomaly.data import ImageFormat, Images

PIXELS_PER_BATCH, MAX_PIXELS_PER_BATCH = 1 << 20, 1 << 26
MIN_PER_BATCH, MAX_PER_BATCH = 4, 1024
NO_IMAGE = "names no image"


@dataclass(frozen=True)
class Pixels:
    """Images that could be read.

    Attributes
    ----------
    images : Images
        Their pixels.
    rows : tuple of int
        Which of those given these are, from 0.
    problems : mapping of int to str
        Why the others cannot be used.
    """

    images: Images
    rows: tuple[int, ...]
    problems: Mapping[int, str]


def n_images_at_a_time(image_format: ImageFormat) -> int:
    """How many images to read at a time: a power of two, as the chunks of a model are."""
    n_pixels = prod((image_format.channels, image_format.height, image_format.width))
    least = min(MIN_PER_BATCH, max(1, MAX_PIXELS_PER_BATCH // n_pixels))
    n_images = min(max(PIXELS_PER_BATCH // n_pixels, least), MAX_PER_BATCH)
    return 1 << (n_images.bit_length() - 1)


def pixels_of_files(paths: Sequence[Path], image_format: ImageFormat) -> Pixels:
    """Read files, several at once.

    Raises
    ------
    SpecificationError
        If files do not hold the channels of the format.
    DataError
        If two images of that size do not fit in memory.
    """
    from vae_anomaly.data import ImageFiles

    files = ImageFiles(tuple(paths), image_format)
    images, problems = files.load(max_bytes=2 * len(files) * prod(files.shape))
    reasons = {problem.path: problem.reason for problem in problems}
    by_row = {row: reasons[path] for row, path in enumerate(paths) if path in reasons}
    return Pixels(images, tuple(row for row in range(len(paths)) if row not in by_row), by_row)


def pixels_of_cells(cells: Sequence[str | bytes | None], image_format: ImageFormat) -> Pixels:
    """Read images one after the other, of each the path, the address or the bytes.

    Raises
    ------
    SpecificationError
        If files do not hold the channels of the format.
    DataError
        If two images of that size do not fit in memory.
    """
    from vae_anomaly.data import ImageFileError, ImageFiles, Images, decode_image

    shape = ImageFiles((), image_format).shape
    arrays, rows, problems = [], [], {}
    for row, cell in enumerate(cells):
        if not cell:
            problems[row] = NO_IMAGE
            continue
        try:
            content = cell if isinstance(cell, bytes) else _content(cell)
            arrays.append(decode_image(content, image_format))
        except ImageFileError as error:
            problems[row] = error.reason
        except OSError as error:
            problems[row] = f"cannot be read: {error.strerror or error}."
        else:
            rows.append(row)
    dtype = np.uint16 if image_format.depth == 16 else np.uint8
    stacked = np.stack(arrays) if arrays else np.empty((0, *shape), dtype)
    return Pixels(Images(stacked, depth=image_format.depth), tuple(rows), problems)


def pieces(n_rows: int, n_at_a_time: int) -> Iterator[slice]:
    """Slices of some rows at a time."""
    for begin in range(0, n_rows, n_at_a_time):
        yield slice(begin, min(begin + n_at_a_time, n_rows))


def _content(location: str) -> bytes:
    """What is in a file, or at an address."""
    from vae_anomaly.store import is_address, read_bytes

    if is_address(location):
        return read_bytes(location)
    path = Path(location)
    if path.exists() and not path.is_file():
        raise OSError("no regular file but a folder, a pipe or a device")
    return path.read_bytes()
