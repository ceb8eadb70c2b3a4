"""Likelihoods that are probabilities: cells are flags, levels or counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution
from torch.distributions import Poisson as PoissonDistribution

from vae_anomaly.likelihoods.specification import ColumnConstants, Likelihood, OrderedLikelihood, mixed

MAX_LOG_RATE = 30.0
STIRLING_FROM = 20


@dataclass(frozen=True)
class Bernoulli(OrderedLikelihood):
    """Cells in {0, 1}; the negative log-likelihood is the binary cross-entropy.

    Grey values between 0 and 1 are accepted, as the textbook image models do, but the result is then no
    log-likelihood: use `ContinuousBernoulli` where the number matters.
    """

    support: ClassVar[str] = "numbers in [0, 1]"

    def supports(self, values: Tensor) -> Tensor:
        return (values >= 0) & (values <= 1)

    def start(self, mean: float) -> tuple[float, ...]:
        bounded = min(max(mean, 1e-3), 1 - 1e-3)
        return (math.log(bounded / (1 - bounded)),)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return BernoulliDistribution(logits=parameters.squeeze(-1), validate_args=False)

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        share = distribution.mean
        lower = torch.where(values < 0, 0.0, torch.where(values < 1, 1 - share, 1.0))
        upper = torch.where(values > 1, 0.0, torch.where(values > 0, share, 1.0))
        return lower, upper

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(distribution.mean, generator=generator)


class LogRatePoisson(PoissonDistribution):
    """A Poisson distribution that keeps the logarithm of its rate, which neither underflows nor loses digits."""

    def __init__(self, log_rate: Tensor) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.exp(), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of counts in nats.

        With d = log(rate / v) it is ``v (d - expm1(d)) - (log v! - v log v + v)``: terms that do not cancel, so
        that float32 suffices for counts of millions.
        """
        count = value.clamp(min=1)
        ratio = self.log_rate - count.log()
        exact = torch.lgamma(count + 1) - count * count.log() + count
        series = 1 / (12 * count) - 1 / (360 * count**3) + 1 / (1260 * count**5)
        stirling = 0.5 * torch.log(2 * math.pi * count) + series
        positive = count * (ratio - torch.expm1(ratio)) - torch.where(count < STIRLING_FROM, exact, stirling)
        return torch.where(value >= 1, positive, -self.rate)


@dataclass(frozen=True)
class Poisson(OrderedLikelihood):
    """Counts with a rate that depends on the latent variables; the decoder gives its logarithm."""

    support: ClassVar[str] = "counts (0, 1, 2, ...)"

    def supports(self, values: Tensor) -> Tensor:
        return (values >= 0) & (values == values.floor()) & torch.isfinite(values)

    def start(self, mean: float) -> tuple[float, ...]:
        return (math.log(max(mean, 1e-3)),)

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return torch.log1p(values).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return LogRatePoisson(parameters.squeeze(-1).clamp(max=MAX_LOG_RATE))

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        rate = distribution.mean
        count = values.floor().clamp(min=0)
        above = torch.special.gammainc(count.clamp(min=1).expand_as(rate), rate)
        lower = torch.where(values < 0, 0.0, torch.special.gammaincc((count + 1).expand_as(rate), rate))
        return lower, torch.where(values <= 0, 1.0, above)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        return torch.poisson(distribution.mean, generator=generator)


