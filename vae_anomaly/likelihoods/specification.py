"""What a likelihood must offer, and what a group of columns teaches it."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution


@dataclass(frozen=True)
class ColumnConstants:
    """What training data taught about the columns of one group, beside what the network learns.

    Parameters
    ----------
    floor : Tensor of shape (columns,)
        Smallest standard deviation of the noise, in model units.
    n_levels : Tensor of shape (columns,)
        Levels of categorical columns, else 0.
    unseen : Tensor of shape (columns,)
        Probability reserved for levels that training never saw.
    """

    floor: Tensor
    n_levels: Tensor
    unseen: Tensor


class Likelihood(abc.ABC):
    """p(x_j | z) for columns of one kind: a small frozen description without weights.

    Subclasses are frozen dataclasses.  The decoder gives ``n_parameters`` numbers a column, and
    `distribution` turns them into a `torch.distributions.Distribution` over the cells.
    """

    standardize: ClassVar[bool] = False
    """Whether cells are brought to mean 0 and standard deviation 1 before the model sees them."""
    density: ClassVar[bool] = False
    """Whether the log-likelihood is a density (True) or the logarithm of a probability (False)."""
    n_noise: ClassVar[int | None] = 0
    """Learned noise parameters of a group: 0, 1 (shared by its columns), or None for one a column."""
    support: ClassVar[str] = "numbers"
    """The cells that it takes, in words, for error messages."""

    def n_parameters(self, width: int) -> int:
        """Decoder outputs a column."""
        return 1

    def n_features(self, width: int) -> int:
        """Encoder inputs a column."""
        return 1

    def noise_size(self, n_columns: int) -> int:
        """Learned noise parameters for a group of `n_columns` columns."""
        return n_columns if self.n_noise is None else self.n_noise

    def features(self, values: Tensor, width: int) -> Tensor:
        """What the encoder sees of the cells.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        width : int
            Room for levels in this group of columns, 0 if they have none.

        Returns
        -------
        Tensor of shape (..., columns, n_features)
        """
        return values.unsqueeze(-1)

    def supports(self, values: Tensor) -> Tensor:
        """Whether each cell, in data units, has a likelihood at all."""
        return torch.isfinite(values)

    def start(self, mean: float) -> tuple[float, ...]:
        """Decoder outputs, before training, of a numeric column with this mean in model units."""
        return (0.0,)

    @abc.abstractmethod
    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        """The distribution of every cell given the decoder's outputs.

        Parameters
        ----------
        parameters : Tensor of shape (..., columns, n_parameters)
            Outputs of the decoder.
        log_noise : Tensor that broadcasts to (..., columns)
            Logarithm of the learned noise; empty if the likelihood has none.
        constants : ColumnConstants
            What training data taught.
        """

    @abc.abstractmethod
    def summary(self, distribution: Distribution) -> Tensor:
        """Numbers whose average over draws and members describes the mixture: (..., columns, size)."""

    def point(self, summary: Tensor) -> Tensor:
        """The cell, in model units, that an averaged `summary` stands for: (..., columns)."""
        return summary.squeeze(-1)

    @abc.abstractmethod
    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        """Cells, in model units, drawn with a local generator."""
