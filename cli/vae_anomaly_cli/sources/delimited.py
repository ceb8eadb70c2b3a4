"""CSV and TSV: read as text, so that cells can be written back exactly as they came."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource, bytes_read
from vae_anomaly_cli.sources.text import find_undecodable
from vae_anomaly_cli.types import as_text

# Small blocks are parsed several times as fast as large ones, but every row must fit into one.
BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 22, 1 << 26
TOO_LONG = "straddling object"


@dataclass(frozen=True)
class DelimitedFile:
    """A file of CSV or TSV.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    delimiter : str
        What separates its cells.
    schema : pyarrow.Schema
        Its columns, all of them text.
    """

    source: ByteSource
    delimiter: str
    schema: pa.Schema

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows, every cell as text, with the bytes read; a row of the wrong length stops the reading."""
        last: pa.RecordBatch | None = None
        n_bytes = n_yielded = 0
        block_bytes = BLOCK_BYTES
        # A quote that is never closed shows in the last column, and so that is always read.
        shown = list(dict.fromkeys([*names, self.schema.names[-1]]))
        while True:
            try:
                for batch, n_read in self._blocks(shown, block_bytes, n_yielded):
                    last = batch
                    n_yielded += batch.num_rows
                    before, n_bytes = n_bytes, max(n_bytes, n_read)
                    yield batch.select(names), n_bytes - before
                break
            except (pa.ArrowInvalid, UnicodeDecodeError) as error:
                if TOO_LONG not in str(error) or block_bytes >= MAX_BLOCK_BYTES:
                    raise _explain(self.source, self.delimiter, len(self.schema), error) from error
                block_bytes *= 4
        # To the parser, a quote that is never closed is a cell that ends with the file.
        if last is not None and any("\n" in cell for row in last[-1:].to_pylist() for cell in row.values()):
            _check_quotes(self.source, self.delimiter)

    def _blocks(self, names: list[str], block_bytes: int, n_skipped: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the rows after so many others, with the bytes of the file read so far."""
        with self.source.open() as stream, _open_csv(stream, names, self.delimiter, block_bytes) as reader:
            for batch in reader:
                rest = batch.slice(min(n_skipped, batch.num_rows))
                n_skipped -= batch.num_rows - rest.num_rows
                if rest.num_rows:
                    yield rest, bytes_read(stream)

    def where(self, row: int) -> str:
        """Say on which line a data row (from 0) starts."""
        for index, (line, _) in enumerate(_records(self.source, self.delimiter)):
            if index == row + 1:
                return f"line {line}"
        return f"row {row + 1}"


def open_file(source: ByteSource, delimiters: str) -> DelimitedFile:
    """Read the column names; of several delimiters, the one that the header has."""
    delimiter = _guess_delimiter(source, delimiters)
    try:
        names = next((names for _, names in _records(source, delimiter)), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _explain(source, delimiter, 0, error) from error
    return DelimitedFile(source, delimiter, pa.schema([pa.field(name, pa.string()) for name in names]))


def open_writer(stream: BinaryIO, schema: pa.Schema, delimiter: str) -> "DelimitedWriter":
    """Begin a table on an open stream."""
    return DelimitedWriter(stream, schema.names, delimiter)


def _guess_delimiter(source: ByteSource, delimiters: str) -> str:
    """Find the first delimiter that the header line has; the first of all if it has none."""
    if len(delimiters) > 1:
        head = source.head().decode("utf-8", errors="replace")
        with contextlib.suppress(csv.Error):
            for delimiter in delimiters:
                if len(next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), [])) > 1:
                    return delimiter
    return delimiters[0]


def _open_csv(stream: BinaryIO, names: list[str], delimiter: str, block_bytes: int) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(block_size=block_bytes, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names),
    )


def _check_quotes(source: ByteSource, delimiter: str) -> None:
    try:
        for _ in _records(source, delimiter, strict=True):
            pass
    except csv.Error as error:
        *_, (line, _) = _records(source, delimiter)
        if "unexpected end" in str(error):
            raise InputError(
                f"{source.name} line {line}: a quote is opened and never closed, so the rest of the file is one cell. "
                "Close it; a quote that belongs to the text is written twice."
            ) from error


def _records(source: ByteSource, delimiter: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the lines they start on, the header first, blank lines left out."""
    with source.open() as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=strict)
        start = 1
        for record in reader:
            if record:
                yield start, record
            start = reader.line_num + 1


def _explain(source: ByteSource, delimiter: str, expected: int, error: Exception) -> InputError:
    """Turn a parser's complaint into what, where, expected and remedy."""
    undecodable = find_undecodable(source)
    if undecodable is not None:
        return InputError(undecodable)
    with contextlib.suppress(csv.Error):
        for line, record in _records(source, delimiter):
            if len(record) != expected:
                return InputError(
                    f"{source.name} line {line} has {_fields(len(record))}; the header has "
                    f"{expected}. Look there for a missing or extra {_spoken(delimiter)} or quote; "
                    "another separator is named with --delimiter."
                )
    return InputError(f"{source.name} cannot be parsed as delimited text: {error}.")


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _spoken(delimiter: str) -> str:
    return {",": "comma", "\t": "tab", ";": "semicolon"}.get(delimiter, f"'{delimiter}'")


class DelimitedWriter:
    """Writes rows as lines of text, quotes only where a cell needs them.

    Parameters
    ----------
    stream : binary file
        Where they go.
    names : list of str
        The header.
    delimiter : str
        What separates the cells.
    """

    def __init__(self, stream: BinaryIO, names: list[str], delimiter: str) -> None:
        self.stream, self.delimiter = stream, delimiter
        header = [_quoted(pa.array([name], pa.string()), delimiter)[0].as_py() for name in names]
        self.header = delimiter.join(header).encode() + b"\n"

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; text stays as it is."""
        self._write_header()
        cells = [_quoted(column, self.delimiter) for column in as_text(batch).columns]
        lines = pc.binary_join_element_wise(*cells, self.delimiter)
        ended = pc.binary_join_element_wise(lines, "", "\n")
        self.stream.write(_bytes_of(ended))

    def close(self) -> None:
        """Write the header of a table without rows."""
        self._write_header()

    def _write_header(self) -> None:
        # With the first rows: a table that cannot be read at all leaves nothing in a pipe.
        if self.header:
            self.stream.write(self.header)
            self.header = b""


def _quoted(cells: pa.Array, delimiter: str) -> pa.Array:
    if not _has_special(cells, delimiter):
        return cells
    special = pc.match_substring_regex(cells, f'["\\r\\n{re.escape(delimiter)}]')
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _has_special(cells: pa.Array, delimiter: str) -> bool:
    """Whether any cell may need quotes: a look at the bytes of all at once, many times faster than cell by cell."""
    text = _bytes_of(cells)
    return any(character in text for character in (b'"', b"\n", b"\r", delimiter.encode()))


def _bytes_of(cells: pa.Array) -> bytes:
    """The text of all cells, one after the other."""
    offsets, values = cells.buffers()[1:]
    if values is None or not len(cells):
        return b""
    ends = memoryview(offsets).cast("i")
    return bytes(memoryview(values)[ends[cells.offset] : ends[cells.offset + len(cells)]])