class OpenCategorical(Distribution):
    r"""Levels 0 to K - 1, and a tail for what training never saw.

    With :math:`u` the probability of the unseen and :math:`\lambda` the smoothing,

    .. math:: p(k) = (1 - u) \left[(1 - \lambda)\, \mathrm{softmax}(\ell)_k + \lambda / K\right], \quad k < K,

    and code :math:`K - 1 + i` stands for a value :math:`i = 1, 2, \dots` steps away from the nearest seen level, with
    probability :math:`u / (i (i + 1))`.  The probabilities of all codes sum to 1.

    Parameters
    ----------
    logits : Tensor of shape (..., columns, width)
        Of the levels; a column with K < width levels has -inf behind them.
    n_levels : Tensor of shape (columns,)
        K.
    unseen : Tensor of shape (columns,)
        u.
    smoothing : float
        Lambda.
    """

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, logits: Tensor, n_levels: Tensor, unseen: Tensor, smoothing: float) -> None:
        self.logits = logits
        self.n_levels = n_levels
        self.unseen = unseen
        self.smoothing = smoothing
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def probs(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them."""
        places = torch.arange(self.logits.shape[-1], device=self.logits.device)
        uniform = (places < self.n_levels.unsqueeze(-1)) / self.n_levels.unsqueeze(-1)
        return (1 - self.smoothing) * self.logits.softmax(-1) + self.smoothing * uniform

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes; those from K on are the tail of the unseen."""
        last = self.n_levels - 1
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        code = torch.minimum(value, last).clamp(min=0).long().expand(shape).unsqueeze(-2)
        # Levels before columns: a softmax over a short last axis is several times slower.
        logits = self.logits.mT.expand(*shape[:-1], -1, -1)
        if self.smoothing > 0:
            fitted = logits.softmax(-2).gather(-2, code).squeeze(-2)
            smoothed = torch.log((1 - self.smoothing) * fitted + self.smoothing / self.n_levels)
        else:
            smoothed = logits.log_softmax(-2).gather(-2, code).squeeze(-2)
        steps = (value - last).clamp(min=1)
        tail = self.unseen.log() - steps.log() - (steps + 1).log()
        return torch.where(value <= last, smoothed + torch.log1p(-self.unseen), tail)


@dataclass(frozen=True)
class Categorical(Likelihood):
    """One of K levels, text or number, with a finite surprise for levels that training never saw.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of a uniform distribution mixed into the network's, so that no seen level costs more than
        ``log(K / smoothing)`` nats.

    Notes
    -----
    The probability of an unseen level is ``1 / (n + 1)`` for a column with n observed cells in training: the next
    cell is new about as often as one new thing in n + 1 trials.  It is halved for every level of a text column, and
    falls with the squared distance (in steps of the column) for numeric levels.

    Examples
    --------
    >>> Categorical().n_parameters(5)
    5
    """

    smoothing: float = 1e-3
    support: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing lies in [0, 1), not {self.smoothing!r}")

    def n_parameters(self, width: int) -> int:
        return width

    def n_features(self, width: int) -> int:
        return width

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        levels = torch.arange(width, dtype=values.dtype, device=values.device)
        return (values.unsqueeze(-1) == levels).to(values.dtype)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return OpenCategorical(parameters, constants.n_levels, constants.unseen, self.smoothing)

    def summary(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, OpenCategorical)
        return distribution.probs

    def point(self, summary: Tensor) -> Tensor:
        return summary.argmax(-1).to(summary.dtype)

    def tail_probability(self, distribution: Distribution, values: Tensor, weights: Tensor) -> Tensor:
        assert isinstance(distribution, OpenCategorical)
        probabilities = mixed(distribution.probs, weights.unsqueeze(-1))
        code = torch.minimum(values, distribution.n_levels - 1).clamp(min=0).long().unsqueeze(-1)
        own = probabilities.gather(-1, code)
        at_most = torch.where(probabilities <= own * (1 + 1e-5), probabilities, 0.0).sum(-1)
        steps = (values - distribution.n_levels + 1).clamp(min=1)
        unseen = distribution.unseen
        return torch.where(values < distribution.n_levels, (1 - unseen) * at_most + unseen, unseen / steps).clamp(max=1)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, OpenCategorical)
        probabilities = distribution.probs
        flat = probabilities.reshape(-1, probabilities.shape[-1])
        codes = torch.multinomial(flat, 1, generator=generator).reshape(probabilities.shape[:-1])
        return codes.to(probabilities.dtype)
