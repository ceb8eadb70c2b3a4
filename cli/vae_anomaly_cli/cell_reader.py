"""From the cells of a column, as a format has them, to values: for a fit, where the column decides, and for a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import (
    ISO,
    TypedRows,
    as_series,
    date_series,
    is_text,
    level_series,
    number_array,
    without_encoding,
)
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.types import (
    has_decimal_commas,
    has_either_mark,
    is_decimal_point,
    iso_dates,
    level_texts,
    numbers_of_cells,
    plain_values,
    values_of,
    without_missing,
)

if TYPE_CHECKING:
    from vae_anomaly.columns import Column

NUMERIC_KINDS = ("continuous", "positive", "bounded", "integer", "count", "ordinal")


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

    def cells_of_groups(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups with a model each, for `group_names` to name."""


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
                return level_series(cells)
            # Levels that were numbers are found by their value: 1.0 is the level 1.
            present = _without_missing_but(cells, column.levels)
            return level_series(level_texts(without_missing(cells), self.decimal_comma) if column.numeric else present)
        if column.is_date:
            return date_series(without_missing(cells)) if form is None or form.date_format == ISO else as_series(cells)
        if form is not None and form.kind == "number" and (form.decimal != "." or form.strict or form.clock):
            return as_series(cells)
        booleans = bool(column.levels) and set(column.levels) <= {0.0, 1.0}
        numbers = numbers_of_cells(cells, self.decimal_comma and form is None, booleans=booleans)
        if is_text(numbers.type):
            # More than a cast: the library reads it, and finds the cell that is no number.
            return as_series(numbers)
        return _booleans(number_array(numbers)) if column.boolean else number_array(numbers)

    def group_values(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups: 1 and 1.0 are different ones."""
        return without_missing(cells)

    def cells_of_groups(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups with a model each."""
        return without_missing(cells)


@dataclass(frozen=True)
class TypedCells(TypedRows):
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
            values = without_encoding(column)
            _check_dates(name, values, declared.get(name))
            if pa.types.is_decimal(values.type):
                values = pc.cast(values, pa.float64())
            elif is_text(values.type) and declared.get(name, "datetime").startswith("datetime") and not forced:
                values = iso_dates(values)
            read[name] = values
        return read

    def cells_of_groups(self, cells: pa.Array) -> pa.Array:
        """Read the cells of a column whose values are groups with a model each."""
        values = cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells
        # pandas has such numbers beside missing cells in double precision.
        return pc.cast(values, pa.string()) if values.type == pa.uint64() else values


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
    return epoch_unit(number_array(values.drop_null())) is not None


def _without_missing_but(cells: pa.Array, levels: Sequence[Any]) -> pa.Array:
    """Trim cells and take the usual signs for missing as missing, but for those that are levels."""
    kept = pa.array([level for level in levels if isinstance(level, str)], pa.string())
    is_level = pc.is_in(cells, value_set=kept)
    return pc.if_else(is_level, cells, without_missing(cells))


def _booleans(numbers: Any) -> Any:
    """Return numbers as true and false, where they are no others."""
    import pandas as pd

    missing = np.isnan(numbers)
    if not (missing | (numbers == 0) | (numbers == 1)).all():
        return numbers
    return pd.arrays.BooleanArray(numbers == 1, missing)
