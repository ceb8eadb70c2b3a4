"""CSV and TSV: read as text, so that cells can be written back exactly as they came."""

import contextlib
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource, bytes_read
from vae_anomaly_cli.sources.compression import Wrapped
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.layout import MAX_TITLE_LINES, TextLayout, find_footer, find_layout
from vae_anomaly_cli.sources.text import TextScan, as_utf8, checked_utf8, scan_text
from vae_anomaly_cli.types import as_text

# Small blocks are parsed several times as fast as large ones, but every row must fit into one.
BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 22, 1 << 26
MAX_COLUMNS = 1 << 20
TOO_LONG, NO_ROWS = "straddling object", "Empty CSV file"
MIN_HEAD_BYTES, MIN_HEAD_LINES = 1 << 16, 8
# Lines of text in one cell that look like rows: so many of them are no accident.
MIN_LINES_LIKE_ROWS = 5


@dataclass(frozen=True)
class DelimitedFile:
    """A file of CSV or TSV.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    layout : TextLayout
        How it is laid out.
    schema : pyarrow.Schema
        Its columns, all of them text.
    end : int
        Offset behind the last row.
    has_quotes : bool
        Whether cells may be quoted.
    repeats_header : bool
        Whether the header stands between rows again.
    """

    source: ByteSource
    layout: TextLayout
    schema: pa.Schema
    end: int
    has_quotes: bool = True
    repeats_header: bool = False

    @property
    def delimiter(self) -> str:
        """What separates its cells."""
        return self.layout.delimiter

    @property
    def row_index(self) -> str | None:
        """Which column numbers the rows, if one does that has no name."""
        return self.layout.index

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows, every cell as text, with the bytes read; a row of the wrong length stops the reading."""
        last: pa.RecordBatch | None = None
        n_bytes = n_yielded = 0
        block_bytes = BLOCK_BYTES
        positions = {name: str(position) for position, name in enumerate(self.layout.names) if name is not None}
        wanted = [positions[name] for name in names]
        shown = self._shown(wanted)
        while True:
            try:
                for batch, n_read in self._blocks(shown, block_bytes, n_yielded):
                    last = batch
                    n_yielded += batch.num_rows
                    before, n_bytes = n_bytes, max(n_bytes, n_read)
                    kept = self._checked(batch).select(wanted)
                    yield pa.RecordBatch.from_arrays(kept.columns, names=names), n_bytes - before
                break
            except (pa.ArrowInvalid, UnicodeDecodeError) as error:
                if NO_ROWS in str(error):
                    break
                if TOO_LONG not in str(error):
                    raise _explain(self.source, self.layout, self.end, error) from error
                if block_bytes >= MAX_BLOCK_BYTES:
                    raise _too_long(self.source, self.layout, self.end) from error
                block_bytes *= 4
        # To the parser, a quote that is never closed is a cell that ends with the file.
        if last is not None and any("\n" in cell for row in last[-1:].to_pylist() for cell in row.values()):
            _check_quotes(self.source, self.layout, self.end)

    def _shown(self, wanted: list[str]) -> list[str]:
        """Columns to parse beside those that are asked for."""
        if self.repeats_header:
            return [str(position) for position in range(self.layout.width)]
        # A quote that is never closed shows in the last column, and so that is always read.
        return list(dict.fromkeys([*wanted, *map(str, sorted(self.layout.blank)), str(self.layout.width - 1)]))

    def _checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Drop repeated headers, and refuse cells in columns that are left out because they are blank."""
        if self.repeats_header:
            is_header = np.logical_and.reduce(
                [
                    pc.equal(batch[str(position)], cell).to_numpy(zero_copy_only=False)
                    for position, cell in enumerate(self.layout.cells[: self.layout.width])
                ]
            )
            if is_header.any():
                batch = batch.filter(pa.array(~is_header))
        for position in self.layout.blank:
            column = batch[str(position)]
            filled = np.flatnonzero(pc.binary_length(pc.utf8_trim_whitespace(column)))
            if len(filled):
                raise InputError(
                    f"{self.source.name}: column {position + 1} has no name, and a cell holds "
                    f"'{column[int(filled[0])].as_py()}'. Name the column in the header, or remove it."
                )
        return batch

    def _blocks(self, names: list[str], block_bytes: int, n_skipped: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the rows after so many others, with the bytes of the file read so far."""
        with _rows_of(self.source, self.layout, self.end) as stream, self._open(stream, names, block_bytes) as reader:
            for batch in reader:
                rest = batch.slice(min(n_skipped, batch.num_rows))
                n_skipped -= batch.num_rows - rest.num_rows
                if rest.num_rows:
                    yield rest, stream.position()

    def _open(self, stream: "_Rows", names: list[str], block_bytes: int) -> pa_csv.CSVStreamingReader:
        columns = [str(position) for position in range(self.layout.width)]
        return pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(block_size=block_bytes, use_threads=False, column_names=columns),
            parse_options=pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=self.has_quotes),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=names
            ),
        )

    def where(self, row: int) -> str:
        """Say on which line a data row (from 0) starts."""
        index = 0
        for line, record in _records(self.source, self.layout, self.end):
            if self.repeats_header and tuple(record) == self.layout.cells[: self.layout.width]:
                continue
            if index == row:
                return f"line {line}"
            index += 1
        return f"row {row + 1}"


class _Rows(Wrapped):
    """The bytes of the rows alone, from the header to what is below the table.

    Parameters
    ----------
    stream : binary file
        All bytes of the file, at its beginning.
    start, end : int
        Offsets of the rows.
    """

    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        super().__init__(stream, stream)
        self.left = end - start
        self.held = b""
        while start:
            start -= len(stream.read(min(start, BLOCK_BYTES))) or start

    def position(self) -> int:
        return bytes_read(self.inner)

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        part = self.held + self.inner.read(wanted - len(self.held)) if wanted else b""
        self.held = b""
        # Arrow takes a line feed at the beginning of a block for the end of the line before it, even in quotes.
        if len(part) == size and len(part) > 1 and part.endswith(b"\r"):
            part, self.held = part[:-1], b"\r"
        self.left -= len(part)
        return part

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        # The source closes its file.
        io.RawIOBase.close(self)


@contextlib.contextmanager
def _rows_of(source: ByteSource, layout: TextLayout, end: int) -> Iterator[_Rows]:
    with source.open() as stream:
        rows = _Rows(stream, layout.start, end)
        yield rows
        rows.close()


def open_file(source: ByteSource, delimiters: str, given: GivenLayout, warn: Callable[[str], None]) -> DelimitedFile:
    """Find out how the file is laid out; of several delimiters, the one that its first lines have."""
    # A row must fit into a block.
    source = as_utf8(replace(source, max_line_bytes=MAX_BLOCK_BYTES), given.encoding, warn)
    try:
        layout, header = _layout(source, delimiters, given)
        scan = scan_text(source, layout.start, layout.first_line, header)
    except UnicodeDecodeError:
        source = checked_utf8(source, warn)
        layout, header = _layout(source, delimiters, given)
        scan = scan_text(source, layout.start, layout.first_line, header)
    for text in layout.said:
        warn(f"{source.name}: {text}")
    if scan.may_span_lines:
        _check_spans(source, layout, scan.n_bytes)
    names = [name for name in layout.names if name is not None]
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    end = scan.n_bytes - _footer_bytes(source, layout, scan, warn)
    if scan.n_repeats:
        times = "once" if scan.n_repeats == 1 else f"{scan.n_repeats} times"
        warn(f"{source.name}: the header stands between the rows {times} more: left out there.")
    return DelimitedFile(source, layout, schema, end, scan.has_quotes, scan.n_repeats > 0)


def _layout(source: ByteSource, delimiters: str, given: GivenLayout) -> tuple[TextLayout, bytes]:
    """Find the layout, and the header line as it stands; it is read as far as that takes."""
    with source.open() as stream:
        head = stream.read(MIN_HEAD_BYTES)
        while head.count(b"\n") < MIN_HEAD_LINES and len(head) < MAX_BLOCK_BYTES:
            more = stream.read(min(3 * len(head) or 1, MAX_BLOCK_BYTES - len(head)))
            if not more:
                break
            head += more
        is_whole = not stream.read(1)
    _check_width(source.name, head, delimiters)
    layout = find_layout(head, delimiters, given, is_whole=is_whole)
    head[: layout.start].decode("utf-8")
    lines = head[: layout.start].splitlines()
    header = lines[-1] if lines and layout.cells and "\n" not in "".join(layout.cells) else b""
    return layout, header.removeprefix(b"\xef\xbb\xbf")


def _check_width(name: str, head: bytes, delimiters: str) -> None:
    """Refuse lines of so many cells that nobody can mean columns: each of them takes memory and time."""
    for number, line in enumerate(head.splitlines()[:MAX_TITLE_LINES], start=1):
        counts = (line.count(delimiter.encode()) for delimiter in delimiters if delimiter != " ")
        n_cells = 1 + max(counts, default=0)
        if n_cells > MAX_COLUMNS:
            raise InputError(
                f"{name} line {number} has {n_cells:,} cells; expected at most {MAX_COLUMNS:,} columns. Look there for "
                "line ends that are lost, or write the table the other way round, a line for each column."
            )


def _footer_bytes(source: ByteSource, layout: TextLayout, scan: TextScan, warn: Callable[[str], None]) -> int:
    """How many bytes at the end are no rows; says what they are."""
    tail = scan.tail
    if len(tail) < scan.n_bytes - layout.start:
        # The first of its lines is cut.
        tail = tail[tail.find(b"\n") + 1 :]
    footer = find_footer(tail, layout)
    if footer is None:
        return 0
    what = "the last line is" if footer.n_lines == 1 else f"the last {footer.n_lines} lines are"
    warn(f"{source.name}: {what} below the table and no row: left out ({footer.shown}).")
    return footer.n_bytes


def _check_spans(source: ByteSource, layout: TextLayout, end: int) -> None:
    """Refuse cells that hold what must be rows: two stray quotes hide all lines between them."""
    if layout.width < 2:
        return
    with _rows_of(source, layout, end) as rows:
        lines = io.TextIOWrapper(io.BufferedReader(rows), encoding="utf-8", newline="")
        strict: list[str] = []

        def remembered() -> Iterator[str]:
            for line in lines:
                strict.append(line)
                yield line

        start = layout.first_line
        reader = csv.reader(remembered(), delimiter=layout.delimiter)
        with contextlib.suppress(csv.Error):
            for record in reader:
                if len(strict) > 1 and any("\n" in cell for cell in record):
                    _check_span(source.name, layout, start, record, "".join(strict))
                start = layout.first_line + reader.line_num
                strict.clear()


def _check_span(name: str, layout: TextLayout, line: int, record: list[str], text: str) -> None:
    inner = [each for cell in record for each in cell.split("\n")[1:-1]]
    alike = [len(next(csv.reader([each], delimiter=layout.delimiter), [])) == layout.width for each in inner]
    are_rows = bool(inner) and all(alike) and (layout.width > 2 or len(inner) >= MIN_LINES_LIKE_ROWS)
    complaint = _complaint(text, layout.delimiter)
    # Where it is never closed, the end of the file says so.
    if not (are_rows or "expected after" in complaint) or "unexpected end" in complaint:
        return
    last = line + sum(cell.count("\n") for cell in record)
    hidden = f"{len(inner)} row{'' if len(inner) == 1 else 's'} between" if inner else "parts of two rows"
    raise InputError(
        f"{name} line {line}: a quote is opened there and closed on line {last}, so that {hidden} would be one cell. "
        "Remove the stray quotes; a quote that belongs to the text is written twice, in a cell with quotes."
    )


def _complaint(text: str, delimiter: str) -> str:
    """What a strict reader has to say of a record; empty where it is well-formed."""
    try:
        list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error)
    return ""


def open_writer(stream: BinaryIO, schema: pa.Schema, delimiter: str) -> "DelimitedWriter":
    """Begin a table on an open stream."""
    return DelimitedWriter(stream, schema.names, delimiter)


def _check_quotes(source: ByteSource, layout: TextLayout, end: int) -> None:
    try:
        for _ in _records(source, layout, end, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            line = deque((line for line, _ in _records(source, layout, end)), maxlen=1)[0]
            raise InputError(
                f"{source.name} line {line}: a quote is opened and never closed, so the rest of the file is one cell. "
                "Close it; a quote that belongs to the text is written twice."
            ) from error


def _records(
    source: ByteSource, layout: TextLayout, end: int, *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the lines they start on, blank lines left out."""
    with _rows_of(source, layout, end) as rows:
        text = io.TextIOWrapper(io.BufferedReader(rows), encoding="utf-8", newline="")
        reader = csv.reader(text, delimiter=layout.delimiter, strict=strict)
        start = layout.first_line
        for record in reader:
            if record:
                yield start, record
            start = layout.first_line + reader.line_num


def _too_long(source: ByteSource, layout: TextLayout, end: int) -> InputError:
    """Name a row that does not fit into any block."""
    line = layout.first_line
    with contextlib.suppress(csv.Error):
        longest = (line for line, record in _records(source, layout, end) if sum(map(len, record)) >= BLOCK_BYTES)
        line = next(longest, line)
    return InputError(
        f"{source.name} line {line} begins a row of more than {MAX_BLOCK_BYTES >> 20} MiB; expected shorter ones. Look "
        "there for a quote that is not closed, or for line ends that are lost."
    )


def _explain(source: ByteSource, layout: TextLayout, end: int, error: Exception) -> InputError:
    """Turn a parser's complaint into what, where, expected and remedy."""
    with contextlib.suppress(csv.Error):
        for line, record in _records(source, layout, end):
            if len(record) != layout.width:
                if any("\n" in cell for cell in record):
                    _check_quotes(source, layout, end)
                return InputError(
                    f"{source.name} line {line} has {_fields(len(record))}; the header has "
                    f"{layout.width}. Look there for a missing or extra {_spoken(layout.delimiter)} or quote; "
                    "another separator is named with --delimiter, lines above the header with --skip-rows."
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
        cells[-1] = pc.binary_join_element_wise(cells[-1], "", "\n")
        self.stream.write(_bytes_of(pc.binary_join_element_wise(*cells, self.delimiter)))

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
