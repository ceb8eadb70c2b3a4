"""JSON Lines: one object a line, its keys the columns."""

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import Format, Source, check_text, find_undecodable


def read_objects(source: Source) -> pa.Table:
    """Read all lines; a key that a line lacks is a missing cell."""
    check_text(source, source.head(), Format.JSONL)
    rows = [_parse(source, number, line) for number, line in _lines(source)]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def line_of_row(source: Source, row: int) -> int | None:
    """Return the line of the file that holds a data row (from 0)."""
    for index, (number, _) in enumerate(_lines(source)):
        if index == row:
            return number
    return None


def write_batches(batches: Iterator[pa.RecordBatch], target: BinaryIO) -> None:
    """Write rows as objects; what JSON has no number for becomes null."""
    for batch in batches:
        lines = [dumps(row) for row in batch.to_pylist()]
        target.write("\n".join([*lines, ""]).encode("utf-8"))


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


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield number, line


def _parse(source: Source, number: int, line: bytes) -> dict[str, Any]:
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


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Numbers and text in one column, or numbers beyond 64 bits: text holds them all.
        return pa.array([v if v is None or isinstance(v, str) else dumps(v) for v in values])
