"""Rows of the input in memory: all of them, or a sample of those that are too many."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import is_text
from vae_anomaly_cli.sources import Location, RowBatch, TableSource

SAMPLED_BYTES = 1 << 28
# Rows that stand for an input where it is compared with the training: as many as the library takes at most.
SAMPLED_ROWS = 2048
# How far the rows that are kept may outgrow the sample before the surplus is dropped.
SURPLUS = 1.25
OFFSET_BYTES, NUMBER_BYTES = 4, 8
# Rows of a file whose keys are drawn together.
ROWS_PER_DRAW = 1 << 16


@dataclass(frozen=True)
class Table:
    """Rows of an input.

    Attributes
    ----------
    source : TableSource
        Where they come from.
    cells : pyarrow.Table
        The rows, in the order of the files.
    starts : tuple of int
        With which row of the whole input (from 0) each file begins.
    n_input_rows : int
        Rows of the whole input.
    drawn : ndarray of int, optional
        Which rows of the whole input these are; None for all.
    n_left_out : int
        Rows that were taken out of what was read.
    """

    source: TableSource
    cells: pa.Table
    starts: tuple[int, ...]
    n_input_rows: int
    drawn: npt.NDArray[np.int64] | None = None
    n_left_out: int = 0

    @property
    def name(self) -> str:
        """How messages call the input."""
        return self.source.name

    @property
    def names(self) -> list[str]:
        """Column names."""
        return list(self.cells.column_names)

    @property
    def n_rows(self) -> int:
        """Number of rows in memory."""
        return int(self.cells.num_rows)

    def values(self, name: str) -> pa.ChunkedArray:
        """Return the cells of a column with the type that they have."""
        return self.source.cell_reader.values(self.cells[name])

    @property
    def is_sample(self) -> bool:
        """Whether some rows of the input were not read."""
        return self.n_rows + self.n_left_out < self.n_input_rows

    def without(self, rows: npt.NDArray[np.intp]) -> "Table":
        """Take out some of the rows (from 0)."""
        if not len(rows):
            return self
        kept = np.delete(np.arange(self.n_rows), rows)
        drawn = kept if self.drawn is None else self.drawn[kept]
        return replace(self, cells=self.cells.take(kept), drawn=drawn, n_left_out=self.n_left_out + len(rows))

    def locate(self, row: int) -> Location:
        """Say where a person finds one of these rows (from 0)."""
        whole = row if self.drawn is None else int(self.drawn[row])
        file = bisect_right(self.starts, whole) - 1
        return self.source.locate(file, whole - self.starts[file])


# Draws rows as `sample_table` does.
Sampler = Callable[..., Table]


def read_table(source: TableSource) -> Table:
    """Read all rows into memory."""
    return sample_table(source, source.names, None)


def sample_table(
    source: TableSource,
    names: list[str],
    n_rows: int | None,
    seed: tuple[int, ...] = (0,),
    progress: Callable[[RowBatch], None] = lambda _: None,
) -> Table:
    """Read rows in one pass: all of them if they are not too many, else a uniform sample without replacement.

    Every row has a random key by its place, and the smallest keys win, as many as there is room for: the sample depends
    on the seed and on the rows alone, not on how they are cut into batches, nor on who reads which of them.

    Parameters
    ----------
    source : TableSource
        What to read.
    names : list of str
        Columns to read.
    n_rows : int or None
        Rows to keep at most, fewer where they are wide; None keeps all.
    seed : tuple of int
        Of the draw.
    progress : callable
        Is called with every batch that was read.
    """
    sample = SmallestKeys(n_rows, seed)
    n_rows_of = np.zeros(source.n_files, dtype=np.int64)
    for batch in source.batches(names):
        n_rows_of[batch.file] += batch.n_rows
        sample.append(batch.cells, batch.file, batch.first_in_file)
        progress(batch)
    rows, cells = sample.rows_and_cells()
    n_input_rows = int(n_rows_of.sum())
    starts = (np.cumsum(n_rows_of) - n_rows_of).tolist()
    return Table(source, cells, tuple(starts), n_input_rows, None if len(rows) == n_input_rows else rows)


class RowKeys:
    """A random number for each row, by its file and its place there: the same whoever reads it, in whatever batches.

    Parameters
    ----------
    seed : tuple of int
        Of the draw.
    """

    def __init__(self, seed: tuple[int, ...]) -> None:
        self.seed = seed
        self._drawn: tuple[tuple[int, int], npt.NDArray[np.float64]] | None = None

    def of(self, file: int, first: int, n_rows: int) -> npt.NDArray[np.float64]:
        """Return the numbers of rows that follow one another, from 0 to 1.

        Parameters
        ----------
        file, first : int
            Which file, and the first of the rows there, from 0.
        n_rows : int
            How many rows.
        """
        last = first + n_rows
        draws = range(first // ROWS_PER_DRAW, -(-last // ROWS_PER_DRAW))
        parts = [
            self._draw(file, draw)[max(0, first - draw * ROWS_PER_DRAW) : last - draw * ROWS_PER_DRAW] for draw in draws
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def _draw(self, file: int, draw: int) -> npt.NDArray[np.float64]:
        if self._drawn is None or self._drawn[0] != (file, draw):
            self._drawn = (file, draw), np.random.default_rng((*self.seed, file, draw)).random(ROWS_PER_DRAW)
        return self._drawn[1]


class SmallestKeys:
    """The rows with the smallest random keys, in their order: at most so many, and of at most `SAMPLED_BYTES`.

    More rows never bring back one that was dropped, and so it does not matter when the surplus is.

    Parameters
    ----------
    max_rows : int or None
        How many, though at least two; None keeps all of whatever size.
    seed : tuple of int
        Of the draw.
    """

    def __init__(self, max_rows: int | None, seed: tuple[int, ...] = (0,)) -> None:
        self.max_rows, self._random = max_rows, RowKeys(seed)
        self.n_seen = self.n_bytes = 0
        self.threshold = np.inf
        self.keys: list[npt.NDArray[np.float64]] = []
        self.rows: list[npt.NDArray[np.int64]] = []
        self.sizes: list[npt.NDArray[np.int64]] = []
        self.batches: list[pa.RecordBatch] = []

    def append(self, batch: pa.RecordBatch, file: int, first: int) -> None:
        """Take the rows that follow.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            The rows.
        file, first : int
            Their file, and the first of them there, from 0.
        """
        rows = np.arange(self.n_seen, self.n_seen + batch.num_rows)
        self.n_seen += batch.num_rows
        self._keep(self._random.of(file, first, batch.num_rows), rows, batch)

    def merge(self, following: "SmallestKeys") -> None:
        """Take what another one kept of the rows that follow."""
        if following.max_rows is not None:
            following.drop_surplus(following.max_rows)
        for keys, rows, batch in zip(following.keys, following.rows, following.batches, strict=True):
            self._keep(keys, rows + self.n_seen, batch)
        self.n_seen += following.n_seen

    def restore(self, rows: npt.NDArray[np.int64], keys: npt.NDArray[np.float64], cells: pa.Table, n_seen: int) -> None:
        """Begin with what another one kept.

        Parameters
        ----------
        rows, keys : ndarray of shape (rows,)
            Which rows, and their keys.
        cells : pyarrow.Table
            Their cells.
        n_seen : int
            Among how many rows they were.
        """
        first = 0
        for batch in cells.to_batches():
            part = slice(first, first + batch.num_rows)
            self._keep(keys[part], rows[part], batch)
            first += batch.num_rows
        self.n_seen = n_seen

    def _keep(self, keys: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], batch: pa.RecordBatch) -> None:
        if self.threshold < np.inf:
            small = keys < self.threshold
            keys, rows, batch = keys[small], rows[small], batch.filter(pa.array(small))
        self.keys.append(keys)
        self.rows.append(rows)
        self.batches.append(batch)
        if self.max_rows is None:
            return
        sizes = _row_bytes(batch)
        self.sizes.append(sizes)
        self.n_bytes += int(sizes.sum())
        if sum(map(len, self.keys)) > SURPLUS * self.max_rows or self.n_bytes > SURPLUS * SAMPLED_BYTES:
            self.drop_surplus(self.max_rows)

    def rows_and_cells(self) -> tuple[npt.NDArray[np.int64], pa.Table]:
        if self.max_rows is not None:
            self.drop_surplus(self.max_rows)
        return np.concatenate(self.rows), pa.Table.from_batches(self.batches)

    def drop_surplus(self, max_rows: int) -> None:
        """Drop the rows that there is no room for."""
        if not self.keys:
            return
        keys = np.concatenate(self.keys)
        # Stable: of equal keys the first row wins, here as above.
        order = np.argsort(keys, kind="stable")
        n_bytes = np.cumsum(np.concatenate(self.sizes)[order])
        kept = order[: max(2, min(max_rows, int(np.searchsorted(n_bytes, SAMPLED_BYTES, side="right"))))]
        if len(kept) == len(keys):
            return
        self.n_bytes = int(n_bytes[len(kept) - 1])
        self.threshold = float(keys[kept[-1]])
        chosen = np.zeros(len(keys), dtype=bool)
        chosen[kept] = True
        start = 0
        for index, batch in enumerate(self.batches):
            mask = chosen[start : start + batch.num_rows]
            start += batch.num_rows
            self.keys[index], self.rows[index] = self.keys[index][mask], self.rows[index][mask]
            self.sizes[index] = self.sizes[index][mask]
            self.batches[index] = batch.filter(pa.array(mask))


def _row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """About what each row takes in memory, whichever rows stand beside it."""
    n_bytes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if is_text(column.type):
            n_bytes += OFFSET_BYTES + np.asarray(pc.fill_null(pc.binary_length(column), 0), dtype=np.int64)
        else:
            n_bytes += NUMBER_BYTES
    return n_bytes
