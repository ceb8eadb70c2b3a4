"""Tables with their missing cells filled, batch by batch: what else is in them stays as it is."""

import contextlib
import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import RowFeatures, is_text, unreadable_rows
from vae_anomaly_cli.models import library_errors
from vae_anomaly_cli.output.sinks import Sink
from vae_anomaly_cli.render.reasons import text_of
from vae_anomaly_cli.sources import RowBatch
from vae_anomaly_cli.stages import run_stages
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.types import DECIMAL_COMMA, InferredType, without_missing

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

Mask = npt.NDArray[np.bool_]
# Of dates, which the model counts in days: a minute, and some room for rounding.
MINUTE = 0.9 / 1440
# Of numbers without a resolution: what single precision tells apart.
SIGNIFICANT_DIGITS = 7
# A time with its zone, as ISO 8601 has it.
ZONED = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*(?:[zZ]|[+-]\d{2}:?\d{2})$"


@dataclass
class Imputation:
    """Fills the missing cells of a table, and counts.

    Parameters
    ----------
    model : TableModel
        Says what is expected of them.
    types : mapping of str to InferredType
        What columns are that are text in the input and typed in the output.

    Attributes
    ----------
    n_rows : int
        Rows so far.
    n_without_value : int
        Rows without a value in any column of the model: nothing can be expected of them.
    n_unreadable : int
        Cells that the model cannot read; they stay.
    filled, left : Counter of str
        Cells filled, and cells that are missing still, by column.
    """

    model: TableModel
    types: Mapping[str, InferredType]
    n_rows: int = 0
    n_without_value: int = 0
    n_unreadable: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    _with_commas: set[str] = field(default_factory=set)
    _zoned: dict[str, dt.datetime] = field(default_factory=dict)
    _spelled: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def filled_columns(self) -> dict[str, int]:
        """How many cells were filled, by column, the most first; without columns of which none was."""
        return {name: count for name, count in self.filled.most_common() if count}

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the output: those of the input, in its order."""
        source = self.model.source.schema
        return pa.schema(
            [
                pa.field(name, self.types[name].type if name in self.types else source.field(name).type)
                for name in source.names
            ]
        )

    def run(self, sink: Sink, progress: Callable[[RowBatch], None], *, separate_writer: bool) -> None:
        """Fill all rows and write them."""

        def fill(read: tuple[RowBatch, RowFeatures]) -> tuple[RowBatch, pa.RecordBatch]:
            filled = self._filled(*read)
            progress(read[0])
            return read[0], filled

        def write(done: tuple[RowBatch, pa.RecordBatch]) -> None:
            sink.write(done[0].position(0)[0], done[1])

        run_stages(self._read(), fill, write, separate_writer=separate_writer)

    def _read(self) -> Generator[tuple[RowBatch, RowFeatures], None, None]:
        for batch in self.model.batches(self.model.source.names):
            yield batch, self.model.features(batch)

    def _filled(self, batch: RowBatch, features: RowFeatures) -> pa.RecordBatch:
        used = {self.model.given[each.name]: each for each in self.model.detector.columns_ if each.is_used}
        missing = {name: _missing(batch.cells[name]) for name in self.model.source.names}
        before = features.frame
        n_missing = np.sum([missing[name] for name in used], axis=0)
        empty: Mask = n_missing == len(used)
        self.n_without_value += int(empty.sum())
        # Values that stand for missing ones are not told apart here: all rows may lack some.
        rows = np.flatnonzero(~empty if self._has_codes else (n_missing > 0) & ~empty)
        expected = self._expected(batch, before, rows)
        self.n_rows += batch.n_rows
        columns: list[pa.Array] = []
        for name in self.model.source.names:
            values: dict[int, Any] = {}
            column = used.get(name)
            if column is not None:
                unreadable = _unreadable(before[column.name], column) & ~missing[name]
                self.n_unreadable += int(unreadable.sum())
                after = expected[column.name]
                replaced = _differs(before[column.name].iloc[rows], after) & ~unreadable[rows]
                values = {int(rows[at]): as_in_column(after.iloc[at], column) for at in np.flatnonzero(replaced)}
            cells, taken = self._column(name, batch.cells[name], values, column)
            columns.append(cells)
            self.filled[name] += len(taken)
            absent = missing[name] if column is None else missing[name] & ~empty
            self.left[name] += len({*np.flatnonzero(absent).tolist(), *values} - taken)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    @property
    def _has_codes(self) -> bool:
        """Whether the model takes some values for missing."""
        columns = self.model.detector.columns_
        return any(each.missing_values or (each.text_format and each.text_format.missing) for each in columns)

    def _expected(self, batch: RowBatch, before: "pd.DataFrame", rows: npt.NDArray[np.intp]) -> "pd.DataFrame":
        """Return rows with what is expected where they lack cells."""
        if not len(rows):
            return before.iloc[rows]
        source = self.model.source
        with library_errors(source.name, lambda row: source.locate(*batch.position(int(rows[row])))):
            filled: pd.DataFrame = self.model.detector.impute(before.iloc[rows])
        return filled

    def _column(
        self, name: str, cells: pa.Array, values: Mapping[int, Any], column: "Column | None"
    ) -> tuple[pa.Array, set[int]]:
        """Put values into cells, as the output has them; returns the rows whose value it has room for."""
        if name not in self.types and is_text(cells.type) and column is not None:
            self._note_spelling(name, cells, column)
            return self._rewritten(name, cells, values), {*values}
        kept = self.types[name].cast(without_missing(cells)) if name in self.types else cells
        if not values:
            return kept, set()
        fitting = {row: _fitted(value, kept.type) for row, value in values.items()}
        fitting = {row: value for row, value in fitting.items() if value is not None}
        found = kept.to_pylist()
        for row, value in fitting.items():
            found[row] = value
        return pa.array(found, kept.type), {*fitting}

    def _note_spelling(self, name: str, cells: pa.Array, column: "Column") -> None:
        """Learn from the first cells how a column of text writes decimals, true and false, and zones of times."""
        form = column.text_format
        if form is not None and form.decimal == ",":
            # The model would read a point as a mark between thousands.
            self._with_commas.add(name)
        elif self.model.source.decimal_comma and pc.any(pc.match_substring_regex(cells, DECIMAL_COMMA)).as_py():
            self._with_commas.add(name)
        if column.is_date and name not in self._zoned:
            zoned = cells.filter(pc.match_substring_regex(cells, ZONED))
            if len(zoned):
                with contextlib.suppress(ValueError):
                    self._zoned[name] = dt.datetime.fromisoformat(zoned[0].as_py())
        if column.boolean:
            for text in pc.unique(without_missing(cells)).drop_null().to_pylist():
                self._spelled.setdefault((name, text.lower()), text)

    def _rewritten(self, name: str, cells: pa.Array, values: Mapping[int, Any]) -> pa.Array:
        if not values:
            return cells
        found = cells.to_pylist()
        for row, value in values.items():
            text = text_of(value) or ""
            text = self._spelled.get((name, text.lower()), text)
            if hasattr(value, "isoformat"):
                zoned = self._zoned.get(name)
                text = str(value).removesuffix(" 00:00:00") if zoned is None else _in_zone(value, zoned)
            found[row] = text.replace(".", ",") if name in self._with_commas and isinstance(value, float) else text
        return pa.array(found, cells.type)


def _missing(cells: pa.Array) -> Mask:
    """Which cells hold no value, by the signs that every file may have for that."""
    if is_text(cells.type):
        cells = without_missing(cells)
    absent = pc.is_null(cells, nan_is_null=pa.types.is_floating(cells.type))
    return np.asarray(absent.to_numpy(zero_copy_only=False), dtype=bool)


def _unreadable(values: "pd.Series[Any]", column: "Column") -> Mask:
    """Which cells are no value of a column; missing ones among them."""
    absent: Mask = values.isna().to_numpy()
    return absent if values.dtype.kind in "iufbM" else absent | unreadable_rows(values, column)


def _differs(before: "pd.Series[Any]", after: "pd.Series[Any]") -> Mask:
    """Which cells have another value than before, missing or not."""
    present = after.notna().to_numpy()
    other = [first is not second and first != second for first, second in zip(before, after, strict=True)]
    # What is compared with pandas' sign for missing is neither equal nor different.
    differs = np.array(
        [each is True or each is np.True_ or missing for each, missing in zip(other, before.isna(), strict=True)]
    )
    return np.asarray(differs, dtype=bool) & present


def as_in_column(value: Any, column: "Column") -> Any:
    """Return an expected value as finely as its column has them.

    Parameters
    ----------
    value : object
        A number, text, a date, or true or false.
    column : Column
        Of the model.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if column.is_date:
        return _date(value, column.resolution)
    if column.levels or isinstance(value, bool):
        return value
    if isinstance(value, str) and column.text_format is not None:
        value = column.text_format.numbers([value])[0]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    if not math.isfinite(number):
        return value
    if column.resolution <= 0:
        return float(f"{number:.{SIGNIFICANT_DIGITS}g}")
    digits = math.ceil(-math.log10(column.resolution) - 1e-6)
    return round(number, digits) if digits > 0 else float(round(number))


