"""The density of feature vectors at each position of maps, from those of normal images."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.data import FloatArray

SHARED_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
SQUARED_WIDTHS = (0.4, 0.7, 1.0)
# Of the mean variance, and of the mean square of features, what is added to each variance.
RIDGE, FLOOR = 1e-3, 1e-9
# Quartile ranges above the upper quartile, from where on values count as those there: an anomalous image among the
# training images must not set the scale.
FENCE = 3.0
# Scores must not depend on how many images are scored together.
CHUNK = 8
POSITIONS_AT_ONCE = 64


@dataclass(frozen=True)
class Smoothness:
    """Two numbers that say how much the density at a position leans on others.

    Parameters
    ----------
    shared : float
        Share of the covariance of all positions in that of a position.
    squared_width : float
        Variance of a kernel, as a share of that covariance: 1 is one Gaussian, small values are nearest neighbours.
    """

    shared: float
    squared_width: float


class FeatureSums:
    """First and second moments of features at each position, of some images after the others.

    Parameters
    ----------
    n_positions, n_features : int
    centre : Tensor of shape (n_features,)
        Taken off, so that sums of squares keep their digits.
    """

    def __init__(self, n_positions: int, n_features: int, centre: Tensor) -> None:
        self.n = 0
        self.centre = centre
        self.firsts = torch.zeros(n_positions, n_features, dtype=torch.float64)
        self.seconds = torch.zeros(n_positions, n_features, n_features, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in features of images, (images, positions, features)."""
        self._change(rows, 1)

    def remove(self, rows: Tensor) -> None:
        """Take out features that were taken in."""
        self._change(rows, -1)

    def _change(self, rows: Tensor, sign: int) -> None:
        rows = (rows - self.centre).double().transpose(0, 1)
        self.n += sign * rows.shape[1]
        self.firsts += sign * rows.sum(1)
        self.seconds.baddbmm_(rows.transpose(1, 2), rows, alpha=sign)

    def at(self, positions: Tensor) -> FeatureSums:
        """Those of some positions."""
        taken = FeatureSums(0, 0, self.centre)
        taken.n, taken.firsts, taken.seconds = self.n, self.firsts[positions], self.seconds[positions]
        return taken

    @property
    def means(self) -> Tensor:
        """At each position, without the centre: (positions, features)."""
        return self.firsts / self.n

    @property
    def covariances(self) -> Tensor:
        """At each position, (positions, features, features)."""
        means = self.means
        return self.seconds / self.n - means[:, :, None] * means[:, None, :]


