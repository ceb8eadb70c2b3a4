"""Likelihoods that are probabilities: cells are flags or counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution
from torch.distributions import Poisson as PoissonDistribution

from vae_anomaly.likelihoods.base import ColumnConstants, OrderedLikelihood

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

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return torch.logit(values, 1e-6).unsqueeze(-1)

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

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return values.clamp(min=1e-6).log().unsqueeze(-1)

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
