"""From the cells of a column, as a format has them, to values: for a fit, where the column decides, and for a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.types import (
    has_decimal_commas,
    has_either_mark,
    is_decimal_point,
    is_text,
    iso_dates,
    level_texts,
    numbers_of_cells,
    plain_dates,
    plain_values,
    values_of,
    without_missing,
)

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

ISO = "ISO8601"
NUMERIC_KINDS = ("continuous", "positive", "bounded", "integer", "count", "ordinal")


# Of a duration in a second, by its unit.
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class CellReader(Protocol):
    """How the cells of one format become values; fits and models go by the same rules."""

    def values(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Read a whole column as the type that it has."""

    def training_values(
        self, columns: Mapping[str, pa.ChunkedArray], declared: Mapping[str, str], *, forced: bool
    ) -> dict[str, pa.ChunkedArray]:
        """Read columns to fit on; text that takes more than a cast stays text, which the library reads.

        Parameters
        ----------
        columns : mapping of str to ChunkedArray
            All their cells, by name.
        declared : mapping of str to str
            What the user says that they are.
        forced : bool
            Whether the user says how text is read.

        Raises
        ------
        InputError
            If a column is said to be dates, and holds numbers.
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

    def training_values(
        self, columns: Mapping[str, pa.ChunkedArray], declared: Mapping[str, str], *, forced: bool
    ) -> dict[str, pa.ChunkedArray]:
        """Read columns to fit on; 01234 and 1234 are different categories.

        A column that is cast has the decimal points of programs for certain, or whole numbers beside no decimal comma;
        of others the library looks at the text, and where it has to tell 1.234 from 1,234, at such a column, too.
        """
        read = {
            name: column if declared.get(name) == "categorical" else _plain(name, column, declared.get(name), forced)
            for name, column in columns.items()
        }
        as_they_came = {name: column for name, column in columns.items() if read[name] is column}
        texts = [without_missing(column) for name, column in as_they_came.items() if name not in declared]
        floating = [name for name, values in read.items() if pa.types.is_floating(values.type)]
        if any(has_decimal_commas(text) for text in texts):
            numeric = [name for name, values in read.items() if pa.types.is_integer(values.type)]
            return read | {name: columns[name] for name in [*floating, *numeric] if name not in declared}
        sure = [name for name in floating if is_decimal_point(without_missing(columns[name]))]
        if not sure:
            return read | {name: columns[name] for name in floating if name not in declared}
        if any(has_either_mark(text) for text in texts):
            return read | {sure[0]: columns[sure[0]]}
        return read

    def scoring_values(self, cells: pa.Array, column: "Column") -> Any:
        """Read cells as what a column of a model takes them for."""
        form = column.text_format
        if column.textual:
            if form is not None:
                return _levels(cells)
            # Levels that were numbers are found by their value: 1.0 is the level 1.
            present = _without_missing_but(cells, column.levels)
            return _levels(level_texts(without_missing(cells), self.decimal_comma) if column.numeric else present)
        if column.is_date:
            return _dates(without_missing(cells)) if form is None or form.date_format == ISO else as_series(cells)
        if form is not None and form.kind == "number" and (form.decimal != "." or form.strict or form.clock):
            return as_series(cells)
        booleans = bool(column.levels) and set(column.levels) <= {0.0, 1.0}
        numbers = numbers_of_cells(cells, self.decimal_comma and form is None, booleans=booleans)
        if is_text(numbers.type):
            # More than a cast: the library reads it, and finds the cell that is no number.
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

    def training_values(
        self, columns: Mapping[str, pa.ChunkedArray], declared: Mapping[str, str], *, forced: bool
    ) -> dict[str, pa.ChunkedArray]:
        """Read columns to fit on; the library reads text."""
        read = {}
        for name, column in columns.items():
            values = _without_encoding(column)
            _check_dates(name, values, declared.get(name))
            if pa.types.is_decimal(values.type):
                values = pc.cast(values, pa.float64())
            elif is_text(values.type) and declared.get(name, "datetime").startswith("datetime") and not forced:
                values = iso_dates(values)
            read[name] = values
        return read

    def scoring_values(self, cells: pa.Array, column: "Column") -> Any:
        """Read cells as what a column of a model takes them for."""
        cells = _without_encoding(cells)
        found = cells.type
        if pa.types.is_duration(found):
            # As the library reads durations: in seconds.
            return _numbers(pc.cast(pc.cast(cells, pa.int64()), pa.float64(), safe=False)) / TICKS[found.unit]
        if is_text(found):
            cells = pc.cast(cells, pa.string())
        if column.textual or column.is_date:
            if not is_text(found):
                return as_series(pc.cast(cells, pa.float64()) if pa.types.is_decimal(found) else cells)
            iso = column.text_format is None or column.text_format.date_format == ISO
            return _levels(cells) if column.textual else _dates(cells) if iso else as_series(cells)
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


def unreadable_rows(values: Any, column: "Column") -> npt.NDArray[np.bool_]:
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


def as_series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """Return a column as pandas has it: whole numbers and true/false beside missing cells stay what they are."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    return pd.Series(series, copy=False)


def _plain(name: str, column: pa.ChunkedArray, declared: str | None, forced: bool) -> pa.ChunkedArray:
    """Read a column of text by a cast, where that says what it is; else leave it as it is."""
    values = plain_values(without_missing(column))
    if values is None:
        return column
    if declared is not None:
        _check_dates(name, values, declared)
    typed_text = pa.types.is_floating(values.type) or pa.types.is_temporal(values.type)
    wanted = declared is None or (declared in NUMERIC_KINDS and not pa.types.is_temporal(values.type))
    wanted = wanted or (declared.startswith("datetime") if declared else False) or declared in ("binary", "boolean")
    return column if not wanted or (forced and typed_text) else values


def _check_dates(name: str, values: pa.ChunkedArray, declared: str | None) -> None:
    """Refuse numbers that are said to be dates and do not count seconds, or parts of them, since 1970."""
    if declared is None or not declared.startswith("datetime") or is_text(values.type):
        return
    if not (pa.types.is_temporal(values.type) or _is_epoch_time(values)):
        first = next((str(value) for value in values if value.is_valid), None)
        if first is not None:
            raise InputError(
                f"--column {name}={declared}: the column holds '{first}'; expected dates or times like 2026-02-28 or "
                "2026-02-28 13:45:00, or seconds since 1970."
            )


def _is_epoch_time(values: pa.ChunkedArray) -> bool:
    """Whether numbers count seconds, or parts of them, since 1970."""
    from vae_anomaly.columns import epoch_unit

    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return False
    return epoch_unit(_numbers(values.drop_null())) is not None


def _without_missing_but(cells: pa.Array, levels: Sequence[Any]) -> pa.Array:
    """Trim cells and take the usual signs for missing as missing, but for those that are levels."""
    kept = pa.array([level for level in levels if isinstance(level, str)], pa.string())
    is_level = pc.is_in(cells, value_set=kept)
    return pc.if_else(is_level, cells, without_missing(cells))


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
    dates = plain_dates(text)
    return as_series(text if dates is None else dates)
