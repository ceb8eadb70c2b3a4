"""JSON Lines: one object a line, its keys the columns."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource, bytes_read
from vae_anomaly_cli.sources.text import find_undecodable

ROWS_PER_BLOCK = 1 << 14
# Python objects take several times the room of their text.
BLOCK_BYTES = 1 << 23


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

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with the bytes read."""
        fields = [self.schema.field(name) for name in names]
        read = 0
        with self.source.open() as stream:
            for block in _blocks(self.source, stream, n_rows):
                columns = [_column([row.get(field.name) for row in block], field.type) for field in fields]
                before, read = read, max(read, bytes_read(stream))
                yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)), read - before

    def where(self, row: int) -> str:
        """Say which line holds a data row (from 0)."""
        with self.source.open() as stream:
            for index, (number, _) in enumerate(_lines(stream)):
                if index == row:
                    return f"line {number}"
        return f"row {row + 1}"


def open_file(source: ByteSource, _delimiters: str) -> JsonlFile:
    """Read the keys and the types of all lines: what a cell is must not depend on the block it stands in."""
    types: dict[str, _ValueTypes] = {}
    with source.open() as stream:
        for block in _blocks(source, stream, ROWS_PER_BLOCK):
            for row in block:
                for name, value in row.items():
                    types.setdefault(name, _ValueTypes()).update(value)
    return JsonlFile(source, pa.schema([pa.field(name, values.type) for name, values in types.items()]))


def open_writer(stream: BinaryIO, _schema: pa.Schema, _delimiter: str) -> "JsonlWriter":
    """Begin a table on an open stream."""
    return JsonlWriter(stream)


class _ValueTypes:
    """The types of the values of a key, of those seen so far."""

    def __init__(self) -> None:
        self.classes: set[type] = set()
        self.largest = 0
        self.nested: pa.DataType = pa.null()

    def update(self, value: Any) -> None:
        if value is None:
            return
        self.classes.add(type(value))
        if isinstance(value, int):
            self.largest = max(self.largest, value if value >= 0 else -value - 1)
        elif isinstance(value, list | dict):
            try:
                fields = [pa.schema([pa.field("", type_)]) for type_ in (self.nested, pa.scalar(value).type)]
                self.nested = pa.unify_schemas(fields, promote_options="permissive").field(0).type
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                self.nested = pa.string()

    @property
    def type(self) -> pa.DataType:
        """The type that has room for all values; text holds numbers beside text, and numbers beyond 64 bits."""
        if not self.classes:
            return pa.null()
        if self.classes == {bool}:
            return pa.bool_()
        if self.classes == {int} and self.largest < 1 << 63:
            return pa.int64()
        if self.classes == {float} or (self.classes == {int, float} and self.largest <= 1 << 53):
            return pa.float64()
        return self.nested if self.classes in ({list}, {dict}) else pa.string()


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_string(type_):
        values = [v if v is None or isinstance(v, str) else dumps(v) for v in values]
    return pa.array(values, type_)


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


def dumps(value: object, indent: int | None = None) -> str:
    """Serialise to strict JSON: NaN and infinities are null, dates and the like are text."""
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False, indent=indent, default=str)


def _strict(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _blocks(source: ByteSource, stream: BinaryIO, n_rows: int) -> Iterator[list[dict[str, Any]]]:
    """Yield rows by the thousand, fewer where they are long."""
    block: list[dict[str, Any]] = []
    n_bytes = 0
    for number, line in _lines(stream):
        block.append(_parse(source, number, line))
        n_bytes += len(line)
        if len(block) >= n_rows or n_bytes >= BLOCK_BYTES:
            yield block
            block, n_bytes = [], 0
    if block:
        yield block


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, line


def _parse(source: ByteSource, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError as error:
        raise InputError(find_undecodable(source) or str(error)) from error
    except ValueError as error:
        raise InputError(
            f"{source.name} line {number} is not a JSON object ({error}); expected one object "
            'a line, like {"age": 41, "sex": "F"}.'
        ) from error
    if not isinstance(row, dict):
        raise InputError(
            f"{source.name} line {number} holds {type(row).__name__}, not a JSON object; expected "
            'one object a line, like {"age": 41, "sex": "F"}.'
        )
    return row


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key occurs twice")
    return row