@dataclass(frozen=True)
class PositionDensity:
    r"""Kernels around the features of normal images at each position.

    .. math:: p(x \mid s) = \frac1M \sum_m N\big(x;\ \mu_s + \sqrt{1 - h^2}\,(x_{ms} - \mu_s),\ h^2 \Sigma_s\big),
              \qquad \Sigma_s = (1 - \lambda) S_s + \lambda \bar S

    with the mean and covariance :math:`\mu_s, S_s` of features :math:`x_{ms}` at position s, and the mean
    :math:`\bar S` of the covariances of all positions.  Its mean and covariance are :math:`\mu_s` and about
    :math:`\Sigma_s`, whatever the width h: 1 gives a Gaussian for each position, and small ones compare with the
    nearest of the exemplars.  It is the marginal likelihood of a linear model of whitened features with an exemplar
    prior.

    Parameters
    ----------
    means : Tensor of shape (positions, features)
    whitening : Tensor of shape (positions, features, features)
        Inverse of the Cholesky factor of each covariance.
    log_volumes : Tensor of shape (positions,)
        Half the logarithm of the determinant of each covariance.
    exemplars : Tensor of shape (positions, exemplars, features)
        Whitened and moved towards the mean; one at the mean where there is one Gaussian.
    squared_width : float

    References
    ----------
    West, "Approximating posterior distributions by mixtures", Journal of the Royal Statistical Society B 55(2), 1993,
    section 2, for kernels that keep mean and covariance; Defard, Setkov, Loesch and Audigier, "PaDiM", ICPR 2020
    workshops, for a Gaussian at each position; Roth et al., "Towards total recall in industrial anomaly detection",
    CVPR 2022, for nearest neighbours.
    """

    means: Tensor
    whitening: Tensor
    log_volumes: Tensor
    exemplars: Tensor
    squared_width: float

    @classmethod
    def of(cls, sums: FeatureSums, exemplars: Tensor, smoothness: Smoothness, shared: Tensor) -> PositionDensity:
        """From moments of all images and the features of some.

        Parameters
        ----------
        sums : FeatureSums
        exemplars : Tensor of shape (images, positions, features)
        smoothness : Smoothness
        shared : Tensor of shape (features, features)
            The mean of the covariances of all positions.
        """
        n_positions, n_features = sums.firsts.shape
        means = (sums.means + sums.centre).float()
        whitening = torch.empty(n_positions, n_features, n_features)
        log_volumes = torch.empty(n_positions)
        identity = torch.eye(n_features, dtype=torch.float64)
        floor = FLOOR * (float(sums.centre.square().mean()) + float(shared.diagonal().mean()) + 1e-12)
        for some in torch.arange(n_positions).split(POSITIONS_AT_ONCE):
            mixed = (1 - smoothness.shared) * sums.at(some).covariances + smoothness.shared * shared
            ridge = RIDGE * mixed.diagonal(dim1=1, dim2=2).mean(1).clamp(min=0) + floor
            factors = torch.linalg.cholesky(mixed + ridge[:, None, None] * identity)
            log_volumes[some] = factors.diagonal(dim1=1, dim2=2).log().sum(1).float()
            inverse = torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False)
            whitening[some] = inverse.float()
        if smoothness.squared_width == 1:
            kernels = torch.zeros(n_positions, 1, n_features)
        else:
            centred = exemplars.transpose(0, 1) - means[:, None]
            kernels = math.sqrt(1 - smoothness.squared_width) * (centred @ whitening.transpose(1, 2))
        return cls(means, whitening, log_volumes, kernels, smoothness.squared_width)

    def nats(self, rows: Tensor) -> Tensor:
        """Minus the log-density of features, (images, positions, features), nats: (images, positions)."""
        return torch.cat([self._chunk(some) for some in rows.split(CHUNK)])

    def _chunk(self, rows: Tensor) -> Tensor:
        n_images, _, n_features = rows.shape
        filled = torch.cat([rows, rows[-1:].expand(CHUNK - n_images, -1, -1)]) if n_images < CHUNK else rows
        white = (filled.transpose(0, 1) - self.means[:, None]) @ self.whitening.transpose(1, 2)
        squares = white.square().sum(2, keepdim=True) + self.exemplars.square().sum(2)[:, None]
        distances = (squares - 2 * white @ self.exemplars.transpose(1, 2)).clamp(min=0)
        n_exemplars = self.exemplars.shape[1]
        log_kernels = torch.logsumexp(-0.5 / self.squared_width * distances, 2) - math.log(n_exemplars)
        constant = 0.5 * n_features * math.log(2 * math.pi * self.squared_width)
        return (constant + self.log_volumes[:, None] - log_kernels).T[:n_images]


def chosen_smoothness(sums: FeatureSums, exemplars: Tensor, held_out: Tensor, seed: int) -> Smoothness:
    """The smoothness under which images that were held out are most likely, at some of the positions.

    Nats of an image beyond a fence count as the fence: an anomalous image must not choose. See `fenced`.

    Parameters
    ----------
    sums : FeatureSums
        Of the other images.
    exemplars, held_out : Tensor of shape (images, positions, features)
    seed : int
        Which positions are looked at.
    """
    n_positions = len(sums.firsts)
    some = torch.from_numpy(np.random.default_rng(seed).permutation(n_positions)[:POSITIONS_AT_ONCE].copy())
    shared, at_some = sums.covariances.mean(0), sums.at(some)
    candidates = [Smoothness(*pair) for pair in itertools.product(SHARED_SHARES, SQUARED_WIDTHS)]

    def nats(candidate: Smoothness) -> float:
        density = PositionDensity.of(at_some, exemplars[:, some], candidate, shared)
        return float(fenced(density.nats(held_out[:, some]).mean(1).double().numpy()).mean())

    return min(candidates, key=nats)


def fenced(values: FloatArray) -> FloatArray:
    """Values of images, (images, ...), those far above the upper quartile lowered to Tukey's outer fence.

    References
    ----------
    Tukey, "Exploratory data analysis", 1977, chapter 2.
    """
    lower, upper = np.quantile(values, [0.25, 0.75], axis=0)
    lowered: FloatArray = np.minimum(values, upper + FENCE * (upper - lower))
    return lowered
