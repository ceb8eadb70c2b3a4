"""The distribution of cells given the decoder's outputs, and the mixture of members and draws."""

from __future__ import annotations

import abc
import math
from typing import final

import torch
from torch import Tensor

N_DOUBLINGS = 40
N_BISECTIONS = 30
MIN_TAIL = 1e-12


def mixed(components: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over members and draws: (members, draws, rows, ...) -> (rows, ...)."""
    return (components * weights).sum((0, 1))


class CellDistribution(abc.ABC):
    """The distribution of the cells of some columns given the decoder's outputs.

    Methods with `weights` speak of the mixture over members and draws: the distribution has batch shape (members,
    draws, rows, columns), weights have shape (members, draws, rows, 1) and sum to 1 over members and draws, and
    results have shape (rows, columns).
    """

    @property
    @abc.abstractmethod
    def batch_shape(self) -> torch.Size:
        """(..., columns)."""

    @abc.abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Log-likelihood of cells in model units, nats."""

    @abc.abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells, in model units, drawn with a local generator: (..., columns)."""

    @abc.abstractmethod
    def summary(self) -> Tensor:
        """Numbers whose average over draws and members describes the mixture: (..., columns, size)."""

    @abc.abstractmethod
    def point(self, summary: Tensor) -> Tensor:
        """The cell, in model units, that an averaged `summary` stands for: (..., columns)."""

    @abc.abstractmethod
    def tail_probability(self, values: Tensor, weights: Tensor) -> Tensor:
        """How probable it is that the mixture gives a cell at least as extreme."""

    @abc.abstractmethod
    def position(self, values: Tensor, weights: Tensor) -> Tensor:
        """``log P(X <= x) - log P(X >= x)`` of cells; without an order the logarithm of their tail probability."""

    @abc.abstractmethod
    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        """The cell, in model units, that the mixture stays below with `probability`; NaN without an order."""

    @final
    def expected(self, weights: Tensor) -> Tensor:
        """The cell, in model units, that is expected of the mixture."""
        return self.point(mixed(self.summary(), weights.unsqueeze(-1)))


class OrderedDistribution(CellDistribution):
    """A distribution whose cells can be too high or too low."""

    @abc.abstractmethod
    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x) of cells in model units, accurate where they are small."""

    @final
    def tail_probability(self, values: Tensor, weights: Tensor) -> Tensor:
        lower, upper = (mixed(tail, weights) for tail in self.tails(values))
        return (2 * torch.minimum(lower, upper)).clamp(max=1)

    @final
    def position(self, values: Tensor, weights: Tensor) -> Tensor:
        below, above = (mixed(tail, weights) for tail in self.tails(values))
        return below.clamp(min=MIN_TAIL).log() - above.clamp(min=MIN_TAIL).log()


class NumberDistribution(OrderedDistribution):
    """A distribution of numbers whose mean describes it."""

    @property
    @abc.abstractmethod
    def mean(self) -> Tensor:
        """Expected cells, or where their noise is centred: (..., columns)."""

    @final
    def summary(self) -> Tensor:
        return self.mean.unsqueeze(-1)

    @final
    def point(self, summary: Tensor) -> Tensor:
        return summary.squeeze(-1)

    @final
    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        return bisected_quantile(self, probability, weights)


class UnorderedDistribution(CellDistribution):
    """A distribution whose cells are improbable, but never too high or too low."""

    @final
    def position(self, values: Tensor, weights: Tensor) -> Tensor:
        return self.tail_probability(values, weights).clamp(min=MIN_TAIL).log()

    @final
    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        return weights.new_full(self.batch_shape[2:], math.nan)


def bisected_quantile(distribution: OrderedDistribution, probability: float, weights: Tensor) -> Tensor:
    """The cell, in model units, that a mixture of members and draws stays below with `probability`.

    Parameters
    ----------
    distribution : OrderedDistribution
        Of batch shape (members, draws, rows, columns).
    probability : float
        In (0, 1).
    weights : Tensor of shape (members, draws, rows, 1)
        Of the mixture; they sum to 1 over members and draws.

    Returns
    -------
    Tensor of shape (rows, columns)
    """
    center = distribution.expected(weights)

    def below(cells: Tensor) -> Tensor:
        return mixed(distribution.tails(cells)[0], weights)

    low, high = center - 1, center + 1
    for doubling in range(N_DOUBLINGS):
        width = 2.0**doubling
        too_high, too_low = below(low) >= probability, below(high) < probability
        if not (too_high.any() or too_low.any()):
            break
        low, high = low - width * too_high, high + width * too_low
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        enough = below(middle) >= probability
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high
