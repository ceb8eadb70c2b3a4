"""What would have to change for an anomalous row to be normal, as values and as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.data import FloatArray
from vae_anomaly.display import Shown, counted
from vae_anomaly.explain.evidence import HIDDEN_FROM_OTHERS, evidence_of, in_model_order
from vae_anomaly.explain.explanation import cell_text
from vae_anomaly.fitting import FittedModel


@dataclass(frozen=True)
class Change:
    """One cell of a row, changed.

    Parameters
    ----------
    column : str
    observed, proposed : object
        What the cell holds, and what is expected of it given the row's other cells as they are then.
    nats_saved : float
        By how much the row's anomaly score falls, after the changes before.
    score_after : float
        The row's anomaly score with all changes so far, nats.
    is_normal : bool
        Whether that is not above the threshold.

    Examples
    --------
    >>> print(Change("amount", 900.0, 20.0, 41.21, 12.3, True))
    amount from 900 to about 20 (-41.2 nats)
    """

    column: str
    observed: Any
    proposed: Any
    nats_saved: float
    score_after: float
    is_normal: bool

    def __str__(self) -> str:
        is_number = isinstance(self.proposed, float | np.floating)
        about = "about " if is_number else ""
        return (
            f"{self.column} from {cell_text(self.observed)} to {about}{cell_text(self.proposed)} "
            f"({-self.nats_saved:+.1f} nats)"
        )


@dataclass(frozen=True, repr=False)
class PathToNormal(Shown):
    """Which cells of rows to change, in which order, until the rows are normal.

    Parameters
    ----------
    score : Series
        `anomaly_score` of each row as it is, nats.
    threshold : float
        Rows with a higher score are anomalous.
    changes : tuple of tuples of Change
        Of each row; none of a row that is normal.

    Examples
    --------
    >>> change = Change("amount", 900.0, 20.0, 41.25, 12.25, True)
    >>> path = PathToNormal(pd.Series([53.5, 9.0]), 15.0, ((change,), ()))
    >>> for sentence in path.sentences():
    ...     print(sentence)
    change amount from 900 to about 20 (-41.2 nats): 12.25 nats, below the threshold of 15.00
    nothing to change: 9.00 nats, not above the threshold of 15.00
    """

    score: pd.Series[float]
    threshold: float
    changes: tuple[tuple[Change, ...], ...]

    def __len__(self) -> int:
        return len(self.score)

    def _summary(self) -> str:
        n_changes = sum(map(len, self.changes))
        n_normal = int(self.is_normal.sum())
        return f"{counted(len(self), 'row')}, {counted(n_changes, 'change')}, {n_normal:,} normal with these"

    def _table(self) -> pd.DataFrame:
        changes = self.frame()
        labels = [self.score.index[row] for row in changes["row"]]
        texts = {name: changes[name].map(cell_text) for name in ("observed", "proposed")}
        return changes.assign(row=labels, **texts)

    @property
    def score_after(self) -> pd.Series[float]:
        """`anomaly_score` of each row with all of its changes, nats."""
        after = [
            of_row[-1].score_after if of_row else before
            for of_row, before in zip(self.changes, self.score, strict=True)
        ]
        return pd.Series(after, index=self.score.index, dtype=np.float64)

    @property
    def is_normal(self) -> pd.Series[bool]:
        """Which rows are normal with all of their changes."""
        return self.score_after <= self.threshold

    def frame(self) -> pd.DataFrame:
        """The changes as a long table: one line for each.

        Returns
        -------
        DataFrame
            Columns row (position, from 0), step (from 1), column, observed, proposed, nats_saved, score_after and
            is_normal.
        """
        lines = [
            {"row": row, "step": step, **vars(change)}
            for row, of_row in enumerate(self.changes)
            for step, change in enumerate(of_row, start=1)
        ]
        fields = ["column", "observed", "proposed", "nats_saved", "score_after", "is_normal"]
        return pd.DataFrame(lines, columns=["row", "step", *fields])

    def sentences(self) -> list[str]:
        """One sentence for each row: its changes, and where they lead."""
        after = self.score_after.tolist()
        return [self._sentence(*of_row) for of_row in zip(self.score.tolist(), self.changes, after, strict=True)]

    def _sentence(self, before: float, changes: tuple[Change, ...], after: float) -> str:
        limit = f"the threshold of {self.threshold:.2f}"
        if before <= self.threshold:
            return f"nothing to change: {before:.2f} nats, not above {limit}"
        if not changes:
            return f"no change of a cell that may change lowers the score: {before:.2f} nats, above {limit}"
        side = "below" if after < self.threshold else "at" if after == self.threshold else "still above"
        return f"change {', then '.join(map(str, changes))}: {after:.2f} nats, {side} {limit}"


def expected_of_each(
    model: FittedModel[Encoder], batch: Batch, settled: npt.NDArray[np.bool_]
) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.bool_], FloatArray]:
    """What is expected of each cell given the others, where suspicious ones are hidden from the others.

    Parameters
    ----------
    model : FittedModel
        Of a table, with its reference.
    batch : Batch
        Rows of shape (rows, model columns).
    settled : bool ndarray of shape (rows, columns)
        Cells that are not hidden, because they are a proposal already.

    Returns
    -------
    proposed : list of ndarray
        Cells of every column in data units, in the user's order.
    usable : bool ndarray of shape (rows, columns)
        Which of them can be put in the place of a cell that is there: those of modelled columns, and not the constant
        ones nor levels that only a hash is known of.
    cell_scores : ndarray of shape (rows, columns)
        How anomalous the present cells are, nats; NaN where missing.
    """
    encoder = model.table_encoder
    suspicious = evidence_of(model, batch).is_wrong(HIDDEN_FROM_OTHERS) & ~settled
    evidence = evidence_of(model, batch, in_model_order(encoder, suspicious))
    values = evidence.conditionals.expected.numpy()
    usable = np.zeros(suspicious.shape, dtype=bool)
    for index, (position, column) in enumerate(encoder.model_columns):
        if column is encoder.columns[position] and not column.is_constant:
            usable[:, position] = batch.observed[:, index].numpy() & ~column.is_hashed(values[:, index])
    return encoder.decode(values, batch.units), usable, evidence.cell_scores
