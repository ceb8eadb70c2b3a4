"""From terms to nats per row, in chunks of one shape."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from vae_anomaly.batch import Batch
from vae_anomaly.elbo import Terms, elbo_terms, marginal_terms
from vae_anomaly.lookup import resolve
from vae_anomaly.priors import precise
from vae_anomaly.threads import map_in_threads
from vae_anomaly.vae import VAE

CHUNK_CELLS, CHUNK_CELLS_ON_CUDA = 1 << 22, 1 << 28
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS, MAX_CHUNK_ROWS_ON_CUDA = 4, 256, 1 << 16


@dataclass(frozen=True)
class Score(abc.ABC):
    """A number for each row, higher for more normal ones: a frozen description without tensors.

    Parameters
    ----------
    n_draws : int
        Latent draws that it needs, taken from the noise that is stored with the model.
    """

    n_draws: int

    def __post_init__(self) -> None:
        if not self.n_draws >= 1:
            raise ValueError(f"n_draws is an integer of at least 1, not {self.n_draws!r}")

    @abc.abstractmethod
    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """Terms of the members to one value a row, in nats: (rows,)."""


@dataclass(frozen=True)
class ELBO(Score):
    """The evidence lower bound, averaged over draws and members.

    The mean of the members' bounds is itself a lower bound of the log-density of their mixture (Jensen).

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws a row and member.

    Notes
    -----
    All rows share the stored draws, so their sampling error is common to all rows: it hardly touches the ranking, and
    it does not average out in a mean: the spread over seeds in ``reports/benchmarks/foundation.md`` is tenths of a nat,
    to either side.  Take 64 or more where the number itself matters.
    """

    n_draws: int = 4

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean((0, 1)) - precise(terms.kl).mean(0)


@dataclass(frozen=True)
class PooledELBO(Score):
    r"""The evidence lower bound of the members pooled with an independence model, in which columns know no others.

    :math:`(1 - w) \frac1M \sum_m \mathrm{ELBO}_m(x) + w \sum_j \log p(x_j)`.  Both parts are lower bounds of
    log-likelihoods, so by Jensen the pool is one of the mixture of the members and the independence model with weights
    `1 - w` and `w`: what the mean over members is in `ELBO`, with one more member that cannot learn how columns go
    together.  Where the training rows hold anomalies, flexible members learn them as well; the rigid one does not,
    and for it what is extreme in its own column stays extreme.

    Parameters
    ----------
    n_draws : int, default=2
        Latent draws a row and member.
    independence : float, default=0.4
        :math:`w`, the weight of the independence model, from 0 to below 1; 0 is the `ELBO`.

    Notes
    -----
    The pool ranks rows better and bounds the log-likelihood less tightly.  Take `ImportanceWeighted` where the number
    itself is to be near the log-density.

    References
    ----------
    Genest and Zidek, "Combining probability distributions: a critique and an annotated bibliography",
    Statistical Science 1(1), 1986, section 3 (logarithmic opinion pools).
    """

    n_draws: int = 2
    independence: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.independence < 1:
            raise ValueError(f"independence is a number from 0 to below 1, not {self.independence!r}")

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        independent = precise(marginal_terms(vae, batch)).sum(-1)
        return (1 - self.independence) * ELBO(self.n_draws).reduce(terms, vae, batch) + self.independence * independent


@dataclass(frozen=True)
class ELBOPerCell(Score):
    """The ELBO divided by the number of observed cells: for comparing rows with different numbers of holes.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws a row and member.
    """

    n_draws: int = 4

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return ELBO(self.n_draws).reduce(terms, vae, batch) / batch.observed.sum(-1).clamp(min=1)


@dataclass(frozen=True)
class ImportanceWeighted(Score):
    r"""The importance-weighted bound, tighter than the ELBO and rising with the number of draws.

    :math:`\log \frac{1}{K M} \sum_{k,m} p_m(x \mid z_{km})\, p_m(z_{km}) / q_m(z_{km} \mid x)` over draws and members:
    a bound of the mixture of the members.

    Parameters
    ----------
    n_draws : int, default=64
        K, latent draws a row and member.

    References
    ----------
    Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, eq. 8.
    """

    n_draws: int = 64

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        log_prior, log_posterior = vae.prior.log_prob(terms.z, batch), terms.posterior.log_prob(terms.z)
        log_weights = precise(terms.log_likelihood).sum(-1) + precise(log_prior) - precise(log_posterior)
        return log_weights.flatten(0, 1).logsumexp(0) - math.log(log_weights.shape[0] * log_weights.shape[1])


@dataclass(frozen=True)
class Reconstruction(Score):
    """The expected log-likelihood alone, E_q[log p(x | z)]: the ELBO without its KL.

    Parameters
    ----------
    n_draws : int, default=4
        Latent draws a row and member.
    """

    n_draws: int = 4

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return precise(terms.log_likelihood).sum(-1).mean((0, 1))


@dataclass(frozen=True)
class KL(Score):
    """The KL alone, with a minus sign: how far the row's latents lie from what the prior expects."""

    n_draws: int = 1

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return -precise(terms.kl).mean(0)


