"""Changes of training images that go by a name: they leave normal images normal, and so may be written into files."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from vae_anomaly.errors import SpecificationError

Augment: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Levels:
    """The lowest and the highest grey level that the pixels of each channel may have.

    Parameters
    ----------
    low, high : Tensor of shape (channels, 1, 1)
        Infinite where nothing is known.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, bounds: Iterable[tuple[float | None, float | None]]) -> Levels:
        """Levels of the channels one by one, None where nothing is known."""
        pairs = [(-torch.inf if low is None else low, torch.inf if high is None else high) for low, high in bounds]
        low, high = torch.tensor(pairs, dtype=torch.float64).T[..., None, None]
        return cls(low, high)


class Augmentation(abc.ABC):
    """A change at random that goes by a name."""

    for_squares: ClassVar[bool]
    """Whether only square images stay as they are in size."""

    @abc.abstractmethod
    def changed(self, image: Tensor, generator: torch.Generator, levels: Levels) -> Tensor:
        """The image, changed.

        Parameters
        ----------
        image : Tensor of shape (channels, height, width)
            Bytes, integers or floats, of which NaN are missing.
        generator : Generator
            Source of everything random.
        levels : Levels
            What pixels may be.
        """


@dataclass(frozen=True)
class Flips(Augmentation):
    """Left and right change places, and so do up and down, each by chance.

    Parameters
    ----------
    chance : float
        Of each of the two.
    """

    chance: float = 0.5

    for_squares: ClassVar[bool] = False

    def changed(self, image: Tensor, generator: torch.Generator, levels: Levels) -> Tensor:
        drawn = torch.rand(2, generator=generator) < self.chance
        return image.flip([axis for axis, flipped in zip((-1, -2), drawn.tolist(), strict=True) if flipped])


@dataclass(frozen=True)
class Rotations(Augmentation):
    """None, one, two or three turns by 90 degrees, each as likely."""

    for_squares: ClassVar[bool] = True

    def changed(self, image: Tensor, generator: torch.Generator, levels: Levels) -> Tensor:
        return image.rot90(int(torch.randint(4, (), generator=generator)), (-2, -1))


@dataclass(frozen=True)
class Shifts(Augmentation):
    """A shift by whole pixels up or down, and left or right; pixels of the edge are repeated where others left.

    Parameters
    ----------
    n_per_side : int
        The largest shift is the side divided by it, rounded down.
    """

    n_per_side: int = 16

    for_squares: ClassVar[bool] = False

    def changed(self, image: Tensor, generator: torch.Generator, levels: Levels) -> Tensor:
        for axis in (-2, -1):
            side = image.shape[axis]
            largest = side // self.n_per_side
            shift = int(torch.randint(-largest, largest + 1, (), generator=generator))
            image = image.index_select(axis, (torch.arange(side) - shift).clamp(0, side - 1))
        return image


@dataclass(frozen=True)
class Brightness(Augmentation):
    """All pixels times one factor, within the levels that they may have.

    Parameters
    ----------
    least, most : float
        Of the factor.
    """

    least: float = 0.9
    most: float = 1.1

    for_squares: ClassVar[bool] = False

    def changed(self, image: Tensor, generator: torch.Generator, levels: Levels) -> Tensor:
        factor = self.least + (self.most - self.least) * float(torch.rand((), generator=generator))
        pixels = (image.double() * factor).clamp(levels.low, levels.high)
        if not image.dtype.is_floating_point:
            limits = torch.iinfo(image.dtype)
            pixels = pixels.round().clamp(limits.min, limits.max)
        return pixels.to(image.dtype)


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "flips": Flips,
    "rotations": Rotations,
    "shifts": Shifts,
    "brightness": Brightness,
}


def resolve_augment(augment: Augment | Sequence[str] | None) -> Augment | tuple[Augmentation, ...] | None:
    """What changes training images: a function as it is, or what stands for names, each once.

    Parameters
    ----------
    augment : callable, str, sequence of str or None

    Returns
    -------
    callable, tuple of Augmentation or None
        None where nothing changes them.

    Raises
    ------
    SpecificationError
        If there is no such name.

    Examples
    --------
    >>> resolve_augment(["flips", "shifts"])
    (Flips(chance=0.5), Shifts(n_per_side=16))
    """
    if augment is None or callable(augment):
        return augment
    names = [augment] if isinstance(augment, str) else list(augment)
    for name in names:
        if not isinstance(name, str) or name not in AUGMENTATIONS:
            raise SpecificationError(
                f"augment has {name!r}; expected names out of {', '.join(AUGMENTATIONS)}, or a function of yours."
            )
    return tuple(AUGMENTATIONS[name]() for name in dict.fromkeys(names)) or None


def check_suits_size(augment: Augment | tuple[Augmentation, ...] | None, height: int, width: int) -> None:
    """Refuse changes that images of a size do not have.

    Raises
    ------
    SpecificationError
        If images are not square, and have to be.
    """
    if augment is None or callable(augment) or height == width:
        return
    for name, kind in AUGMENTATIONS.items():
        if kind.for_squares and any(type(one) is kind for one in augment):
            raise SpecificationError(
                f"augment has {name!r}, which are for square images, and these have {height}x{width} pixels (height x "
                "width). Leave it out, or make them square, with image_shape=(height, width) for instance."
            )
