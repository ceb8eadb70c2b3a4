"""Parquet, read a few thousand rows at a time whatever the size of its row groups."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Source

BATCH_BYTES = 1 << 25
# Pages are read one by one: neither the file nor a row group stands in memory, nor counts as memory by being mapped.
BUFFER_BYTES = 1 << 16
# Arrow can neither take nor sort rows of views; the input casts what it reads to the types named here.
PLAIN_TYPES = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file.

    Attributes
    ----------
    source : Source
        Its bytes.
    schema : pyarrow.Schema
        Its columns.
    n_rows : int
        Number of rows.
    row_bytes : float
        About what a row takes in memory.
    """

    source: Source
    schema: pa.Schema
    n_rows: int
    row_bytes: float

    @property
    def size(self) -> int:
        """What there is to read: rows."""
        return self.n_rows

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with their number, fewer at a time where they are wide."""
        n_rows = max(1, min(n_rows, int(BATCH_BYTES / max(self.row_bytes, 1))))
        columns = None if names == self.schema.names else names
        with _opened(self.source) as parquet:
            # Group by group: in one go, the buffers of all groups would stay to the end.
            for group in range(parquet.num_row_groups):
                for batch in parquet.iter_batches(n_rows, [group], columns, use_threads=False):
                    yield batch.select(names), batch.num_rows

    def where(self, row: int) -> str:
        """Say which row a data row (from 0) is."""
        return f"row {row + 1}"


def open_file(source: Source) -> ParquetFile:
    """Read the columns and the number of rows."""
    with _opened(source) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
        groups = range(metadata.num_row_groups)
        stored = sum(metadata.row_group(group).total_byte_size for group in groups) / max(1, metadata.num_rows)
    fields = [field.with_type(PLAIN_TYPES.get(field.type, field.type)) for field in schema]
    return ParquetFile(source, pa.schema(fields), metadata.num_rows, max(stored, 8 * len(schema)))


@contextmanager
def _opened(source: Source) -> Iterator[pq.ParquetFile]:
    try:
        if source.location is None or source.gzipped:
            with source.open() as stream:
                content = pa.BufferReader(stream.read())
            yield pq.ParquetFile(content)
        else:
            with pq.ParquetFile(source.location, buffer_size=BUFFER_BYTES) as parquet:
                yield parquet
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{source.name} is not a readable Parquet file ({error}). Copy it again, or say what it is with --format."
        ) from error
