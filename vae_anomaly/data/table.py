"""Tables as users hold them, read column by column as numbers or as text."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.caching import cached_property
from vae_anomaly.data.text_dates import ISO, read_dates
from vae_anomaly.data.text_format import DistinctTexts, TextFormat
from vae_anomaly.errors import CellTypeError, DataError

FloatArray = npt.NDArray[np.float64]
ObjectArray = npt.NDArray[np.object_]
Content = Literal["number", "boolean", "datetime", "text"]

DAY = np.timedelta64(1, "D")
MAX_CHARACTERS = 60
MAX_EXACT = 2**53
NONE: frozenset[int] = frozenset()
# In pandas 2 object.
TEXT_DTYPE = pd.Series([""]).dtype
_OBJECT_CONTENTS: dict[str, Content] = {
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "empty": "number",
    "boolean": "boolean",
    "datetime64": "datetime",
    "datetime": "datetime",
    "date": "datetime",
    "string": "text",
}


@dataclass(frozen=True)
class Table:
    """Rows and named columns: a matrix of numbers, or a DataFrame of anything.

    Parameters
    ----------
    names : tuple of str
        Column names, in the user's order.
    cells : ndarray of shape (rows, columns), float64, or DataFrame
        Missing cells are NaN, None, NaT or ``pandas.NA``.
    formats : tuple of (TextFormat or None), or None
        How the text of each column was read; None as long as text is as the user gave it.
    was_text : frozenset of int
        Positions of the columns that were text before it was read.
    remarks : mapping of str to str
        By name, how columns were read that were of other kinds, or why all their cells are missing.
    index : Index, optional
        What the rows are called; their positions by default.
    """

    names: tuple[str, ...]
    cells: FloatArray | pd.DataFrame
    formats: tuple[TextFormat | None, ...] | None = None
    was_text: frozenset[int] = field(default=frozenset(), kw_only=True)
    remarks: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    index: pd.Index[Any] | None = field(default=None, kw_only=True)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.cells)

    @cached_property
    def _columns(self) -> list[Any]:
        """The columns of a DataFrame, which gives all of them much sooner than each by its position."""
        return [] if isinstance(self.cells, np.ndarray) else [column for _, column in self.cells.items()]

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Table:
        """The same columns of some rows."""
        index = None if self.index is None else self.index[rows]
        if isinstance(self.cells, pd.DataFrame):
            return replace(self, cells=self.cells.iloc[rows], index=index)
        return replace(self, cells=self.cells[rows], index=index)

    def with_cells(self, cells: FloatArray | pd.DataFrame) -> Table:
        """The same rows in other memory."""
        return replace(self, cells=cells)

    def label(self, row: int) -> Hashable:
        """What a row, counted from 0, is called."""
        if self.index is None:
            return row
        label: Hashable = self.index[row]
        return label

    @contextlib.contextmanager
    def naming_rows(self) -> Iterator[None]:
        """Errors inside call a row as the index of its DataFrame does."""
        try:
            yield
        except DataError as error:
            if self.index is not None and error.row is not None and error.label is None:
                error.label = self.label(error.row)
            raise

    def with_text_read(
        self, columns: Mapping[int, Any], formats: tuple[TextFormat | None, ...], *, unchanged: frozenset[int] = NONE
    ) -> Table:
        """The same rows, with what the text of some columns stands for.

        Parameters
        ----------
        columns : mapping of int to array-like
            Cells of columns, by position.
        formats : tuple of (TextFormat or None)
            How the text of each column was read.
        unchanged : frozenset of int
            Positions of other columns of text, which stands for itself.
        """
        was_text = unchanged.union(columns)
        if not columns or not isinstance(self.cells, pd.DataFrame):
            return replace(self, formats=formats, was_text=was_text)
        cells = self.cells.copy(deep=False)
        for position, values in columns.items():
            cells.isetitem(position, values)
        return replace(self, cells=cells, formats=formats, was_text=was_text)

    def as_text_again(self, columns: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Values for every column, those of columns that were text as text that reads as them."""
        formats = self.formats or (None,) * len(columns)
        return [
            values if form is None or position not in self.was_text else form.write(values)
            for position, (values, form) in enumerate(zip(columns, formats, strict=True))
        ]

    def distinct_texts(self, position: int) -> DistinctTexts:
        """The different texts of a column, trimmed, and where they stand."""
        if isinstance(self.cells, pd.DataFrame):
            column: Any = self._columns[position]
            if isinstance(column.dtype, pd.CategoricalDtype):
                levels = [text_of(level) or str(level) for level in column.cat.categories]
                return DistinctTexts.of(column.cat.codes.to_numpy(dtype=np.intp), levels)
            if pd.api.types.infer_dtype(column, skipna=True) == "string":
                codes, uniques = pd.factorize(column)
                texts = np.asarray(uniques, dtype=object).tolist()
                return DistinctTexts.of(codes, texts, are_cells=column.dtype == TEXT_DTYPE)
        codes, uniques = pd.factorize(self.texts(position))
        return DistinctTexts.of(codes, uniques.tolist())

    def has_numeric_levels(self, position: int) -> bool:
        """Whether the categories of a column, or some of its cells, are numbers beside text."""
        if self.has_categories(position):
            assert isinstance(self.cells, pd.DataFrame)
            column: Any = self._columns[position]
            return any(isinstance(level, Real) for level in column.cat.categories)
        return self.mixes_types(position)

    def content(self, position: int) -> Content:
        """What a column holds, by its dtype, or by its cells where the dtype is object."""
        if not isinstance(self.cells, pd.DataFrame):
            return "number"
        column = self._columns[position]
        if isinstance(column.dtype, pd.CategoricalDtype):
            return "text"
        if pd.api.types.is_bool_dtype(column.dtype):
            return "boolean"
        if pd.api.types.is_numeric_dtype(column.dtype):
            return "number"
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            return "datetime"
        content = _OBJECT_CONTENTS.get(pd.api.types.infer_dtype(column, skipna=True))
        if content is not None:
            return content
        cells = _objects(column)
        self._check_cells(position, cells)
        return "text" if any(isinstance(cell, str) for cell in cells) else "number"

    def numbers(self, position: int) -> FloatArray:
        """A column as numbers with NaN where missing; dates as days since 1970, booleans as 0 and 1.

        Raises
        ------
        DataError
            If a cell holds text or infinity.
        """
        if isinstance(self.cells, pd.DataFrame):
            numbers = self._converted(position)
        else:
            # In one piece: a column of a matrix that is stored row by row is read several times as slowly.
            numbers = np.ascontiguousarray(self.cells[:, position])
        infinite = np.isinf(numbers)
        if infinite.any():
            row = int(infinite.argmax())
            raise DataError(
                f"column {self.names[position]!r} holds {numbers[row]}",
                "numeric columns take finite numbers or NaN, and infinity is neither. Replace it with NaN if it stands "
                "for a missing value.",
                column=self.names[position],
                row=row,
            )
        return numbers

    def objects(self, position: int) -> ObjectArray:
        """A column's cells as they are, None where missing; dates as ``numpy.datetime64``."""
        if not isinstance(self.cells, pd.DataFrame):
            numbers = self.cells[:, position]
            cells = numbers.astype(object)
            cells[np.isnan(numbers)] = None
            return cells
        return _objects(self._columns[position])

    def missing(self, position: int) -> npt.NDArray[np.bool_]:
        """Which cells of a column are missing."""
        if not isinstance(self.cells, pd.DataFrame):
            return np.isnan(self.cells[:, position])
        lost: npt.NDArray[np.bool_] = self._columns[position].isna().to_numpy(dtype=bool)
        return lost

    def is_empty(self, position: int) -> bool:
        """Whether all cells of a column are missing."""
        if not isinstance(self.cells, pd.DataFrame):
            return bool(self.missing(position).all())
        # The first cell alone says it nearly always, and slicing all columns for it would take them together squared.
        column = self._columns[position]
        return bool(column.iloc[:1].isna().all() and column.isna().all())

    def has_categories(self, position: int) -> bool:
        """Whether the dtype of a column is a category."""
        return isinstance(self.cells, pd.DataFrame) and isinstance(self._columns[position].dtype, pd.CategoricalDtype)

    def ordered_levels(self, position: int) -> tuple[str, ...] | None:
        """The levels of an ordered category dtype, from the lowest on; None for any other."""
        if not isinstance(self.cells, pd.DataFrame):
            return None
        column: Any = self._columns[position]
        if not (isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered):
            return None
        return tuple(text_of(level) or str(level) for level in column.cat.categories)

    def mixes_types(self, position: int) -> bool:
        """Whether a column holds numbers as numbers beside text."""
        if not isinstance(self.cells, pd.DataFrame):
            return False
        column = self._columns[position]
        return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in ("mixed", "mixed-integer")

    def texts(self, position: int) -> ObjectArray:
        """A column as strings, None where missing; whole numbers without a decimal point."""
        if not isinstance(self.cells, pd.DataFrame):
            return np.array([text_of(cell) for cell in self.cells[:, position]], dtype=object)
        column: Any = self._columns[position]
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = [text_of(level) or str(level) for level in column.cat.categories]
            texts: ObjectArray = np.array([*levels, None], dtype=object)[column.cat.codes.to_numpy()]
            return texts
        cells = _objects(column)
        self._check_cells(position, cells)
        return np.array([text_of(cell) for cell in cells], dtype=object)

    def distinct_levels(self, position: int) -> tuple[ObjectArray, npt.NDArray[np.intp]]:
        """The different strings of `texts`, and which of them each row has; -1 where it is missing."""
        column: Any = self._columns[position] if isinstance(self.cells, pd.DataFrame) else self.cells[:, position]
        dtype: Any = column.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            levels = [text_of(level) or str(level) for level in column.cat.categories]
            return np.array([*levels, None], dtype=object)[:-1], column.cat.codes.to_numpy(dtype=np.intp)
        # Of other cells some are equal although they are written in another way: True, 1 and 1.0.
        alike = isinstance(dtype, np.dtype) and dtype.kind in "iufb"
        if not alike and pd.api.types.infer_dtype(column, skipna=True) != "string":
            column = self.texts(position)
        codes, found = pd.factorize(column)
        texts = [text_of(cell) for cell in np.asarray(found, dtype=object)]
        return np.array([*texts, None], dtype=object)[:-1], codes

    def days(self, position: int) -> FloatArray:
        """A column of dates as days since 1970, NaN where missing; text is read as ISO 8601.

        Raises
        ------
        DataError
            If it holds numbers, or text that is no date.
        """
        name = self.names[position]
        content = self.content(position)
        if content == "datetime":
            return self.numbers(position)
        if content == "text":
            distinct = self.distinct_texts(position)
            read, missing = read_dates(distinct.texts, ISO), TextFormat("date").is_missing(distinct.texts)
            dates = distinct.spread(read, np.datetime64("NaT"))
            lost = distinct.spread(np.isnat(read) & ~missing, False)
            if not lost.any():
                return Table((name,), pd.DataFrame({name: dates})).numbers(0)
            texts = self.texts(position)
            row = int(lost.argmax())
            raise DataError(
                f"column {name!r} holds {_short(texts[row])}",
                "expected dates. Give a date dtype or ISO dates such as 2026-01-31.",
                column=name,
                row=row,
            )
        numbers = self.numbers(position)
        if not np.isnan(numbers).all():
            raise DataError(
                f"column {name!r} holds numbers, where dates are expected. Convert it with pandas.to_datetime.",
                column=name,
            )
        return numbers

    def _converted(self, position: int) -> FloatArray:
        assert isinstance(self.cells, pd.DataFrame)
        column: Any = self._columns[position]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = pd.Series(self.texts(position), dtype=object)
        if self.content(position) == "datetime":
            moments = pd.to_datetime(column, errors="coerce", utc=True).dt.tz_localize(None)
            # In the unit that they come in: years beyond 292277 do not fit into microseconds.
            stamps = moments.to_numpy()
            lost = np.isnat(stamps) & ~self.missing(position)
            if lost.any() and column.dtype == object:
                stamps = _with_far_dates(stamps, column, lost)
                lost &= np.isnat(stamps)
            if lost.any():
                row = int(lost.argmax())
                raise DataError(
                    f"column {self.names[position]!r} holds {_short(column.iloc[row])}",
                    "expected a date that pandas can read. Clean the cell, or replace it with NaT.",
                    column=self.names[position],
                    row=row,
                )
            unit: Any = np.datetime_data(stamps.dtype)[0]
            ticks = DAY / np.timedelta64(1, unit)
            return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / ticks)
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu":
            return np.array(column.to_numpy(), dtype=np.float64)
        if pd.api.types.is_numeric_dtype(column.dtype) and "decimal" not in str(column.dtype):
            nullable: Any = column.astype("Float64")
            return np.asarray(nullable.to_numpy(dtype=np.float64, na_value=np.nan))
        cells = _objects(column)
        self._check_cells(position, cells)
        try:
            numbers: FloatArray = np.asarray(pd.to_numeric(pd.Series(cells), errors="coerce"), dtype=np.float64)
        except OverflowError as error:
            raise DataError(
                f"column {self.names[position]!r} holds an integer beyond 1.8e308; drop or rescale the column.",
                column=self.names[position],
            ) from error
        lost = np.isnan(numbers) & ~_missing(cells)
        if lost.any():
            row = int(lost.argmax())
            raise DataError(
                f"column {self.names[position]!r} holds {_short(cells[row])}",
                "numeric columns take numbers or NaN. Clean the cell, or fit with the whole column as text.",
                column=self.names[position],
                row=row,
            )
        return numbers

    def _check_cells(self, position: int, cells: ObjectArray) -> None:
        for row, cell in enumerate(cells):
            if isinstance(cell, bytes):
                raise CellTypeError(
                    f"column {self.names[position]!r} holds bytes {_short(cell)}",
                    f"expected text or numbers. Decode it, with frame[{self.names[position]!r}].str.decode('utf-8').",
                    column=self.names[position],
                    row=row,
                )
            if not (cell is None or isinstance(cell, str | Real | Decimal | np.generic) or cell is pd.NaT):
                raise CellTypeError(
                    f"column {self.names[position]!r} holds {_short(cell)}",
                    f"a cell as argument must be a string or a real number, not {type(cell).__name__}. Convert or drop "
                    "the column.",
                    column=self.names[position],
                    row=row,
                )


