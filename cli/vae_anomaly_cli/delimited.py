"""CSV and TSV: read as text, so that cells can be written back exactly as they came."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Format, Source, check_text, find_undecodable

DELIMITERS = (",", "\t", ";", "|")
# One row must fit into a block; free text makes long rows.
BLOCK_BYTES = 1 << 24


def guess_delimiter(source: Source, expected: Format) -> str:
    """Tell the delimiter from the format and the header line."""
    if expected is Format.TSV:
        return "\t"
    head = source.head().decode("utf-8", errors="replace")
    with contextlib.suppress(csv.Error):
        for delimiter in DELIMITERS:
            if len(next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), [])) > 1:
                return delimiter
    return ","


def read_header(source: Source, delimiter: str, expected: Format) -> list[str]:
    """Read the column names."""
    check_text(source, source.head(), expected)
    try:
        return next((names for _, names in _records(source, delimiter)), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _explain(source, delimiter, 0, error) from error


def read_batches(source: Source, names: list[str], delimiter: str) -> Iterator[pa.RecordBatch]:
    """Read the rows, every cell as text; a row of the wrong length stops the reading."""
    last: pa.RecordBatch | None = None
    try:
        with source.open() as stream, _open_csv(stream, names, delimiter) as reader:
            for batch in reader:
                last = batch
                yield batch
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _explain(source, delimiter, len(names), error) from error
    # To the parser, a quote that is never closed is a cell that ends with the file.
    if last is not None and any("\n" in cell for row in last[-1:].to_pylist() for cell in row.values()):
        _check_quotes(source, delimiter)


def _open_csv(stream: BinaryIO, names: list[str], delimiter: str) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def line_of_row(source: Source, delimiter: str, row: int) -> int | None:
    """Return the line of the file on which a data row (from 0) starts."""
    for index, (line, _) in enumerate(_records(source, delimiter)):
        if index == row + 1:
            return line
    return None


def _check_quotes(source: Source, delimiter: str) -> None:
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


def _records(source: Source, delimiter: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the lines they start on, the header first, blank lines left out."""
    with source.open() as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=strict)
        start = 1
        for record in reader:
            if record:
                yield start, record
            start = reader.line_num + 1


def _explain(source: Source, delimiter: str, expected: int, error: Exception) -> InputError:
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


def write_batches(batches: Iterator[pa.RecordBatch], names: list[str], delimiter: str, target: BinaryIO) -> None:
    """Write rows of text cells; quotes only where a cell needs them."""
    header = pa.array([delimiter.join(_quoted(pa.array(names), delimiter).to_pylist())])
    _write_lines(header, target)
    for batch in batches:
        cells = [_quoted(column, delimiter) for column in batch.columns]
        _write_lines(pc.binary_join_element_wise(*cells, delimiter), target)


def _quoted(cells: pa.Array, delimiter: str) -> pa.Array:
    special = pc.match_substring_regex(cells, f'["\\r\\n{re.escape(delimiter)}]')
    if not pc.any(special).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _write_lines(lines: pa.Array, target: BinaryIO) -> None:
    target.write("\n".join([*lines.to_pylist(), ""]).encode("utf-8"))
