"""Images in memory or in files, and how a network of the user's sees them."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.data import (
    ImageFileError,
    ImageFiles,
    ImageFormat,
    Images,
    Size,
    check_sizes,
    list_images,
    read_arrays,
    survey,
)
from vae_anomaly.detectors.inputs import OnProblems, is_files, read_portions
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.networks import Group, PretrainedNetwork, named_network

COLOURS = 3
# Brighter floats are levels in other units, and no light spots.
MAX_FLOAT = 2


@dataclass(frozen=True)
class NetworkInput:
    """A network, and how it wants images.

    Parameters
    ----------
    network : callable
    size : (int, int) or None
        Height and width that images are resized to.
    channels : int or None
        A single channel is repeated so often.
    mean, std : sequence of float or None
        Of the normalisation.
    max_pixels : int or None
        Larger images are reduced to so many for a network with weights of others.
    reads_colour : bool
        Whether files are read in colour, also where those of the fit have none.
    """

    network: Any
    size: Size | None
    channels: int | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    max_pixels: int | None
    reads_colour: bool

    @classmethod
    def of(cls, features: Any) -> NetworkInput:
        """As the parameters of `ImageFeatures` or `FeatureMapDetector` say, or else the network itself.

        Raises
        ------
        SpecificationError
            If no network has the name, or the size is none.
        NotInstalled
            If the weights of the name are not installed.
        """
        network = features.network
        if isinstance(network, str):
            network = named_network(network)
        channels, mean, std = features.channels, features.mean, features.std
        reads_colour = channels == COLOURS
        if isinstance(network, PretrainedNetwork):
            channels = COLOURS if channels is None else channels
            mean = (network.mean,) if mean is None else mean
            std = (network.std,) if std is None else std
        return cls(network, _image_shape(features), channels, mean, std, features.max_pixels, reads_colour)

    def groups(self, n_maps: int) -> tuple[Group, ...]:
        """Which maps are modelled together: what the network says, or else each by itself."""
        if isinstance(self.network, PretrainedNetwork):
            return self.network.groups
        return tuple(Group((number,)) for number in range(n_maps))

    def size_for(self, given: Size) -> Size:
        """Height and width that the network sees of images of a size.

        Raises
        ------
        DataError
            If they are too small for a network with weights of others.
        """
        size = self.size or given
        n_pixels = size[0] * size[1]
        if isinstance(self.network, PretrainedNetwork) and self.max_pixels is not None and n_pixels > self.max_pixels:
            factor = (self.max_pixels / n_pixels) ** 0.5
            size = round(size[0] * factor), round(size[1] * factor)
        if isinstance(self.network, PretrainedNetwork) and min(size) < self.network.min_side:
            side = self.network.min_side
            raise DataError(
                f"the network {self.network.weights.network} sees images of {size[0]}x{size[1]} pixels; expected at "
                f"least {side} in each direction. Give image_shape=({side}, {side}) or larger, which enlarges images "
                f"(--image-shape {side}x{side} on the command line), or fit without features (--features none)."
            )
        return size


class GivenImages(abc.ABC):
    """Images in memory or in files, read some at a time."""

    @property
    @abc.abstractmethod
    def image_format(self) -> ImageFormat:
        """Size, channels and depth."""

    @property
    @abc.abstractmethod
    def n_images(self) -> int:
        """How many there are, readable or not."""

    @abc.abstractmethod
    def portions(self, on_problems: OnProblems) -> Iterator[Images]:
        """Some images at a time; `on_problems` is called with the files that cannot be read."""

    @abc.abstractmethod
    def given_sizes(self) -> Iterator[Size]:
        """Height and width of each image, before it was resized."""

    @abc.abstractmethod
    def read(self, on_problems: OnProblems | None = None) -> Iterator[tuple[Images, npt.NDArray[np.bool_]]]:
        """Some images at a time, and which of those asked for they are; a warning, or a call, for those without."""


@dataclass(frozen=True)
class ImagesInMemory(GivenImages):
    """Images of an array; they have 8 bits, but for uint16."""

    images: Images

    @property
    def image_format(self) -> ImageFormat:
        """Size, channels and depth."""
        channels, height, width = self.images.shape
        depth = max(self.images.depth or 0, 16 if _is_deep(self.images) else 8)
        return ImageFormat(height, width, channels, depth)

    @property
    def n_images(self) -> int:
        """How many there are."""
        return self.images.n_rows

    def portions(self, on_problems: OnProblems) -> Iterator[Images]:
        """All of them."""
        yield self.images

    def given_sizes(self) -> Iterator[Size]:
        """Their one size."""
        _, height, width = self.images.shape
        yield from [(height, width)] * self.images.n_rows

    def read(self, on_problems: OnProblems | None = None) -> Iterator[tuple[Images, npt.NDArray[np.bool_]]]:
        """All of them."""
        yield self.images, np.ones(self.images.n_rows, dtype=bool)


@dataclass(frozen=True)
class ImagesInFiles(GivenImages):
    """Images of files, in the format that they are brought to."""

    files: ImageFiles

    @property
    def image_format(self) -> ImageFormat:
        """Size, channels and depth."""
        return self.files.image_format

    @property
    def n_images(self) -> int:
        """How many files there are."""
        return len(self.files)

    def portions(self, on_problems: OnProblems) -> Iterator[Images]:
        """As many as fit into memory at a time."""
        for paths, read, problems in self.files.chunks():
            on_problems(problems)
            if paths:
                yield read

    def given_sizes(self) -> Iterator[Size]:
        """Sizes of the files; that of the format where a file cannot be read."""
        wanted = self.files.image_format
        for path in self.files.paths:
            yield next(iter(survey([path]).sizes), (wanted.height, wanted.width))

    def read(self, on_problems: OnProblems | None = None) -> Iterator[tuple[Images, npt.NDArray[np.bool_]]]:
        """As many as fit into memory at a time."""
        return read_portions(self.files, on_problems)


def open_given(inputs: NetworkInput, X: Any, known: ImageFormat | None) -> GivenImages:
    """Images in memory, or files in the channels and the depth of the fit and the size of the network.

    Parameters
    ----------
    inputs : NetworkInput
    X : ndarray or Tensor of images, or path-like, or list of them
    known : ImageFormat or None
        That of the fit; without one the files themselves decide.

    Raises
    ------
    DataError
        If there are none, files of a fit have several sizes, or later ones have another size than those of the fit, and
        no `image_shape` is given.
    """
    size = inputs.size
    if not is_files(X):
        images = read_arrays(X, None)
        if not images.n_rows:
            raise DataError("there are no images; expected at least one.")
        return ImagesInMemory(images)
    paths = list_images(X)
    if known is None:
        known = survey(paths).format(size)
    channels = COLOURS if inputs.reads_colour else known.channels
    # With 8 bits black and white is 0 and 255, and grey fits in, too.
    wanted = replace(known, channels=channels, depth=max(known.depth, 8))
    check_sizes(paths, wanted)
    return ImagesInFiles(ImageFiles(tuple(paths), wanted))


def refuse(problems: Sequence[ImageFileError]) -> None:
    """Raise the first of some problems."""
    if problems:
        raise problems[0]


def prepared(inputs: NetworkInput, images: Images, first: int) -> Tensor:
    """Images as networks want them: float32, [0, 1] or standardised, of the wanted size.

    Parameters
    ----------
    inputs : NetworkInput
    images : Images
        Some images.
    first : int
        Number of the first, for messages.

    Raises
    ------
    DataError
        If pixels are missing, infinite, or beyond the levels of their dtype.
    SpecificationError
        If the normalisation has other channels than the images.
    """
    tensors = torch.from_numpy(images.pixels.astype(np.float32))
    if images.pixels.dtype.kind in "iub":
        tensors /= _top_level(images)
    elif isinstance(inputs.network, PretrainedNetwork) and tensors.isfinite().all() and tensors.abs().max() > MAX_FLOAT:
        raise DataError(
            f"pixels are floats of up to {float(tensors.abs().max()):g}, and {inputs.network.weights.network} takes "
            "them from 0 (black) to 1 (white). Give levels as uint8 or uint16, or divide them by that of white."
        )
    whole = torch.isfinite(tensors).flatten(1).all(1)
    if not bool(whole.all()):
        raise DataError(
            "an image has pixels that are missing or infinite",
            "a network takes neither. Fill them, or leave the image out.",
            row=first + int(whole.int().argmin()),
            item="image",
        )
    if inputs.channels is not None and tensors.shape[1] == 1:
        tensors = tensors.expand(-1, inputs.channels, -1, -1)
    size = inputs.size_for((tensors.shape[2], tensors.shape[3]))
    if tensors.shape[2:] != size:
        tensors = functional.interpolate(tensors, size=size, mode="bilinear", antialias=True)
    for name, change in (("mean", torch.sub), ("std", torch.div)):
        given = getattr(inputs, name)
        if given is not None:
            numbers = torch.tensor(given, dtype=torch.float32)
            if len(numbers) not in (1, tensors.shape[1]):
                raise SpecificationError(f"{name} has {len(numbers)} numbers for {tensors.shape[1]} channels.")
            tensors = change(tensors, numbers.view(1, -1, 1, 1))
    return tensors.contiguous()


def _image_shape(features: Any) -> Size | None:
    """Height and width that tensors are resized to.

    Raises
    ------
    SpecificationError
        If they are none.
    """
    if features.image_shape is None:
        return None
    size = tuple(int(side) for side in features.image_shape)
    if len(size) != 2 or min(size) < 1:
        raise SpecificationError(f"image_shape={features.image_shape!r}; expected (height, width).")
    return size[0], size[1]


def _top_level(images: Images) -> int:
    """The level of white, by depth or dtype: not by the pixels, which would make it that of the batch."""
    if images.depth is not None:
        return (1 << images.depth) - 1
    dtype = images.pixels.dtype
    if dtype.kind == "b" or _is_deep(images):
        return 1 if dtype.kind == "b" else 65_535
    lowest, highest = int(images.pixels.min()), int(images.pixels.max())
    if lowest < 0 or highest > 255:
        raise DataError(
            f"images of {dtype} hold levels from {lowest} to {highest}; expected 0 to 255. Give 16 bits as uint16, "
            "and other levels as floats from 0 to 1."
        )
    return 255


def _is_deep(images: Images) -> bool:
    dtype = images.pixels.dtype
    return dtype.kind == "u" and dtype.itemsize == 2
