"""Numbers some of which occur again and again: point masses beside Student-t noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_anomaly.likelihoods.base import CERTAIN_LOGIT, ColumnConstants, OrderedLikelihood
from vae_anomaly.likelihoods.continuous import bounded_features, check_floor, noise_scale
from vae_anomaly.likelihoods.interval import (
    BoundedT,
    IntervalStudentT,
    PlainNormal,
    RoundedNormal,
    RoundedT,
    best_center,
)

TOLERANCE = 4e-7
MIN_HEIGHT = 1e-6
PEAK = 1 / (math.sqrt(2 * math.pi) * 0.05)


def is_at(values: Tensor, spikes: Tensor) -> Tensor:
    """Which cells (..., columns) lie at which spikes (columns, width), NaN standing for none: (..., columns, width)."""
    return (values.unsqueeze(-1) - spikes).abs() <= TOLERANCE * (1 + spikes.abs())


class SpikedT(Distribution):
    r"""Spikes at the column's frequent values, and Student-t noise for all others.

    .. math:: p(c_k) = h\, (\pi_k(z) + \pi_0(z)\, P_t(c_k)), \qquad p(x) = \pi_0(z)\, t(x;\ \mu(z), s), \quad x \ne c_k

    with h the peak of a normal density whose standard deviation is a twentieth of that of the cells beside the spikes;
    for rounded columns, whose noise gives probabilities, that times the step at the spike, and at most 1.  The
    probability of the noise at the spike, :math:`P_t(c_k)`, is 0 for the others.

    Parameters
    ----------
    logits : Tensor of shape (..., columns, width + 1)
        Of the noise (first) and of the spikes, -inf behind the last spike of a column.
    noise : IntervalStudentT
        What the other cells are distributed like.
    """

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, logits: Tensor, noise: IntervalStudentT) -> None:
        self.logits = logits
        self.noise = noise
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def log_shares(self) -> Tensor:
        """Logarithms of the probabilities of the noise and of each spike: (..., columns, width + 1)."""
        return self.logits.mT.log_softmax(-2).mT

    @property
    def log_heights(self) -> Tensor:
        """log h of each spike: (columns, width); 0 where there is none."""
        spikes = self.noise.constants.spikes
        if not isinstance(self.noise, RoundedT):
            return torch.full_like(spikes, math.log(PEAK))
        steps = torch.stack([self.noise.step_at(spike) for spike in spikes.unbind(-1)], -1)
        return torch.log((PEAK * steps).nan_to_num(1.0).clamp(MIN_HEIGHT, 1))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, or log-probability of a rounded cell, in nats."""
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        at = is_at(value, self.noise.constants.spikes)
        height = torch.where(at, self.log_heights, 0.0).sum(-1)
        choice = torch.where(at.any(-1), at.to(torch.uint8).argmax(-1) + 1, 0).expand(shape).unsqueeze(-2)
        log_shares = self.logits.mT.log_softmax(-2).expand(*shape[:-1], -1, -1)
        spike = log_shares.gather(-2, choice).squeeze(-2)
        noise = log_shares[..., 0, :] + self.noise.log_prob(value)
        if isinstance(self.noise, RoundedT):
            # Rounded noise gives the value of the spike a probability, too.
            spike = torch.logaddexp(spike, noise)
        return torch.where(choice.squeeze(-2) > 0, spike + height, noise)

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
    r"""Student-t noise (4 degrees of freedom) beside a few values that most cells repeat, like no capital gain.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.

    Notes
    -----
    A log-density with respect to the Lebesgue measure plus a point of weight 1 / h at each spike, so it integrates to 1
    there, is finite, and is the same whatever the unit of the column.

    References
    ----------
    Lambert, "Zero-inflated Poisson regression", Technometrics 34, 1992, section 2.
    """

    floor: float = 0.05
    standardize: ClassVar[bool] = True
    n_noise: ClassVar[int | None] = None
    slab: ClassVar[type[IntervalStudentT]] = IntervalStudentT
    marginal_slab: ClassVar[type[IntervalStudentT]] = PlainNormal

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def n_parameters(self, width: int) -> int:
        return width + 2

    def n_features(self, width: int) -> int:
        return 1 + width

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        at = is_at(values, constants.spikes)
        return torch.cat([bounded_features(values).unsqueeze(-1), at.to(values.dtype)], -1)

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        at = is_at(values, constants.spikes)
        beside = ~at.any(-1, keepdim=True)
        center = best_center(self.slab, values, constants).unsqueeze(-1)
        return torch.cat([center, CERTAIN_LOGIT * torch.cat([beside, at], -1).to(values.dtype)], -1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        noise = self.slab(parameters[..., 0], noise_scale(log_noise, constants.floor), constants)
        return SpikedT(parameters[..., 1:], noise)

    def marginal(self, parameters: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(parameters.new_zeros(1), constants.floor)
        return SpikedT(parameters[..., 1:], self.marginal_slab(parameters[..., 0], scale, constants))

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
    """Spikes beside Student-t noise behind whole multiples of a step, as in `RoundedStudentT`.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.
    """

    rounded: ClassVar[bool] = True
    slab: ClassVar[type[IntervalStudentT]] = RoundedT
    marginal_slab: ClassVar[type[IntervalStudentT]] = RoundedNormal


@dataclass(frozen=True)
class SpikedBoundedStudentT(SpikedStudentT):
    """Spikes beside Student-t noise between two bounds, as in `BoundedStudentT`.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the cells beside the spikes.
    """

    slab: ClassVar[type[IntervalStudentT]] = BoundedT
    marginal_slab: ClassVar[type[IntervalStudentT]] = BoundedT