def _date(value: Any, resolution: float) -> Any:
    """Return a date to the day, the minute or the second, as its column has them; text in another form stays."""
    import pandas as pd

    try:
        moment = pd.Timestamp(dt.datetime.fromisoformat(value)) if isinstance(value, str) else pd.Timestamp(value)
    except ValueError:
        return value
    return moment.round("D" if resolution >= 1 else "min" if resolution >= MINUTE else "s")


def _in_zone(moment: "pd.Timestamp", zoned: dt.datetime) -> str:
    """Write a moment, which is in UTC, as the column writes its times: with a zone."""
    return moment.tz_localize("UTC").tz_convert(zoned.tzinfo).isoformat()


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Return a value as a column of a type takes it; None if it has no room for it."""
    try:
        if pa.types.is_integer(kind) and not isinstance(value, bool):
            value = round(float(value))
        elif pa.types.is_floating(kind):
            value = float(value)
        elif pa.types.is_decimal(kind):
            value = Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale), context=Context(prec=kind.precision))
        elif pa.types.is_boolean(kind):
            value = {"true": True, "false": False, "1": True, "0": False}.get(str(text_of(value)).lower())
        elif is_text(kind):
            value = text_of(value)
        elif pa.types.is_date(kind) and hasattr(value, "date"):
            value = value.date()
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, InvalidOperation, TypeError, ValueError, OverflowError):
        return None
