"""Bodies of requests, JSON or Arrow, to rows with the columns of a model."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import loads
from vae_anomaly.data import close_name, match_names, text_of
from vae_anomaly.serving.fields import Field
from vae_anomaly.serving.refusals import Refusal, too_many_rows

ROWS = "rows"
FORM = '{"rows": [{"age": 41, "sex": "F"}]}'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_SHOWN, MAX_NAMED, MAX_COMPARED = 60, 20, 1_000
MAX_MESSAGE_CHARACTERS = 200
# Larger ones are text, as in a file.
MAX_WHOLE = 1 << 63
ARROW_TYPES = {"number": pa.float64(), "text": pa.string(), "date": pa.string()}
# Fields of a message of Arrow in its FlatBuffer, by their places in the table.
HEADER_TYPE, HEADER, COMPRESSION, DATA = 1, 2, 3, 1
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
SMALL_MESSAGE = 4


@dataclass(frozen=True)
class RequestRows:
    """Rows of one request.

    Attributes
    ----------
    cells : pyarrow.Table
        Every column that the model asks for, under the name that the model has for it.
    problems : mapping of int to str
        Why rows, from 0, cannot be scored, as far as it is known already.
    ignored : tuple of str
        Columns that the model does not know.
    """

    cells: pa.Table
    problems: Mapping[int, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return int(self.cells.num_rows)


def rows_of_json(body: bytes, fields: Sequence[Field], known: frozenset[str], max_rows: int) -> RequestRows:
    """Read ``{"rows": [{...}, ...]}``; each cell is read by itself.

    Parameters
    ----------
    body : bytes
    fields : sequence of Field
        Columns that every row names.
    known : frozenset of str
        Other columns of the training rows, which nobody wonders about.
    max_rows : int
        Of a request.

    Raises
    ------
    Refusal
        If the body is something else, or a row lacks a column.
    """
    rows = _rows_in(body)
    if len(rows) > max_rows:
        raise too_many_rows(f"{len(rows):,}", max_rows)
    if not rows:
        raise Refusal(422, f"the request has no rows; expected {FORM}.", "no_rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise Refusal(
                422, f"row {number} is {_spoken(row)}; expected an object, as in {FORM}.", "not_an_object", row=number
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    found = match_names([each.name for each in fields], names)
    for number, row in enumerate(rows, start=1):
        missing = [each.name for each in fields if each.name not in found or found[each.name] not in row]
        if missing:
            raise _lacks(missing, len(fields), [name for name in row if name not in found.values()], number)
    problems: dict[int, str] = {}
    columns = [_column_of([row[found[each.name]] for row in rows], each, problems) for each in fields]
    cells = pa.Table.from_arrays(columns, names=[each.name for each in fields])
    return RequestRows(cells, problems, _ignored(names, found, known))


def rows_of_arrow(body: bytes, fields: Sequence[Field], known: frozenset[str], max_rows: int) -> RequestRows:
    """Read a stream of Arrow; its columns have types.

    Parameters
    ----------
    body : bytes
    fields : sequence of Field
        Columns that the rows need.
    known : frozenset of str
        Other columns of the training rows, which nobody wonders about.
    max_rows : int
        Of a request.

    Raises
    ------
    Refusal
        If the body is no such stream, is compressed, or lacks a column.
    """
    _check_uncompressed(body)
    batches, n_rows = [], 0
    try:
        with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
            schema = reader.schema
            for batch in reader:
                n_rows += batch.num_rows
                if n_rows > max_rows:
                    raise too_many_rows(f"{n_rows:,} or more", max_rows)
                batch.validate(full=True)
                batches.append(batch)
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise _no_arrow(str(error)) from error
    if not n_rows:
        raise Refusal(422, "the request has no rows.", "no_rows")
    names = list(schema.names)
    if len(set(names)) < len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise Refusal(422, f"column {_short(twice)} occurs more than once; rename the copies.", "columns", column=twice)
    found = match_names([each.name for each in fields], names)
    missing = [each.name for each in fields if each.name not in found]
    if missing:
        raise _lacks(missing, len(fields), [name for name in names if name not in found.values()])
    table = pa.Table.from_batches(batches, schema)
    columns = [_usable(each.name, table[found[each.name]]) for each in fields]
    cells = pa.Table.from_arrays(columns, names=[each.name for each in fields])
    return RequestRows(cells, {}, _ignored(names, found, known))


def _rows_in(body: bytes) -> list[Any]:
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        value = loads(body.decode("utf-8"), body)
    except UnicodeDecodeError as error:
        raise Refusal(
            400, f"the body is not UTF-8 (byte {error.start + 1:,}); JSON is sent as UTF-8.", "not_json"
        ) from error
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON ({_one_line(str(error))}); expected {FORM}.", "not_json") from error
    if isinstance(value, dict) and isinstance(value.get(ROWS), list) and len(value) == 1:
        rows: list[Any] = value[ROWS]
        return rows
    if isinstance(value, dict) and ROWS in value and len(value) > 1:
        other = next(name for name in value if name != ROWS)
        raise Refusal(422, f'the body has {_short(other)} beside "rows"; expected {FORM}.', "not_rows")
    raise Refusal(
        422,
        f"the body is {_spoken(value)}; expected {FORM}, for a single row, too; GET /model has an example.",
        "not_rows",
    )


def _column_of(cells: list[Any], wanted: Field, problems: dict[int, str]) -> pa.Array:
    """Make a column of cells of any type; those that it cannot read are missing, and a problem of their row."""
    make = {"number": _numbers, "text": _texts, "date": _dates}[wanted.type]

    def problem(row: int, text: str) -> None:
        problems.setdefault(row, text)

    for row, cell in enumerate(cells):
        if isinstance(cell, list | dict):
            problem(row, f"'{wanted.name}' holds {_spoken(cell)}, which is no single value")
    return pa.array(
        make([None if isinstance(cell, list | dict) else cell for cell in cells], wanted, problem),
        ARROW_TYPES[wanted.type],
    )


def _numbers(cells: list[Any], wanted: Field, problem: Callable[[int, str], None]) -> Any:
    numbers = np.full(len(cells), math.nan)
    texts: dict[int, str] = {}
    for row, cell in enumerate(cells):
        if isinstance(cell, str) or (isinstance(cell, int) and abs(cell) >= MAX_WHOLE):
            texts[row] = str(cell)
        elif cell is not None:
            numbers[row] = cell
            if math.isinf(numbers[row]):
                problem(row, wanted.explain_cell(str(numbers[row])))
                numbers[row] = math.nan
    if texts:
        read, lost = wanted.read_numbers(list(texts.values()))
        numbers[list(texts)] = read
        for row, is_lost in zip(texts, lost.tolist(), strict=True):
            if is_lost:
                problem(row, wanted.explain_cell(_cut(texts[row])))
    return numbers


def _texts(cells: list[Any], _wanted: Field, _problem: Callable[[int, str], None]) -> list[str | None]:
    return [cell if isinstance(cell, str) else text_of(cell) for cell in cells]


def _dates(cells: list[Any], wanted: Field, problem: Callable[[int, str], None]) -> list[str | None]:
    for row, cell in enumerate(cells):
        if not (cell is None or isinstance(cell, str) or cell != cell):
            problem(row, wanted.explain_cell(text_of(cell) or ""))
    return [cell if isinstance(cell, str) else None for cell in cells]


def _lacks(missing: list[str], n_fields: int, free: list[str], row: int | None = None) -> Refusal:
    close = close_name(missing[0], [name for name in free[:MAX_COMPARED] if len(name) <= MAX_SHOWN])
    hint = f" Did you mean {_short(close)}? It is called {_short(missing[0])}." if close is not None else ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    subject, nothing = ("the table", "a column of nulls") if row is None else (f"row {row}", "null")
    return Refusal(
        422,
        f"{subject} lacks {_short(missing[0])}{more} of the {n_fields} columns that the model uses.{hint} Where the "
        f"value is not known, send {nothing}; GET /model names the columns.",
        "missing_column",
        column=missing[0],
        row=row,
    )


def _ignored(names: list[str], found: Mapping[str, str], known: frozenset[str]) -> tuple[str, ...]:
    matched = {*found.values(), *known}
    return tuple(name for name in names if name not in matched)[:MAX_NAMED]


def _usable(name: str, cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a type that cells of a table have."""
    type_ = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    if pa.types.is_dictionary(cells.type):
        cells = pc.cast(cells, type_)
    plain = (
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
        or pa.types.is_duration(type_)
        or pa.types.is_null(type_)
    )
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_) or pa.types.is_string(type_):
        return pc.cast(cells, pa.string())
    if not plain:
        raise Refusal(
            422,
            f"column {_short(name)} is of the type {_short(type_)}; expected numbers, text, dates, or true and false.",
            "columns",
            column=name,
        )
    return cells


