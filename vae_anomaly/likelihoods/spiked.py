"""Numbers some of which occur again and again: point masses beside noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import CERTAIN_LOGIT, ColumnFacts, Constants, Likelihood, Traits, single
from vae_anomaly.likelihoods.distribution import OrderedDistribution, bisected_quantile
from vae_anomaly.likelihoods.noise import WrappableDistribution
from vae_anomaly.likelihoods.wrappable import WrappableLikelihood, checked_wrappable

TOLERANCE = 4e-7
MIN_HEIGHT = 1e-6
PEAK = 1 / (math.sqrt(2 * math.pi) * 0.05)


def is_at(values: Tensor, spikes: Tensor) -> Tensor:
    """Which cells (..., columns) are at which spikes (columns, width), NaN standing for none: (..., columns, width)."""
    return (values.unsqueeze(-1) - spikes).abs() <= TOLERANCE * (1 + spikes.abs())


@final
class SpikedDistribution(OrderedDistribution):
    r"""Spikes at the column's frequent values, and noise for all others.

    .. math:: p(c_k) = h\, (\pi_k(z) + \pi_0(z)\, P(c_k)), \qquad p(x) = \pi_0(z)\, f(x;\ \mu(z), s), \quad x \ne c_k

    with f the density of the noise and h the peak of a normal density whose standard deviation is a twentieth of that
    of the cells beside the spikes; for rounded columns, whose noise gives probabilities, that times the step at the
    spike, and at most 1.  The probability of the noise at the spike, :math:`P(c_k)`, is 0 for the others.

    Parameters
    ----------
    logits : Tensor of shape (..., columns, width + 1)
        Of the noise (first) and of the spikes, -inf behind the last spike of a column.
    noise : WrappableDistribution
        The distribution of the other cells.
    spikes : Tensor of shape (columns, width)
        Model units, NaN behind the last spike of a column.
    """

    def __init__(self, logits: Tensor, noise: WrappableDistribution, spikes: Tensor) -> None:
        self.logits, self.noise, self.spikes = logits, noise, spikes

    @property
    def batch_shape(self) -> torch.Size:
        return self.logits.shape[:-1]

    @property
    def log_shares(self) -> Tensor:
        """Logarithms of the probabilities of the noise and of each spike: (..., columns, width + 1)."""
        return self.logits.mT.log_softmax(-2).mT

    @property
    def log_heights(self) -> Tensor | None:
        """log h of each spike of rounded cells: (columns, width); 0 where there is none."""
        widths = [self.noise.cell_width(spike) for spike in self.spikes.unbind(-1)]
        steps = [width for width in widths if width is not None]
        if len(steps) < len(widths):
            return None
        return torch.log((PEAK * torch.stack(steps, -1)).nan_to_num(1.0).clamp(MIN_HEIGHT, 1))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, or log-probability of a rounded cell, in nats."""
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        at = is_at(value, self.spikes)
        log_heights = self.log_heights
        heights = torch.full_like(self.spikes, math.log(PEAK)) if log_heights is None else log_heights
        height = torch.where(at, heights, 0.0).sum(-1)
        choice = torch.where(at.any(-1), at.to(torch.uint8).argmax(-1) + 1, 0).expand(shape).unsqueeze(-2)
        log_shares = self.logits.mT.log_softmax(-2).expand(*shape[:-1], -1, -1)
        spike = log_shares.gather(-2, choice).squeeze(-2)
        noise = log_shares[..., 0, :] + self.noise.log_prob(value)
        if log_heights is not None:
            # Rounded noise gives the value of the spike a probability, too.
            spike = torch.logaddexp(spike, noise)
        return torch.where(choice.squeeze(-2) > 0, spike + height, noise)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        shares = self.log_shares.exp()
        spikes, cell = self.spikes, value.unsqueeze(-1)
        at = is_at(value, spikes)
        below = torch.where((spikes <= cell) | at, shares[..., 1:], 0.0).sum(-1)
        above = torch.where((spikes >= cell) | at, shares[..., 1:], 0.0).sum(-1)
        noise_below, noise_above = self.noise.tails(value)
        return below + shares[..., 0] * noise_below, above + shares[..., 0] * noise_above

    def summary(self) -> Tensor:
        """Share of the noise, its mean times that, share of each spike, the spikes: (..., 2 + 2 width)."""
        shares = self.log_shares.exp()
        noise = shares[..., :1]
        spikes = self.spikes.nan_to_num(0.0).expand_as(shares[..., 1:])
        return torch.cat([noise, noise * self.noise.mean.unsqueeze(-1), shares[..., 1:], spikes], -1)

    def point(self, summary: Tensor) -> Tensor:
        """The spike that holds half of the probability, else the mean."""
        width = (summary.shape[-1] - 2) // 2
        shares, spikes = summary[..., 2 : 2 + width], summary[..., 2 + width :]
        mean = summary[..., 1] + (shares * spikes).sum(-1)
        largest, which = shares.max(-1)
        return torch.where(largest >= 0.5, spikes.gather(-1, which.unsqueeze(-1)).squeeze(-1), mean)

    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        return bisected_quantile(self, probability, weights)

    def draw(self, generator: torch.Generator) -> Tensor:
        shares = self.log_shares.exp()
        chosen = torch.multinomial(shares.flatten(0, -2), 1, generator=generator).reshape(shares.shape[:-1])
        spikes = self.spikes.nan_to_num(0.0).expand_as(shares[..., 1:])
        spike = spikes.gather(-1, (chosen - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(chosen > 0, spike, self.noise.draw(generator))


@final
@dataclass(frozen=True)
class Spiked(Likelihood):
    r"""Noise beside a few values that most cells repeat, like no capital gain.

    Parameters
    ----------
    base : WrappableLikelihood
        Of the cells beside the spikes, rounded or bounded or neither.

    Notes
    -----
    A log-density with respect to the Lebesgue measure plus a point of weight 1 / h at each spike, so it integrates to 1
    there, is finite, and is the same whatever the unit of the column.

    References
    ----------
    Lambert, "Zero-inflated Poisson regression", Technometrics 34, 1992, section 2.

    Examples
    --------
    >>> from vae_anomaly.likelihoods import Rounded, StudentT
    >>> Spiked(Rounded(StudentT())).title
    'SpikedRoundedStudentT'
    """

    base: WrappableLikelihood

    def __post_init__(self) -> None:
        checked_wrappable(self.base, "Spiked")

    @property
    def traits(self) -> Traits:
        return replace(self.base.traits, density=False, spiked=True, for_pixels=False)

    @property
    def floor(self) -> float:
        return self.base.floor

    def n_parameters(self, width: int) -> int:
        return 1 + width + 1

    def n_features(self, width: int) -> int:
        return 1 + width

    def noise_size(self, n_columns: int) -> int:
        return self.base.noise_size(n_columns)

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        spikes = [(*column.spikes, *[math.nan] * (column.width - len(column.spikes))) for column in columns]
        return self.base.constants(columns) | {"spikes": single(spikes)}

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        at = is_at(values, constants["spikes"])
        return torch.cat([self.base.features(values, width, constants), at.to(values.dtype)], -1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        empty = column.width - len(column.spikes)
        logits = *(math.log(frequency) for frequency in column.frequencies), *[-math.inf] * empty
        return *self.base.start(column), *logits

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        at = is_at(values, constants["spikes"])
        beside = ~at.any(-1, keepdim=True)
        location = self.base.saturated(values, width, constants)
        return torch.cat([location, CERTAIN_LOGIT * torch.cat([beside, at], -1).to(values.dtype)], -1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> SpikedDistribution:
        noise = self.base.around(parameters[..., 0], log_noise, constants)
        return SpikedDistribution(parameters[..., 1:], noise, constants["spikes"])

    def marginal(self, parameters: Tensor, constants: Constants) -> SpikedDistribution:
        noise = self.base.marginal_around(parameters[..., 0], constants)
        return SpikedDistribution(parameters[..., 1:], noise, constants["spikes"])
