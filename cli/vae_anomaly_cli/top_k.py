"""The most anomalous rows of a stream."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.sources import RowBatch


@dataclass(frozen=True)
class Ranked:
    """Rows, the most anomalous first.

    Attributes
    ----------
    scores : ndarray of shape (rows,)
        Higher is more anomalous.
    rows, files, places : ndarray of int, shape (rows,)
        Which rows of the whole input they are, in which of its files, and where there; all from 0.
    cells : pyarrow.Table
        What was read of them.
    """

    scores: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    cells: pa.Table


def rank_descending(scores: npt.NDArray[np.float64], top: int | None) -> npt.NDArray[np.intp]:
    """Rows from the highest score down; equal scores in the order of the file."""
    return np.argsort(-scores, kind="stable")[:top]


class TopK:
    """Keeps the rows with the highest scores.

    Parameters
    ----------
    most : int
        How many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._threshold = -np.inf
        self._scores: list[npt.NDArray[np.float64]] = []
        self._places: list[npt.NDArray[np.int64]] = []
        self._cells: list[pa.Table] = []

    def see(self, batch: RowBatch, scores: npt.NDArray[np.float64]) -> None:
        """Look at rows of which some may be kept."""
        rows = np.flatnonzero(scores > self._threshold)
        if not len(rows):
            return
        if len(rows) > self.most:
            rows = np.sort(rows[rank_descending(scores[rows], self.most)])
        self._scores.append(scores[rows])
        self._places.append(
            np.column_stack([rows + batch.first, np.full(len(rows), batch.file), rows + batch.first_in_file])
        )
        # Copies: a slice would hold the whole batch.
        self._cells.append(pa.Table.from_batches([batch.cells]).take(rows))
        if sum(map(len, self._scores)) >= 2 * self.most:
            self._drop_surplus()

    def ranked(self) -> Ranked:
        """Return them, the most anomalous first."""
        scores = np.concatenate(self._scores)
        order = rank_descending(scores, self.most)
        rows, files, places = np.concatenate(self._places)[order].T
        return Ranked(scores[order], rows, files, places, pa.concat_tables(self._cells).take(order))

    def _drop_surplus(self) -> None:
        scores = np.concatenate(self._scores)
        # In the order of the rows, so that of equal scores the first stays first.
        kept = np.sort(rank_descending(scores, self.most))
        self._threshold = float(scores[kept].min())
        self._scores = [scores[kept]]
        self._places = [np.concatenate(self._places)[kept]]
        self._cells = [pa.concat_tables(self._cells).take(kept)]
