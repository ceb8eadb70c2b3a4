"""Numbers some of which occur again and again: point masses beside Student-t noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_anomaly.likelihoods.continuous import bounded_features, noise_scale
from vae_anomaly.likelihoods.interval import BoundedT, IntervalStudentT, RoundedT
from vae_anomaly.likelihoods.specification import ColumnConstants, OrderedLikelihood

TOLERANCE = 1e-6


def is_at(values: Tensor, spikes: Tensor) -> Tensor:
    """Which cells (..., columns) lie at which spikes (columns, width), NaN standing for none: (..., columns, width)."""
    return (values.unsqueeze(-1) - spikes).abs() <= TOLERANCE * (1 + spikes.abs())


class SpikedT(Distribution):
    r"""Spikes at the column's frequent values, and Student-t noise for all others.

    .. math:: p(x) = \pi_k(z)\, h\, [x = c_k] + \pi_0(z)\, t(x;\ \mu(z), s)

    with :math:`h` the height of a spike: 1 for rounded columns, where the noise gives probabilities, too; otherwise
    the peak of a normal density whose standard deviation is the floor of the noise, so that a value which
    repeats exactly counts as much as noise can that is as small as it may become.

    Parameters
    ----------
    logits : Tensor of shape (..., columns, width + 1)
        Of the noise (first) and of the spikes, -inf behind the last spike of a column.
    noise : IntervalStudentT
        What the other cells are distributed like.
    log_height : float
        log h.
    """

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, logits: Tensor, noise: IntervalStudentT, log_height: float) -> None:
        self.logits = logits
        self.noise = noise
        self.log_height = log_height
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def log_shares(self) -> Tensor:
        """Logarithms of the probabilities of the noise and of each spike: (..., columns, width + 1)."""
        return self.logits.mT.log_softmax(-2).mT

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, or log-probability of a rounded cell, in nats."""
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        at = is_at(value, self.noise.constants.spikes)
        choice = torch.where(at.any(-1), at.to(torch.uint8).argmax(-1) + 1, 0).expand(shape).unsqueeze(-2)
        log_shares = self.logits.mT.log_softmax(-2).expand(*shape[:-1], -1, -1)
        noise = log_shares[..., 0, :] + self.noise.log_prob(value)
        spike = log_shares.gather(-2, choice).squeeze(-2) + self.log_height
        return torch.where(choice.squeeze(-2) > 0, torch.logaddexp(noise, spike), noise)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x)."""
        shares = self.log_shares.exp()
        spikes, cell = self.noise.constants.spikes, value.unsqueeze(-1)
        at = is_at(value, spikes)
        below = torch.where((spikes <= cell) | at, shares[..., 1:], 0.0).sum(-1)
        above = torch.where((spikes >= cell) | at, shares[..., 1:], 0.0).sum(-1)
        noise_below, noise_above = self.noise.tails(value)
        return below + shares[..., 0] * noise_below, above + shares[..., 0] * noise_above


@dataclass(frozen=True)
class SpikedStudentT(OrderedLikelihood):
    r"""Student-t noise (4 degrees of freedom) beside a few values that many cells repeat, like 0 or 40 hours.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.

    Notes
    -----
    At a spike it is the log-density of a mixture in which a normal density of standard deviation floor (in standard
    deviations of the column) stands for the spike; elsewhere that of the noise with its share: finite, and the same
    whatever the unit of the column.  The integral is the share of the noise; what a spike rises above the noise,
    times :math:`\sqrt{2 \pi}` floor, is its own share.

    References
    ----------
    Lambert, "Zero-inflated Poisson regression", Technometrics 34, 1992, section 2.
    """

    floor: float = 0.05
    standardize: ClassVar[bool] = True
    n_noise: ClassVar[int | None] = None
    slab: ClassVar[type[IntervalStudentT]] = IntervalStudentT

    def __post_init__(self) -> None:
        if not self.floor > 0:
            raise ValueError(f"floor is a number above 0 (it bounds the density of a spike), not {self.floor!r}")

    def n_parameters(self, width: int) -> int:
        return width + 2

    def n_features(self, width: int) -> int:
        return 1 + width

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        at = is_at(values, constants.spikes)
        return torch.cat([bounded_features(values).unsqueeze(-1), at.to(values.dtype)], -1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        noise = self.slab(parameters[..., 0], noise_scale(log_noise, constants.floor), constants)
        log_height = 0.0 if self.rounded else -math.log(math.sqrt(2 * math.pi) * self.floor)
        return SpikedT(parameters[..., 1:], noise, log_height)

    def summary(self, distribution: Distribution) -> Tensor:
        """Share of the noise, its mean times that, share of each spike, the spikes: (..., 2 + 2 width)."""
        assert isinstance(distribution, SpikedT)
        shares = distribution.log_shares.exp()
        noise = shares[..., :1]
        spikes = distribution.noise.constants.spikes.nan_to_num(0.0).expand_as(shares[..., 1:])
        return torch.cat([noise, noise * distribution.noise.expected.unsqueeze(-1), shares[..., 1:], spikes], -1)

    def point(self, summary: Tensor) -> Tensor:
        """The spike that holds half of the probability, else the mean."""
        width = (summary.shape[-1] - 2) // 2
        shares, spikes = summary[..., 2 : 2 + width], summary[..., 2 + width :]
        mean = summary[..., 1] + (shares * spikes).sum(-1)
        largest, which = shares.max(-1)
        return torch.where(largest >= 0.5, spikes.gather(-1, which.unsqueeze(-1)).squeeze(-1), mean)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, SpikedT)
        return distribution.tails(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, SpikedT)
        shares = distribution.log_shares.exp()
        chosen = torch.multinomial(shares.flatten(0, -2), 1, generator=generator).reshape(shares.shape[:-1])
        spikes = distribution.noise.constants.spikes.nan_to_num(0.0).expand_as(shares[..., 1:])
        spike = spikes.gather(-1, (chosen - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(chosen > 0, spike, distribution.noise.draw(generator))


@dataclass(frozen=True)
class SpikedRoundedStudentT(SpikedStudentT):
    """Spikes beside Student-t noise behind whole multiples of a step, as in `RoundedStudentT`: a probability.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.
    """

    rounded: ClassVar[bool] = True
    slab: ClassVar[type[IntervalStudentT]] = RoundedT


@dataclass(frozen=True)
class SpikedBoundedStudentT(SpikedStudentT):
    """Spikes beside Student-t noise between two bounds, as in `BoundedStudentT`.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.
    """

    slab: ClassVar[type[IntervalStudentT]] = BoundedT
