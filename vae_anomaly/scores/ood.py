"""Scores beside the ELBO, for where a high likelihood does not mean that a row is like those of training.

Flexible likelihoods give simple images high densities: a model of clothes may find digits more likely than clothes
(Nalisnick et al., "Do deep generative models know what they don't know?", ICLR 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from vae_anomaly.columns import Batch
from vae_anomaly.model import (
    MAX_LOG_VARIANCE,
    VAE,
    FittedStandardNormal,
    Posterior,
    Terms,
    batch_invariant_gradients,
    expected_log_likelihood,
    precise,
    saturated_terms,
)
from vae_anomaly.scores.base import MemberScore, RelativeScore, Score
from vae_anomaly.scores.bounds import ELBO
from vae_anomaly.scores.roughness import neighbor_residuals, predictive_residuals

DEVIANCE_FLOOR, RESIDUAL_FLOOR = 4e-3, 4e-4
MIN_RIDGE = 1e-3
MAX_STEPS = 10_000


@dataclass(frozen=True)
class DebiasedELBO(MemberScore):
    r"""The ELBO less the highest log-likelihood that any decoder could give the row's cells.

    :math:`\mathrm{ELBO}(x) - \max_\theta \sum_j \log p(x_j \mid \theta_j)`: half a deviance, as in generalised linear
    models, plus the KL.  What a cell's value costs whatever the model, as a grey pixel does under a continuous
    Bernoulli distribution, no longer counts.  The same ranking as the ELBO where the noise is one learned scale.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.

    References
    ----------
    Chauhan et al., "Robust outlier detection by de-biasing VAE likelihoods", CVPR 2022.
    """

    n_draws: int = 4

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        saturated = precise(saturated_terms(vae, batch)).sum(-1).mean(0)
        return ELBO(self.n_draws).reduce(terms, vae, batch) - saturated

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        saturated = precise(saturated_terms(vae, batch)).sum(-1)
        return ELBO(self.n_draws).by_member(terms, vae, batch) - saturated


@dataclass(frozen=True)
class InputComplexity(Score):
    r"""The ELBO plus the length of a code that knows no training images: low for the simple and yet unlikely.

    The code predicts each pixel from those above and to the left and has one Laplace scale for the image's residuals
    :math:`r_j`, so that its length is :math:`\sum_j \log(2 e \bar{|r|})` nats.  For images only.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.

    References
    ----------
    Serra et al., "Input complexity and out-of-distribution detection with likelihood-based generative models", ICLR
    2020.
    """

    n_draws: int = 4
    for_images: ClassVar[bool] = True

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        residuals = precise(predictive_residuals(batch, grid_of(vae)))
        n_pixels = batch.observed.sum(-1).clamp(min=1)
        scale = residuals.abs().sum(-1) / n_pixels + RESIDUAL_FLOOR
        units = (precise(vae.log_jacobian) * batch.observed).sum(-1)
        return ELBO(self.n_draws).reduce(terms, vae, batch) + n_pixels * (1 + torch.log(2 * scale)) - units


@dataclass(frozen=True)
class LikelihoodRatio(Score):
    r"""log-likelihood ratio of the model and of a row of neighbours, each with a noise level of the image's own.

    With the deviance :math:`d = 2 (\max_\theta \log p(x \mid \theta) - \mathrm{ELBO})`, which for Gaussian noise is the
    squared error over its variance plus twice the KL, and the residuals :math:`r` that the mean of four neighbours
    leaves of every pixel, it is :math:`-\tfrac{n}{2} \log (d / \sum_j r_j^2)` for an image of n pixels, but for a
    constant: both scales are those of highest likelihood for the image.  What counts is how much the model knows
    beyond smoothness, and neither the contrast nor the amount of ink.  For images only.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.

    References
    ----------
    Ren et al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019.
    """

    n_draws: int = 4
    for_images: ClassVar[bool] = True

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        n_pixels = batch.observed.sum(-1).clamp(min=1)
        deviance = -2 * DebiasedELBO(self.n_draws).reduce(terms, vae, batch)
        residuals = precise(neighbor_residuals(batch, grid_of(vae)))
        left = deviance.clamp(min=0) / n_pixels + DEVIANCE_FLOOR
        smooth = residuals.square().sum(-1) / n_pixels + RESIDUAL_FLOOR
        return -0.5 * n_pixels * torch.log(left / smooth)


@dataclass(frozen=True)
class LikelihoodRegret(MemberScore):
    """How much the ELBO of a row gains when its posterior is fitted to this row alone, with a minus sign.

    A row like those of training has nearly its best posterior from the encoder already.  Against N(0, I), the prior of
    the training.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.
    n_steps : int, default=30
        Steps of Adam on mean and log-variance of the latents; at most 10,000.
    learning_rate : float, default=0.1
        Length of a step.

    References
    ----------
    Xiao, Yan and Amit, "Likelihood regret: an out-of-distribution detection score for variational auto-encoder",
    NeurIPS 2020.
    """

    n_draws: int = 4
    n_steps: int = 30
    takes_steps: ClassVar[bool] = True
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_steps <= MAX_STEPS:
            raise ValueError(f"n_steps is an integer from 1 to {MAX_STEPS:,}, not {self.n_steps!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is a number above 0, not {self.learning_rate!r}")

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.by_member(terms, vae, batch).mean(0)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        scale = torch.exp(0.5 * terms.posterior.log_variance)
        noise = (terms.z - terms.posterior.mean.unsqueeze(1)) / scale.unsqueeze(1)
        with torch.inference_mode(mode=False), torch.enable_grad(), batch_invariant_gradients():
            rows = Batch(batch.values.clone(), batch.observed.clone())
            first, best = self._refine(vae, rows, terms.posterior, noise.clone())
        return precise(first - best)

    def _refine(self, vae: VAE, rows: Batch, posterior: Posterior, noise: Tensor) -> tuple[Tensor, Tensor]:
        """ELBO before and at its best: (members, rows)."""
        prior = FittedStandardNormal(vae.n_members, vae.latent_dim)
        numbers = [posterior.mean.clone().requires_grad_(), posterior.log_variance.clone().requires_grad_()]
        first, second = ([torch.zeros_like(number) for number in numbers] for _ in range(2))
        taken = [torch.zeros((), dtype=torch.float32) for _ in numbers]
        bounds: list[Tensor] = []
        for step in range(self.n_steps + 1):
            now = Posterior(numbers[0], numbers[1].clamp(vae.min_log_variance, MAX_LOG_VARIANCE))
            log_likelihood, _ = expected_log_likelihood(vae, rows, now, noise)
            bound = log_likelihood.sum(-1).mean(1) - prior.kl(now, rows)
            bounds.append(bound.detach())
            if step == self.n_steps:
                break
            gradients = list(torch.autograd.grad(-bound.sum(), numbers))
            with torch.no_grad():
                adamw(
                    numbers,
                    gradients,
                    first,
                    second,
                    [],
                    taken,
                    amsgrad=False,
                    beta1=0.9,
                    beta2=0.999,
                    lr=self.learning_rate,
                    weight_decay=0.0,
                    eps=1e-8,
                    maximize=False,
                )
        return bounds[0], torch.stack(bounds).amax(0)


@dataclass(frozen=True)
class LikelihoodPath(RelativeScore):
    """Log-density of a row's path through the model, under a normal distribution over the paths of training rows.

    The path is the logarithm of the deviance (see `DebiasedELBO`), of the KL, of the length of the posterior's mean and
    of the mean variance: unlike the ELBO, it does not let a good reconstruction make up for anomalous latents.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.

    References
    ----------
    Huang et al., "Rethinking test-time likelihood: the likelihood path principle and its application to OOD detection",
    2024.
    """

    n_draws: int = 4
    n_statistics: ClassVar[int] = 4

    def statistics(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        saturated = precise(saturated_terms(vae, batch)).sum(-1).mean(0)
        deviance = (saturated - precise(terms.log_likelihood).sum(-1).mean((0, 1))).clamp(min=0)
        posterior = terms.posterior
        parts = [
            torch.log1p(deviance),
            torch.log1p(precise(terms.kl).mean(0).clamp(min=0)),
            precise(posterior.mean).square().sum(-1).mean(0).clamp(min=1e-12).log(),
            precise(posterior.log_variance).mean((0, 2)),
        ]
        return torch.stack(parts, -1)

    def compare(self, statistics: Tensor, reference_statistics: Tensor) -> Tensor:
        center = reference_statistics.mean(0)
        spread = (
            (reference_statistics - center).mT @ (reference_statistics - center) / max(len(reference_statistics) - 1, 1)
        )
        ridge = MIN_RIDGE * spread.diagonal().mean().clamp(min=1e-12) * torch.eye(len(center)).to(spread)
        factor = torch.linalg.cholesky((spread + ridge).cpu())
        away = torch.linalg.solve_triangular(factor, (statistics - center).cpu().mT, upper=False)
        log_volume = factor.diagonal().log().sum() + 0.5 * len(center) * math.log(2 * math.pi)
        log_density: Tensor = -0.5 * away.square().sum(0) - log_volume
        return log_density.to(statistics.device)


def grid_of(vae: VAE) -> tuple[int, int]:
    """Height and width of the model's images."""
    assert vae.grid is not None
    return vae.grid
