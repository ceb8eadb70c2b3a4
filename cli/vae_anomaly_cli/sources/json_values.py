"""Values of JSON: the types of the columns that they make, and back to text."""

import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import MAX_NESTING
from vae_anomaly_cli.console import writable


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


def may_nest_deeply(lines: bytes) -> bool:
    """Whether a line has so many brackets that they may lie in one another."""
    if lines.count(b"[") + lines.count(b"{") <= lines.count(b"\n") + MAX_NESTING:
        return False
    return any(line.count(b"[") + line.count(b"{") > MAX_NESTING for line in lines.split(b"\n"))


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
