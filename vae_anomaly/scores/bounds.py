"""Scores that are bounds of the log-density, and their parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, Terms, precise
from vae_anomaly.scores.base import AdditiveScore, MemberScore, Shares


@dataclass(frozen=True)
class ELBO(AdditiveScore):
    """The evidence lower bound, averaged over draws and members.

    The mean of the members' bounds is itself a lower bound of the log-density of their mixture (Jensen).

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.

    Notes
    -----
    All rows share the stored draws, so their sampling error is common to all rows: it hardly touches the ranking, and
    it does not average out in a mean: the spread over seeds in ``reports/benchmarks/foundation.md`` is tenths of a nat,
    to either side.  Take 64 or more where the number itself matters.
    """

    n_draws: int = 4
    is_density: ClassVar[bool] = True

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean((0, 1)) - precise(terms.kl).mean(0)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean(1) - precise(terms.kl)

    def by_cell(self, terms: Terms, vae: VAE, batch: Batch, member: int | None = None) -> Shares:
        chosen = chosen_members(member)
        kl = precise(terms.kl[chosen]).mean(0)
        return Shares(precise(terms.log_likelihood[chosen]).mean((0, 1)), kl, torch.zeros_like(kl))


@dataclass(frozen=True)
class ELBOPerCell(MemberScore):
    """The ELBO divided by the number of observed cells: for comparing rows with different numbers of missing values.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.
    """

    n_draws: int = 4

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return ELBO(self.n_draws).reduce(terms, vae, batch) / batch.observed.sum(-1).clamp(min=1)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return ELBO(self.n_draws).by_member(terms, vae, batch) / batch.observed.sum(-1).clamp(min=1)


@dataclass(frozen=True)
class ImportanceWeighted(MemberScore):
    r"""The importance-weighted bound, tighter than the ELBO and rising with the number of draws.

    :math:`\log \frac{1}{K M} \sum_{k,m} p_m(x \mid z_{km})\, p_m(z_{km}) / q_m(z_{km} \mid x)` over draws and members:
    a bound of the mixture of the members.

    Parameters
    ----------
    n_draws : int, default=64
        K, latent draws per row and member.

    References
    ----------
    Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, eq. 8.
    """

    n_draws: int = 64
    is_density: ClassVar[bool] = True

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        log_weights = self._log_weights(terms, vae, batch)
        return log_weights.flatten(0, 1).logsumexp(0) - math.log(log_weights.shape[0] * log_weights.shape[1])

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        log_weights = self._log_weights(terms, vae, batch)
        return log_weights.logsumexp(1) - math.log(log_weights.shape[1])

    def _log_weights(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """log p(x, z) - log q(z | x) of every draw: (members, draws, rows)."""
        log_prior, log_posterior = vae.prior.log_prob(terms.z, batch), terms.posterior.log_prob(terms.z)
        return precise(terms.log_likelihood).sum(-1) + precise(log_prior) - precise(log_posterior)


@dataclass(frozen=True)
class Reconstruction(MemberScore):
    """The expected log-likelihood alone, E_q[log p(x | z)]: the ELBO without its KL.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws per row and member.
    """

    n_draws: int = 4
    is_density: ClassVar[bool] = True

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean((0, 1))

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean(1)


@dataclass(frozen=True)
class KL(MemberScore):
    """The KL alone, with a minus sign: how far the row's latents are from what the prior expects."""

    n_draws: int = 1

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return -precise(terms.kl).mean(0)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return -precise(terms.kl)


def chosen_members(member: int | None) -> slice:
    """One member along the leading axis, or all of them."""
    return slice(None) if member is None else slice(member, member + 1)
