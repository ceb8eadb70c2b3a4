"""How rare the cells of rows are, given the other cells and given nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder, TableEncoder
from vae_anomaly.data import FloatArray
from vae_anomaly.explain.conditionals import Conditionals, conditionals, tail_probability
from vae_anomaly.fitting import FittedModel

SUSPICIOUS = 1e-3
# Of cells that others are judged without: reports/benchmarks/analyst/cells.md has what other values do.
HIDDEN_FROM_OTHERS = 0.02


@dataclass(frozen=True)
class Evidence:
    """How rare the cells of the user's columns are.

    Parameters
    ----------
    conditionals : Conditionals
        Of the model's columns.
    given_others, alone : ndarray of shape (rows, columns)
        Tail probabilities given the other cells and given nothing; NaN where missing.
    against : ndarray of shape (rows, columns)
        log p(cell) - log p(cell | the others), at least 0: how much the others speak against the cell, in nats.
    rarest : int ndarray of shape (rows, columns)
        The model column, the user's column itself or a part of it, whose tail probability given the others is least.
    """

    conditionals: Conditionals
    given_others: FloatArray
    alone: FloatArray
    against: FloatArray
    rarest: npt.NDArray[np.intp]

    @property
    def cell_scores(self) -> FloatArray:
        """Rarity given the others, rarity alone, and what the others say against the cell, added; nats."""
        scores: FloatArray = self.against - np.log(self.given_others) - np.log(self.alone)
        return scores

    def is_wrong(self, max_tail_probability: float) -> npt.NDArray[np.bool_]:
        """Which cells are rarer than the product of two independent uniform numbers is with this probability."""
        scores = self.cell_scores
        wrong: npt.NDArray[np.bool_] = np.exp(-scores) * (1 + scores) < max_tail_probability
        return wrong


def evidence_of(
    model: FittedModel[Encoder],
    batch: Batch,
    hidden: Tensor | None = None,
    ranges: float | None = None,
    own: tuple[Tensor, Tensor] | None = None,
) -> Evidence:
    """How rare the cells of rows are.

    Parameters
    ----------
    model : FittedModel
        Of a table, with its reference: see `with_reference`.
    batch : Batch
        Rows of shape (rows, model columns).
    hidden : bool Tensor of shape (rows, model columns), optional
        Cells that the encoder may not see.
    ranges : float, optional
        Probability that the plausible range holds.
    own : (Tensor, Tensor) of shape (rows, model columns), optional
        Positions that the cells have themselves in the reference, given the others and alone, where they do not count.
    """
    encoder, reference = model.table_encoder, model.reference
    assert reference is not None
    given = conditionals(model.vae, batch, model.noise, model_indices(encoder), hidden=hidden, ranges=ranges)
    ordered = [column.likelihood is not None and column.likelihood.ordered for column in encoder.modelled]
    own_given_others, own_alone = (None, None) if own is None else own
    given_others = tail_probability(given.position, reference.given_others, ordered, own_given_others).numpy()
    unconditional = alone_of(model, batch)
    alone = tail_probability(unconditional.position, reference.alone, ordered, own_alone).numpy()
    against = encoder.by_column((unconditional.log_likelihood - given.log_likelihood).numpy()).clip(min=0)
    shape = len(batch), len(encoder.columns)
    by_column = [np.full(shape, np.nan), np.full(shape, np.nan)]
    rarest = np.zeros(shape, dtype=np.intp)
    for position in range(shape[1]):
        indices = list(encoder.model_indices_of(position))
        if not indices:
            continue
        for tails, columns in zip((given_others, alone), by_column, strict=True):
            # Several chances to be rare (Bonferroni).
            least = np.where(np.isnan(tails[:, indices]), np.inf, tails[:, indices]).min(1) * len(indices)
            columns[:, position] = np.where(np.isinf(least), np.nan, least.clip(max=1))
        filled = np.where(np.isnan(given_others[:, indices]), np.inf, given_others[:, indices])
        rarest[:, position] = np.array(indices)[filled.argmin(1)]
    return Evidence(given, by_column[0], by_column[1], against, rarest)


def settled_scores(
    judge: FittedModel[Encoder], batch: Batch, first: Evidence, own: tuple[Tensor, Tensor] | None = None
) -> FloatArray:
    """How anomalous cells are once the suspicious ones of their row are hidden from the others.

    The number depends on the row and the model alone, so that cells of rows which influenced nothing are like those of
    any other normal row.

    Parameters
    ----------
    judge : FittedModel
        Of a table, with its reference: the model, or a member of it.
    batch : Batch
        Rows of shape (rows, model columns).
    first : Evidence
        Of the whole model, which says what is suspicious and how rare cells are alone.
    own : (Tensor, Tensor), optional
        See `evidence_of`.

    Returns
    -------
    ndarray of shape (rows, columns)
        `Evidence.cell_scores`, nats; NaN where missing.
    """
    hidden = in_model_order(judge.table_encoder, first.is_wrong(HIDDEN_FROM_OTHERS))
    settled = evidence_of(judge, batch, hidden, own=own)
    return dataclasses.replace(settled, alone=first.alone).cell_scores


def model_indices(encoder: TableEncoder) -> list[tuple[int, ...]]:
    """Indices in the model's order of each modelled column and its parts, in the user's order."""
    return [indices for position in range(len(encoder.columns)) if (indices := encoder.model_indices_of(position))]


def in_model_order(encoder: TableEncoder, cells: npt.NDArray[np.bool_]) -> Tensor:
    """From cells in the user's order to cells in the model's."""
    return torch.from_numpy(cells[:, list(encoder.order)])


def alone_of(model: FittedModel[Encoder], batch: Batch) -> Conditionals:
    """Cells given nothing."""
    return conditionals(model.vae, batch, model.noise, [tuple(range(batch.n_columns))])
