"""The most anomalous rows of a stream."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.models import CellBatch, RowScores


@dataclass(frozen=True)
class Ranked:
    """Rows, the most anomalous first.

    Attributes
    ----------
    judged : RowScores
        What was found out about them.
    rows, files, rows_in_file : ndarray of int, shape (rows,)
        Which rows of the whole input they are, in which of its files, and where there; all from 0.
    cells : pyarrow.Table
        What was read of them.
    """

    judged: RowScores
    rows: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]
    rows_in_file: npt.NDArray[np.int64]
    cells: pa.Table

    def __len__(self) -> int:
        return len(self.judged)


def rank_descending(scores: npt.NDArray[np.float64], top: int | None) -> npt.NDArray[np.intp]:
    """Rows from the highest score down; equal scores in the order of the input."""
    return np.argsort(-scores, kind="stable")[:top]


class TopK:
    """Keeps the rows with the highest scores; rows without a score, NaN, are never among them.

    Parameters
    ----------
    k : int
        How many.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._threshold = -np.inf
        self._judged: list[RowScores] = []
        self._positions: list[npt.NDArray[np.int64]] = []
        self._cells: list[pa.Table] = []

    def add(self, batch: CellBatch, judged: RowScores) -> None:
        """Keep rows of a batch that may be among them."""
        scores = judged.scores
        rows = np.flatnonzero(scores > self._threshold)
        if not self.k or not len(rows):
            return
        if len(rows) > self.k:
            rows = np.sort(rows[rank_descending(scores[rows], self.k)])
        self._judged.append(judged.take(rows))
        self._positions.append(np.array([(batch.first + row, *batch.position(row)) for row in rows.tolist()]))
        # Copies: a slice would hold the whole batch.
        self._cells.append(pa.Table.from_batches([batch.cells]).take(rows))
        if sum(map(len, self._judged)) >= 2 * self.k:
            self._drop_surplus()

    def ranked(self, k: int) -> Ranked:
        """Return the first `k` of them, the most anomalous first."""
        if not self._judged:
            nothing = np.empty(0, dtype=np.int64)
            return Ranked(RowScores.nothing(), nothing, nothing, nothing, pa.table({}))
        judged = RowScores.joined(*self._judged)
        order = rank_descending(judged.scores, k)
        rows, files, rows_in_file = np.concatenate(self._positions)[order].T
        return Ranked(judged.take(order), rows, files, rows_in_file, pa.concat_tables(self._cells).take(order))

    def _drop_surplus(self) -> None:
        judged = RowScores.joined(*self._judged)
        # In the order of the rows, so that of equal scores the first stays first.
        kept = np.sort(rank_descending(judged.scores, self.k))
        self._judged = [judged.take(kept)]
        self._threshold = float(self._judged[0].scores.min())
        self._positions = [np.concatenate(self._positions)[kept]]
        self._cells = [pa.concat_tables(self._cells).take(kept)]
