"""Pictures that are files, read when they are needed."""

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

from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.images.files import SUFFIXES, PictureError, find_pictures, read_pictures, survey
from vae_anomaly.images.formats import HOW_TO_RESIZE, PictureFormat, Problem, Size, Survey
from vae_anomaly.images.pictures import Pictures
from vae_anomaly.images.pixels import UnfitError, levels_of, mode_of, upright

FILE_CHANNELS = (1, 3)
MOST_BYTES = 1 << 31
CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class PictureFiles:
    """Picture files and the format in which they are read.

    Parameters
    ----------
    paths : tuple of Path
    picture_format : PictureFormat
        Size, channels and depth that every picture is brought to.

    Raises
    ------
    SpecificationError
        If files do not hold so many channels.
    DataError
        If two pictures of that size do not fit in memory.
    """

    paths: tuple[Path, ...]
    picture_format: PictureFormat

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        if channels not in FILE_CHANNELS:
            raise SpecificationError(
                f"the model was fitted on pictures of {channels} channels, and files are read as grey or as red, green "
                "and blue. Give it arrays, or fit it on files."
            )
        if 2 * self._bytes_a_picture > MOST_BYTES:
            raise DataError(
                f"a picture of {height}x{width} pixels takes {self._bytes_a_picture >> 20:,} MiB; expected at most "
                f"{MOST_BYTES >> 21:,}. Have all resized to fewer pixels, {HOW_TO_RESIZE}."
            )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        wanted = self.picture_format
        return wanted.channels, wanted.height, wanted.width

    def chunks(self) -> Iterator[tuple[list[Path], Pictures, list[PictureError]]]:
        """Files in their order, some at a time: those that could be read, their pixels, and what is wrong with others.

        Memory does not grow with the number of files.
        """
        each = self._bytes_a_picture
        for part in _batched(read_pictures(self.paths, self.picture_format), max(1, CHUNK_BYTES // each)):
            yield self._sorted_out(part)

    def load(self, most_bytes: int = MOST_BYTES, seed: int = 0) -> tuple[Pictures, list[PictureError]]:
        """Read all pictures, or a random sample of them that fits in memory.

        Parameters
        ----------
        most_bytes : int
            How much memory their pixels may take.
        seed : int
            Of the sample.

        Returns
        -------
        Pictures
            In the order of the files.
        list of PictureError
            One for each file that cannot be read; it is left out.
        """
        paths = self.paths
        most = max(1, most_bytes // self._bytes_a_picture)
        if len(paths) > most:
            chosen = np.sort(np.random.default_rng(seed).choice(len(paths), most, replace=False))
            paths = tuple(paths[number] for number in chosen)
        _, pictures, problems = self._sorted_out(read_pictures(paths, self.picture_format))
        return pictures, problems

    @property
    def _bytes_a_picture(self) -> int:
        return math.prod(self.shape) * (2 if self.picture_format.depth == 16 else 1)

    def _sorted_out(self, read: Iterable[tuple[Path, Any]]) -> tuple[list[Path], Pictures, list[PictureError]]:
        paths, pixels, problems = [], [], []
        for path, picture in read:
            if isinstance(picture, PictureError):
                problems.append(picture)
            else:
                paths.append(path)
                pixels.append(picture)
        dtype = np.uint16 if self.picture_format.depth == 16 else np.uint8
        stacked = np.stack(pixels) if pixels else np.empty((0, *self.shape), dtype)
        return paths, Pictures(stacked, depth=self.picture_format.depth), problems


def open_pictures(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    size: Size | None = None,
    picture_format: PictureFormat | None = None,
) -> tuple[PictureFiles, tuple[Problem, ...]]:
    """Picture files, and what they have in common.

    Parameters
    ----------
    source : path-like, or several
        As for `list_pictures`.
    size : (height, width), optional
        To which pictures are resized; by default the one size that all have.
    picture_format : PictureFormat, optional
        The format of a model, to which pictures are brought; by default that of the files themselves.

    Returns
    -------
    PictureFiles
    tuple of Problem
        Files without a readable header, which are left out; those of `PictureFiles` may still turn out to be damaged.

    Raises
    ------
    DataError
        If there is no picture, sizes differ and none is given, or two pictures do not fit in memory.
    SpecificationError
        If files do not hold the channels of the model.
    FileNotFoundError
        If a folder does not exist, or a single picture.
    """
    paths = list_pictures(source)
    if not paths:
        raise DataError("no picture was given; expected a folder of pictures, or their names.")
    if picture_format is not None:
        return PictureFiles(tuple(paths), picture_format), ()
    seen = survey(paths)
    wanted = seen.format(size)
    unreadable = {problem.path for problem in seen.problems}
    return PictureFiles(tuple(path for path in paths if path not in unreadable), wanted), seen.problems


def is_images(X: Any) -> bool:
    """Whether this is a list of Pillow's pictures."""
    return isinstance(X, list | tuple) and bool(X) and all(isinstance(one, Image.Image) for one in X)


def read_images(images: Sequence[Image.Image], size: Size | None, picture_format: PictureFormat | None) -> Pictures:
    """Pillow's pictures, as they would be read from files.

    Parameters
    ----------
    images : sequence of Image
    size : (height, width), optional
        To which they are resized.
    picture_format : PictureFormat, optional
        Of a model; by default their own.

    Raises
    ------
    DataError
        If sizes differ and none is given, or a picture does not fit the model.
    """
    turned = [upright(image) for image in images]
    modes = [mode_of(image) for image in turned]
    wanted = picture_format or Survey(Counter(one.size[::-1] for one in turned), Counter(modes)).format(size)
    pixels = []
    for place, (image, mode) in enumerate(zip(turned, modes, strict=True)):
        try:
            pixels.append(levels_of(image, mode, wanted))
        except UnfitError as error:
            raise DataError(f"picture {place} {error}", row=place) from error
    return Pictures(np.stack(pixels), depth=wanted.depth)


def list_pictures(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Picture files in the order of the sources: one that is named twice comes twice.

    A picture among several that is not there is listed, so that it is told of like others that cannot be read; a name
    with the brackets or stars of a pattern counts as one.

    Parameters
    ----------
    source : path-like, or several
        Folders, files or patterns.

    Raises
    ------
    DataError
        If a folder or a pattern holds no picture.
    FileNotFoundError
        If a folder does not exist, or a single picture.
    """
    if isinstance(source, str | os.PathLike):
        return find_pictures(source)
    return [path for one in source for path in ([Path(one)] if _is_file(Path(one)) else find_pictures(one))]


def _is_file(path: Path) -> bool:
    """Whether a name is that of a picture, there or not."""
    if path.suffix.lower() not in SUFFIXES or os.path.isdir(path):  # noqa: PTH112 - Path.is_dir may raise
        return False
    return os.path.lexists(path) or not glob.has_magic(str(path))


def _batched(items: Iterable[tuple[Path, Any]], n: int) -> Iterator[list[tuple[Path, Any]]]:
    rest = iter(items)
    while part := list(islice(rest, n)):
        yield part
