"""A mixture of few normal components, fitted to the training rows' posteriors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors.base import FittedPrior, Posterior, Prior
from vae_anomaly.model.priors.components import Components, FittedComponents, log_sum

ITERATIONS = 10
ROWS_PER_COMPONENT = 4
PRIOR_ROWS = 0.1


@final
class FittedMixture(FittedComponents):
    """Components with weights.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (members, components, latents)
    log_weight : Tensor of shape (members, components)
        Logarithms of weights that add up to 1.
    """

    log_weight: Tensor

    def __init__(self, mean: Tensor, log_variance: Tensor, log_weight: Tensor) -> None:
        super().__init__(mean, log_variance)
        self.register_buffer("log_weight", log_weight)

    def _arrange(self) -> Components:
        return Components.of(self.mean, self.log_variance, self.log_weight)

    def _log_mixture(self, log_components: Tensor, batch: Batch) -> Tensor:
        return log_sum(log_components)

    def _chosen(self, n_rows: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.log_weight.cpu().exp(), n_rows, replacement=True, generator=generator)


@dataclass(frozen=True)
class Mixture(Prior):
    r"""A mixture of normal components that fits the aggregated posterior of the training rows.

    :math:`p(z) = \sum_k w_k N(z;\ \mu_k, s_k^2)` with the weights, means and variances that make
    :math:`\sum_m E_{q(z \mid x_m)}[\log p(z)]` large over the posteriors of a member's own training rows, found by
    expectation maximisation after the training.  The KL to it is bounded in closed form, without sampling:

    .. math:: KL(q \,\|\, p) \le -\log \sum_k w_k e^{-KL(q \| p_k)}.

    Parameters
    ----------
    n_components : int, default=64
        At most; never more than one for every four training rows of a member.
    max_rows : int, default=4096
        At most this many training rows per member.

    Notes
    -----
    A component stands for many rows, so that a training row is not its own neighbour, and none has to be left out.
    Each variance is drawn towards that of all latents, as if a tenth of a row spread as far as all rows together do.

    References
    ----------
    Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018, eq. 4.
    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm", Journal of the Royal
    Statistical Society B 39(1), 1977.
    Hershey and Olsen, "Approximating the KL divergence between Gaussian mixture models", ICASSP 2007, eq. 20.
    """

    n_components: int = 64
    max_rows: int = 4096

    def __post_init__(self) -> None:
        if not self.n_components >= 1:
            raise ValueError(f"n_components is an integer of at least 1, not {self.n_components!r}")
        if not self.max_rows >= 2:
            raise ValueError(f"max_rows is an integer of at least 2, not {self.max_rows!r}")

    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        kept = slice(0, self.max_rows)
        mean, variance = posterior.mean[:, kept], torch.exp(posterior.log_variance[:, kept])
        n_rows, latent_dim = mean.shape[1:]
        n_components = min(self.n_components, max(1, n_rows // ROWS_PER_COMPONENT))
        centre = mean.mean(1, keepdim=True)
        distance = mean - centre
        between, within = distance.square().mean(1, keepdim=True), variance.mean(1, keepdim=True)
        moments = torch.cat([distance, distance.square() + variance, variance], -1)
        # Rows are in random order.  A component begins with a share of the volume that all rows fill.
        fitted = FittedMixture(
            mean[:, :n_components].clone(),
            (within + between * n_components ** (-2 / latent_dim)).log().expand(-1, n_components, -1),
            mean.new_zeros(mean.shape[0], n_components) - math.log(n_components),
        )
        for _ in range(ITERATIONS):
            share = fitted.components.at(mean, variance).softmax(-1).to(moments.dtype)
            n_own = share.sum(1).unsqueeze(-1)
            first, second, own = ((share.mT @ moments) / n_own.clamp(min=1e-6)).chunk(3, -1)
            spread = torch.maximum(second - first.square(), own)
            spread = (n_own * spread + PRIOR_ROWS * (within + between)) / (n_own + PRIOR_ROWS)
            weight = (n_own.squeeze(-1) + PRIOR_ROWS / n_components) / (n_rows + PRIOR_ROWS)
            fitted = FittedMixture(centre + first, spread.log(), weight.log())
        return fitted

    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        shape = (n_members, n_rows, latent_dim)
        return FittedMixture(
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(n_members, n_rows, dtype=torch.float32),
        )
