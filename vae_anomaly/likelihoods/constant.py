"""Columns that held one value in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, NoiselessLikelihood, Traits
from vae_anomaly.likelihoods.distribution import UnorderedDistribution


@final
class ConstantDistribution(UnorderedDistribution):
    """The one level of training, code 0, with probability 1 - u, and with probability u whatever else.

    Parameters
    ----------
    unseen : Tensor of shape (columns,)
        u.
    shape : torch.Size
        (..., columns).
    """

    def __init__(self, unseen: Tensor, shape: torch.Size) -> None:
        self.unseen, self.shape = unseen, shape

    @property
    def batch_shape(self) -> torch.Size:
        return self.shape

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes: 0 is the level, 1 whatever else."""
        cells = torch.where(value < 1, torch.log1p(-self.unseen), self.unseen.log())
        return cells.expand(torch.broadcast_shapes(value.shape, self.shape))

    def summary(self) -> Tensor:
        """The code of the level."""
        return self.unseen.new_zeros(()).expand(*self.shape, 1)

    def point(self, summary: Tensor) -> Tensor:
        return summary.squeeze(-1)

    def tail_probability(self, values: Tensor, weights: Tensor) -> Tensor:
        return torch.where(values < 1, 1.0, self.unseen)

    def draw(self, generator: torch.Generator) -> Tensor:
        return self.unseen.new_zeros(self.shape)


@final
@dataclass(frozen=True)
class Constant(NoiselessLikelihood):
    """The one value that a column held in training, and with a small probability any other.

    It takes no weights, and the encoder does not see its cells.

    Notes
    -----
    The probability of another value is ``1 / (n + 1)`` for a column with n observed cells in training, as in
    `Categorical`; nothing is known of which one it would be, so all others together are one event.

    Examples
    --------
    >>> Constant().n_parameters(2), Constant().n_features(2)
    (0, 0)
    """

    traits: ClassVar[Traits] = Traits(support="one level", ordered=False, levels="unordered", max_levels=1)

    def n_parameters(self, width: int) -> int:
        return 0

    def n_features(self, width: int) -> int:
        return 0

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.new_empty(*values.shape, 0)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return ()

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.new_zeros(*values.shape, 0)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> ConstantDistribution:
        return ConstantDistribution(constants["unseen"], parameters.shape[:-1])
