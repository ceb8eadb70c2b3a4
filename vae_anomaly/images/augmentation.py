"""Training pictures changed at random by a function of the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.errors import SpecificationError
from vae_anomaly.images.pictures import Pictures, as_array

Augment: TypeAlias = Callable[[Tensor], Tensor]

MOST_SEEDS = 1 << 31


def augmented(pictures: Pictures, augment: Augment, seed: int, dtype: npt.DTypeLike | None = None) -> Pictures:
    """Changed pictures in place of the given ones, one after the other.

    Parameters
    ----------
    pictures : Pictures
        Bytes, integers or floats, of which NaN are missing.
    augment : callable
        From a tensor of shape (channels, height, width) to another one.
    seed : int
        Of PyTorch's generator while it runs; afterwards that is as it was.
    dtype : dtype, optional
        What pictures without holes are given as; by default what they are.

    Raises
    ------
    SpecificationError
        If what comes back is no tensor of the same shape.

    Examples
    --------
    >>> mirrored = augmented(Pictures(np.arange(4).reshape(1, 1, 2, 2)), lambda one: one.flip(-1), 0)
    >>> mirrored.pixels.tolist()
    [[[[1, 0], [3, 2]]]]
    """
    changed = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for pixels in pictures.pixels:
            kept = dtype is None or np.isnan(pixels).any()
            found = augment(torch.from_numpy(pixels.astype(pixels.dtype if kept else dtype)))
            if not isinstance(found, Tensor) or found.shape != pixels.shape:
                said = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
                raise SpecificationError(
                    f"augment made {said} of a picture of shape {pixels.shape}; expected a tensor of the same shape, "
                    "(channels, height, width)."
                )
            changed.append(as_array(found))
    return dataclasses.replace(pictures, pixels=np.stack(changed))
