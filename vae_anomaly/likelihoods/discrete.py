"""Likelihoods that are probabilities: cells are flags or counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, NoiselessLikelihood, Traits, in_unit_interval
from vae_anomaly.likelihoods.distribution import NumberDistribution

MAX_LOG_RATE = 30.0
STIRLING_FROM = 20


@final
class BernoulliDistribution(NumberDistribution):
    """Cells in {0, 1} with the logit of 1."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    @property
    def batch_shape(self) -> torch.Size:
        return self.logits.shape

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the binary cross-entropy, nats."""
        logits, cells = torch.broadcast_tensors(self.logits, value)
        return -functional.binary_cross_entropy_with_logits(logits, cells, reduction="none")

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        share = self.mean
        lower = torch.where(value < 0, 0.0, torch.where(value < 1, 1 - share, 1.0))
        upper = torch.where(value > 1, 0.0, torch.where(value > 0, share, 1.0))
        return lower, upper

    def draw(self, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(self.mean, generator=generator)


@final
@dataclass(frozen=True)
class Bernoulli(NoiselessLikelihood):
    """Cells in {0, 1}; the negative log-likelihood is the binary cross-entropy.

    Grey values between 0 and 1 are accepted, as the textbook image models do, but the result is then no
    log-likelihood: use `ContinuousBernoulli` where the number matters.
    """

    traits: ClassVar[Traits] = Traits(support="numbers in [0, 1]", supports=in_unit_interval, for_pixels=True)

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        bounded = min(max(column.mean, 1e-3), 1 - 1e-3)
        return (math.log(bounded / (1 - bounded)),)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return torch.logit(values, 1e-6).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> BernoulliDistribution:
        return BernoulliDistribution(parameters.squeeze(-1))


@final
class PoissonDistribution(NumberDistribution):
    """A Poisson distribution that keeps the logarithm of its rate, which neither underflows nor loses digits."""

    def __init__(self, log_rate: Tensor) -> None:
        self.log_rate = log_rate
        self.rate = log_rate.exp()

    @property
    def batch_shape(self) -> torch.Size:
        return self.log_rate.shape

    @property
    def mean(self) -> Tensor:
        return self.rate

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

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        count = value.floor().clamp(min=0)
        above = torch.special.gammainc(count.clamp(min=1).expand_as(self.rate), self.rate)
        lower = torch.where(value < 0, 0.0, torch.special.gammaincc((count + 1).expand_as(self.rate), self.rate))
        return lower, torch.where(value <= 0, 1.0, above)

    def draw(self, generator: torch.Generator) -> Tensor:
        return torch.poisson(self.rate, generator=generator)


def _are_counts(values: Tensor) -> Tensor:
    return (values >= 0) & (values == values.floor()) & torch.isfinite(values)


@final
@dataclass(frozen=True)
class Poisson(NoiselessLikelihood):
    """Counts with a rate that depends on the latent variables; the decoder gives its logarithm."""

    traits: ClassVar[Traits] = Traits(support="counts (0, 1, 2, ...)", supports=_are_counts, counts=True)

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return torch.log1p(values).unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return (math.log(max(column.mean, 1e-3)),)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.clamp(min=1e-6).log().unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> PoissonDistribution:
        return PoissonDistribution(parameters.squeeze(-1).clamp(max=MAX_LOG_RATE))
