"""Likelihoods that state the gradient of their log-likelihood, for where automatic differentiation is too slow."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from vae_anomaly.likelihoods.base import Constants
from vae_anomaly.likelihoods.distribution import NumberDistribution
from vae_anomaly.likelihoods.noise import noise_slope

Backward: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From derivatives with regard to log-likelihoods of cells to those with regard to the two that these come from."""


class Kept:
    """What an operation keeps for its gradient, where it is not autograd that runs both."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors."""
        self.saved_tensors = tensors


class LocatedDistribution(NumberDistribution):
    """A density of numbers around a location.

    Parameters
    ----------
    loc : Tensor of shape (..., columns)
        Model units.
    scale : Tensor that broadcasts to (..., columns)
        Model units.
    """

    loc: Tensor
    scale: Tensor

    @abc.abstractmethod
    def log_prob_with_gradient(self, value: Tensor) -> tuple[Tensor, Backward]:
        """Log-likelihood of cells, nats, and what its gradient is with regard to `loc` and `scale`."""


class StatesGradient(abc.ABC):
    """A likelihood that states its gradient."""

    @abc.abstractmethod
    def log_prob_with_gradient(
        self, values: Tensor, parameters: Tensor, log_noise: Tensor, constants: Constants
    ) -> tuple[Tensor, Backward]:
        """``distribution(parameters, log_noise, constants).log_prob(values)``, and its gradient.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        parameters : Tensor of shape (..., columns, n_parameters)
            Outputs of the decoder.
        log_noise : Tensor that broadcasts to (..., columns)
            Logarithm of the learned noise; empty if the likelihood has none.
        constants : Constants
            Of the columns.

        Returns
        -------
        log_prob : Tensor of shape (..., columns)
            Nats.
        backward : callable
            From derivatives that broadcast to (..., columns) to those with regard to `parameters` and `log_noise`.
        """


def of_parameters(distribution: LocatedDistribution, values: Tensor, log_noise: Tensor) -> tuple[Tensor, Backward]:
    """The same where the location is what the decoder gives, and the scale is `noise_scale` of the learned noise."""
    log_prob, of_distribution = distribution.log_prob_with_gradient(values)

    def backward(by_cells: Tensor) -> tuple[Tensor, Tensor]:
        by_location, by_scale = of_distribution(by_cells)
        by_noise = (by_scale * noise_slope(log_noise, distribution.scale)).sum_to_size(log_noise.shape)
        return by_location.unsqueeze(-1), by_noise

    return log_prob, backward
