"""How much less likely a row is than the training rows around it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, Terms, nearest_centres
from vae_anomaly.scores.base import AdditiveScore, Score, Shares
from vae_anomaly.scores.pool import PooledELBO


@dataclass(frozen=True)
class LocalRatio(AdditiveScore):
    r"""The pooled bound of a row, less a share of its mean over the training rows nearest to the row.

    .. math:: S(x) - \lambda \frac1k \sum_{n \in N_k(x)} S(x_n)

    With :math:`\lambda = 1` a log-likelihood ratio of the row and the geometric mean of its neighbours: where training
    rows are sparse, normal rows are unlikely, too.  In nats, additive by cell, and no bound of a log-density.  For
    training rows that are normal: beside an anomaly of the training rows, another one passes for normal.

    Parameters
    ----------
    n_draws : int, default=2
        Latent draws per row and member.
    independence, kernels, sharpness, n_kernels, missing : default=0.1, 0.45, 0, 4096, "expected"
        Of the `PooledELBO` S; its kernels stand at the training rows that may be neighbours.
    strength : float, default=0.5
        :math:`\lambda`, from 0 to 1.
    n_neighbors : int, default=20
        k; the row itself is not among its neighbours.

    References
    ----------
    Breunig, Kriegel, Ng and Sander, "LOF: identifying density-based local outliers", SIGMOD 2000, definition 7.
    """

    n_draws: int = 2
    independence: float = 0.1
    kernels: float = 0.45
    sharpness: float = 0.0
    n_kernels: int = 4096
    missing: str = "expected"
    strength: float = 0.5
    n_neighbors: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pool.kernels:
            raise ValueError("kernels is a number above 0: neighbours are training rows with a kernel")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is a number from 0 to 1, not {self.strength!r}")
        if not self.n_neighbors >= 1:
            raise ValueError(f"n_neighbors is an integer of at least 1, not {self.n_neighbors!r}")

    @property
    def pool(self) -> PooledELBO:
        """The score whose ratio it is."""
        return PooledELBO(self.n_draws, self.independence, self.kernels, self.sharpness, self.n_kernels, self.missing)

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.pool.reduce(terms, vae, batch) - self.strength * self._around(vae, batch)[0]

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.of_all_and_by_member(terms, vae, batch)[1]

    def of_all_and_by_member(self, terms: Terms, vae: VAE, batch: Batch) -> tuple[Tensor, Tensor]:
        of_all, by_member = self.pool.of_all_and_by_member(terms, vae, batch)
        around = self.strength * self._around(vae, batch)
        return of_all - around[0], by_member - around[1:]

    def by_cell(self, terms: Terms, vae: VAE, batch: Batch, member: int | None = None) -> Shares:
        shares = self.pool.by_cell(terms, vae, batch, member)
        around = self._around(vae, batch)[0 if member is None else 1 + member]
        return Shares(shares.cells, shares.of_row + self.strength * around, shares.charged)

    def _around(self, vae: VAE, batch: Batch) -> Tensor:
        """Mean score of the nearest centres, by all members and by each: (1 + members, rows)."""
        assert vae.kernels is not None
        return vae.kernels.scores[:, nearest_centres(vae, batch, vae.kernels, self.n_neighbors)].mean(-1)


def pool_of(score: Score) -> PooledELBO | None:
    """The pool of bounds that a score is, or is made of."""
    if isinstance(score, LocalRatio):
        return score.pool
    return score if isinstance(score, PooledELBO) else None
