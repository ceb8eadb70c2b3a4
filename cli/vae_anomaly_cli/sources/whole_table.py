"""Tables of formats that are read as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from vae_anomaly_cli.sources.byte_source import ByteSource


@dataclass(frozen=True)
class WholeTable:
    """A table in memory.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    cells : pyarrow.Table
        Its rows.
    noun : str
        What a person calls a row of the file, like ``record``.
    numbers : sequence of int
        Number that each row has there, from 1.
    row_index : str or None
        Which column numbers the rows, if one does that has no name.
    """

    source: ByteSource
    cells: pa.Table
    noun: str
    numbers: Sequence[int]
    row_index: str | None = None
    delimiter: None = None

    @property
    def schema(self) -> pa.Schema:
        """Its columns, with types that have room for all their values."""
        return self.cells.schema

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with the bytes read."""
        size = self.size
        for batch in self.cells.select(names).to_batches(n_rows):
            yield batch, size
            size = 0

    def where(self, row: int) -> str:
        """Say which row of the file a data row (from 0) is."""
        return f"{self.noun} {self.numbers[row]}"
