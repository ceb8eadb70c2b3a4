"""p-values of cells, and which cells look wrong at a false-discovery rate."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.data import FloatArray
from vae_anomaly.decisions import benjamini_hochberg
from vae_anomaly.errors import NotAvailable
from vae_anomaly.explain.evidence import evidence_of, settled_scores
from vae_anomaly.explain.reference import MAX_COMPARED_COLUMNS, judges
from vae_anomaly.fitting import CellReference, FittedModel

# Single precision keeps about seven digits of a score, and no calibration cell may count as less by them.
MARGIN = 1e-5

BoolArray = npt.NDArray[np.bool_]


def p_values_of_cells(model: FittedModel[Encoder], batch: Batch, *, by_column: bool) -> FloatArray:
    r"""How probable it is that a cell of a normal row is as anomalous: conformal p-values.

    .. math:: p = \frac{1 + \sum_k \#\{i \in F_k : s_k(c_i) \ge s_k(c)\}}{1 + \sum_k |F_k|}

    with F_k the cells of the rows of fold k and s_k what `settled_scores` says of a cell by who has not seen that fold.

    Parameters
    ----------
    model : FittedModel
        Of a table, with its reference: see `with_reference`.
    batch : Batch
        Rows of shape (rows, model columns).
    by_column : bool
        Whether cells are compared with those of their own column alone, or with those of all columns that vary.

    Returns
    -------
    ndarray of shape (rows, columns)
        In (0, 1]; NaN where the cell is missing.

    Raises
    ------
    NotAvailable
        If there is nothing to compare with.

    References
    ----------
    Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74, 2015; Bates, Candes, Lei,
    Romano and Sesia, "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023.
    """
    reference = model.reference
    if reference is None or reference.cells is None:
        raise NotAvailable(_reason(reference))
    encoder = model.table_encoder
    n_columns = len(encoder.columns)
    groups = np.eye(n_columns, dtype=bool) if by_column else compared_columns(model)[None, :]
    counts, n_known = np.zeros((len(batch), n_columns)), np.zeros(n_columns)
    first = evidence_of(model, batch)
    for judge, of_fold in zip(judges(model, len(reference.cells)), reference.cells.numpy(), strict=True):
        scores = settled_scores(judge, batch, first)
        lowest_equal = scores - MARGIN * (1 + np.abs(scores))
        for group in groups:
            known = np.sort(of_fold[:, group], axis=None)
            known = known[~np.isnan(known)]
            own = group if by_column else slice(None)
            n_known[own] += len(known)
            n_at_least = len(known) - np.searchsorted(known, lowest_equal[:, own])
            counts[:, own] += np.where(np.isnan(scores[:, own]), np.nan, n_at_least)
    p_values: FloatArray = (1 + counts) / (1 + n_known)
    for index, (position, column) in enumerate(encoder.model_columns):
        if column is encoder.columns[position]:
            p_values[~batch.observed[:, index].numpy(), position] = np.nan
    return p_values


def compared_columns(model: FittedModel[Encoder]) -> BoolArray:
    """Columns whose cells are compared with one another: those that vary and of which something can be proposed."""
    columns = model.table_encoder.columns
    return np.array([column.likelihood is not None and not column.is_constant for column in columns])


def cells_needed(model: FittedModel[Encoder], p_values: FloatArray, fdr: float) -> int:
    """How many cells have to be as anomalous as can be before any looks wrong at that rate."""
    known = None if model.reference is None else model.reference.cells
    assert known is not None
    n_known = int((~known[..., torch.from_numpy(compared_columns(model))].isnan()).sum())
    return math.ceil(int((~np.isnan(p_values)).sum()) / (fdr * (n_known + 1)))


def wrong_cells(model: FittedModel[Encoder], p_values: FloatArray, fdr: float) -> BoolArray:
    """Which cells look wrong: of these at most the share `fdr` is expected to be right.

    Parameters
    ----------
    model : FittedModel
    p_values : ndarray of shape (rows, columns)
        Of all cells of one table: the family.
    fdr : float
        In (0, 1).

    References
    ----------
    Benjamini and Hochberg, "Controlling the false discovery rate", 1995.
    """
    # Of a date without its place in time, and of what was set aside, nothing could be proposed.
    family = ~np.isnan(p_values) & [column.likelihood is not None for column in model.table_encoder.columns]
    wrong = np.zeros(p_values.shape, dtype=bool)
    wrong[family] = benjamini_hochberg(p_values[family], fdr)
    return wrong


def _reason(reference: CellReference | None) -> str:
    if reference is not None and reference.given_others.shape[1] > MAX_COMPARED_COLUMNS:
        return (
            f"cells have no p-values in tables of more than {MAX_COMPARED_COLUMNS} columns as the model sees them, and "
            f"these are {reference.given_others.shape[1]:,}. Give max_tail_probability in the place of fdr, or fewer "
            "columns to fit."
        )
    return (
        "the model has no calibration cells: it was fitted without a calibration or with too few rows, or saved by an "
        "earlier version. Fit it again with calibration='auto', and save it again."
    )
