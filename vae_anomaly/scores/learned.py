"""Scores with what reviewed rows taught."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.errors import NotAvailable
from vae_anomaly.model import VAE, Terms
from vae_anomaly.scores.base import AdditiveScore, Score, Shares
from vae_anomaly.scores.bounds import ELBO


@dataclass(frozen=True)
class LearnedAdditive(AdditiveScore):
    """A score that is a sum over cells, less the offset that was learned from reviewed rows; see `LearnedOffset`.

    Parameters
    ----------
    n_draws : int
        Those of `base`.
    base : AdditiveScore
        The score without what was learned.
    """

    base: AdditiveScore

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.base.reduce(terms, vae, batch) - _offset(self.base, terms, vae, batch, None)

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.of_all_and_by_member(terms, vae, batch)[1]

    def of_all_and_by_member(self, terms: Terms, vae: VAE, batch: Batch) -> tuple[Tensor, Tensor]:
        of_all, by_member = self.base.of_all_and_by_member(terms, vae, batch)
        offsets = [_offset(self.base, terms, vae, batch, member) for member in range(len(by_member))]
        return of_all - _offset(self.base, terms, vae, batch, None), by_member - torch.stack(offsets)

    def by_cell(self, terms: Terms, vae: VAE, batch: Batch, member: int | None = None) -> Shares:
        assert vae.learned is not None
        shares = self.base.by_cell(terms, vae, batch, member)
        cells, of_row = vae.learned.by_cell(-shares.cells, shares.of_row, batch)
        return Shares(shares.cells - cells, shares.of_row + of_row, shares.charged)


@dataclass(frozen=True)
class Learned(Score):
    """Any other score, less the offset that was learned from reviewed rows, of what cells add to the ELBO.

    Parameters
    ----------
    n_draws : int
        Those of `base`.
    base : Score
        The score without what was learned.
    """

    base: Score

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.base.reduce(terms, vae, batch) - _offset(ELBO(self.n_draws), terms, vae, batch, None)


def with_learned(score: Score) -> Score:
    """The score with what was learned, which is in ``vae.learned``.

    Raises
    ------
    NotAvailable
        If the offset could not be told by cell.
    """
    if isinstance(score, AdditiveScore):
        return LearnedAdditive(score.n_draws, score)
    if score.for_images:
        return Learned(score.n_draws, score)
    raise NotAvailable(
        f"{type(score).__name__} is no sum over columns, and what reviewed rows teach is said by column. Fit with "
        "row_score='pooled_elbo', the default, 'elbo' or 'local_ratio'."
    )


def likelihood_score_of(score: Score) -> Score:
    """The score without what was learned."""
    return score.base if isinstance(score, LearnedAdditive | Learned) else score


def additive_of(score: Score) -> AdditiveScore:
    """The score whose shares say what each cell adds: the score itself if it is a sum of shares, else the ELBO."""
    return score if isinstance(score, AdditiveScore) else ELBO(score.n_draws)


def _offset(score: AdditiveScore, terms: Terms, vae: VAE, batch: Batch, member: int | None) -> Tensor:
    """What is added to the anomaly score of each row, by all members or by one: (rows,), nats."""
    assert vae.learned is not None
    shares = score.by_cell(terms, vae, batch, member)
    cells, of_row = vae.learned.by_cell(-shares.cells, shares.of_row, batch)
    return cells.sum(-1) + of_row
