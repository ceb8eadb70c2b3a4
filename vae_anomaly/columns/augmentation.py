"""Training images changed at random, by a function of the user's or by what has a name."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns.named_augmentation import Augment, Augmentation, Levels
from vae_anomaly.data import Images, as_array
from vae_anomaly.errors import SpecificationError

MAX_SEEDS = 1 << 31


def augmented(
    images: Images,
    augment: Augment | tuple[Augmentation, ...],
    seed: int,
    dtype: npt.DTypeLike | None = None,
    levels: Levels | None = None,
) -> Images:
    """Changed images in place of the given ones, one after the other.

    Parameters
    ----------
    images : Images
        Bytes, integers or floats, of which NaN are missing.
    augment : callable or tuple of Augmentation
        From a tensor of shape (channels, height, width) to another one, or what `resolve_augment` made of names.
    seed : int
        Of a generator for what has a name, and for a function of PyTorch's own while it runs; afterwards that is as it
        was.
    dtype : dtype, optional
        What images without missing values are given as; by default what they are.
    levels : Levels, optional
        What pixels may be; by default anything.

    Raises
    ------
    SpecificationError
        If what comes back is no tensor of the same shape.

    Examples
    --------
    >>> mirrored = augmented(Images(np.arange(4).reshape(1, 1, 2, 2)), lambda one: one.flip(-1), 0)
    >>> mirrored.pixels.tolist()
    [[[[1, 0], [3, 2]]]]
    """
    if callable(augment):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return _each_changed(images, augment, dtype)
    generator = torch.Generator().manual_seed(seed)
    known = levels or Levels.of([(None, None)])

    def by_name(image: Tensor) -> Tensor:
        for one in augment:
            image = one.changed(image, generator, known)
        return image

    return _each_changed(images, by_name, dtype)


def _each_changed(images: Images, augment: Augment, dtype: npt.DTypeLike | None) -> Images:
    changed = []
    for pixels in images.pixels:
        kept = dtype is None or np.isnan(pixels).any()
        found = augment(torch.from_numpy(pixels.astype(pixels.dtype if kept else dtype)))
        if not isinstance(found, Tensor) or found.shape != pixels.shape:
            returned = type(found).__name__
            if isinstance(found, Tensor):
                returned = f"a tensor of shape {tuple(found.shape)}"
            raise SpecificationError(
                f"augment made {returned} of an image of shape {pixels.shape}; expected a tensor of the "
                "same shape, (channels, height, width)."
            )
        changed.append(as_array(found))
    return dataclasses.replace(images, pixels=np.stack(changed))
