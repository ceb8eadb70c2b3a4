"""The one objective: training, score, explanation and file all reduce these terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors import Posterior
from vae_anomaly.model.vae import NOISE_GAIN, VAE


@dataclass(frozen=True)
class Terms:
    """What the ELBO is made of, before anything is summed.

    Parameters
    ----------
    log_likelihood : Tensor of shape (members, draws, rows, columns)
        log p(x_j | z) in nats, in the units of the data; 0 where the cell is missing.
    kl : Tensor of shape (members, rows)
        KL(q(z | x) || p(z)) in nats, or its closed-form upper bound.
    posterior : Posterior
        q(z | x).
    z : Tensor of shape (members, draws, rows, latents)
        The draws.
    """

    log_likelihood: Tensor
    kl: Tensor
    posterior: Posterior
    z: Tensor

    @property
    def reconstruction(self) -> Tensor:
        """log p(x | z), averaged over draws: (members, rows), nats."""
        return self.log_likelihood.sum(-1).mean(1)

    @property
    def elbo(self) -> Tensor:
        """The bound for every member and row: (members, rows), nats."""
        return self.reconstruction - self.kl


def marginal_terms(vae: VAE, batch: Batch) -> Tensor:
    """log p(x_j) by cell under the independence model, in which columns are independent.

    Numbers are normal with the mean and the standard deviation of the training cells, levels as frequent as there.

    Parameters
    ----------
    vae : VAE
        Whose columns they are.
    batch : Batch
        Rows of shape (rows, columns).

    Returns
    -------
    Tensor of shape (rows, columns)
        Nats, in the units of the data and in the model's column order; 0 where the cell is missing.
    """
    log_likelihood = vae.in_data_units(vae.independence.log_prob(batch), batch.values)
    return log_likelihood if batch.is_complete else log_likelihood.where(batch.observed, 0.0)


def saturated_terms(vae: VAE, batch: Batch) -> Tensor:
    """log p(x_j) by cell under the best outputs that a decoder could have for it, with the noise as learned.

    Parameters
    ----------
    vae : VAE
        The members.
    batch : Batch
        Rows of shape (rows, columns).

    Returns
    -------
    Tensor of shape (members, rows, columns)
        Nats, in the units of the data and in the model's column order; 0 where the cell is missing.
    """
    parts = []
    for group in vae.groups:
        constants = vae.constants(group)
        cells = batch.values[..., group.columns]
        best = group.likelihood.saturated(cells, group.width, constants).expand(vae.n_members, -1, -1, -1)
        noise = NOISE_GAIN * vae.raw_noise[:, None, group.noise]
        parts.append(group.likelihood.distribution(best, noise, constants).log_prob(cells))
    return vae.in_data_units(torch.cat(parts, -1), batch.values).where(batch.observed, 0.0)


def elbo_terms(
    vae: VAE,
    batch: Batch,
    noise: Tensor,
    inputs: Tensor | None = None,
) -> Terms:
    r"""The evidence lower bound by cell and row.

    .. math:: \log p(x) \ge E_{q(z|x)} \Big[\sum_j \log p(x_j \mid z)\Big] - KL(q(z|x) \,\|\, p(z))

    Parameters
    ----------
    vae : VAE
        The members.
    batch : Batch
        Rows, shared by all members or one set for each; training leaves constant columns out, which come last and
        whose terms no weight can change.
    noise : Tensor of shape (members, draws, rows or 1, latents)
        Standard normal noise for the latent draws.
    inputs : Tensor, optional
        What the encoder reads instead of ``vae.inputs(batch)``: training hides cells from it.  The likelihood is always
        over all observed cells.

    Returns
    -------
    Terms
        In the model's column order.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, eq. 3.
    """
    posterior = vae.posterior(batch) if inputs is None else vae.encode(inputs)
    log_likelihood, z = expected_log_likelihood(vae, batch, posterior, noise)
    return Terms(log_likelihood, vae.prior.kl(posterior, batch), posterior, z)


def expected_log_likelihood(vae: VAE, batch: Batch, posterior: Posterior, noise: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x_j | z) by cell at draws from any posterior, and the draws.

    Parameters
    ----------
    vae : VAE
        The members.
    batch : Batch
        Rows, shared by all members or one set for each; see `elbo_terms`.
    posterior : Posterior
        Of every member and row.
    noise : Tensor of shape (members, draws, rows or 1, latents)
        Standard normal noise for the draws.

    Returns
    -------
    log_likelihood : Tensor of shape (members, draws, rows, columns)
        Nats, in the units of the data; 0 where the cell is missing.
    z : Tensor of shape (members, draws, rows, latents)
    """
    z = posterior.draw(noise)
    if z.shape[2] != posterior.mean.shape[1]:
        z = z.expand(-1, -1, posterior.mean.shape[1], -1)
    values = batch.values if batch.values.dim() == 2 else batch.values.unsqueeze(1)
    observed = batch.observed if batch.observed.dim() == 2 else batch.observed.unsqueeze(1)
    distributions = vae.decode(z)
    parts = [
        distribution.log_prob(values[..., group.columns])
        for group, distribution in zip(vae.groups, distributions, strict=True)
        if group.columns.stop <= batch.n_columns
    ]
    log_likelihood = vae.in_data_units(torch.cat(parts, -1) if len(parts) > 1 else parts[0], values)
    if not (batch.is_complete or (observed.device.type == "cpu" and observed.all())):
        log_likelihood = log_likelihood.where(observed, 0.0)
    return log_likelihood, z
