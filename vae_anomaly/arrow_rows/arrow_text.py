"""Text cells of Arrow: made missing, cast, or read as dates, each by itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def is_text(type_: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def cast_or_none(text: pa.ChunkedArray | pa.Array, type_: pa.DataType) -> Any:
    """Cast text, where every cell can be; else None."""
    try:
        return pc.cast(text, type_)
    except pa.ArrowInvalid:
        return None


def plain_dates(text: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array | None:
    """Read ISO 8601 dates or times that are all with or all without a zone, in UTC and in microseconds; or None.

    Each cell is read by itself: the result does not depend on the others.
    """
    dates = cast_or_none(text, pa.timestamp("us"))
    if dates is not None:
        return dates
    dates = cast_or_none(text, pa.timestamp("us", "UTC"))
    return None if dates is None else pc.cast(dates, pa.timestamp("us"))


def with_nulls(cells: pa.ChunkedArray | pa.Array, where: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Make cells null where a mask is true.

    Arrow before 24 garbles a slice of text in ``if_else`` beside a scalar that is null, and not for nulls in the mask.
    """
    kept = pc.if_else(where, pa.scalar(None, pa.bool_()), pa.scalar(True, pa.bool_()))
    return pc.if_else(kept, cells, cells)
