"""Maps that are modelled together: their density at each position, and how anomalous an image is by them."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.feature_maps.position_density import (
    FeatureSums,
    PositionDensity,
    Smoothness,
    chosen_smoothness,
    fenced,
)
from vae_anomaly.detectors.patch import smoothed, top_mean
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.networks import Group

# Images whose features are kept of each group, and how many of them a density compares with.
MAX_KEPT, MAX_EXEMPLARS = 320, 256
# Each part of these is held out once; smaller parts of few images, which miss those that are held out.
N_FOLDS, N_FOLDS_OF_FEW, FEW = 5, 20, 100
# That the densities of a group may take: 4 GiB.
MAX_NUMBERS = 1 << 30
# Positions, over which expected nats are averaged.
SMOOTHING_OF_EXPECTED = 1.0
# Fewer images say little of how much their scores vary.
MIN_FOR_TAIL = 4
# Standard deviations of a sum of squares of so many independent numbers, as a share.
MIN_SCALE = 0.01
LOWEST, LARGE = -6.0, 30.0

Learned = TypeVar("Learned")


@dataclass(frozen=True)
class TopTail:
    r"""How likely a normal image is to have so high a top, by a Gumbel distribution.

    The top of a map is close to a maximum over many positions, whose limit is a Gumbel distribution; its moments are
    those of images that were held out, tops beyond a fence counted as the fence: see `fenced`.

    Parameters
    ----------
    location, scale : float
        Nats.

    References
    ----------
    Coles, "An introduction to statistical modeling of extreme values", Springer 2001, section 3.1.
    """

    location: float
    scale: float

    @classmethod
    def of(cls, tops: FloatArray, spread: float, min_scale: float) -> TopTail:
        """By the method of moments, winsorized.

        Parameters
        ----------
        tops : ndarray of shape (images,)
            Of images that were held out.
        spread : float
            Standard deviation of single values of their maps, which counts where there are too few images.
        min_scale : float
        """
        tops = fenced(tops)
        deviation = float(tops.std(ddof=1)) if len(tops) >= MIN_FOR_TAIL else spread
        scale = max(deviation * math.sqrt(6) / math.pi, min_scale)
        return cls(float(tops.mean()) - float(np.euler_gamma) * scale, scale)

    def surprise(self, tops: FloatArray) -> FloatArray:
        """Minus the logarithm of the chance of a higher top, nats."""
        standard = np.maximum((tops - self.location) / self.scale, LOWEST)
        near = -np.log(-np.expm1(-np.exp(-np.minimum(standard, LARGE))))
        surprise: FloatArray = np.where(standard < LARGE, near, standard)
        return surprise


@dataclass(frozen=True)
class MapGroup:
    """A fitted density of maps that are modelled together.

    Parameters
    ----------
    group : Group
        Which maps these are.
    density : PositionDensity
    smoothness : Smoothness
        That of the density.
    expected : Tensor of shape (height, width)
        Nats of normal images at each position.
    tail : TopTail
        Of the tops of normal images.
    """

    group: Group
    density: PositionDensity
    smoothness: Smoothness
    expected: Tensor
    tail: TopTail

    def excess(self, rows: Tensor) -> FloatArray:
        """Nats above what is expected at each position, of features (images, positions, features)."""
        nats = self.density.nats(rows).unflatten(1, tuple(self.expected.shape))
        excess: FloatArray = (nats - self.expected).double().numpy()
        return excess

    def surprise(self, excess: FloatArray, top_fraction: float) -> FloatArray:
        """Of each image by the mean of the largest share of its map, nats."""
        return self.tail.surprise(tops(excess, top_fraction))


class GroupSample:
    """What is kept of the features of training images, which are seen once, to fit the density of a group.

    Parameters
    ----------
    group : Group
    size : (int, int)
        Height and width of the maps.
    first : Tensor of shape (images, positions, features)
        Of the first images.
    """

    def __init__(self, group: Group, size: tuple[int, int], first: Tensor) -> None:
        n_positions, n_features = first.shape[1:]
        n_numbers = n_positions * n_features * (4 * n_features + MAX_EXEMPLARS)
        if n_numbers > MAX_NUMBERS:
            raise SpecificationError(
                f"the maps have {size[0]}x{size[1]} positions with {n_features} features, whose densities take "
                f"{4 * n_numbers / 2**30:.1f} GiB; expected at most {4 * MAX_NUMBERS / 2**30:.0f}. Give a smaller "
                "image_shape, or a network with smaller maps."
            )
        self.group, self.size = group, size
        # Those of fine maps, which only locate, would take most of the memory of a model.
        self.n_exemplars = MAX_EXEMPLARS if group.scores else MAX_EXEMPLARS // 2
        self.sums = FeatureSums(n_positions, n_features, first.mean((0, 1)))
        # The last place is first.
        self.kept: list[tuple[int, Tensor]] = []

    def add(self, rows: Tensor, ranks: Tensor) -> None:
        """Take in features of some images, (images, positions, features), and their places in a random order.

        Of the images that can be read, those of the first places are kept.
        """
        self.sums.add(rows)
        for rank, row in zip(ranks.tolist(), rows, strict=True):
            if len(self.kept) < MAX_KEPT:
                heapq.heappush(self.kept, (-rank, row.clone()))
            elif -rank > self.kept[0][0]:
                heapq.heapreplace(self.kept, (-rank, row.clone()))

    def fitted(self, top_fraction: float, seed: int) -> FittedGroup:
        """The density of all images, and what densities of the others say of those that are kept."""
        n_kept = len(self.kept)
        if n_kept < 2:
            raise DataError("there are too few images to learn from; expected at least two that can be read.")
        self.kept.sort(reverse=True)
        ranks = np.array([-place for place, _ in self.kept])
        kept = torch.stack([row for _, row in self.kept])
        self.kept.clear()
        n_first = max(1, n_kept // N_FOLDS)
        smoothness = self._without(
            kept, 0, n_first, lambda others: chosen_smoothness(self.sums, others, kept[:n_first], seed)
        )
        n_folds = min(n_kept, N_FOLDS_OF_FEW if n_kept < FEW else N_FOLDS)
        # Where an image is odd needs less precision than whether it is.
        ends = np.linspace(0, n_kept, n_folds + 1).astype(int).tolist() if self.group.scores else [0, n_first]
        nats = torch.cat(
            [
                self._without(kept, begin, end, lambda others: self._density(others, smoothness)).nats(kept[begin:end])
                for begin, end in itertools.pairwise(ends)
            ]
        ).unflatten(1, self.size)
        expected = torch.from_numpy(smoothed(fenced(nats.double().numpy()).mean(0), SMOOTHING_OF_EXPECTED)).float()
        excess = (nats - expected).double().numpy()
        min_scale = MIN_SCALE * math.sqrt(kept.shape[2] / 2)
        tail = TopTail.of(tops(excess, top_fraction), float(excess.std()), min_scale)
        density = self._density(kept[: self.n_exemplars], smoothness)
        group = MapGroup(self.group, density, smoothness, expected, tail)
        return FittedGroup(group, excess, ranks[: len(excess)], n_first)

    def _without(self, kept: Tensor, begin: int, end: int, learn: Callable[[Tensor], Learned]) -> Learned:
        """Learn while some of the images that are kept are held out, from the sums and exemplars of the others."""
        self.sums.remove(kept[begin:end])
        found = learn(torch.cat([kept[:begin], kept[end:]])[: self.n_exemplars])
        self.sums.add(kept[begin:end])
        return found

    def _density(self, exemplars: Tensor, smoothness: Smoothness) -> PositionDensity:
        return PositionDensity.of(self.sums, exemplars, smoothness, self.sums.covariances.mean(0))


@dataclass(frozen=True)
class FittedGroup:
    """The density of a group, and images by densities that have not seen them.

    Parameters
    ----------
    group : MapGroup
        Of all images.
    excess : ndarray of shape (images, height, width)
        Of images that were held out once: nats above what is expected.
    ranks : int64 ndarray of shape (images,)
        Which images these are, by their places in the random order.
    n_first : int
        How many of them chose the smoothness: those of which all groups have the excess.
    """

    group: MapGroup
    excess: FloatArray
    ranks: npt.NDArray[np.int64]
    n_first: int


def tops(maps: FloatArray, top_fraction: float) -> FloatArray:
    """Mean of the largest share of each map, and of one value at least: (images,)."""
    n_top = math.ceil(top_fraction * maps[0].size) if len(maps) else 1
    return np.array([top_mean(one, n_top) for one in maps])


def joined(maps: Sequence[Tensor]) -> tuple[Tensor, tuple[int, int]]:
    """Maps of a group at the size of the smallest of them, as rows (images, positions, features), and that size."""
    height, width = min((part.shape[2:] for part in maps), key=math.prod)
    parts = [
        part if part.shape[2:] == (height, width) else torch.nn.functional.adaptive_avg_pool2d(part, (height, width))
        for part in maps
    ]
    return torch.cat([part.float() for part in parts], 1).flatten(2).transpose(1, 2).contiguous(), (height, width)
