"""Values of JSON: the types of the columns that they make, and back to text."""

import json
import math
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.console import writable

# What is nested deeper is nobody's table, and ends libraries that call themselves for each level.
MAX_NESTING = 32
# Python converts no longer ones.
MAX_DIGITS = 4000
# Of a pair that stands for one character beyond 16 bits.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ValueTypes:
    """The types of the values of a key, of those seen so far."""

    def __init__(self) -> None:
        self.classes: set[type] = set()
        self.largest = 0
        self.nested: pa.DataType = pa.null()

    def update_all(self, column: pa.ChunkedArray) -> bool:
        """Take the values into account that Arrow has read; returns whether it is known what they were."""
        found = column.type
        if pa.types.is_nested(found):
            return False
        if column.null_count == len(column):
            return True
        if pa.types.is_boolean(found):
            self.classes.add(bool)
        elif pa.types.is_integer(found):
            self.classes.add(int)
            ends = pc.min_max(column)
            self.largest = max(self.largest, ends["max"].as_py(), -ends["min"].as_py() - 1)
        else:
            self.classes.add(float if pa.types.is_floating(found) else str)
        return True

    def update(self, value: Any) -> None:
        """Take a value into account."""
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


def column_of(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Make a column of values; text holds those of other types as JSON writes them."""
    if pa.types.is_string(type_):
        values = [v if v is None or isinstance(v, str) else dumps(v) for v in values]
    return pa.array(values, type_)


def loads(text: str, source: bytes) -> Any:
    """Read a document or a line of JSON.

    Parameters
    ----------
    text : str
        What stands there.
    source : bytes
        The same, as it is stored.

    Raises
    ------
    ValueError
        If it is no JSON, has a key twice or half of a character, or nests too deeply; with what was found.
    """
    try:
        value = json.loads(text, object_pairs_hook=unique_keys, parse_int=_whole_number)
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_NESTING} levels") from None
    _check_nesting(value)
    check_surrogates(source, value)
    return value


def may_nest_deeply(lines: bytes) -> bool:
    """Whether a line has so many brackets that they may lie in one another."""
    if lines.count(b"[") + lines.count(b"{") <= lines.count(b"\n") + MAX_NESTING:
        return False
    return any(line.count(b"[") + line.count(b"{") > MAX_NESTING for line in lines.split(b"\n"))


def _check_nesting(value: Any) -> None:
    """Refuse what nests too deeply, level by level."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING + 1):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    raise ValueError(f"it nests deeper than {MAX_NESTING} levels")


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values, each key once."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key occurs twice")
    return row


def check_surrogates(text: bytes, value: object) -> None:
    """Refuse text that ends, or was cut, in the middle of a character.

    Raises
    ------
    ValueError
        With what was found.
    """
    if SURROGATE.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"{half} is half of a character, the other half is missing") from error


def dumps(value: object, indent: int | None = None) -> str:
    """Serialise to strict JSON: NaN and infinities are null, dates and the like are text."""
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False, indent=indent, default=str)


def _strict(value: object) -> object:
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {writable(str(key)): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value
