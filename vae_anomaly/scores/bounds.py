"""Scores that are bounds of the log-density, and their parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, Terms, marginal_terms, precise
from vae_anomaly.scores.base import MemberScore, Score

MISSING = ("expected", "ignored")


@dataclass(frozen=True)
class ELBO(MemberScore):
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

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean((0, 1)) - precise(terms.kl).mean(0)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean(1) - precise(terms.kl)


@dataclass(frozen=True)
class PooledELBO(MemberScore):
    r"""The evidence lower bound of the members pooled with an independence model, in which columns are independent.

    :math:`(1 - w) \frac1M \sum_m \mathrm{ELBO}_m(x) + w \sum_j \log p(x_j)`.  Both parts are lower bounds of
    log-likelihoods, so by Jensen the pool is one of the mixture of the members and the independence model with weights
    `1 - w` and `w`: what the mean over members is in `ELBO`, with one more member that cannot learn how columns depend
    on each other.  Where the training rows hold anomalies, flexible members learn them as well; the rigid one does not,
    and for it what is extreme in its own column stays extreme.

    Parameters
    ----------
    n_draws : int, default=2
        Latent draws per row and member.
    independence : float, default=0.4
        :math:`w`, the weight of the independence model, from 0 to below 1; 0 is the `ELBO`.
    missing : {"expected", "ignored"}, default="expected"
        What a missing cell costs: what it is expected to, so that it is neutral, or nothing, as in the plain sum.

    Notes
    -----
    The pool ranks rows better and bounds the log-likelihood less tightly.  Take `ImportanceWeighted` where the number
    itself is to be near the log-density.

    A sum over observed cells compares rows with different cells missing by the units of their columns: a missing cell
    of density 1000 takes 7 nats from the score, one of density .001 gives 7.  With ``missing="expected"``, the score of
    a row whose cells :math:`M` are missing is instead

    .. math:: S(x_{obs}) - \sum_{j \in M} c_j - r(s), \qquad c_j = E[-\log p(x_j)], \qquad
              r(s) = E[S(x_{obs}) - S(x) - \textstyle\sum_{j \in M} \log p(x_j)],

    with S the sum above, :math:`\log p(x_j)` the pooled term of a cell in it, and s the share of the cells that is
    missing. :math:`c_j` is what the cell would have cost, and r, linear between a few shares, what is not additive: the
    KL saved, less what the other cells now cost more, because the encoder knows less about the row.  Both are learned
    once, in the fit, from rows that the member was not trained on, some of whose cells are hidden at random: so that
    the mean score of rows does not depend on how many of their cells are missing, whatever the units, if cells are
    missing completely at random and rows are like those of training.  A row without any cell has the mean score.  Whole
    rows have the plain sum, to the last bit.  What it does not do: the spread of the scores shrinks with the cells that
    are known, so that fewer rows with missing cells than whole ones are above a high threshold; and where cells are
    missing because of what they hold, the mean is another one.

    References
    ----------
    Genest and Zidek, "Combining probability distributions: a critique and an annotated bibliography",
    Statistical Science 1(1), 1986, section 3 (logarithmic opinion pools).
    """

    n_draws: int = 2
    independence: float = 0.4
    missing: str = "expected"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.independence < 1:
            raise ValueError(f"independence is a number from 0 to below 1, not {self.independence!r}")
        if self.missing not in MISSING:
            raise ValueError(f"missing is one of {MISSING}, not {self.missing!r}")

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        independent = precise(marginal_terms(vae, batch)).sum(-1)
        pooled = (1 - self.independence) * ELBO(self.n_draws).reduce(terms, vae, batch)
        pooled = pooled + self.independence * independent
        charged = self._charged(vae, batch)
        return pooled if charged is None else pooled - charged.mean(0)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        independent = precise(marginal_terms(vae, batch)).sum(-1)
        pooled = torch.lerp(ELBO(self.n_draws).by_member(terms, vae, batch), independent, self.independence)
        charged = self._charged(vae, batch)
        return pooled if charged is None else pooled - charged

    def _charged(self, vae: VAE, batch: Batch) -> Tensor | None:
        """What each member charges each row for its missing cells: (members, rows); None where it is nothing."""
        if self.missing == "ignored" or vae.missing_costs is None:
            return None
        if batch.observed.device.type == "cpu" and bool(batch.observed.all()):
            return None
        return vae.missing_costs.of_rows(batch)


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


def charges_missing(score: Score) -> bool:
    """Whether a score asks for ``vae.missing_costs``, by which missing cells are neutral."""
    return isinstance(score, PooledELBO) and score.missing == "expected"
