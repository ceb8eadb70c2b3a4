"""From the cells of a column, as a format has them, to values: for a fit, where the column decides, and for a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.types import (
    infer_dates,
    is_text,
    level_texts,
    numbers_of,
    numbers_of_cells,
    read_dates,
    values_of,
    without_missing,
)

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

DATES = ("datetime", "datetime+trend")
NUMERIC_KINDS = ("continuous", "positive", "bounded", "integer", "count", "ordinal")


class CellReader(Protocol):
    """How the cells of one format become values; fits and models go by the same rules."""

    def values(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Read a whole column as the type that it has."""

    def training_values(self, name: str, column: pa.ChunkedArray, declared: str | None) -> pa.ChunkedArray:
        """Read a column to fit on.

        Parameters
        ----------
        name : str
            Of the column.
        column : ChunkedArray
            All its cells.
        declared : str or None
            What the user says that it is.

        Raises
        ------
        InputError
            If it is said to be dates, and holds numbers.
        """

    def scoring_values(self, cells: pa.Array, column: "Column") -> Any:
        """Read cells as what a column of a model takes them for, each by itself."""

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups, each by itself, as text."""


@dataclass(frozen=True)
class TextCells:
    """Cells without types, as CSV has them: the whole column tells what they are.

    Attributes
    ----------
    decimal_comma : bool
        Whether numbers may be written 1,5.
    """

    decimal_comma: bool = False

    def values(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Read a whole column as integers, numbers, true/false or text."""
        return values_of(column, self.decimal_comma)

    def training_values(self, name: str, column: pa.ChunkedArray, declared: str | None) -> pa.ChunkedArray:
        """Read a column to fit on; 01234 and 1234 are different categories."""
        if declared == "categorical":
            return without_missing(column)
        values = _training_values(name, self.values(column), declared)
        return numbers_of(values, self.decimal_comma) if declared in NUMERIC_KINDS and is_text(values.type) else values

    def scoring_values(self, cells: pa.Array, column: "Column") -> Any:
        """Read cells as what a column of a model takes them for."""
        if column.textual:
            present = without_missing(cells)
            # Levels that were numbers are found by their value: 1.0 is the level 1.
            return _levels(level_texts(present, self.decimal_comma) if column.numeric else present)
        if column.is_date:
            return _dates(without_missing(cells))
        booleans = bool(column.levels) and set(column.levels) <= {0.0, 1.0}
        numbers = numbers_of_cells(cells, self.decimal_comma, booleans=booleans)
        if is_text(numbers.type):
            # The library finds the cell that is no number.
            return as_series(numbers)
        return _booleans(_numbers(numbers)) if column.boolean else _numbers(numbers)

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups: 1 and 1.0 are different ones."""
        return without_missing(cells)


@dataclass(frozen=True)
class TypedCells:
    """Cells with types; text is text, unless all of it is dates."""

    def values(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column as it is."""
        return column

    def training_values(self, name: str, column: pa.ChunkedArray, declared: str | None) -> pa.ChunkedArray:
        """Read a column to fit on."""
        return _training_values(name, _without_encoding(column), declared)

    def scoring_values(self, cells: pa.Array, column: "Column") -> Any:
        """Read cells as what a column of a model takes them for."""
        cells = _without_encoding(cells)
        found = cells.type
        if is_text(found):
            cells = pc.cast(cells, pa.string())
        if column.textual or column.is_date:
            if not is_text(found):
                return as_series(pc.cast(cells, pa.float64()) if pa.types.is_decimal(found) else cells)
            return _levels(cells) if column.textual else _dates(cells)
        if (
            pa.types.is_integer(found)
            or pa.types.is_floating(found)
            or pa.types.is_decimal(found)
            or pa.types.is_null(found)
        ):
            return _numbers(pc.cast(cells, pa.float64(), safe=False))
        return as_series(cells)

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups."""
        return pc.cast(_without_encoding(cells), pa.string())


def as_series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """Return a column as pandas has it: whole numbers and true/false beside missing cells stay what they are."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    return pd.Series(series, copy=False)


def _training_values(name: str, values: pa.ChunkedArray, declared: str | None) -> pa.ChunkedArray:
    """Read typed values as what the user, or else all of them together, say that they are."""
    found = values.type
    if declared in DATES and not (is_text(found) or pa.types.is_temporal(found)) and not _is_epoch_time(values):
        first = next((str(value) for value in values if value.is_valid), None)
        if first is not None:
            raise InputError(
                f"--column {name}={declared}: the column holds '{first}'; expected dates or times like 2026-02-28 or "
                "2026-02-28 13:45:00, or seconds since 1970."
            )
    if pa.types.is_decimal(found):
        return pc.cast(values, pa.float64())
    dates = None
    if is_text(found) and declared in (None, *DATES):
        dates = infer_dates(values) if declared is None else read_dates(values)
    return values if dates is None else dates


def _is_epoch_time(values: pa.ChunkedArray) -> bool:
    """Whether numbers count seconds, or parts of them, since 1970."""
    from vae_anomaly.columns import epoch_unit

    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return False
    return epoch_unit(_numbers(values.drop_null())) is not None


def _without_encoding(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode a dictionary; ordered categories keep theirs, which makes them ordinal."""
    encoded = pa.types.is_dictionary(column.type) and not column.type.ordered
    return pc.cast(column, column.type.value_type) if encoded else column


def _numbers(cells: pa.Array) -> Any:
    return np.asarray(cells, dtype=np.float64)


def _booleans(numbers: Any) -> Any:
    """Return numbers as true and false, where they are no others."""
    import pandas as pd

    missing = np.isnan(numbers)
    if not (missing | (numbers == 0) | (numbers == 1)).all():
        return numbers
    return pd.arrays.BooleanArray(numbers == 1, missing)


def _levels(text: pa.Array) -> Any:
    return as_series(text.dictionary_encode())


def _dates(text: pa.Array) -> Any:
    """Return text as dates; as it is if a cell is no date, for the library to name it."""
    dates = read_dates(text)
    return as_series(text if dates is None else dates)
