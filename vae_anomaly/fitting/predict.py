"""Scores of rows, in chunks of one shape."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, elbo_terms, map_in_threads, marginal_terms, precise, saturated_terms
from vae_anomaly.scores import RelativeScore, Score

MAX_LATENTS = SobolEngine.MAXDIM
CHUNK_CELLS, CHUNK_CELLS_ON_CUDA = 1 << 22, 1 << 28
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS, MAX_CHUNK_ROWS_ON_CUDA = 4, 256, 1 << 16


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


def row_statistics(vae: VAE, batch: Batch, score: RelativeScore, noise: Tensor) -> Tensor:
    """What a relative score compares rows by.

    Parameters
    ----------
    vae : VAE
        With its fitted prior.
    batch : Batch
        Rows of shape (rows, columns).
    score : RelativeScore
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise.

    Returns
    -------
    Tensor of shape (rows, statistics), float64, on the CPU
    """

    def of_chunk(chunk: tuple[Batch, int]) -> Tensor:
        part, n_real = chunk
        with torch.inference_mode():
            return score.statistics(elbo_terms(vae, part, noise), vae, part)[:n_real].cpu().double()

    parts = chunks(batch, chunk_rows(vae, noise.shape[1]), noise.device)
    return torch.cat(map_in_threads(of_chunk, parts, on_cpu=noise.device.type == "cpu"))


def saturated_rows(vae: VAE, batch: Batch, noise: Tensor) -> Tensor:
    """The highest log-likelihood that a decoder could give each cell, averaged over members.

    Parameters
    ----------
    vae : VAE
    batch : Batch
        Rows of shape (rows, columns).
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise, for the shape of chunks.

    Returns
    -------
    Tensor of shape (rows, places), float64, on the CPU
        Nats; 0 where the cell is missing.
    """

    def of_chunk(chunk: tuple[Batch, int]) -> Tensor:
        part, n_real = chunk
        with torch.inference_mode():
            return precise(saturated_terms(vae, part)).mean(0)[:n_real].cpu().double()

    parts = chunks(batch, chunk_rows(vae, noise.shape[1]), noise.device)
    return torch.cat(map_in_threads(of_chunk, parts, on_cpu=noise.device.type == "cpu"))


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
