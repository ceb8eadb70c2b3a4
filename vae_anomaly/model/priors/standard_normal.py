"""N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors.base import LOG_2PI, FittedPrior, Posterior, Prior


class FittedStandardNormal(FittedPrior):
    """N(0, I)."""

    def __init__(self, n_members: int, latent_dim: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.latent_dim = latent_dim

    @property
    def n_components(self) -> int:
        return 0

    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        mean, log_variance = posterior.mean, posterior.log_variance
        return 0.5 * (torch.addcmul(log_variance.exp() - log_variance, mean, mean).sum(-1) - mean.shape[-1])

    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        return -0.5 * (z**2 + LOG_2PI).sum(-1)

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        return torch.randn(self.n_members, n_rows, self.latent_dim, generator=generator, dtype=torch.float32)


@dataclass(frozen=True)
class StandardNormal(Prior):
    """N(0, I), the prior that every model is trained with.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    """

    @property
    def max_rows(self) -> int:
        return 1

    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        n_members, _, latent_dim = posterior.mean.shape
        return self.empty(n_members, latent_dim, 0)

    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        return FittedStandardNormal(n_members, latent_dim)
