"""Groups of rows, as columnar formats write them: of some size, however small the batches are that come."""

from collections.abc import Callable

import pyarrow as pa

ROWS_PER_GROUP = 1 << 16
BYTES_PER_GROUP = 1 << 25


class RowGroups:
    """Collects batches until they are a group.

    Parameters
    ----------
    write : callable
        Takes a whole group, as a table.
    """

    def __init__(self, write: Callable[[pa.Table], None]) -> None:
        self._write = write
        self._batches: list[pa.RecordBatch] = []
        self._n_rows = self._n_bytes = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """Take rows, and write a group where there are enough of them."""
        self._batches.append(batch)
        self._n_rows += batch.num_rows
        self._n_bytes += batch.nbytes
        if self._n_rows >= ROWS_PER_GROUP or self._n_bytes >= BYTES_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected, if anything."""
        if self._batches:
            self._write(pa.Table.from_batches(self._batches))
            self._batches.clear()
            self._n_rows = self._n_bytes = 0
