"""Columns of a conditional model: some are input of the encoder only, the others output of the decoder only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Likelihood, NoiselessLikelihood, Traits
from vae_anomaly.likelihoods.distribution import CellDistribution, UnorderedDistribution
from vae_anomaly.likelihoods.wrappable import bounded_features


@final
class FreeDistribution(UnorderedDistribution):
    """Cells that cost nothing, whatever they are.

    Parameters
    ----------
    cells : Tensor of shape (..., columns)
        Zeros.
    """

    def __init__(self, cells: Tensor) -> None:
        self.cells = cells

    @property
    def batch_shape(self) -> torch.Size:
        return self.cells.shape

    def log_prob(self, value: Tensor) -> Tensor:
        """0 nats."""
        return value.new_zeros(torch.broadcast_shapes(self.cells.shape, value.shape))

    def summary(self) -> Tensor:
        return self.cells.unsqueeze(-1)

    def point(self, summary: Tensor) -> Tensor:
        return summary.squeeze(-1)

    def tail_probability(self, values: Tensor, weights: Tensor) -> Tensor:
        return torch.ones_like(values)

    def draw(self, generator: torch.Generator) -> Tensor:
        return self.cells


@final
@dataclass(frozen=True)
class InputOnly(NoiselessLikelihood):
    """Cells that the encoder sees and that have no likelihood: what a conditional model is conditioned on."""

    traits: ClassVar[Traits] = Traits(standardize=True, ordered=False)

    def n_parameters(self, width: int) -> int:
        return 0

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return ()

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.new_zeros(*values.shape, 0)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> FreeDistribution:
        return FreeDistribution(parameters.new_zeros(parameters.shape[:-1]))


@final
@dataclass(frozen=True)
class OutputOnly(Likelihood):
    """Cells that the encoder never sees: they are predicted from those that are input.

    Parameters
    ----------
    base : Likelihood
        Of the cells.
    """

    base: Likelihood

    def __post_init__(self) -> None:
        if not isinstance(self.base, Likelihood):
            raise TypeError(f"OutputOnly wraps a Likelihood such as Gaussian(), not {self.base!r}")

    @property
    def traits(self) -> Traits:
        return self.base.traits

    @property
    def floor(self) -> float:
        return self.base.floor

    def n_parameters(self, width: int) -> int:
        return self.base.n_parameters(width)

    def n_features(self, width: int) -> int:
        return 0

    def noise_size(self, n_columns: int) -> int:
        return self.base.noise_size(n_columns)

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        return self.base.constants(columns)

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.new_zeros(*values.shape, 0)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return self.base.start(column)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return self.base.saturated(values, width, constants)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> CellDistribution:
        return self.base.distribution(parameters, log_noise, constants)

    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        return self.base.marginal(parameters, constants)
