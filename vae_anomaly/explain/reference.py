"""What cells are compared with: cells of training rows, and of rows that influenced nothing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.errors import ModelFileError
from vae_anomaly.explain.conditionals import conditionals
from vae_anomaly.explain.evidence import alone_of, evidence_of, model_indices, settled_scores
from vae_anomaly.fitting import CalibratingRows, CellReference, FittedModel, score_shares
from vae_anomaly.scores import additive_of

MAX_COMPARED_COLUMNS = 512


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
    shares = score_shares(model.vae, rows.relative(), additive_of(model.score), model.noise)
    given_others, alone = _positions(model, rows)
    cells = shares.cells.where(rows.observed, 0.0)
    counts = rows.observed.sum(0).clamp(min=1)
    reference = CellReference(
        given_others.sort(0).values,
        alone.sort(0).values,
        torch.cat([-cells.sum(0) / counts, shares.of_row.mean().unsqueeze(0)]),
    )
    return dataclasses.replace(model, reference=reference)


def with_cell_reference(model: FittedModel[Encoder]) -> FittedModel[Encoder]:
    """The same with what p-values of cells are computed by as well, where there are rows that it can be computed from.

    Raises
    ------
    ModelFileError
        See `with_reference`.
    """
    model = with_reference(model)
    reference, rows, calibrating = model.reference, model.reference_rows, model.calibrating_rows
    if reference is None or reference.cells is not None or rows is None or calibrating is None:
        return model
    if rows.n_columns > MAX_COMPARED_COLUMNS:
        return model
    own = [
        torch.cat([positions, positions.new_full((1, rows.n_columns), math.nan)])[calibrating.places]
        for positions in _positions(model, rows)
    ]
    cell_scores = _calibrated_scores(model, calibrating, (own[0], own[1]))
    return dataclasses.replace(model, reference=dataclasses.replace(reference, cells=cell_scores))


def _positions(model: FittedModel[Encoder], rows: Batch) -> tuple[Tensor, Tensor]:
    """Positions of cells given the others, and alone: (rows, columns), float32; of no row where columns are many."""
    if rows.n_columns > MAX_COMPARED_COLUMNS:
        nothing = torch.empty(0, rows.n_columns)
        return nothing, nothing
    given_others = conditionals(model.vae, rows, model.noise, model_indices(model.table_encoder)).position
    return given_others.float(), alone_of(model, rows).position.float()


def judges(model: FittedModel[Encoder], n_folds: int) -> list[FittedModel[Encoder]]:
    """Who scores the rows of each fold: the model itself, or of several folds the member that has not seen the fold."""
    if n_folds == 1:
        return [model]
    return [
        dataclasses.replace(model, vae=model.vae.of_member(number), noise=model.noise[number : number + 1])
        for number in range(n_folds)
    ]


def _calibrated_scores(model: FittedModel[Encoder], calibrating: CalibratingRows, own: tuple[Tensor, Tensor]) -> Tensor:
    """Scores of cells of rows that influenced nothing, sorted: (folds, rows, columns), float32."""
    n_rows = int(calibrating.folds.bincount().max())
    scores = torch.full((calibrating.n_folds, n_rows, len(model.table_encoder.columns)), math.nan)
    for number, judge in enumerate(judges(model, calibrating.n_folds)):
        chosen = (calibrating.folds == number).nonzero().squeeze(1)
        rows, own_of_fold = calibrating.rows.take(chosen), (own[0][chosen], own[1][chosen])
        found = settled_scores(judge, rows, evidence_of(model, rows, own=own_of_fold), own_of_fold)
        scores[number, : len(chosen)] = torch.from_numpy(found.astype(np.float32))
    return scores.sort(1).values
