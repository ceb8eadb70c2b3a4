"""What a detector says about cells: reasons, values for missing values, and repairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import Batch, Column, Encoder, ImageEncoder, TableEncoder
from vae_anomaly.data import Images, Table
from vae_anomaly.detectors.image_results import explain_images, fill_pixels
from vae_anomaly.detectors.inputs import as_pandas, fill_cells, pack_like, read_rows, read_table
from vae_anomaly.errors import ModelFileError, NotAvailable
from vae_anomaly.explain import (
    Conditionals,
    Explanation,
    ImageExplanation,
    Reference,
    conditionals,
    expected_cells,
    tail_probability,
)
from vae_anomaly.fitting import cell_terms
from vae_anomaly.model import VAE
from vae_anomaly.scores import ELBO, PooledELBO, Score

FloatArray = npt.NDArray[np.float64]

PLAUSIBLE = 0.95
SUSPICIOUS = 1e-3
N_REPAIR_ROUNDS = 3
MAX_COMPARED_COLUMNS = 512


@dataclass(frozen=True)
class _Evidence:
    """How rare the cells of the user's columns are.

    Attributes
    ----------
    conditionals : Conditionals
        Of the model's places.
    given_others, alone : ndarray of shape (rows, columns)
        Tail probabilities given the other cells and given nothing; NaN where missing.
    against : ndarray of shape (rows, columns)
        log p(cell) - log p(cell | the others), at least 0: how much the others argue against the cell, in nats.
    chosen : int ndarray of shape (rows, columns)
        The place that a column's tail probability given the others is that of.
    """

    conditionals: Conditionals
    given_others: FloatArray
    alone: FloatArray
    against: FloatArray
    chosen: npt.NDArray[np.intp]

    @property
    def cell_scores(self) -> FloatArray:
        """Rarity given the others, rarity alone, and what the others say against the cell, added; nats."""
        anomalous: FloatArray = self.against - np.log(self.given_others) - np.log(self.alone)
        return anomalous

    def is_wrong(self, max_tail_probability: float) -> npt.NDArray[np.bool_]:
        """Which cells are rarer than the product of two independent uniform numbers is with this probability."""
        anomalous = self.cell_scores
        wrong: npt.NDArray[np.bool_] = np.exp(-anomalous) * (1 + anomalous) < max_tail_probability
        return wrong


class ExplanationMixin:
    """`explain`, `impute` and `repair` of a fitted detector."""

    vae_: VAE
    noise_: Tensor
    encoder_: Encoder
    offset_: float
    row_score_: Score
    reference_: Reference | None
    reference_rows_: Batch | None

    @overload
    def explain(self, X: pd.DataFrame) -> Explanation: ...

    @overload
    def explain(self, X: Any) -> Explanation | ImageExplanation: ...

    def explain(self, X: Any) -> Explanation | ImageExplanation:
        """Why rows are anomalous: every cell's share of the score, and what was expected in its place.

        For images the shares are maps of nats per pixel, and all pixels are shown to the encoder.

        The contributions of the cells and the KL add up to `anomaly_score` for the scores "pooled_elbo" and "elbo".
        What is expected and how rare a cell is come from the other cells of its row: the cell itself is hidden from
        the encoder, so that it cannot explain itself, and so are suspicious cells, so that they do not make others
        look anomalous.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data; a pass for each column, so best the most anomalous few.

        Returns
        -------
        Explanation, or ImageExplanation for images

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.2]]
        >>> explanation = VAEDetector(max_iter=200, early_stopping=False).fit(X).explain([[0.0, 5.0]])
        >>> explanation.reasons(1)[0][0].column
        'x1'
        >>> bool(np.isclose(explanation.contributions.sum(axis=1) + explanation.kl, explanation.score).all())
        True
        """
        check_is_fitted(self)
        if isinstance(self.encoder_, ImageEncoder):
            return explain_images(
                self.vae_,
                self.encoder_,
                self._images(X),
                self.noise_,
                self.row_score_,
                self._independence,
                self.offset_,
            )
        table = self._table(X)
        batch = self._tables.encode(table)
        cells, kl = cell_terms(self.vae_, batch, self.noise_, self._independence)
        suspicious = self._evidence(batch, None, None).is_wrong(SUSPICIOUS)
        evidence = self._evidence(batch, self._in_model_order(suspicious), PLAUSIBLE)
        reference = self.compute_reference()
        native = as_pandas(X)
        index = native.index if isinstance(native, pd.DataFrame) else pd.RangeIndex(len(batch))
        names = [column.name for column in self._tables.columns]

        def frame(cells: npt.NDArray[Any]) -> pd.DataFrame:
            return pd.DataFrame(cells, index=index, columns=names)

        observed, expected, lower, upper, parts = self._described(table, batch, evidence)
        typical = [*self._sums(reference.typical[None, :-1])[0], float(reference.typical[-1])]
        return Explanation(
            score=pd.Series((kl - cells.sum(1)).numpy(), index=index),
            threshold=-self.offset_ if isinstance(self.row_score_, ELBO | PooledELBO) else math.nan,
            contributions=frame(self._sums(-cells)),
            kl=pd.Series(kl.numpy(), index=index),
            typical=pd.Series(typical, index=[*names, "KL"]),
            observed=frame(observed),
            expected=frame(expected),
            lower=frame(lower),
            upper=frame(upper),
            log_likelihood=frame(self._sums(evidence.conditionals.log_likelihood)),
            tail_probability=frame(evidence.given_others),
            cell_scores=frame(evidence.cell_scores),
            parts=frame(parts),
            constant=pd.Series([_is_constant(column) for column in self._tables.columns], names),
        )

    def impute(self, X: Any) -> Any:
        """Fill the missing values with what the observed cells of the row let expect.

        Numbers get the mean over draws and members of where the decoder puts them, on the column's own scale; draws
        that explain the observed cells better count more.  Levels get the most probable one.  Observed cells stay as
        they are, and so do columns that were set aside.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.

        Returns
        -------
        ndarray, DataFrame or table of the kind of `X`
        """
        check_is_fitted(self)
        if isinstance(self.encoder_, ImageEncoder):
            return pack_like(X, fill_pixels(self.vae_, self.encoder_, self._images(X), self.noise_))
        batch = self._tables.encode(self._table(X))
        missing = np.zeros((len(batch), len(self._tables.columns)), dtype=bool)
        for position, place in self._own_model_columns.items():
            missing[:, position] = ~batch.observed[:, place].numpy()
        return fill_cells(X, missing, self._expected(batch, batch.observed))

    def repair(self, X: Any, max_tail_probability: float = SUSPICIOUS) -> Any:
        """Propose values for the cells that look wrong.

        A cell looks wrong if it is rare both given the other cells of its row and alone, beyond what
        `max_tail_probability` of training cells are.  Suspicious cells are hidden and the others judged again, so that
        an error does not make its neighbours look wrong; what remains hidden is replaced by what the other cells let
        expect, dates as a whole.  Missing cells stay missing: see `impute`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.
        max_tail_probability : float, default=1e-3
            In (0, 1); the larger, the more cells are replaced.

        Returns
        -------
        ndarray, DataFrame or table of the kind of `X`

        Raises
        ------
        ValueError
            If `max_tail_probability` does not lie in (0, 1).
        """
        check_is_fitted(self)
        if not (isinstance(max_tail_probability, Real) and 0 < max_tail_probability < 1):
            raise ValueError(f"max_tail_probability lies in (0, 1), not {max_tail_probability!r}")
        batch = self._tables.encode(self._table(X))
        wrong = self._wrong(batch, max_tail_probability)
        hidden = self._in_model_order(wrong)
        return fill_cells(X, wrong, self._expected(batch, batch.observed & ~hidden))

    def _wrong(self, batch: Batch, max_tail_probability: float) -> npt.NDArray[np.bool_]:
        """Cells, in the user's order, that look wrong after suspicious neighbours were hidden."""
        wrong = np.zeros((len(batch), len(self._tables.columns)), dtype=bool)
        rows = np.arange(len(batch))
        for _ in range(N_REPAIR_ROUNDS):
            part = batch.take(torch.from_numpy(rows))
            evidence = self._evidence(part, self._in_model_order(wrong[rows]), None)
            now = evidence.is_wrong(max_tail_probability)
            changed = (now != wrong[rows]).any(1)
            wrong[rows] = now
            rows = rows[changed]
            if len(rows) == 0:
                break
        return wrong

    def _table(self, X: Any) -> Table:
        assert isinstance(self, BaseEstimator)
        return read_table(self, X, fitting=False)

    def _images(self, X: Any) -> Images:
        assert isinstance(self, BaseEstimator)
        images = read_rows(self, X, fitting=False)
        assert isinstance(images, Images)
        return images

    @property
    def _tables(self) -> TableEncoder:
        if not isinstance(self.encoder_, TableEncoder):
            raise NotAvailable("the model takes images, whose pixels are not repaired one by one; see explain.")
        return self.encoder_

    def _expected(self, batch: Batch, visible: Tensor) -> list[npt.NDArray[Any]]:
        """What visible cells let expect everywhere, in data units and the user's order."""
        seen = Batch(batch.values.where(visible, 0.0), visible)
        return self._tables.decode(expected_cells(self.vae_, seen, self.noise_, weighted=True).numpy())

    def _in_model_order(self, cells: npt.NDArray[np.bool_]) -> Tensor:
        """From cells in the user's order to places in the model's."""
        return torch.from_numpy(cells[:, list(self._tables.order)])

    def _sums(self, terms: Tensor) -> FloatArray:
        """From terms of places to sums by the user's columns."""
        return self.encoder_.by_column(terms.numpy())

    @property
    def _model_indices(self) -> list[tuple[int, ...]]:
        """Places of each modelled column, in the user's order."""
        return [
            places
            for position in range(len(self._tables.columns))
            if (places := self._tables.model_indices_of(position))
        ]

    @property
    def _own_model_columns(self) -> dict[int, int]:
        """Place of each modelled column itself, without its parts, by its position."""
        return {
            position: place
            for place, (position, column) in enumerate(self._tables.places)
            if column is self._tables.columns[position]
        }

    @property
    def _independence(self) -> float:
        """Weight of the independence model in the score that is explained."""
        return self.row_score_.independence if isinstance(self.row_score_, PooledELBO) else 0.0

    def compute_reference(self) -> Reference:
        """How the cells of some training rows lie, computed when it is first needed; a model file keeps it."""
        if self.reference_ is None:
            rows = self.reference_rows_
            if rows is None:
                raise ModelFileError(
                    "the model file was written by an earlier version, which kept nothing to compare cells with. "
                    "Fit and save the model again to explain rows."
                )
            cells, kl = cell_terms(self.vae_, rows, self.noise_, self._independence)
            compared = rows.take(slice(0, None if rows.n_columns <= MAX_COMPARED_COLUMNS else 0))
            given_others = conditionals(self.vae_, compared, self.noise_, self._model_indices).position
            counts = rows.observed.sum(0).clamp(min=1).cpu()
            self.reference_ = Reference(
                given_others.float().sort(0).values,
                self._alone(compared).position.float().sort(0).values,
                torch.cat([-cells.sum(0) / counts, kl.mean().unsqueeze(0)]),
            )
        return self.reference_

    def _alone(self, batch: Batch) -> Conditionals:
        """Cells given nothing."""
        return conditionals(self.vae_, batch, self.noise_, [tuple(range(batch.n_columns))])

    def _evidence(self, batch: Batch, hidden: Tensor | None, ranges: float | None) -> _Evidence:
        reference = self.compute_reference()
        given = conditionals(self.vae_, batch, self.noise_, self._model_indices, hidden=hidden, ranges=ranges)
        ordered = [column.likelihood is not None and column.likelihood.ordered for column in self._tables.modelled]
        given_others = tail_probability(given.position, reference.given_others, ordered).numpy()
        unconditional = self._alone(batch)
        alone = tail_probability(unconditional.position, reference.alone, ordered).numpy()
        against = self._sums(unconditional.log_likelihood - given.log_likelihood).clip(min=0)
        shape = len(batch), len(self._tables.columns)
        by_column = [np.full(shape, np.nan), np.full(shape, np.nan)]
        chosen = np.zeros(shape, dtype=np.intp)
        for position in range(shape[1]):
            places = list(self._tables.model_indices_of(position))
            if not places:
                continue
            for tails, columns in zip((given_others, alone), by_column, strict=True):
                # Several chances to be rare (Bonferroni).
                rarest = np.where(np.isnan(tails[:, places]), np.inf, tails[:, places]).min(1) * len(places)
                columns[:, position] = np.where(np.isinf(rarest), np.nan, rarest.clip(max=1))
            filled = np.where(np.isnan(given_others[:, places]), np.inf, given_others[:, places])
            chosen[:, position] = np.array(places)[filled.argmin(1)]
        return _Evidence(given, by_column[0], by_column[1], against, chosen)

    def _described(self, table: Table, batch: Batch, evidence: _Evidence) -> tuple[npt.NDArray[Any], ...]:
        """Observed and expected cells, ends of the plausible range, and the part that is meant, as objects."""
        shape = len(batch), len(self._tables.columns)
        observed, expected, lower, upper = (np.full(shape, None, dtype=object) for _ in range(4))
        parts = np.full(shape, "", dtype=object)
        for position in range(shape[1]):
            observed[:, position] = table.objects(position)
        known = evidence.conditionals
        for place, (position, column) in enumerate(self._tables.places):
            rows = np.flatnonzero(evidence.chosen[:, position] == place)
            expected[rows, position] = column.decode(known.expected[rows, place].numpy()).astype(object)
            if not column.levels or column.kind == "ordinal":
                lower[rows, position] = column.decode(known.lower[rows, place].numpy()).astype(object)
                upper[rows, position] = column.decode(known.upper[rows, place].numpy()).astype(object)
            if column is not self._tables.columns[position]:
                parts[rows, position] = column.kind
                observed[rows, position] = column.decode(batch.values[rows, place].double().numpy()).astype(object)
        return observed, expected, lower, upper, parts


def _is_constant(column: Column) -> bool:
    return column.likelihood is not None and column.likelihood.is_constant
