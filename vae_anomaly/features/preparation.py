"""Pictures in memory or in files, and how a network of the user's sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.detector.inputs import is_files
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.images.files import PictureError, survey
from vae_anomaly.images.folders import PictureFiles, list_pictures
from vae_anomaly.images.formats import PictureFormat, Size
from vae_anomaly.images.pictures import Pictures, read_arrays


def opened(features: Any, X: Any, known: PictureFormat | None) -> Pictures | PictureFiles:
    """Pictures in memory, or files in the channels and the depth of the fit and the size of the network.

    Parameters
    ----------
    features : ImageFeatures or FeatureMapDetector
        With the parameters of the network.
    X : ndarray or Tensor of pictures, or path-like, or list of them
    known : PictureFormat or None
        That of the fit; without one the files themselves decide.

    Raises
    ------
    DataError
        If there are none, or files have several sizes and no `image_size` is given.
    """
    size = image_size(features)
    if not is_files(X):
        pictures = read_arrays(X, None)
        if not pictures.n_rows:
            raise DataError("there are no pictures; expected at least one.")
        return pictures
    paths = list_pictures(X)
    if known is None or size is None:
        seen = survey(paths)
        if known is None or seen.n_pictures:
            own = seen.format(size)
            known, size = known or own, (own.height, own.width)
    height, width = size or (known.height, known.width)
    channels = 3 if features.channels == 3 else known.channels
    # With 8 bits black and white is 0 and 255, and grey fits in, too.
    return PictureFiles(tuple(paths), PictureFormat(height, width, channels, max(known.depth, 8)))


def format_of(pictures: Pictures | PictureFiles) -> PictureFormat:
    """Size, channels and depth of pictures that were opened; those in memory have 8 bits, but for uint16."""
    if isinstance(pictures, PictureFiles):
        return pictures.picture_format
    channels, height, width = pictures.shape
    return PictureFormat(height, width, channels, max(pictures.depth or 0, 16 if _is_deep(pictures) else 8))


def portions(pictures: Pictures | PictureFiles, tell: Callable[[Sequence[PictureError]], None]) -> Iterator[Pictures]:
    """Pictures some at a time, if they are files; `tell` hears of those that cannot be read."""
    if isinstance(pictures, Pictures):
        yield pictures
        return
    for paths, read, problems in pictures.chunks():
        tell(problems)
        if paths:
            yield read


def refuse(problems: Sequence[PictureError]) -> None:
    """Raise the first of some problems."""
    if problems:
        raise problems[0]


def shown_sizes(pictures: Pictures | PictureFiles) -> Iterator[Size]:
    """Height and width of each picture, before it was resized."""
    if isinstance(pictures, Pictures):
        _, height, width = pictures.shape
        yield from [(height, width)] * pictures.n_rows
        return
    wanted = pictures.picture_format
    for path in pictures.paths:
        yield next(iter(survey([path]).sizes), (wanted.height, wanted.width))


def prepared(features: Any, pictures: Pictures, first: int) -> Tensor:
    """Images as networks want them: float32, [0, 1] or standardised, of the wanted size.

    Parameters
    ----------
    features : ImageFeatures or FeatureMapDetector
        With the parameters of the network.
    pictures : Pictures
        Some pictures.
    first : int
        Number of the first, for messages.

    Raises
    ------
    DataError
        If pixels are missing, infinite, or beyond the levels of their dtype.
    SpecificationError
        If the normalisation has other channels than the pictures.
    """
    images = torch.from_numpy(pictures.pixels.astype(np.float32))
    if pictures.pixels.dtype.kind in "iub":
        images /= _top_level(pictures)
    whole = torch.isfinite(images).flatten(1).all(1)
    if not bool(whole.all()):
        row = first + int(whole.int().argmin())
        raise DataError(
            f"picture {row} has pixels that are missing or infinite, and a network takes neither. Fill them, or leave "
            "it out.",
            row=row,
        )
    if features.channels is not None and images.shape[1] == 1:
        images = images.expand(-1, features.channels, -1, -1)
    size = image_size(features)
    if size is not None and images.shape[2:] != size:
        images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    for name, change in (("mean", torch.sub), ("std", torch.div)):
        given = getattr(features, name)
        if given is not None:
            numbers = torch.tensor(given, dtype=torch.float32)
            if len(numbers) not in (1, images.shape[1]):
                raise SpecificationError(f"{name} has {len(numbers)} numbers for {images.shape[1]} channels.")
            images = change(images, numbers.view(1, -1, 1, 1))
    return images.contiguous()


def image_size(features: Any) -> Size | None:
    """Height and width that images are resized to.

    Raises
    ------
    SpecificationError
        If they are none.
    """
    if features.image_size is None:
        return None
    size = tuple(int(side) for side in features.image_size)
    if len(size) != 2 or min(size) < 1:
        raise SpecificationError(f"image_size={features.image_size!r}; expected (height, width).")
    return size[0], size[1]


def _top_level(pictures: Pictures) -> int:
    """The level of white, by depth or dtype: not by the pixels, which would make it that of the batch."""
    if pictures.depth is not None:
        return (1 << pictures.depth) - 1
    dtype = pictures.pixels.dtype
    if dtype.kind == "b" or _is_deep(pictures):
        return 1 if dtype.kind == "b" else 65_535
    lowest, highest = int(pictures.pixels.min()), int(pictures.pixels.max())
    if lowest < 0 or highest > 255:
        raise DataError(
            f"pictures of {dtype} hold levels from {lowest} to {highest}; expected 0 to 255. Give 16 bits as uint16, "
            "and other levels as floats from 0 to 1."
        )
    return 255


def _is_deep(pictures: Pictures) -> bool:
    dtype = pictures.pixels.dtype
    return dtype.kind == "u" and dtype.itemsize == 2
