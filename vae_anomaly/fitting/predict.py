"""Rows through a fitted model, in chunks of one shape: the one loop that every result for rows goes through."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.errors import NonFiniteScoreError
from vae_anomaly.model import (
    VAE,
    elbo_terms,
    exact_products,
    parallel_map,
    precise,
    repeatable_convolutions,
    saturated_terms,
)
from vae_anomaly.scores import AdditiveScore, MemberScore, RelativeScore, Score, Shares

MAX_LATENTS = SobolEngine.MAXDIM
# On an H100 four times as many cells make scoring a tenth to a third faster, without the reading, which takes longer;
# they take three times the memory, and twice the time for a single row.
CHUNK_CELLS, CHUNK_CELLS_ON_CUDA = 1 << 22, 1 << 26
# Of rows that alone have more numbers than that, one at a time.
MAX_CELLS_OF_ROWS = 1 << 24
# Of double precision, for a row and a centre.
NUMBERS_OF_KERNELS = 4
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS, MAX_CHUNK_ROWS_ON_CUDA = 4, 1024, 1 << 16

ChunkFunction = Callable[..., tuple[Tensor, ...]]


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
    max_cells, max_rows = (CHUNK_CELLS_ON_CUDA, MAX_CHUNK_ROWS_ON_CUDA) if on_cuda else (CHUNK_CELLS, MAX_CHUNK_ROWS)
    cells = vae.n_members * n_draws * max(vae.n_parameters, vae.n_columns, vae.latent_dim, vae.prior.n_components, 64)
    if vae.kernels is not None:
        cells = max(cells, NUMBERS_OF_KERNELS * vae.kernels.n_centres)
    n_rows = 1 << int(math.log2(max(max_cells // cells, 1)))
    return min(max(n_rows, MIN_CHUNK_ROWS if cells <= MAX_CELLS_OF_ROWS else 1), max_rows)


def map_chunks(function: ChunkFunction, vae: VAE, noise: Tensor, batch: Batch, *others: Batch) -> tuple[Tensor, ...]:
    """What a function computes of rows, in chunks that all have the same number of rows.

    The result for a row does not depend on the other rows, their number and order, the batch that it came in, the
    number of threads, or joblib's backend, down to the last bit.  Three things make this so: every chunk is filled up
    with empty rows to `chunk_rows`, and equal shapes mean equal kernels and so equal arithmetic for a row; products
    and activations outside of training give a row the same bits wherever it stands (see
    `vae_anomaly.model.batch_invariant_matmul`); and each chunk is computed whole by one thread.

    Parameters
    ----------
    function : callable
        ``function(vae, noise, part, *other_parts)`` returns tensors whose first axis is rows.  Something that can be
        pickled, such as a `functools.partial` of a function of a module, because joblib may hand it to a process.
    vae : VAE
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise; it sets the size of chunks, and the device.
    batch : Batch
        Rows of shape (rows, columns).
    *others : Batch
        Further numbers of the same rows.

    Returns
    -------
    tuple of Tensor, float64, on the CPU
        What the function returned, for all rows in order.
    """
    n_rows = chunk_rows(vae, noise.shape[1])
    parts, order = _by_completeness(batch, others)
    items = itertools.chain.from_iterable(
        zip(*(_chunks(rows, n_rows, noise.device) for rows in part), strict=True) for part in parts
    )
    on_cpu = noise.device.type == "cpu"
    with exact_products(), repeatable_convolutions(noise.device, exact=True):
        computed = parallel_map(partial(_compute_chunk, function, vae, noise), items, on_cpu=on_cpu)
    results = tuple(torch.cat(found) for found in zip(*computed, strict=True))
    return results if order is None else tuple(result[order] for result in results)


def _by_completeness(batch: Batch, others: tuple[Batch, ...]) -> tuple[list[tuple[Batch, ...]], Tensor | None]:
    """Rows without missing values and all others apart, and where each row has come to; None where all stay in place.

    Both are computed differently, so neither may share a chunk with the other.
    """
    whole = batch.observed.all(-1)
    n_whole = int(whole.sum())
    if n_whole in (0, len(batch)):
        return [(replace(batch, is_complete=n_whole > 0), *others)], None
    chosen = whole.nonzero().squeeze(1), (~whole).nonzero().squeeze(1)
    parts = [
        (replace(batch.take(rows), is_complete=rows is chosen[0]), *(o.take(rows) for o in others)) for rows in chosen
    ]
    return parts, torch.cat(chosen).argsort()


def _chunks(batch: Batch, n_rows: int, device: torch.device) -> Iterator[tuple[Batch, int]]:
    """Batches of exactly `n_rows` rows, at least one, and how many rows of each are real."""
    for begin in range(0, max(len(batch), 1), n_rows):
        part = batch.take(slice(begin, begin + n_rows))
        yield part.padded(n_rows).to(device), len(part)


def _compute_chunk(
    function: ChunkFunction, vae: VAE, noise: Tensor, chunk: tuple[tuple[Batch, int], ...]
) -> tuple[Tensor, ...]:
    n_real = chunk[0][1]
    with torch.inference_mode():
        results = function(vae, noise, *(part for part, _ in chunk))
        return tuple(result[:n_real].cpu().double() for result in results)


def score_rows(vae: VAE, batch: Batch, score: Score, noise: Tensor) -> Tensor:
    """The score of every row.

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

    Raises
    ------
    NonFiniteScoreError
        If one is not finite.
    """
    return finite_scores(map_chunks(partial(_scores, score), vae, noise, batch)[0])


def finite_scores(scores: Tensor, item: Literal["row", "image"] = "row") -> Tensor:
    """The same scores, if they are all finite: the one place that stops a run for those that are not.

    Parameters
    ----------
    scores : Tensor of shape (rows,) or (rows, ...)
        Of rows whose cells are finite or missing.
    item : {"row", "image"}, default="row"
        What the rows are.

    Raises
    ------
    NonFiniteScoreError
        If one is not.
    """
    wrong = ~scores.isfinite().flatten(1).all(1) if scores.dim() > 1 else ~scores.isfinite()
    if bool(wrong.any()):
        raise NonFiniteScoreError(int(wrong.sum()), len(wrong), int(wrong.int().argmax()), item)
    return scores


def _scores(score: Score, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    return (score.reduce(elbo_terms(vae, part, noise), vae, part),)


def scores_and_comparisons(
    vae: VAE, batch: Batch, score: Score, noise: Tensor, *, by_member: bool
) -> tuple[FloatArray, FloatArray]:
    """The score of every row, and what it is compared with a calibration by, in one pass.

    Parameters
    ----------
    vae : VAE
        With its fitted prior.
    batch : Batch
        Rows of shape (rows, columns).
    score : Score
        A `MemberScore` where members are compared.
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise.
    by_member : bool
        Whether the scores of each member are compared, or the score of all of them.

    Returns
    -------
    scores : ndarray of shape (rows,), float64
        Nats, higher for more normal rows.
    comparisons : ndarray of shape (rows, members or 1), float64

    Raises
    ------
    NonFiniteScoreError
        If one is not finite.
    """
    if not (by_member and isinstance(score, MemberScore)):
        scores = score_rows(vae, batch, score, noise).numpy()
        return scores, scores[:, None]
    pooled, compared = map_chunks(partial(_scores_by_member, score), vae, noise, batch)
    finite_scores(torch.cat([pooled[:, None], compared], 1))
    return pooled.numpy(), compared.numpy()


def _scores_by_member(score: MemberScore, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    of_all, by_member = score.of_all_and_by_member(elbo_terms(vae, part, noise), vae, part)
    return of_all, by_member.T


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
    return map_chunks(partial(_statistics, score), vae, noise, batch)[0]


def _statistics(score: RelativeScore, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    return (score.statistics(elbo_terms(vae, part, noise), vae, part),)


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
    Tensor of shape (rows, columns), float64, on the CPU
        Nats; 0 where the cell is missing.
    """
    return map_chunks(_saturated, vae, noise, batch)[0]


def _saturated(vae: VAE, _noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    return (precise(saturated_terms(vae, part)).mean(0),)


def score_shares(vae: VAE, batch: Batch, score: AdditiveScore, noise: Tensor) -> Shares:
    """Every cell's share of the score of its row: what `score_rows` adds up.

    Parameters
    ----------
    vae : VAE
        With its fitted prior.
    batch : Batch
        Rows of shape (rows, columns).
    score : AdditiveScore
    noise : Tensor of shape (members, draws, 1, latents)
        Stored noise.

    Returns
    -------
    Shares
        On the CPU.

    Raises
    ------
    NonFiniteScoreError
        If a row's are not finite.
    """
    shares = Shares(*map_chunks(partial(_shares, score), vae, noise, batch))
    finite_scores(shares.cells.sum(1) + shares.of_row)
    return shares


def _shares(score: AdditiveScore, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    shares = score.by_cell(elbo_terms(vae, part, noise), vae, part)
    return shares.cells, shares.of_row, shares.charged
