"""Rows to fit a model for each group on: drawn group by group in one pass over an input of any size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.arrow_rows import as_series
from vae_anomaly_cli.sources import RowBatch, TableSource
from vae_anomaly_cli.tables import RowKeys, SmallestKeys, Table

# Rows of a group: as many as the members of an ensemble see and calibrate by.
MAX_ROWS_OF_GROUP = 20_480
# Of all groups together, so that they are in memory.
MAX_CELLS = 1 << 27
# After how many rows those are dropped that there is no room for.
ROWS_BETWEEN_DROPS = 1 << 18


@dataclass(frozen=True)
class GroupTables:
    """Rows that were drawn.

    Attributes
    ----------
    pooled : Table
        Of all rows alike.
    groups : dict of str to Table
        Of each group with enough rows.
    n_rows : dict of str to int
        How many rows each group has in the input.
    n_unnamed : int
        Rows without a group.
    """

    pooled: Table
    groups: dict[str, Table]
    n_rows: dict[str, int]
    n_unnamed: int


def sample_groups(
    source: TableSource,
    names: list[str],
    by: str,
    min_rows: int,
    max_rows: int,
    seed: int,
    progress: Callable[[RowBatch], None] = lambda _: None,
) -> GroupTables:
    """Draw rows of all groups, and rows of each, uniformly and without replacement, in one pass.

    Parameters
    ----------
    source : TableSource
        What to read.
    names : list of str
        Columns to read.
    by : str
        The column of the groups.
    min_rows : int
        Rows that a group needs.
    max_rows : int
        Rows for the pooled model at most; those of a group are also at most `MAX_ROWS_OF_GROUP`, and fewer where all
        groups together take too much memory.
    seed : int
        Of the draws.
    progress : callable
        Is called with every batch that was read.
    """
    from vae_anomaly.detectors import group_names

    pooled = SmallestKeys(max_rows, (seed, 0))
    groups = GroupSample(min(max_rows, MAX_ROWS_OF_GROUP), (seed, 1), len(names))
    n_rows_of = np.zeros(source.n_files, dtype=np.int64)
    for batch in source.batches(list(dict.fromkeys([*names, by]))):
        n_rows_of[batch.file] += batch.n_rows
        cells = batch.cells.select(names)
        pooled.append(cells, batch.file, batch.first_in_file)
        named = group_names(as_series(source.cell_reader.cells_of_groups(batch.cells[by])))
        groups.append(cells, named, batch.file, batch.first_in_file)
        progress(batch)
    n_input_rows = int(n_rows_of.sum())
    starts = tuple((np.cumsum(n_rows_of) - n_rows_of).tolist())
    rows, cells = pooled.rows_and_cells()
    all_rows = Table(source, cells, starts, n_input_rows, None if len(rows) == n_input_rows else rows)
    drawn = {
        name: Table(source, cells, starts, groups.n_rows[name], rows) for name, rows, cells in groups.tables(min_rows)
    }
    return GroupTables(all_rows, drawn, groups.n_rows, groups.n_unnamed)


class GroupSample:
    """Of each group the rows with the smallest random keys, at most so many.

    Where all groups together are too many cells, the limit of rows is halved for all, as often as it takes: which rows
    are kept depends on the rows alone, not on how they are cut into batches.

    Parameters
    ----------
    max_rows : int
        Of a group.
    seed : tuple of int
        Of the draw.
    n_columns : int
        Cells of a row.
    """

    def __init__(self, max_rows: int, seed: tuple[int, ...], n_columns: int) -> None:
        self.max_rows, self._random = max_rows, RowKeys(seed)
        self.max_rows_together = max(MAX_CELLS // max(n_columns, 1), 2)
        self.n_rows: dict[str, int] = {}
        self.n_unnamed = self._n_seen = self._n_new = 0
        self._codes: dict[str, int] = {}
        self._keys: list[npt.NDArray[np.float64]] = []
        self._groups: list[npt.NDArray[np.int64]] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._batches: list[pa.RecordBatch] = []

    def append(self, cells: pa.RecordBatch, named: npt.NDArray[np.object_], file: int, first: int) -> None:
        """Take the rows that follow.

        Parameters
        ----------
        cells : pyarrow.RecordBatch
            The rows.
        named : ndarray of shape (rows,)
            The group of each; None for those without one.
        file, first : int
            Their file, and the first of them there, from 0.
        """
        import pandas as pd

        keys = self._random.of(file, first, cells.num_rows)
        rows = np.arange(self._n_seen, self._n_seen + cells.num_rows)
        self._n_seen += cells.num_rows
        levels, texts = pd.factorize(named, use_na_sentinel=True)
        counts = np.bincount(levels[levels >= 0], minlength=len(texts))
        for text, count in zip(texts, counts.tolist(), strict=True):
            self._codes.setdefault(text, len(self._codes))
            self.n_rows[text] = self.n_rows.get(text, 0) + count
        has_name = levels >= 0
        self.n_unnamed += int((~has_name).sum())
        codes = np.array([self._codes[text] for text in texts], dtype=np.int64)
        self._keys.append(keys[has_name])
        self._groups.append(codes[levels[has_name]])
        self._rows.append(rows[has_name])
        self._batches.append(cells if has_name.all() else cells.filter(pa.array(has_name)))
        self._n_new += int(has_name.sum())
        if self._n_new >= ROWS_BETWEEN_DROPS:
            self._drop_surplus()

    def tables(self, min_rows: int) -> list[tuple[str, npt.NDArray[np.int64], pa.Table]]:
        """Return the rows of each group that has enough of them, in their order.

        Parameters
        ----------
        min_rows : int
            Rows that it needs, in the input.
        """
        if not self._batches:
            return []
        self._drop_surplus()
        groups, rows = np.concatenate(self._groups), np.concatenate(self._rows)
        cells = pa.Table.from_batches(self._batches).combine_chunks()
        order = np.argsort(groups, kind="stable")
        ends = np.cumsum(np.bincount(groups, minlength=len(self._codes)))
        places = dict(zip(self._codes, np.split(order, ends[:-1]), strict=True))
        enough = [name for name, count in self.n_rows.items() if count >= min_rows]
        return [(name, rows[places[name]], cells.take(pa.array(places[name]))) for name in enough]

    def _drop_surplus(self) -> None:
        keys, groups = np.concatenate(self._keys), np.concatenate(self._groups)
        order = np.lexsort((keys, groups))
        counts = np.bincount(groups, minlength=len(self._codes))
        starts = np.cumsum(counts) - counts
        rank = np.empty(len(keys), dtype=np.int64)
        rank[order] = np.arange(len(keys)) - starts[groups[order]]
        while self.max_rows > 2 and np.minimum(counts, self.max_rows).sum() > self.max_rows_together:
            self.max_rows //= 2
        chosen = rank < self.max_rows
        self._n_new = 0
        if chosen.all():
            return
        start = 0
        for index, batch in enumerate(self._batches):
            mask = chosen[start : start + batch.num_rows]
            start += batch.num_rows
            self._keys[index], self._groups[index] = self._keys[index][mask], self._groups[index][mask]
            self._rows[index] = self._rows[index][mask]
            self._batches[index] = batch.filter(pa.array(mask))