SCORES: dict[str, type[Score]] = {
    "pooled_elbo": PooledELBO,
    "elbo": ELBO,
    "elbo_per_cell": ELBOPerCell,
    "importance_weighted": ImportanceWeighted,
    "reconstruction": Reconstruction,
    "kl": KL,
}


def resolve_score(score: str | Score) -> Score:
    """A score by its name in `SCORES`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_score("elbo")
    ELBO(n_draws=4)
    """
    return resolve(score, Score, SCORES, "row_score")


def scoring_noise(n_members: int, n_draws: int, latent_dim: int, seed: int) -> Tensor:
    """Standard normal noise of low discrepancy, drawn once and kept with the weights.

    Every member has its own scrambled Sobol points.  Half of the draws mirror the other half, so that their mean is
    exactly 0 wherever their number is even.  They are not scaled to unit variance: a few draws that are
    lose their tails, and on a mixture of two normals four of them put the ELBO above the importance-weighted bound.

    Returns
    -------
    Tensor of shape (members, draws, 1, latents)
    """
    n_points = (n_draws + 1) // 2
    points = torch.stack(
        [
            SobolEngine(latent_dim, scramble=True, seed=seed + member).draw(n_points, dtype=torch.float32)
            for member in range(n_members)
        ]
    )
    normal = torch.special.ndtri(points.double().clamp(1e-6, 1 - 1e-6)).float()
    return torch.cat([normal, -normal], 1)[:, :n_draws].unsqueeze(2)


def chunk_rows(vae: VAE, n_draws: int) -> int:
    """Rows of a chunk: a power of two that keeps its largest tensor in proportion to the device."""
    on_cuda = vae.raw_noise.device.type == "cuda"
    room, most = (CHUNK_CELLS_ON_CUDA, MAX_CHUNK_ROWS_ON_CUDA) if on_cuda else (CHUNK_CELLS, MAX_CHUNK_ROWS)
    cells = vae.n_members * n_draws * max(vae.n_parameters, vae.n_columns, vae.latent_dim, vae.prior.n_kernels, 64)
    fitting = 1 << int(math.log2(max(room // cells, 1)))
    return min(max(fitting, MIN_CHUNK_ROWS), most)


def chunks(batch: Batch, n_rows: int, device: torch.device) -> Iterator[tuple[Batch, int]]:
    """Batches of exactly `n_rows` rows, the last one padded with empty rows, and how many of each are real.

    Equal shapes mean equal kernels and so equal arithmetic for a row, wherever it stands and whatever stands beside
    it: this is what makes float32 scores independent of batch size, order and neighbours.
    """
    for begin in range(0, len(batch), n_rows):
        part = batch.take(slice(begin, begin + n_rows))
        yield part.padded(n_rows).to(device), len(part)


def score_rows(vae: VAE, batch: Batch, score: Score, noise: Tensor) -> Tensor:
    """The score of every row, independent of the other rows.

    Parameters
    ----------
    vae : VAE
        With its fitted prior.
    batch : Batch
        Rows of shape (rows, columns).
    score : Score
        The reduction.
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise.

    Returns
    -------
    Tensor of shape (rows,), float64, on the CPU
        Nats, higher for more normal rows.
    """

    def score_chunk(chunk: tuple[Batch, int]) -> Tensor:
        part, n_real = chunk
        with torch.inference_mode():
            return score.reduce(elbo_terms(vae, part, noise), vae, part)[:n_real].cpu().double()

    parts = chunks(batch, chunk_rows(vae, noise.shape[1]), noise.device)
    scores = map_in_threads(score_chunk, parts, on_cpu=noise.device.type == "cpu")
    return torch.cat([torch.empty(0, dtype=torch.float64), *scores])


def cell_terms(vae: VAE, batch: Batch, noise: Tensor, independence: float) -> tuple[Tensor, Tensor]:
    """The pooled ELBO by cell, averaged over members and draws: what `score_rows` adds up for `PooledELBO`.

    Parameters
    ----------
    vae : VAE
        With its fitted prior.
    batch : Batch
        Rows of shape (rows, columns).
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise.
    independence : float
        Weight of the independence model; 0 for the score `ELBO`.

    Returns
    -------
    log_likelihood : Tensor of shape (rows, places), float64, on the CPU
        E_q[log p(x_j | z)], pooled with log p(x_j), nats; 0 where the cell is missing.
    kl : Tensor of shape (rows,), float64, on the CPU
        With the weight of the members, nats.
    """

    def of_chunk(chunk: tuple[Batch, int]) -> tuple[Tensor, Tensor]:
        part, n_real = chunk
        with torch.inference_mode():
            terms = elbo_terms(vae, part, noise)
            alone = precise(marginal_terms(vae, part))
            cells = torch.lerp(precise(terms.log_likelihood).mean((0, 1)), alone, independence)
            kl = (1 - independence) * precise(terms.kl).mean(0)
            return cells[:n_real].cpu().double(), kl[:n_real].cpu().double()

    parts = chunks(batch, chunk_rows(vae, noise.shape[1]), noise.device)
    terms = map_in_threads(of_chunk, parts, on_cpu=noise.device.type == "cpu")
    return torch.cat([cells for cells, _ in terms]), torch.cat([kl for _, kl in terms])
