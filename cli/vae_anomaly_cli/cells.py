"""Cells: text as a file has it, and the values that it stands for."""

import json

import pyarrow as pa
import pyarrow.compute as pc

MISSING_TEXTS = pa.array(
    ["", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null", "None"]
)
CODE = r"^[+-]?0[0-9]+$"
WHOLE_NUMBER = r"^[+-]?[0-9]+$"
DECIMAL_COMMA = r"^([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)$"
TRUE_OR_FALSE = r"(?i)^(true|false)$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+)?$"


def values_of(column: pa.ChunkedArray, decimal_comma: bool) -> pa.ChunkedArray:
    """Read the cells of a text column as integers, numbers, true/false or text.

    The whole column decides: one cell that is no number makes it text. Whole numbers with leading
    zeros, or with more digits than 64 bits hold, are codes and stay text.
    """
    text = without_missing(column)
    if text.null_count == len(text):
        return pc.cast(text, pa.float64())
    whole = _cast(text, pa.int64())
    if whole is not None:
        return text if _any(text, CODE) else whole
    if not _all(text, WHOLE_NUMBER):
        numbers = _cast(with_decimal_points(text) if decimal_comma else text, pa.float64())
        if numbers is not None:
            return numbers
    # The cast to bool also takes 0 and 1, which beside true and false are not of one kind.
    return pc.cast(text, pa.bool_()) if _all(text, TRUE_OR_FALSE) else text


def numbers_of(text: pa.ChunkedArray, decimal_comma: bool) -> pa.ChunkedArray:
    """Read text as numbers, 007 as 7; as it is if a cell is none."""
    pointed = with_decimal_points(text) if decimal_comma else text
    numbers = _cast(pointed, pa.float64())
    return pointed if numbers is None else numbers


def with_decimal_points(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write 1,5 as 1.5."""
    return pc.replace_substring_regex(text, DECIMAL_COMMA, r"\1.\2")


def dates_of(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read ISO 8601 dates or times, like 2026-02-28 or 2026-02-28 13:45; None if a cell is neither."""
    return _cast(text, pa.timestamp("us")) if _all(text, DATE) else None


def without_missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Trim the cells of a text column and take the usual signs for missing as missing."""
    text = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(text, MISSING_TEXTS), pa.scalar(None, pa.string()), text)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write every cell as text; a missing cell is empty."""
    columns = [_text_of(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _text_of(column: pa.Array) -> pa.Array:
    try:
        text = pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # Lists, objects and raw bytes have no text of their own.
        cells = column.to_pylist()
        text = pa.array([None if v is None else json.dumps(v, default=str) for v in cells])
    return pc.fill_null(text, "")


def _cast(text: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return pc.cast(text, kind)
    except pa.ArrowInvalid:
        return None


def _any(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())


def _all(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())
