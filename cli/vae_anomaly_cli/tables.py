"""Rows of the input in memory: all of them, or a sample of those that are too many."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.cells import is_text, values_of
from vae_anomaly_cli.inputs import Input, Piece

SAMPLED_BYTES = 1 << 28
# How far the rows that are kept may outgrow the sample before the surplus is dropped.
SURPLUS = 1.25
OFFSET_BYTES, NUMBER_BYTES = 4, 8


@dataclass(frozen=True)
class Table:
    """Rows of an input.

    Attributes
    ----------
    input : Input
        Where they come from.
    cells : pyarrow.Table
        The rows, in the order of the files.
    starts : tuple of int
        With which row of the whole input (from 0) each file begins.
    n_input_rows : int
        Rows of the whole input.
    drawn : ndarray of int, optional
        Which rows of the whole input these are; None for all.
    """

    input: Input
    cells: pa.Table
    starts: tuple[int, ...]
    n_input_rows: int
    drawn: npt.NDArray[np.int64] | None = None

    @property
    def name(self) -> str:
        """How messages call the input."""
        return self.input.name

    @property
    def names(self) -> list[str]:
        """Column names."""
        return list(self.cells.column_names)

    @property
    def n_rows(self) -> int:
        """Number of rows in memory."""
        return int(self.cells.num_rows)

    @property
    def decimal_comma(self) -> bool:
        """Whether numbers may be written 1,5."""
        return self.input.decimal_comma

    @property
    def typed(self) -> bool:
        """Whether the files say themselves what numbers, text and true/false are."""
        return self.input.typed

    def values(self, name: str) -> pa.ChunkedArray:
        """Return the cells of a column with the type that they have."""
        column = self.cells[name]
        return column if self.typed else values_of(column, self.decimal_comma)

    def place(self, row: int) -> tuple[str, str]:
        """Say in which file, and where there, a person finds one of these rows (from 0)."""
        whole = row if self.drawn is None else int(self.drawn[row])
        file = bisect_right(self.starts, whole) - 1
        return self.input.place(file, whole - self.starts[file])


def read_table(table: Input) -> Table:
    """Read all rows into memory."""
    return sample_table(table, table.names, None)


def sample_table(
    table: Input,
    names: list[str],
    n_rows: int | None,
    seed: tuple[int, ...] = (0,),
    done: Callable[[Piece], None] = lambda _: None,
) -> Table:
    """Read rows in one pass: all of them if they are not too many, else a uniform sample without replacement.

    Every row draws a random key in the order of the files, and the smallest keys win, as many as there is room for:
    the sample depends on the seed and on the rows alone, not on how they are cut into batches.

    Parameters
    ----------
    table : Input
        What to read.
    names : list of str
        Columns to read.
    n_rows : int or None
        Rows to keep at most, fewer where they are wide; None keeps all.
    seed : tuple of int
        Of the draw.
    done : callable
        Is told of every piece that was read.
    """
    drawn = _Smallest(n_rows, np.random.default_rng(seed))
    n_rows_of = np.zeros(len(table.files), dtype=np.int64)
    for piece in table.pieces(names):
        n_rows_of[piece.file] += piece.n_rows
        drawn.see(piece.batch)
        done(piece)
    rows, cells = drawn.taken()
    n_input_rows = int(n_rows_of.sum())
    starts = (np.cumsum(n_rows_of) - n_rows_of).tolist()
    return Table(table, cells, tuple(starts), n_input_rows, None if len(rows) == n_input_rows else rows)


class _Smallest:
    """The rows with the smallest random keys, in their order: at most so many, and of at most `SAMPLED_BYTES`.

    More rows never bring back one that was dropped, and so it does not matter when the surplus is.

    Parameters
    ----------
    most : int or None
        How many, though at least two; None keeps all of whatever size.
    generator : numpy.random.Generator
        Draws a key a row.
    """

    def __init__(self, most: int | None, generator: np.random.Generator) -> None:
        self.most, self.generator = most, generator
        self.n_seen = self.n_bytes = 0
        self.threshold = np.inf
        self.keys: list[npt.NDArray[np.float64]] = []
        self.rows: list[npt.NDArray[np.int64]] = []
        self.sizes: list[npt.NDArray[np.int64]] = []
        self.batches: list[pa.RecordBatch] = []

    def see(self, batch: pa.RecordBatch) -> None:
        keys = self.generator.random(batch.num_rows)
        rows = np.arange(self.n_seen, self.n_seen + batch.num_rows)
        self.n_seen += batch.num_rows
        if self.threshold < np.inf:
            small = keys < self.threshold
            keys, rows, batch = keys[small], rows[small], batch.filter(pa.array(small))
        self.keys.append(keys)
        self.rows.append(rows)
        self.batches.append(batch)
        if self.most is None:
            return
        sizes = _row_bytes(batch)
        self.sizes.append(sizes)
        self.n_bytes += int(sizes.sum())
        if sum(map(len, self.keys)) > SURPLUS * self.most or self.n_bytes > SURPLUS * SAMPLED_BYTES:
            self._drop_surplus(self.most)

    def taken(self) -> tuple[npt.NDArray[np.int64], pa.Table]:
        if self.most is not None:
            self._drop_surplus(self.most)
        return np.concatenate(self.rows), pa.Table.from_batches(self.batches)

    def _drop_surplus(self, most: int) -> None:
        keys = np.concatenate(self.keys)
        # Stable: of equal keys the first row wins, here as above.
        order = np.argsort(keys, kind="stable")
        n_bytes = np.cumsum(np.concatenate(self.sizes)[order])
        kept = order[: max(2, min(most, int(np.searchsorted(n_bytes, SAMPLED_BYTES, side="right"))))]
        if len(kept) == len(keys):
            return
        self.n_bytes = int(n_bytes[len(kept) - 1])
        self.threshold = float(keys[kept[-1]])
        chosen = np.zeros(len(keys), dtype=bool)
        chosen[kept] = True
        start = 0
        for place, batch in enumerate(self.batches):
            mask = chosen[start : start + batch.num_rows]
            start += batch.num_rows
            self.keys[place], self.rows[place] = self.keys[place][mask], self.rows[place][mask]
            self.sizes[place] = self.sizes[place][mask]
            self.batches[place] = batch.filter(pa.array(mask))


def _row_bytes(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """About what each row takes in memory, whichever rows stand beside it."""
    n_bytes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if is_text(column.type):
            n_bytes += OFFSET_BYTES + np.asarray(pc.fill_null(pc.binary_length(column), 0), dtype=np.int64)
        else:
            n_bytes += NUMBER_BYTES
    return n_bytes
