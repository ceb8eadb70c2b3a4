"""Arrow IPC, as files (Feather) and as streams: read and written one record batch at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import pyarrow as pa

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.row_groups import RowGroups

FILE_MAGIC = b"ARROW1"
Reader: TypeAlias = pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader


@dataclass(frozen=True)
class ArrowFile:
    """A file or a stream of Arrow IPC.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    schema : pyarrow.Schema
        Its columns.
    """

    source: ByteSource
    schema: pa.Schema
    delimiter: None = None
    row_index: None = None

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], _n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield record batches as they are stored, with about the bytes read."""
        positions = [self.schema.get_field_index(name) for name in names]
        n_read = 0
        with _opened(self.source, pa.ipc.IpcReadOptions(included_fields=positions)) as (content, reader):
            for batch, position in _read(content, reader, self.size):
                # Cells that point outside of the file would end the process.
                batch.validate(full=True)
                before, n_read = n_read, position
                yield batch.select(names), n_read - before

    def where(self, row: int) -> str:
        """Say which row a data row (from 0) is."""
        return f"row {row + 1}"


def open_file(source: ByteSource, _delimiters: str, _given: GivenLayout, _warn: Callable[[str], None]) -> ArrowFile:
    """Read the columns."""
    with _opened(source, pa.ipc.IpcReadOptions()) as (_, reader):
        return ArrowFile(source, reader.schema)


def open_writer(stream: BinaryIO, schema: pa.Schema, _delimiter: str) -> "ArrowWriter":
    """Begin a table on an open stream."""
    return ArrowWriter(stream, schema)


class ArrowWriter:
    """Writes rows as an Arrow file, compressed as Feather is, in batches of some size however small they come.

    Categories become their values: in a file, all batches would need the same ones.
    """

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self.schema = pa.schema(
            [
                field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
                for field in schema
            ]
        )
        self.file = pa.ipc.new_file(stream, self.schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self.groups = RowGroups(lambda group: self.file.write_table(group.cast(self.schema).combine_chunks()))

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self.groups.append(batch)

    def close(self) -> None:
        """Write the last batch, and the footer."""
        self.groups.flush()
        self.file.close()


def _read(content: pa.NativeFile, reader: Reader, n_bytes: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield record batches with about the position of their end."""
    if isinstance(reader, pa.ipc.RecordBatchStreamReader):
        for batch in reader:
            # Beyond the size where the bytes were gzipped.
            yield batch, min(content.tell(), n_bytes)
        return
    n_batches = reader.num_record_batches
    for index in range(n_batches):
        yield reader.get_batch(index), n_bytes * (index + 1) // n_batches


@contextmanager
def _opened(source: ByteSource, options: pa.ipc.IpcReadOptions) -> Iterator[tuple[pa.NativeFile, Reader]]:
    """Open a file or stream, as its first bytes tell."""
    try:
        if source.stored is not None and not source.compressed:
            content: pa.NativeFile = source.stored.open()
        elif source.location is None or source.compressed:
            content = pa.BufferReader(source.unpacked())
        else:
            content = pa.OSFile(str(source.location))
        with content:
            is_file = content.read(len(FILE_MAGIC)) == FILE_MAGIC
            content.seek(0)
            opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
            yield content, opened(content, options=options)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{source.name} is not a readable Arrow file ({error}). Copy it again, or say what it is with --format."
        ) from error
