"""Explanations of rows, and values for their missing and their wrong cells."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, CellUnits, Encoder, TableEncoder
from vae_anomaly.data import FloatArray, Table
from vae_anomaly.errors import HashedLevelWarning, callers_level
from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.explain.evidence import SUSPICIOUS, Evidence, evidence_of, in_model_order
from vae_anomaly.explain.explanation import Explanation
from vae_anomaly.fitting import FittedModel, score_shares
from vae_anomaly.scores import AdditiveScore, additive_of

PLAUSIBLE = 0.95
N_REPAIR_ROUNDS = 3

BoolArray = npt.NDArray[np.bool_]
Columns = list[npt.NDArray[Any]]


def explain_table(model: FittedModel[Encoder], table: Table, index: pd.Index[Any]) -> Explanation:
    """Why rows are anomalous.

    Parameters
    ----------
    model : FittedModel
        With its reference: see `with_reference`.
    table : Table
    index : Index
        Labels of the rows in the result.
    """
    encoder = model.table_encoder
    reference = model.reference
    assert reference is not None
    batch = encoder.encode(table)
    shares = score_shares(model.vae, batch, additive_of(model.score), model.noise)
    suspicious = evidence_of(model, batch).is_wrong(SUSPICIOUS)
    evidence = evidence_of(model, batch, in_model_order(encoder, suspicious), PLAUSIBLE)
    names = [column.name for column in encoder.columns]

    def frame(cells: npt.NDArray[Any]) -> pd.DataFrame:
        return pd.DataFrame(cells, index=index, columns=names)

    def by_column(terms: Tensor) -> pd.DataFrame:
        return frame(encoder.by_column(terms.numpy()))

    observed, expected, lower, upper, parts = _described(model, table, batch, evidence)
    typical = [*encoder.by_column(reference.typical[None, :-1].numpy())[0], float(reference.typical[-1])]
    return Explanation(
        score=pd.Series((shares.of_row - shares.cells.sum(1)).numpy(), index=index),
        threshold=-model.offset if isinstance(model.score, AdditiveScore) else math.nan,
        contributions=by_column(-shares.cells),
        kl=pd.Series(shares.of_row.numpy(), index=index),
        typical=pd.Series(typical, index=[*names, "KL"]),
        observed=frame(observed),
        expected=frame(expected),
        lower=frame(lower),
        upper=frame(upper),
        log_likelihood=by_column(evidence.conditionals.log_likelihood),
        tail_probability=frame(evidence.given_others),
        cell_scores=frame(evidence.cell_scores),
        parts=frame(parts),
        charged=pd.Series(shares.charged.numpy(), index=index),
        constant=pd.Series([column.is_constant for column in encoder.columns], names),
        groups=_groups(encoder, table, batch, index),
        usual=None if batch.units is None else frame(_usual(encoder, batch.units)),
    )


def _groups(encoder: TableEncoder, table: Table, batch: Batch, index: pd.Index[Any]) -> pd.Series[Any] | None:
    """The names and cells of the keys of each row, as far as they name a group of training rows."""
    if batch.units is None or encoder.baseline is None:
        return None
    keys = [(encoder.columns[position].name, table.objects(position)) for position in encoder.baseline.keys]
    named = [
        tuple((name, cells[row]) for name, cells in keys[:n_known])
        for row, n_known in enumerate(batch.units.n_known_keys.tolist())
    ]
    return pd.Series(named, index=index, dtype=object)


def _usual(encoder: TableEncoder, units: CellUnits) -> FloatArray:
    """What the units of their group add to what cells cost, (rows, columns); NaN where cells are not compared."""
    usual = np.full((len(units.typical), len(encoder.columns)), np.nan)
    usual[:, [encoder.order[index] for index in units.columns.tolist()]] = -units.typical.numpy()
    return usual


def impute_table(model: FittedModel[Encoder], table: Table) -> tuple[BoolArray, Columns]:
    """Which cells are missing, (rows, columns), and what the observed cells predict in every cell, by column."""
    encoder = model.table_encoder
    batch = encoder.encode(table)
    missing = np.zeros((len(batch), len(encoder.columns)), dtype=bool)
    for index, (position, column) in enumerate(encoder.model_columns):
        if column is encoder.columns[position]:
            missing[:, position] = ~batch.observed[:, index].numpy()
    columns, hashed = _predicted(model, batch, batch.observed, missing)
    return missing & ~hashed, columns


def wrong_by_rarity(model: FittedModel[Encoder], batch: Batch, max_tail_probability: float) -> BoolArray:
    """Which cells look wrong because they are rarer than that: (rows, columns).

    Parameters
    ----------
    model : FittedModel
        With its reference: see `with_reference`.
    batch : Batch
        Rows of shape (rows, model columns).
    max_tail_probability : float
        In (0, 1); the larger, the more cells look wrong.
    """
    encoder = model.table_encoder
    wrong = np.zeros((len(batch), len(encoder.columns)), dtype=bool)
    # Of a date without its place in time nothing could be proposed.
    whole = np.array([column.likelihood is not None for column in encoder.columns])
    rows = np.arange(len(batch))
    for _ in range(N_REPAIR_ROUNDS):
        part = batch.take(torch.from_numpy(rows))
        evidence = evidence_of(model, part, in_model_order(encoder, wrong[rows]))
        now = evidence.is_wrong(max_tail_probability) & whole
        changed = (now != wrong[rows]).any(1)
        wrong[rows] = now
        rows = rows[changed]
        if len(rows) == 0:
            break
    return wrong


def without_wrong(model: FittedModel[Encoder], batch: Batch, wrong: BoolArray) -> Columns:
    """What the cells that do not look wrong predict in every cell, by column."""
    visible = batch.observed & ~in_model_order(model.table_encoder, wrong)
    return _predicted(model, batch, visible, wrong)[0]


def _predicted(
    model: FittedModel[Encoder], batch: Batch, visible: Tensor, asked: BoolArray
) -> tuple[Columns, BoolArray]:
    """What visible cells predict in every cell, in data units and the user's order, and which are hashed levels.

    These are missing; a warning counts those among the cells that are asked for.
    """
    encoder = model.table_encoder
    seen = Batch(batch.values.where(visible, 0.0), visible)
    values = expected_cells(model.vae, seen, model.noise, weighted=True).numpy()
    columns, hashed = encoder.decode(values, batch.units), np.zeros_like(asked)
    for index, (position, column) in enumerate(encoder.model_columns):
        if column.hashed is not None and column is encoder.columns[position]:
            hashed[:, position] = column.is_hashed(values[:, index])
            if not column.numeric:
                columns[position][hashed[:, position]] = None
    for position, count in enumerate((hashed & asked).sum(0).tolist()):
        if count:
            warnings.warn(HashedLevelWarning(encoder.columns[position].name, count), stacklevel=callers_level())
    return columns, hashed


def _described(
    model: FittedModel[Encoder], table: Table, batch: Batch, evidence: Evidence
) -> tuple[npt.NDArray[Any], ...]:
    """Observed and expected cells, ends of the plausible range, and the part that is meant, as objects."""
    encoder = model.table_encoder
    shape = len(batch), len(encoder.columns)
    observed, expected, lower, upper = (np.full(shape, None, dtype=object) for _ in range(4))
    parts = np.full(shape, "", dtype=object)
    for position in range(shape[1]):
        observed[:, position] = table.objects(position)
    known = evidence.conditionals
    for index, (position, column) in enumerate(encoder.model_columns):
        rows = np.flatnonzero(evidence.rarest[:, position] == index)
        units = None if batch.units is None else batch.units.take(torch.from_numpy(rows))
        expected[rows, position] = encoder.shown_cells(known.expected[rows, index].numpy(), index, units)
        if not column.levels or column.kind == "ordinal":
            lower[rows, position] = encoder.shown_cells(known.lower[rows, index].numpy(), index, units)
            upper[rows, position] = encoder.shown_cells(known.upper[rows, index].numpy(), index, units)
        if column is not encoder.columns[position]:
            parts[rows, position] = column.kind
            observed[rows, position] = column.decode(batch.values[rows, index].double().numpy()).astype(object)
    return observed, expected, lower, upper, parts
