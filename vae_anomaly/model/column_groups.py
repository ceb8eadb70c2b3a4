"""Runs of columns that are modelled as one rectangular tensor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vae_anomaly.columns import Column
from vae_anomaly.likelihoods import Likelihood


@dataclass(frozen=True)
class Group:
    """Neighbouring columns, in the model's order, with one likelihood and one width.

    Parameters
    ----------
    likelihood : Likelihood
    width : int
        Size of the axis of levels or spikes, 0 if its columns have none.
    columns : slice
        Positions of its columns in the model's order, one for each cell of a row.
    parameters : slice
        Positions of its decoder outputs.
    noise : slice
        Positions of its learned noise parameters.
    """

    likelihood: Likelihood
    width: int
    columns: slice
    parameters: slice
    noise: slice

    @property
    def n_columns(self) -> int:
        """Number of columns, one for each cell of a row."""
        return int(self.columns.stop - self.columns.start)

    @property
    def is_constant(self) -> bool:
        """Whether its columns take nothing from the network, because they held one value in training."""
        return self.likelihood.is_constant

    def arrange(self, outputs: Tensor) -> Tensor:
        """The group's part of the decoder's outputs: (..., outputs) -> (..., columns, parameters).

        In memory the parameters come first, so that sums over levels run along columns.
        """
        sizes = (self.likelihood.n_parameters(self.width), self.n_columns)
        parameters: Tensor = outputs[..., self.parameters].unflatten(-1, sizes).mT
        return parameters


def group_columns(columns: Sequence[Column]) -> tuple[Group, ...]:
    """Runs of columns, in the model's order, that share their likelihood and their width."""
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
