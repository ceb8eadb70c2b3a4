"""Runs of columns that are modelled as one rectangular tensor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vae_anomaly.columns import Column
from vae_anomaly.likelihoods import Constant, Likelihood


@dataclass(frozen=True)
class Group:
    """Neighbouring columns, in the model's order, with one likelihood and equal room for levels.

    Parameters
    ----------
    likelihood : Likelihood
    width : int
        Room for levels.
    columns : slice
        Places of its columns, one for each cell of a row.
    parameters : slice
        Places of its decoder outputs.
    noise : slice
        Places of its learned noise parameters.
    """

    likelihood: Likelihood
    width: int
    columns: slice
    parameters: slice
    noise: slice

    @property
    def n_columns(self) -> int:
        """Number of places."""
        return int(self.columns.stop - self.columns.start)

    @property
    def is_constant(self) -> bool:
        """Whether its columns take nothing from the network, because they held one value in training."""
        return isinstance(self.likelihood, Constant)

    def arrange(self, outputs: Tensor) -> Tensor:
        """The group's part of the decoder's outputs: (..., outputs) -> (..., columns, parameters).

        In memory the parameters come first, so that sums over levels run along columns.
        """
        sizes = (self.likelihood.n_parameters(self.width), self.n_columns)
        parameters: Tensor = outputs[..., self.parameters].unflatten(-1, sizes).mT
        return parameters


def group_columns(columns: Sequence[Column]) -> tuple[Group, ...]:
    """Runs of columns, in the model's order, that share their likelihood and their room for levels."""
    groups = []
    column = parameter = noise = 0
    for (likelihood, width), run in itertools.groupby(columns, lambda c: (c.likelihood, c.width)):
        assert likelihood is not None
        n = sum(column.n_cells for column in run)
        n_parameters, n_noise = n * likelihood.n_parameters(width), likelihood.noise_size(n)
        groups.append(
            Group(
                likelihood,
                width,
                slice(column, column + n),
                slice(parameter, parameter + n_parameters),
                slice(noise, noise + n_noise),
            )
        )
        column, parameter, noise = column + n, parameter + n_parameters, noise + n_noise
    return tuple(groups)
