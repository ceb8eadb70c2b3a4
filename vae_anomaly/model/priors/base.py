"""What a prior is, the posterior that it is compared with, and the precision of sums."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch

LOG_2PI = math.log(2 * math.pi)


def precise(tensor: Tensor) -> Tensor:
    """Float64 for sums that cancel or are long, where the device has it."""
    return tensor if tensor.device.type == "mps" else tensor.double()


@dataclass(frozen=True)
class Posterior:
    """q(z | x): independent normal latents for every member and row.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (members, rows, latents)
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Latents at given standard normal noise.

        Parameters
        ----------
        noise : Tensor of shape (members, draws, rows or 1, latents)

        Returns
        -------
        Tensor of shape (members, draws, rows, latents)
        """
        scale = torch.exp(0.5 * self.log_variance)
        return self.mean.unsqueeze(1) + scale.unsqueeze(1) * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) in nats for draws of shape (members, draws, rows, latents): (members, draws, rows)."""
        log_variance = self.log_variance.unsqueeze(1)
        squared = (z - self.mean.unsqueeze(1)) ** 2 * torch.exp(-log_variance)
        return -0.5 * (squared + log_variance + LOG_2PI).sum(-1)


class FittedPrior(nn.Module, abc.ABC):
    """A prior with the tensors that it learned; what the model holds."""

    @property
    @abc.abstractmethod
    def n_components(self) -> int:
        """Components of a member's mixture, 0 if it is none."""

    @abc.abstractmethod
    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        """An upper bound of KL(q(z | x) || p(z)) in nats, exact where it has a closed form: (members, rows)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        """log p(z) in nats for draws of shape (members, draws, rows, latents): (members, draws, rows)."""

    @abc.abstractmethod
    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Latents drawn with a local generator: (members, n_rows, latents)."""


class Prior(abc.ABC):
    """A frozen description of a prior, without tensors."""

    @property
    @abc.abstractmethod
    def max_rows(self) -> int:
        """Training rows per member that `fit` makes use of."""

    @abc.abstractmethod
    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        """The prior for these training rows.

        Parameters
        ----------
        posterior : Posterior
            Of every member's own training rows, (members, rows, latents).
        batch : Batch
            The same rows, (members, rows, columns).
        """

    @abc.abstractmethod
    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        """A prior of the right shapes, to be filled from a model file."""
