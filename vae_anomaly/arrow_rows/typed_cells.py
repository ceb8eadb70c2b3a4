"""Cells of Arrow columns that have types, to what a column of a model takes them for, each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows.arrow_text import is_text, plain_dates

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

ISO = "ISO8601"
MIN_ENCODED = 256
# Of a duration in a second, by its unit.
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class ReadsCells(Protocol):
    """How the cells of one format become values of a model."""

    def scoring_values(self, cells: pa.Array, column: Column) -> Any:
        """Read cells as what a column of a model takes them for, each by itself."""

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups, each by itself, as text."""


@dataclass(frozen=True)
class TypedRows:
    """Cells with types: numbers, text, dates, true and false."""

    def scoring_values(self, cells: pa.Array, column: Column) -> Any:
        """Read cells as what a column of a model takes them for."""
        cells = without_encoding(cells)
        found = cells.type
        if pa.types.is_duration(found):
            # As the library reads durations: in seconds.
            return number_array(pc.cast(pc.cast(cells, pa.int64()), pa.float64(), safe=False)) / TICKS[found.unit]
        if is_text(found):
            cells = pc.cast(cells, pa.string())
        if column.textual or column.is_date:
            if not is_text(found):
                return as_series(pc.cast(cells, pa.float64()) if pa.types.is_decimal(found) else cells)
            iso = column.text_format is None or column.text_format.date_format == ISO
            return level_series(cells) if column.textual else date_series(cells) if iso else as_series(cells)
        if (
            pa.types.is_integer(found)
            or pa.types.is_floating(found)
            or pa.types.is_decimal(found)
            or pa.types.is_null(found)
        ):
            return number_array(pc.cast(cells, pa.float64(), safe=False))
        return as_series(cells)

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups."""
        return pc.cast(without_encoding(cells), pa.string())


def unreadable_rows(values: Any, column: Column) -> npt.NDArray[np.bool_]:
    """Which cells, as `scoring_values` returned them, a column of a model cannot read.

    Parameters
    ----------
    values : ndarray, Series or array of pandas
        Cells of the column.
    column : Column
        Of the model.
    """
    from vae_anomaly.columns import unreadable

    return np.zeros(len(values), dtype=bool) if isinstance(values, np.ndarray) else unreadable(column, values)


def as_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Return a column as pandas has it: whole numbers and true/false beside missing cells stay what they are."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    return pd.Series(series, copy=False)


def without_encoding(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode a dictionary; ordered categories keep theirs, which makes them ordinal."""
    encoded = pa.types.is_dictionary(column.type) and not column.type.ordered
    return pc.cast(column, column.type.value_type) if encoded else column


def number_array(cells: pa.Array) -> Any:
    """Return cells as floating point, NaN where missing."""
    return np.asarray(cells, dtype=np.float64)


def level_series(text: pa.Array) -> Any:
    """Return text as categories, which take longer to make than a few cells to read as they are."""
    return as_series(text if len(text) < MIN_ENCODED else text.dictionary_encode())


def date_series(text: pa.Array) -> Any:
    """Return text as dates; as it is if a cell is no date, for `unreadable_rows` to name it."""
    dates = plain_dates(text)
    return as_series(text if dates is None else dates)
