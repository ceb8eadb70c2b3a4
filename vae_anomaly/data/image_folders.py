"""Images that are files, read when they are needed."""

from __future__ import annotations

import glob
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae_anomaly.data.image_files import SUFFIXES, ImageFileError, check_sizes, find_images, read_images, survey
from vae_anomaly.data.image_formats import HOW_TO_RESIZE, ImageFormat, Problem, Size, Survey
from vae_anomaly.data.images import Images
from vae_anomaly.data.pixels import UnfitError, levels_of, mode_of, upright
from vae_anomaly.errors import DataError, SpecificationError

FILE_CHANNELS = (1, 3)
MAX_BYTES = 1 << 31
CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class ImageFiles:
    """Image files and the format in which they are read.

    Parameters
    ----------
    paths : tuple of Path
    image_format : ImageFormat
        Size, channels and depth that every image is brought to.

    Raises
    ------
    SpecificationError
        If files do not hold so many channels.
    DataError
        If two images of that size do not fit in memory.
    """

    paths: tuple[Path, ...]
    image_format: ImageFormat

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        if channels not in FILE_CHANNELS:
            raise SpecificationError(
                f"the model was fitted on images of {channels} channels, and files are read as grey or as red, green "
                "and blue. Give it arrays, or fit it on files."
            )
        if 2 * self._bytes_per_image > MAX_BYTES:
            raise DataError(
                f"an image of {height}x{width} pixels takes {self._bytes_per_image >> 20:,} MiB; expected at most "
                f"{MAX_BYTES >> 21:,}. Have all resized to fewer pixels, {HOW_TO_RESIZE}."
            )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        wanted = self.image_format
        return wanted.channels, wanted.height, wanted.width

    def chunks(self) -> Iterator[tuple[list[Path], Images, list[ImageFileError]]]:
        """Files in their order, some at a time: those that could be read, their pixels, and what is wrong with others.

        Memory does not grow with the number of files.
        """
        image_bytes = self._bytes_per_image
        for part in _batched(read_images(self.paths, self.image_format), max(1, CHUNK_BYTES // image_bytes)):
            yield self._sorted_out(part)

    def load(self, max_bytes: int = MAX_BYTES, seed: int = 0) -> tuple[Images, list[ImageFileError]]:
        """Read all images, or a random sample of them that fits in memory.

        Parameters
        ----------
        max_bytes : int
            How much memory their pixels may take.
        seed : int
            Of the sample.

        Returns
        -------
        Images
            In the order of the files.
        list of ImageFileError
            One for each file that cannot be read; it is left out.
        """
        paths = self.paths
        max_images = max(1, max_bytes // self._bytes_per_image)
        if len(paths) > max_images:
            chosen = np.sort(np.random.default_rng(seed).choice(len(paths), max_images, replace=False))
            paths = tuple(paths[number] for number in chosen)
        _, images, problems = self._sorted_out(read_images(paths, self.image_format))
        return images, problems

    @property
    def _bytes_per_image(self) -> int:
        return math.prod(self.shape) * (2 if self.image_format.depth == 16 else 1)

    def _sorted_out(self, read: Iterable[tuple[Path, Any]]) -> tuple[list[Path], Images, list[ImageFileError]]:
        paths, pixels, problems = [], [], []
        for path, image in read:
            if isinstance(image, ImageFileError):
                problems.append(image)
            else:
                paths.append(path)
                pixels.append(image)
        dtype = np.uint16 if self.image_format.depth == 16 else np.uint8
        stacked = np.stack(pixels) if pixels else np.empty((0, *self.shape), dtype)
        return paths, Images(stacked, depth=self.image_format.depth), problems


def open_images(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    size: Size | None = None,
    image_format: ImageFormat | None = None,
) -> tuple[ImageFiles, tuple[Problem, ...]]:
    """Image files, and what they have in common.

    Parameters
    ----------
    source : path-like, or several
        As for `list_images`.
    size : (height, width), optional
        To which images are resized; by default the one size that all have.
    image_format : ImageFormat, optional
        The format of a model, to which images are brought; by default that of the files themselves.

    Returns
    -------
    ImageFiles
    tuple of Problem
        Files without a readable header, which are left out; those of `ImageFiles` may still turn out to be damaged.

    Raises
    ------
    DataError
        If there is no image, sizes differ and none is given, none has the size of a model that resizes none, or two
        images do not fit in memory.
    SpecificationError
        If files do not hold the channels of the model.
    FileNotFoundError
        If a folder does not exist, or a single image.
    """
    paths = list_images(source)
    if not paths:
        raise DataError("no image was given; expected a folder of images, or their names.")
    if image_format is not None:
        check_sizes(paths, image_format)
        return ImageFiles(tuple(paths), image_format), ()
    seen = survey(paths)
    wanted = seen.format(size)
    unreadable = {problem.path for problem in seen.problems}
    return ImageFiles(tuple(path for path in paths if path not in unreadable), wanted), seen.problems


def is_pillow_images(X: Any) -> bool:
    """Whether this is a list of Pillow's images."""
    return isinstance(X, list | tuple) and bool(X) and all(isinstance(one, Image.Image) for one in X)


def read_pillow_images(images: Sequence[Image.Image], size: Size | None, image_format: ImageFormat | None) -> Images:
    """Pillow's images, as they would be read from files.

    Parameters
    ----------
    images : sequence of Image
    size : (height, width), optional
        To which they are resized.
    image_format : ImageFormat, optional
        Of a model; by default their own.

    Raises
    ------
    DataError
        If sizes differ and none is given, or an image does not fit the model.
    """
    turned = [upright(image) for image in images]
    modes = [mode_of(image) for image in turned]
    wanted = image_format or Survey(Counter(one.size[::-1] for one in turned), Counter(modes)).format(size)
    pixels = []
    for row, (image, mode) in enumerate(zip(turned, modes, strict=True)):
        try:
            pixels.append(levels_of(image, mode, wanted))
        except UnfitError as error:
            raise DataError("an image cannot be used", str(error), row=row, item="image") from error
    return Images(np.stack(pixels), depth=wanted.depth)


def list_images(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Image files in the order of the sources: one that is named twice comes twice.

    An image among several that is not there is listed, so that it is reported like others that cannot be read; a name
    with the brackets or stars of a pattern counts as one.

    Parameters
    ----------
    source : path-like, or several
        Folders, files or patterns.

    Raises
    ------
    DataError
        If a folder or a pattern holds no image.
    FileNotFoundError
        If a folder does not exist, or a single image.
    """
    if isinstance(source, str | os.PathLike):
        return find_images(source)
    return [path for one in source for path in ([Path(one)] if _is_file(Path(one)) else find_images(one))]


def _is_file(path: Path) -> bool:
    """Whether a name is that of an image, there or not."""
    if path.suffix.lower() not in SUFFIXES or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir may raise
        return False
    return os.path.lexists(path) or not glob.has_magic(str(path))


def _batched(items: Iterable[tuple[Path, Any]], n: int) -> Iterator[list[tuple[Path, Any]]]:
    rest = iter(items)
    while part := list(islice(rest, n)):
        yield part
