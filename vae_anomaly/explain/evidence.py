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
from vae_anomaly.errors import ModelFileError
from vae_anomaly.explain.conditionals import Conditionals, conditionals, tail_probability
from vae_anomaly.fitting import CellReference, FittedModel, score_shares
from vae_anomaly.scores import additive_of

MAX_COMPARED_COLUMNS = 512


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


def with_reference(model: FittedModel[Encoder]) -> FittedModel[Encoder]:
    """The same model with what explanations compare cells with; computed once, from some training rows.

    Raises
    ------
    ModelFileError
        If the model is from a file of a version that kept nothing to compare with.
    """
    if model.reference is not None:
        return model
    rows = model.reference_rows
    if rows is None:
        raise ModelFileError(
            "the model file was written by an earlier version, which kept nothing to compare cells with. "
            "Fit and save the model again to explain rows."
        )
    shares = score_shares(model.vae, rows, additive_of(model.score), model.noise)
    if rows.n_columns <= MAX_COMPARED_COLUMNS:
        given_others = conditionals(model.vae, rows, model.noise, model_indices(model.table_encoder)).position
        alone = _alone(model, rows).position
    else:
        given_others = alone = torch.empty(0, rows.n_columns)
    cells = shares.cells.where(rows.observed, 0.0)
    counts = rows.observed.sum(0).clamp(min=1)
    reference = CellReference(
        given_others.float().sort(0).values,
        alone.float().sort(0).values,
        torch.cat([-cells.sum(0) / counts, shares.of_row.mean().unsqueeze(0)]),
    )
    return dataclasses.replace(model, reference=reference)


def evidence_of(
    model: FittedModel[Encoder], batch: Batch, hidden: Tensor | None = None, ranges: float | None = None
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
    """
    encoder, reference = model.table_encoder, model.reference
    assert reference is not None
    given = conditionals(model.vae, batch, model.noise, model_indices(encoder), hidden=hidden, ranges=ranges)
    ordered = [column.likelihood is not None and column.likelihood.ordered for column in encoder.modelled]
    given_others = tail_probability(given.position, reference.given_others, ordered).numpy()
    unconditional = _alone(model, batch)
    alone = tail_probability(unconditional.position, reference.alone, ordered).numpy()
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


def model_indices(encoder: TableEncoder) -> list[tuple[int, ...]]:
    """Indices in the model's order of each modelled column and its parts, in the user's order."""
    return [indices for position in range(len(encoder.columns)) if (indices := encoder.model_indices_of(position))]


def in_model_order(encoder: TableEncoder, cells: npt.NDArray[np.bool_]) -> Tensor:
    """From cells in the user's order to cells in the model's."""
    return torch.from_numpy(cells[:, list(encoder.order)])


def _alone(model: FittedModel[Encoder], batch: Batch) -> Conditionals:
    """Cells given nothing."""
    return conditionals(model.vae, batch, model.noise, [tuple(range(batch.n_columns))])
