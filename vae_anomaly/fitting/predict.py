"""Scores of rows, and what they are made of."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.errors import NonFiniteScoreError
from vae_anomaly.fitting.chunks import map_chunks
from vae_anomaly.model import VAE, elbo_terms, precise, saturated_terms
from vae_anomaly.scores import AdditiveScore, MemberScore, RelativeScore, Score, Shares, likelihood_score_of, pool_of

MAX_LATENTS = SobolEngine.MAXDIM


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
    scores = map_chunks(partial(_scores, score), vae, noise, batch, scores=not score.takes_steps)[0]
    return finite_scores(_in_data_units(scores, batch, score))


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
    pooled, compared = map_chunks(partial(_scores_by_member, score), vae, noise, batch, scores=not score.takes_steps)
    pooled, compared = _in_data_units(pooled, batch, score), _in_data_units(compared, batch, score)
    finite_scores(torch.cat([pooled[:, None], compared], 1))
    return pooled.numpy(), compared.numpy()


def _in_data_units(scores: Tensor, batch: Batch, score: Score) -> Tensor:
    """Scores, (rows,) or (rows, members), as log-densities in the units of the data where numbers are compared.

    Bounds of all experts shift by the same number, and with them their pool.
    """
    if batch.units is None or not likelihood_score_of(score).is_density:
        return scores
    added = batch.units.row_jacobians(batch.observed, charges_missing=charges_missing(score))
    return scores + (added if scores.dim() == 1 else added.unsqueeze(1))


def charges_missing(score: Score) -> bool:
    """Whether a missing cell costs what it is expected to."""
    pool = pool_of(likelihood_score_of(score))
    return pool is not None and pool.missing == "expected"


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


def score_shares(vae: VAE, batch: Batch, score: AdditiveScore, noise: Tensor, *, member: int | None = None) -> Shares:
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
    member : int, optional
        The member that judges alone; all of them by default.

    Returns
    -------
    Shares
        On the CPU.

    Raises
    ------
    NonFiniteScoreError
        If a row's are not finite.
    """
    shares = Shares(*map_chunks(partial(_shares, score, member), vae, noise, batch))
    if batch.units is not None and likelihood_score_of(score).is_density:
        charged = charges_missing(score)
        added = batch.units.of_cells(batch.observed, charges_missing=charged)
        expected = added.where(~batch.observed.cpu(), 0.0).sum(1)
        shares = Shares(shares.cells + added, shares.of_row, shares.charged - expected)
    finite_scores(shares.cells.sum(1) + shares.of_row)
    return shares


def _shares(score: AdditiveScore, member: int | None, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    shares = score.by_cell(elbo_terms(vae, part, noise), vae, part, member)
    return shares.cells, shares.of_row, shares.charged