def _check_uncompressed(body: bytes) -> None:
    """Refuse compressed batches: a few bytes could stand for all the memory there is.

    Raises
    ------
    Refusal
        If there is one, or the bytes are no messages.
    """
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
            if _is_compressed(message.metadata.to_pybytes()):
                raise Refusal(415, "the Arrow stream is compressed; write it without compression.", "compressed")
    except (pa.ArrowException, OSError, ValueError, EOFError, LookupError, struct.error) as error:
        raise _no_arrow(str(error)) from error


def _is_compressed(metadata: bytes) -> bool:
    """Whether the metadata of a message, a FlatBuffer, says so."""
    message = struct.unpack_from("<I", metadata, 0)[0]
    place = _field_of(metadata, message, HEADER_TYPE)
    kind = metadata[place] if place is not None else 0
    header = _table_in(metadata, message, HEADER)
    if kind == DICTIONARY_BATCH and header is not None:
        header = _table_in(metadata, header, DATA)
    if kind not in (DICTIONARY_BATCH, RECORD_BATCH) or header is None:
        return False
    return _field_of(metadata, header, COMPRESSION) is not None


def _field_of(buffer: bytes, table: int, field_number: int) -> int | None:
    """Where a field of a table is; None where it has its default."""
    virtual = table - struct.unpack_from("<i", buffer, table)[0]
    entry = SMALL_MESSAGE + 2 * field_number
    if virtual < 0 or struct.unpack_from("<H", buffer, virtual)[0] <= entry:
        return None
    offset = struct.unpack_from("<H", buffer, virtual + entry)[0]
    return table + offset if offset else None


def _table_in(buffer: bytes, table: int, field_number: int) -> int | None:
    place = _field_of(buffer, table, field_number)
    return None if place is None else place + int(struct.unpack_from("<I", buffer, place)[0])


def _no_arrow(why: str) -> Refusal:
    return Refusal(400, f"the body is no Arrow IPC stream ({_one_line(why)}).", "not_arrow")


def _spoken(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")


def _short(value: object) -> str:
    return f"'{_cut(_one_line(str(value)))}'"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _one_line(text: str) -> str:
    line = " ".join(text.split())[:MAX_MESSAGE_CHARACTERS]
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
