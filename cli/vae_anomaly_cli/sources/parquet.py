"""Parquet, read a few thousand rows at a time whatever the size of its row groups."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.row_groups import RowGroups
from vae_anomaly_cli.sources.stored_object import StoredObject
from vae_anomaly_cli.stores import known_reason

BATCH_BYTES = 1 << 25
EXCEPTION_NAME = re.compile(r"\b\w+(?:Exception|Error):? ?")
# Pages are read one by one: neither the file nor a row group stands in memory, nor counts as memory by being mapped.
BUFFER_BYTES = 1 << 16
# Columns with more distinct values than fit are written plainly. At the limit of Arrow, a MiB, columns of numbers are
# looked up value by value first: three times the work, and a fifth more bytes.
DICTIONARY_BYTES = 1 << 17


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    schema : pyarrow.Schema
        Its columns.
    row_bytes : float
        About what a row takes in memory.
    groups : tuple of int
        Rows of each of its row groups.
    first_group, end_group : int
        Which of them are read: those before the end.
    """

    source: ByteSource
    schema: pa.Schema
    row_bytes: float
    groups: tuple[int, ...]
    first_group: int
    end_group: int
    delimiter: None = None
    row_index: None = None

    @property
    def size(self) -> int:
        """What there is to read: rows."""
        return sum(self.groups[self.first_group : self.end_group])

    def of_groups(self, begin: int, end: int) -> "ParquetFile":
        """Return the file with only some of its row groups to read, those before `end`."""
        return replace(self, first_group=begin, end_group=end)

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with their number, fewer at a time where they are wide."""
        n_rows = max(1, min(n_rows, int(BATCH_BYTES / max(self.row_bytes, 1))))
        columns = None if names == self.schema.names else names
        with _opened(self.source) as parquet:
            # Group by group: in one go, the buffers of all groups would stay to the end.
            for group in range(self.first_group, self.end_group):
                for batch in parquet.iter_batches(n_rows, [group], columns, use_threads=False):
                    # Text that is no UTF-8 would fail where it is used.
                    batch.validate(full=True)
                    yield batch.select(names), batch.num_rows

    def where(self, row: int) -> str:
        """Say which row a data row (from 0) is."""
        return f"row {row + 1}"


def open_file(source: ByteSource, _delimiters: str, _given: GivenLayout, _warn: Callable[[str], None]) -> ParquetFile:
    """Read the columns and the number of rows."""
    with _opened(source) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        stored = sum(group.total_byte_size for group in groups) / max(1, metadata.num_rows)
        n_rows = tuple(group.num_rows for group in groups)
    return ParquetFile(source, schema, max(stored, 8 * len(schema)), n_rows, 0, len(n_rows))


def open_writer(stream: BinaryIO, schema: pa.Schema, _delimiter: str) -> "ParquetWriter":
    """Begin a table on an open stream."""
    return ParquetWriter(stream, schema)


class ParquetWriter:
    """Writes rows as Parquet, in row groups of some size however small the batches are."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self.file = pq.ParquetWriter(stream, schema, dictionary_pagesize_limit=DICTIONARY_BYTES)
        self.groups = RowGroups(lambda group: self.file.write_table(group, group.num_rows))

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self.groups.append(batch)

    def close(self) -> None:
        """Write the last group, and the footer."""
        self.groups.flush()
        self.file.close()


def _plain(error: Exception) -> str:
    """What a reader says, in one line and without the names of its exceptions."""
    return EXCEPTION_NAME.sub("", " ".join(str(error).split())).strip()


@contextmanager
def _opened(source: ByteSource) -> Iterator[pq.ParquetFile]:
    try:
        if source.stored is not None:
            with _opened_object(source, source.stored) as parquet:
                yield parquet
        elif source.location is None or source.compressed:
            yield pq.ParquetFile(pa.BufferReader(source.unpacked()))
        else:
            with pq.ParquetFile(source.location, buffer_size=BUFFER_BYTES) as parquet:
                yield parquet
    except (pa.ArrowInvalid, OSError) as error:
        if source.stored is not None and (reason := known_reason(error)) is not None:
            raise InputError(f"{source.name} cannot be read: {reason}.") from error
        raise InputError(
            f"{source.name} is not a readable Parquet file ({_plain(error)}). Copy it again, or say what it is with "
            "--format."
        ) from error


@contextmanager
def _opened_object(source: ByteSource, stored: StoredObject) -> Iterator[pq.ParquetFile]:
    """Open an object of which the footer is read, and then the columns of a row group in few requests."""
    with stored.open() as opened:
        try:
            parquet = pq.ParquetFile(opened, pre_buffer=True)
        except pa.ArrowInvalid:
            if not source.compressed:
                raise
            parquet = pq.ParquetFile(pa.BufferReader(source.unpacked()))
        with parquet:
            yield parquet
