"""JSON in one piece: an array of objects, or an object that holds one, or the columns."""

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import pyarrow as pa

from vae_anomaly.arrow_rows import loads
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.json_values import ValueTypes, column_of, dumps
from vae_anomaly_cli.sources.text import as_utf8, checked_utf8
from vae_anomaly_cli.sources.whole_table import WholeTable

# It is read as a whole, and takes several times the room of its text.
MAX_BYTES, READ_BYTES = 1 << 29, 1 << 20
EXPECTED = 'expected an array of objects, like [{"age": 41, "sex": "F"}]'


def open_file(source: ByteSource, _delimiters: str, given: GivenLayout, warn: Callable[[str], None]) -> WholeTable:
    """Read the document."""
    source = as_utf8(source, given.encoding, warn)
    text = _text_of(source)
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = checked_utf8(source, warn)
        decoded = _text_of(source).decode("utf-8-sig")
    try:
        document = loads(decoded, text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source.name} line {error.lineno} is not JSON ({error.msg}, column {error.colno}); {EXPECTED}."
        ) from error
    except ValueError as error:
        raise InputError(f"{source.name} is not a table in JSON ({error}); {EXPECTED}.") from error
    records = _records(source.name, document, warn)
    if not records:
        raise InputError(f"{source.name} is empty; expected a table in json.")
    return WholeTable(source, _table(records), "record", range(1, len(records) + 1))


def open_writer(stream: BinaryIO, _schema: pa.Schema, _delimiter: str) -> "JsonWriter":
    """Begin a table on an open stream."""
    return JsonWriter(stream)


class JsonWriter:
    """Writes rows as one array of objects, an object a line.

    Parameters
    ----------
    stream : binary file
        Where they go.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.before = "["

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        for row in batch.to_pylist():
            self.stream.write(f"{self.before}\n{dumps(row)}".encode())
            self.before = ","

    def close(self) -> None:
        """Close the array."""
        self.stream.write(b"[]\n" if self.before == "[" else b"\n]\n")


def _text_of(source: ByteSource) -> bytes:
    # In blocks: a single read of so many bytes asks for the memory of them all, however small the file is.
    text = bytearray()
    with source.open() as stream:
        while len(text) <= MAX_BYTES and (block := stream.read(READ_BYTES)):
            text += block
    if len(text) > MAX_BYTES:
        raise InputError(
            f"{source.name} is one JSON document of more than {MAX_BYTES >> 20} MiB, which is read as a whole; "
            "expected JSON Lines, one object a line, for tables of any size. Convert it: jq -c '.[]'."
        )
    return bytes(text)


def _records(name: str, document: Any, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """Find the objects that are the rows."""
    if isinstance(document, list):
        for number, record in enumerate(document, start=1):
            if not isinstance(record, dict):
                raise InputError(f"{name}: record {number} holds {_kind(record)}, not an object; {EXPECTED}.")
        return document
    if not isinstance(document, dict):
        raise InputError(f"{name} holds {_kind(document)}; {EXPECTED}.")
    columns = _columns(document)
    if columns is not None:
        n_rows = len(next(iter(columns.values())))
        return [{key: column[row] for key, column in columns.items()} for row in range(n_rows)]
    arrays = [
        key
        for key, value in document.items()
        if isinstance(value, list) and value and all(isinstance(record, dict) for record in value)
    ]
    if len(arrays) == 1:
        others = len(document) - 1
        besides = f"; {others} other {'key' if others == 1 else 'keys'} beside it left out" if others else ""
        warn(f"{name}: the rows are the array '{arrays[0]}' of the document{besides}.")
        return list(document[arrays[0]])
    if arrays:
        shown = ", ".join(f"'{key}'" for key in arrays)
        raise InputError(f"{name} holds several arrays of objects ({shown}); {EXPECTED}. Save one of them alone.")
    if document and not any(isinstance(value, dict | list) for value in document.values()):
        return [document]
    raise InputError(f"{name} holds an object without an array of objects; {EXPECTED}.")


def _columns(document: dict[str, Any]) -> Mapping[str, list[Any]] | None:
    """Read what holds columns: lists of one length, or what pandas writes by default or as "split"."""
    names, data = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        if all(len(row) == len(names) for row in data):
            return {str(name): [row[place] for row in data] for place, name in enumerate(names)}
        return None
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
        is_flat = not any(isinstance(cell, dict) for value in values for cell in value)
        return document if is_flat and values[0] else None
    if values and all(isinstance(value, dict) and value for value in values):
        keys = list(values[0])
        if all(list(value) == keys for value in values) and _number_rows(keys):
            return {name: list(value.values()) for name, value in document.items()}
    return None


def _number_rows(keys: list[str]) -> bool:
    return all(key.lstrip("-").isdigit() for key in keys)


def _table(records: list[dict[str, Any]]) -> pa.Table:
    types: dict[str, ValueTypes] = {}
    for record in records:
        for key, value in record.items():
            types.setdefault(key, ValueTypes()).update(value)
    schema = pa.schema([pa.field(key, values.type) for key, values in types.items()])
    columns = [column_of([record.get(field.name) for record in records], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