def with_missing_cells(table: Table, hidden: Mapping[int, npt.NDArray[np.bool_]]) -> Table:
    """The same rows with some cells missing.

    Parameters
    ----------
    table : Table
    hidden : mapping of int to bool ndarray of shape (rows,)
        Which cells of a column, by its position.
    """
    hidden = {position: cells for position, cells in hidden.items() if cells.any()}
    if not hidden:
        return table
    if not isinstance(table.cells, pd.DataFrame):
        matrix = table.cells.copy()
        for position, cells in hidden.items():
            matrix[cells, position] = np.nan
        return replace(table, cells=matrix)
    frame = table.cells.copy(deep=False)
    for position, cells in hidden.items():
        column: Any = frame.iloc[:, position]
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
            column = column.astype(column.dtype.name.replace("uint", "UInt").replace("int", "Int"))
        frame.isetitem(position, column.mask(cells))
    return replace(table, cells=frame)


def holds_long_numbers(column: Any) -> bool:
    """Whether a column of a DataFrame holds integers, by its dtype or its cells, and some are beyond 2**53."""
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "integer":
        column = column.dropna()
    elif not pd.api.types.is_integer_dtype(column.dtype):
        return False
    largest, smallest = column.max(), column.min()
    return bool(pd.notna(largest) and (largest > MAX_EXACT or smallest < -MAX_EXACT))


