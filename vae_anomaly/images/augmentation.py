"""Training pictures changed at random by a function of the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from vae_anomaly.errors import SpecificationError
from vae_anomaly.images.pictures import Pictures

Augment: TypeAlias = Callable[[Tensor], Tensor]

MOST_SEEDS = 1 << 31


def augmented(pictures: Pictures, augment: Augment, seed: int) -> Pictures:
    """Changed pictures in place of the given ones.

    Parameters
    ----------
    pictures : Pictures
        Of shape (pictures, channels, height, width).
    augment : callable
        From a tensor of that shape to another one.
    seed : int
        Of PyTorch's generator while it runs; afterwards that is as it was.

    Raises
    ------
    SpecificationError
        If what comes back is no tensor of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> mirrored = augmented(Pictures(np.arange(4).reshape(1, 1, 2, 2)), lambda some: some.flip(-1), 0)
    >>> mirrored.pixels.tolist()
    [[[[1, 0], [3, 2]]]]
    """
    given = torch.from_numpy(pictures.pixels.copy())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        changed = augment(given)
    shape = tuple(getattr(changed, "shape", ()))
    if not isinstance(changed, Tensor) or shape != tuple(given.shape):
        said = f"a tensor of shape {shape}" if isinstance(changed, Tensor) else type(changed).__name__
        raise SpecificationError(
            f"augment made {said} of pictures of shape {tuple(given.shape)}; expected a tensor of the same shape, "
            "(pictures, channels, height, width)."
        )
    return dataclasses.replace(pictures, pixels=changed.detach().cpu().numpy())
