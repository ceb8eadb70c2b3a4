"""Columns of a conditional model: some are given, the others are predicted from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_anomaly.likelihoods.base import ColumnConstants, Likelihood
from vae_anomaly.likelihoods.continuous import Gaussian, bounded_features


class GivenCells(Distribution):
    """Cells that cost nothing, whatever they are."""

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, shape: torch.Size) -> None:
        super().__init__(shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """0 nats."""
        return value.new_zeros(torch.broadcast_shapes(self.batch_shape, value.shape))


@dataclass(frozen=True)
class Given(Likelihood):
    """Cells that the encoder sees and that no likelihood is asked of: what a conditional model is conditioned on."""

    standardize: ClassVar[bool] = True

    def n_parameters(self, width: int) -> int:
        return 0

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def start(self, mean: float) -> tuple[float, ...]:
        return ()

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return values.new_zeros(*values.shape, 0)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return GivenCells(parameters.shape[:-1])

    def summary(self, distribution: Distribution) -> Tensor:
        return torch.zeros(*distribution.batch_shape, 1)

    def tail_probability(self, distribution: Distribution, values: Tensor, weights: Tensor) -> Tensor:
        return torch.ones_like(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        return torch.zeros(distribution.batch_shape)


@dataclass(frozen=True)
class Predicted(Gaussian):
    """Cells that the encoder never sees: they are predicted from those that are given, with normal noise.

    Parameters
    ----------
    noise : {"shared", "column"}, default="shared"
        One learned scale for all columns of this likelihood, or one for each.
    floor : float, default=0.01
        Smallest standard deviation of the noise, in standard deviations of the column.
    """

    noise: Literal["column", "shared"] = "shared"
    floor: float = 0.01

    def n_features(self, width: int) -> int:
        return 0

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return values.new_zeros(*values.shape, 0)