def _with_far_dates(stamps: npt.NDArray[Any], cells: pd.Series[Any], lost: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Fill in dates of Python that pandas 2 does not read, as they do not fit into nanoseconds; in microseconds."""
    filled = stamps.astype("datetime64[us]")
    for row in np.flatnonzero(lost):
        cell = cells.iloc[row]
        if isinstance(cell, pd.Timestamp):
            continue
        if isinstance(cell, dt.datetime):
            offset = cell.utcoffset() or dt.timedelta()
            filled[row] = np.datetime64(cell.replace(tzinfo=None), "us") - np.timedelta64(offset)
        elif isinstance(cell, dt.date):
            filled[row] = np.datetime64(cell, "us")
    return filled


def _short(cell: object) -> str:
    """A cell in one short line."""
    line = " ".join(repr(cell).split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}..."


def _objects(column: Any) -> ObjectArray:
    """Cells as Python objects, None for every kind of missing one."""
    return np.asarray(column.to_numpy(dtype=object, na_value=None))


def _missing(cells: ObjectArray) -> npt.NDArray[np.bool_]:
    missing: npt.NDArray[np.bool_] = pd.isna(pd.Series(cells, dtype=object)).to_numpy()
    return missing


def text_of(cell: Any) -> str | None:
    """A cell as text, None where missing; whole numbers without a decimal point."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return None
    if isinstance(cell, Integral) and not isinstance(cell, bool | np.bool_):
        return str(int(cell))
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)
