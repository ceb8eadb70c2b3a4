"""JSON Lines: one object a line, its keys the columns."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json

from vae_anomaly.arrow_rows import loads
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource, bytes_read
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.json_values import ValueTypes, column_of, dumps, may_nest_deeply
from vae_anomaly_cli.sources.text import as_utf8, checked_utf8

# Python objects, where Arrow does not take a block, need several times the room of their text.
BLOCK_BYTES, MAX_LINE_BYTES = 1 << 22, 1 << 26
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Whole numbers that floating point, which Arrow reads beside fractions, may not hold.
MANY_DIGITS = re.compile(rb"(?<![\d.])\d{16}")


@dataclass(frozen=True)
class JsonlFile:
    """A file of JSON Lines; a key that a line lacks is a missing cell.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    schema : pyarrow.Schema
        The keys of all lines, with types that have room for all their values.
    """

    source: ByteSource
    schema: pa.Schema
    delimiter: None = None
    row_index: None = None

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with the bytes read."""
        schema = pa.schema([self.schema.field(name) for name in names])
        read = 0
        with self.source.open() as stream:
            for number, block in _blocks(stream):
                cells = _read_by_arrow(block, schema)
                if cells is None:
                    rows = [row for _, row in _rows(self.source.name, number, block)]
                    columns = [column_of([row.get(field.name) for row in rows], field.type) for field in schema]
                    cells = pa.Table.from_arrays(columns, schema=schema)
                before, read = read, max(read, bytes_read(stream))
                size = read - before
                for batch in cells.combine_chunks().to_batches():
                    yield batch, size
                    size = 0

    def where(self, row: int) -> str:
        """Say which line holds a data row (from 0)."""
        index = 0
        with self.source.open() as stream:
            for number, block in _blocks(stream):
                for line_number, line in enumerate(block.split(b"\n"), start=number):
                    if not line.strip():
                        continue
                    if index == row:
                        return f"line {line_number}"
                    index += 1
        return f"row {row + 1}"


def open_file(source: ByteSource, _delimiters: str, given: GivenLayout, warn: Callable[[str], None]) -> JsonlFile:
    """Read the keys and the types of all lines: what a cell is must not depend on the block it stands in."""
    source = as_utf8(replace(source, max_line_bytes=MAX_LINE_BYTES), given.encoding, warn)
    try:
        return JsonlFile(source, _schema(source))
    except UnicodeDecodeError:
        source = checked_utf8(source, warn)
        return JsonlFile(source, _schema(source))


def _schema(source: ByteSource) -> pa.Schema:
    types: dict[str, ValueTypes] = {}
    with source.open() as stream:
        for number, block in _blocks(stream):
            if not block.isascii():
                block.decode("utf-8")
            if _infer_by_arrow(block, types):
                continue
            for _, row in _rows(source.name, number, block):
                for name, value in row.items():
                    types.setdefault(name, ValueTypes()).update(value)
    return pa.schema([pa.field(name, values.type) for name, values in types.items()])


def open_writer(stream: BinaryIO, _schema: pa.Schema, _delimiter: str) -> "JsonlWriter":
    """Begin a table on an open stream."""
    return JsonlWriter(stream)


class JsonlWriter:
    """Writes rows as objects; what JSON has no number for becomes null.

    Parameters
    ----------
    stream : binary file
        Where they go.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        lines = [dumps(row) for row in batch.to_pylist()]
        self.stream.write("\n".join([*lines, ""]).encode("utf-8"))

    def close(self) -> None:
        """Leave nothing to write."""


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, some MiB at a time, with the number of the first of them."""
    number = 1
    carried = stream.read(len(BYTE_ORDER_MARK)).removeprefix(BYTE_ORDER_MARK)
    while True:
        block = stream.read(BLOCK_BYTES)
        end = block.rfind(b"\n") + 1 if block else 0
        if block and not end:
            carried += block
            continue
        whole, carried = carried + block[:end], block[end:]
        if whole.strip():
            yield number, whole
        number += whole.count(b"\n")
        if not block:
            return


def _infer_by_arrow(block: bytes, types: dict[str, ValueTypes]) -> bool:
    """Take a block into account, if Arrow reads it without a change of what stands there."""
    if _has_long_numbers(block):
        return False
    cells = _parse_by_arrow(block, pa_json.ParseOptions(newlines_in_values=False))
    if cells is None or any(pa.types.is_nested(column.type) for column in cells.columns):
        return False
    for name, column in zip(cells.column_names, cells.columns, strict=True):
        types.setdefault(name, ValueTypes()).update_all(column)
    return True


def _read_by_arrow(block: bytes, schema: pa.Schema) -> pa.Table | None:
    if any(pa.types.is_nested(field.type) for field in schema):
        return None
    options = pa_json.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="ignore")
    cells = _parse_by_arrow(block, options)
    return cells if cells is not None and cells.schema.equals(schema) else None


def _parse_by_arrow(block: bytes, options: pa_json.ParseOptions) -> pa.Table | None:
    """Read a block at many times the speed of Python; None where it is not one flat object a line."""
    if may_nest_deeply(block):
        # Arrow ends the process.
        return None
    reading = pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    try:
        cells = pa_json.read_json(pa.BufferReader(block), read_options=reading, parse_options=options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if cells.num_rows != n_lines:
        n_lines = sum(1 for line in block.split(b"\n") if line.strip())
    return cells if cells.num_columns and cells.num_rows == n_lines else None


def _has_long_numbers(block: bytes) -> bool:
    """Whether a whole number has more digits than floating point holds exactly."""
    values = np.frombuffer(block, np.uint8)
    runs = (values >= ord("0")) & (values <= ord("9"))
    for n_digits in (1, 2, 4, 8):
        runs = runs[:-n_digits] & runs[n_digits:]
    return bool(runs.any()) and MANY_DIGITS.search(block) is not None


def _rows(name: str, number: int, block: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a block line by line, and name the one that is no object."""
    for line_number, line in enumerate(block.split(b"\n"), start=number):
        if line.strip():
            yield line_number, _parse(name, line_number, line)


def _parse(name: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = loads(line.decode("utf-8"), line)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise InputError(
            f"{name} line {number} is not a JSON object ({error}); expected one object "
            'a line, like {"age": 41, "sex": "F"}.'
        ) from error
    if not isinstance(row, dict):
        raise InputError(
            f"{name} line {number} holds {type(row).__name__}, not a JSON object; expected "
            'one object a line, like {"age": 41, "sex": "F"}.'
        )
    return row
