"""The most anomalous rows of a stream."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import Numbers, RowScores
from vae_anomaly_cli.models import CellBatch


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

    def first(self, n: int) -> "Ranked":
        """The most anomalous of them."""
        return self.take(np.arange(min(n, len(self))))

    def take(self, places: npt.NDArray[np.intp]) -> "Ranked":
        """Some of them."""
        return Ranked(
            self.judged.take(places),
            self.rows[places],
            self.files[places],
            self.rows_in_file[places],
            self.cells.take(places),
        )


def rank_descending(scores: npt.NDArray[np.float64], top: int | None) -> npt.NDArray[np.intp]:
    """Rows from the highest score down; equal scores in the order of the input."""
    return np.argsort(-scores, kind="stable")[:top]


class TopK:
    """Keeps the rows with the highest scores, or that rank highest by them; never those without a score, NaN.

    Parameters
    ----------
    k : int
        How many.
    rank : callable, optional
        What they are ranked by, from scores; by default these themselves.
    max_equal : int, optional
        How many rows of one rank, the first ones; by default all that there is room for.
    """

    def __init__(
        self, k: int, rank: Callable[[Numbers], Numbers] = lambda scores: scores, max_equal: int | None = None
    ) -> None:
        self.k, self.rank, self.max_equal = k, rank, max_equal
        self._threshold = -np.inf
        self._judged: list[RowScores] = []
        self._positions: list[npt.NDArray[np.int64]] = []
        self._cells: list[pa.Table] = []

    def add(self, batch: CellBatch, judged: RowScores) -> None:
        """Keep rows of a batch that may be among them."""
        ranks = self.rank(judged.ranks)
        rows = np.flatnonzero(ranks > self._threshold)
        if not self.k or not len(rows):
            return
        rows = np.sort(rows[self._order(ranks[rows])])
        self._judged.append(judged.take(rows))
        self._positions.append(np.array([(batch.first + row, *batch.position(row)) for row in rows.tolist()]))
        # Copies: a slice would hold the whole batch.
        self._cells.append(pa.Table.from_batches([batch.cells]).take(rows))
        if sum(map(len, self._judged)) >= 2 * self.k:
            self._drop_surplus()

    def merge(self, following: "TopK", n_before: int) -> None:
        """Take rows that follow from another one, which counts them from `n_before` on."""
        for judged, positions, cells in zip(following._judged, following._positions, following._cells, strict=True):
            self._judged.append(judged)
            self._positions.append(positions + np.array([n_before, 0, 0]))
            self._cells.append(cells)
        if sum(map(len, self._judged)) >= 2 * self.k:
            self._drop_surplus()

    def kept(self) -> Ranked:
        """Return all rows that are kept, in the order of the input."""
        self._drop_surplus()
        return self._all()

    def restore(self, kept: Ranked) -> None:
        """Begin with what another one kept."""
        self._judged, self._cells = [kept.judged], [kept.cells]
        self._positions = [np.column_stack([kept.rows, kept.files, kept.rows_in_file])]

    def ranked(self, k: int) -> Ranked:
        """Return the first `k` of them, the most anomalous first."""
        kept = self._all()
        if not len(kept):
            return kept
        return kept.take(self._order(self.rank(kept.judged.ranks))[:k])

    def _all(self) -> Ranked:
        if not self._judged:
            nothing = np.empty(0, dtype=np.int64)
            return Ranked(RowScores.nothing(), nothing, nothing, nothing, pa.table({}))
        rows, files, rows_in_file = np.concatenate(self._positions).T
        return Ranked(RowScores.joined(*self._judged), rows, files, rows_in_file, pa.concat_tables(self._cells))

    def _drop_surplus(self) -> None:
        if not self._judged:
            return
        judged = RowScores.joined(*self._judged)
        # In the order of the rows, so that of equal scores the first stays first.
        ranks = self.rank(judged.ranks)
        kept = np.sort(self._order(ranks))
        self._judged = [judged.take(kept)]
        if len(kept) == self.k:
            self._threshold = float(ranks[kept].min())
        self._positions = [np.concatenate(self._positions)[kept]]
        self._cells = [pa.concat_tables(self._cells).take(kept)]

    def _order(self, ranks: Numbers) -> npt.NDArray[np.intp]:
        """Return the first `k` rows by their ranks, the highest first."""
        order = rank_descending(ranks, None)
        if self.max_equal is not None and len(order):
            ordered = ranks[order]
            starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
            nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
            order = order[nth < self.max_equal]
        return order[: self.k]
