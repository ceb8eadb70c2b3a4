"""The training rows' posteriors as components: a kernel density in latent space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors.base import FittedPrior, Posterior, Prior
from vae_anomaly.model.priors.components import Components, FittedComponents, log_sum

KERNEL_WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0)
LEAVE_ONE_OUT_ROWS = 512


@dataclass(frozen=True)
class _Copies:
    """Which exemplars equal a row.

    Parameters
    ----------
    sorted_fingerprints : int64 Tensor of shape (members, exemplars)
    order : int64 Tensor of shape (members, exemplars)
        Exemplars in the order of their fingerprints.
    """

    sorted_fingerprints: Tensor
    order: Tensor

    def of(self, fingerprints: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        r"""Exemplars that equal a row, and what leaving one of them out does to each.

        Parameters
        ----------
        fingerprints : int64 Tensor of shape (rows,), or (members, rows)

        Returns
        -------
        member, row, exemplar : int64 Tensor of shape (pairs,)
        discount : Tensor of shape (pairs,)
            :math:`\log((c - 1) / c)` where there are c copies: their kernels are equal, so leaving one out multiplies
            each by (c - 1) / c.  None where no exemplar equals any row.
        """
        wanted = fingerprints.expand(len(self.order), -1).contiguous()
        first = torch.searchsorted(self.sorted_fingerprints, wanted)
        n_copies = torch.searchsorted(self.sorted_fingerprints, wanted, right=True) - first
        if not n_copies.any():
            return None
        member, row = n_copies.nonzero(as_tuple=True)
        count, begin = n_copies[member, row], first[member, row]
        pair = torch.arange(len(count), device=count.device).repeat_interleave(count)
        within = torch.arange(len(pair), device=count.device) - (count.cumsum(0) - count)[pair]
        exemplar = self.order[member[pair], begin[pair] + within]
        return member[pair], row[pair], exemplar, torch.log1p(-1 / count[pair].to(torch.float32))


@final
class FittedExemplar(FittedComponents):
    """A mixture of the training rows' posteriors, one mixture per member."""

    fingerprints: Tensor

    def __init__(self, mean: Tensor, log_variance: Tensor, fingerprints: Tensor) -> None:
        super().__init__(mean, log_variance)
        self.register_buffer("fingerprints", fingerprints)
        self._copies: _Copies | None = None

    def _arrange(self) -> Components:
        self._copies = _Copies(*self.fingerprints.sort(dim=1))
        return Components.of(self.mean, self.log_variance)

    def _log_mixture(self, log_components: Tensor, batch: Batch) -> Tensor:
        """log of the mean kernel, one copy of the row itself left out of the sum but not of the divisor."""
        n_exemplars = self.mean.shape[1]
        copies = None
        if n_exemplars > 1:
            assert self._copies is not None
            copies = self._copies.of(batch.fingerprints())
        if copies is not None:
            member, row, exemplar, discount = copies
            log_components.movedim(-2, 1)[member, row, ..., exemplar] += discount.to(log_components.dtype).view(
                -1, *[1] * (log_components.dim() - 3)
            )
        return log_sum(log_components) - math.log(n_exemplars)

    def _chosen(self, n_rows: int, generator: torch.Generator) -> Tensor:
        n_members, n_exemplars, _ = self.mean.shape
        return torch.randint(n_exemplars, (n_members, n_rows, 1), generator=generator).squeeze(-1)


@dataclass(frozen=True)
class Exemplar(Prior):
    r"""The aggregated posterior of the training rows: a kernel density estimate in latent space.

    The mixture :math:`p(z) = \frac1M \sum_m N(z;\ \mu_m,\ c^2 \sigma_m^2)` over the posteriors of a member's own
    training rows, fitted after training.  Its KL is bounded in closed form, without sampling:

    .. math:: KL(q \,\|\, p) \le -\log \frac1M \sum_m e^{-KL(q \| p_m)}.

    Parameters
    ----------
    kernel_width : float, optional
        :math:`c`.  By default the width with the best leave-one-out bound on up to 512 exemplars, for each member.
    max_exemplars : int, default=512
        At most this many training rows per member.

    Notes
    -----
    A training row must not raise its own density: for a row that equals an exemplar in every cell, one such exemplar is
    left out of the sum while the divisor stays M.  That is leave-one-out for training rows, and still a lower bound
    of the log-likelihood for every row.  Further copies stay, because a value that recurs among the training rows
    is evidence that it recurs: a row seen in half of the table is normal, and an anomaly that was recorded
    twice profits from its twin by at most ``log M`` nats.

    References
    ----------
    Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018, eq. 8.
    Norouzi, Fleet and Norouzi, "Exemplar VAE", NeurIPS 2020, eq. 8.
    Hershey and Olsen, "Approximating the KL divergence between Gaussian mixture models", ICASSP 2007, eq. 20.
    """

    kernel_width: float | None = None
    max_exemplars: int = 512

    def __post_init__(self) -> None:
        if self.kernel_width is not None and not self.kernel_width > 0:
            raise ValueError(f"kernel_width is None or a number above 0, not {self.kernel_width!r}")
        if not self.max_exemplars >= 2:
            raise ValueError(f"max_exemplars is an integer of at least 2, not {self.max_exemplars!r}")

    @property
    def max_rows(self) -> int:
        return self.max_exemplars

    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        kept = slice(0, self.max_exemplars)
        mean, log_variance = posterior.mean[:, kept], posterior.log_variance[:, kept]
        exemplars = batch.at(kept)
        fingerprints = exemplars.fingerprints()
        widths = torch.tensor(
            KERNEL_WIDTHS if self.kernel_width is None else (self.kernel_width,), dtype=mean.dtype, device=mean.device
        )
        shifts = 2 * widths.log()
        if len(widths) > 1:
            bounds = [
                self._leave_one_out(mean[one], log_variance[one], exemplars.of_members(one), shifts)
                for one in torch.arange(len(mean), device=mean.device).split(1)
            ]
            shifts = shifts[torch.stack(bounds).argmax(1)]
        return FittedExemplar(mean.clone(), log_variance + shifts[:, None, None], fingerprints)

    def _leave_one_out(self, mean: Tensor, log_variance: Tensor, exemplars: Batch, shifts: Tensor) -> Tensor:
        """Mean bound of some of a member's exemplars, each scored without itself, for every width."""
        fingerprints = exemplars.fingerprints()
        some = slice(0, LEAVE_ONE_OUT_ROWS)
        own = Posterior(mean[:, some], log_variance[:, some])
        rows = exemplars.at(some)
        priors = [FittedExemplar(mean, log_variance + shift, fingerprints) for shift in shifts]
        return torch.stack([-prior.kl(own, rows).mean() for prior in priors])

    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        shape = (n_members, n_rows, latent_dim)
        return FittedExemplar(
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(n_members, n_rows, dtype=torch.int64),
        )
