"""A density on [0, 1] with one parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, NoiselessLikelihood, Traits, in_unit_interval
from vae_anomaly.likelihoods.distribution import N_BISECTIONS, NumberDistribution

FLAT_LOGIT = 0.01
HALF_LEVEL = 1 / 512


@final
class ContinuousBernoulliDistribution(NumberDistribution):
    """A continuous Bernoulli distribution in terms of its logit, exact also where the probability saturates."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.flat = logits.abs() < FLAT_LOGIT
        # The closed forms divide by the logit; where it is nearly 0 their series takes over.
        self.steep = torch.where(self.flat, FLAT_LOGIT, logits)

    @property
    def batch_shape(self) -> torch.Size:
        return self.logits.shape

    @property
    def mean(self) -> Tensor:
        closed = -1 / torch.expm1(-self.steep) - 1 / self.steep
        return torch.where(self.flat, 0.5 + self.logits / 12, closed)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats: ``x l - softplus(l) + log(l / tanh(l / 2))``."""
        closed = torch.log(self.steep / torch.tanh(self.steep / 2))
        normaliser = torch.where(self.flat, math.log(2) + self.logits.square() / 12, closed)
        # The softplus by way of PyTorch's log-sigmoid, which is the same at every index of a tensor.
        return value * self.logits + torch.nn.functional.logsigmoid(-self.logits) + normaliser

    def below(self, value: Tensor) -> Tensor:
        """P(X <= x) = expm1(l x) / expm1(l), written so that it neither overflows nor cancels."""
        cell = value.clamp(0, 1)
        steep = self.steep.abs()
        share = torch.exp(steep * (cell - 1)) * torch.expm1(-steep * cell) / torch.expm1(-steep)
        mirrored = torch.expm1(-steep * cell) / torch.expm1(-steep)
        return torch.where(self.flat, cell, torch.where(self.steep > 0, share, mirrored))

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        return self.below(value), ContinuousBernoulliDistribution(-self.logits).below(1 - value)

    def inverse(self, probability: Tensor) -> Tensor:
        """The cell that stays below with a probability."""
        closed = torch.logaddexp(probability.log() + self.steep, torch.log1p(-probability)) / self.steep
        return torch.where(self.flat, probability, closed)

    def draw(self, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(self.logits.shape, generator=generator, dtype=self.logits.dtype)
        return self.inverse(uniform).clamp(0, 1)


@final
@dataclass(frozen=True)
class ContinuousBernoulli(NoiselessLikelihood):
    """A density on [0, 1] with one parameter, for grey values and proportions.

    References
    ----------
    Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019, eq. 8.
    """

    traits: ClassVar[Traits] = Traits(
        support="numbers in [0, 1]", supports=in_unit_interval, density=True, for_pixels=True
    )

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return (0.0,)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        # At 0 and 1 the density has no maximum: half a grey level of 8 bits is as near as a cell comes.
        cells = values.clamp(HALF_LEVEL, 1 - HALF_LEVEL)
        low, high = torch.full_like(cells, -2 / HALF_LEVEL), torch.full_like(cells, 2 / HALF_LEVEL)
        for _ in range(N_BISECTIONS):
            middle = (low + high) / 2
            enough = ContinuousBernoulliDistribution(middle).mean >= cells
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high.unsqueeze(-1)

    def distribution(
        self, parameters: Tensor, log_noise: Tensor, constants: Constants
    ) -> ContinuousBernoulliDistribution:
        return ContinuousBernoulliDistribution(parameters.squeeze(-1))
