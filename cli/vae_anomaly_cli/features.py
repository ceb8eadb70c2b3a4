"""From cells as files have them to the features that the detector sees."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.cells import (
    dates_of,
    is_text,
    level_texts,
    numbers_of,
    numbers_of_cells,
    without_missing,
)
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

NUMERIC_KINDS = ("continuous", "positive", "bounded", "integer", "count", "ordinal")


def training_frame(table: Table, names: list[str], declared: Mapping[str, str]) -> "pd.DataFrame":
    """Return the features to fit on: what their columns hold as a whole decides what their cells are.

    Parameters
    ----------
    table : Table
        The rows.
    names : list of str
        The features.
    declared : mapping of str to str
        Kinds of columns, where the user says them.

    Raises
    ------
    InputError
        If there are too few rows to learn from.
    """
    if table.n_rows < 2:
        raise InputError(
            f"{table.name} has 1 row; fitting needs at least 2. To score single rows, use a saved model: --model FILE."
        )
    import pandas as pd

    return pd.DataFrame({name: _series(_declared_feature(table, name, declared.get(name))) for name in names})


def _declared_feature(table: Table, name: str, kind: str | None) -> pa.ChunkedArray:
    """Read one column to fit on, as what the user says it is."""
    if kind is None:
        return _feature(table, name)
    column = _plain(table.cells[name])
    if kind == "categorical" and not table.typed:
        # 01234 and 1234 are different codes.
        return without_missing(column)
    values = column if table.typed else table.values(name)
    if kind == "datetime" and not (is_text(values.type) or pa.types.is_temporal(values.type)):
        first = next((str(value) for value in values if value.is_valid), None)
        if first is not None:
            raise InputError(
                f"--column {name}=datetime: the column holds '{first}'; expected dates or times like 2026-02-28 or "
                "2026-02-28 13:45:00."
            )
    if not is_text(values.type):
        return pc.cast(values, pa.float64()) if pa.types.is_decimal(values.type) else values
    if kind == "datetime":
        dates = dates_of(values)
        return values if dates is None else dates
    if kind in NUMERIC_KINDS and not table.typed:
        return numbers_of(values, table.decimal_comma)
    return values


def _feature(table: Table, name: str) -> pa.ChunkedArray:
    """Read one column as what it holds."""
    values = _plain(table.cells[name]) if table.typed else table.values(name)
    if pa.types.is_decimal(values.type):
        return pc.cast(values, pa.float64())
    if is_text(values.type) and table.input.format.value != "parquet":
        dates = dates_of(values)
        return values if dates is None else dates
    return values


def scoring_frame(
    cells: pa.RecordBatch | pa.Table, columns: "tuple[Column, ...]", *, typed: bool, decimal_comma: bool
) -> "pd.DataFrame":
    """Return the features of a model, in its order: each cell is what the model's column makes of it.

    No cell depends on the others of its column, so rows may come in batches of any size.  Columns that the model set
    aside are empty.

    Parameters
    ----------
    cells : RecordBatch or Table
        Rows with all columns that the model uses.
    columns : tuple of Column
        Of the model.
    typed, decimal_comma : bool
        Whether the cells have types, and whether text may write numbers 1,5.
    """
    import pandas as pd

    read = typed_feature if typed else text_feature(decimal_comma)
    features = {column.name: read(cells[column.name], column) for column in columns if column.likelihood is not None}
    if all(isinstance(feature, np.ndarray) for feature in features.values()):
        # One block that the detector takes as it is.
        matrix = np.full((len(columns), cells.num_rows), np.nan)
        for place, column in enumerate(columns):
            if column.name in features:
                matrix[place] = features[column.name]
        return pd.DataFrame(matrix.T, columns=[column.name for column in columns], copy=False)
    nothing = np.full(cells.num_rows, np.nan)
    return pd.DataFrame({column.name: features.get(column.name, nothing) for column in columns}, copy=False)


Feature = Callable[[pa.Array, "Column"], Any]


def text_feature(decimal_comma: bool) -> Feature:
    """How the cells of text files become features."""

    def read(text: pa.Array, column: "Column") -> Any:
        if column.textual:
            present = without_missing(text)
            # Levels that were numbers are found by their value: 1.0 is the level 1.
            return _levels(level_texts(present, decimal_comma) if column.numeric else present)
        if column.kind == "datetime":
            return _dates(without_missing(text))
        flags = bool(column.levels) and set(column.levels) <= {0.0, 1.0}
        numbers = numbers_of_cells(text, decimal_comma, flags=flags)
        if is_text(numbers.type):
            # The library finds the cell that is no number.
            return _series(numbers)
        return _flags(_numbers(numbers)) if column.boolean else _numbers(numbers)

    return read


def typed_feature(cells: pa.Array, column: "Column") -> Any:
    """How the cells of files with types become features."""
    cells = _plain(cells)
    kind = cells.type
    if is_text(kind):
        cells = pc.cast(cells, pa.string())
    if column.textual or column.kind == "datetime":
        if not is_text(kind):
            return _series(pc.cast(cells, pa.float64()) if pa.types.is_decimal(kind) else cells)
        return _levels(cells) if column.textual else _dates(cells)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return _numbers(pc.cast(cells, pa.float64(), safe=False))
    return _series(cells)


def _numbers(cells: pa.Array) -> Any:
    return np.asarray(cells, dtype=np.float64)


def _flags(numbers: Any) -> Any:
    """Return numbers as true and false, where they are no others."""
    import pandas as pd

    missing = np.isnan(numbers)
    if not (missing | (numbers == 0) | (numbers == 1)).all():
        return numbers
    return pd.arrays.BooleanArray(numbers == 1, missing)


def _levels(text: pa.Array) -> Any:
    return _series(text.dictionary_encode())


def _dates(text: pa.Array) -> Any:
    """Return text as dates, in microseconds however many digits a cell has; as it is if a cell is no date."""
    import pandas as pd

    dates = dates_of(text)
    if dates is not None:
        return _series(dates)
    series = _series(text)
    moments = pd.to_datetime(series.astype(object), errors="coerce", format="ISO8601", utc=True)
    if (moments.isna() & series.notna()).any():
        return series
    return moments.dt.tz_localize(None).astype("datetime64[us]")


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    # Ordered categories keep their order, which makes them ordinal.
    return pc.cast(column, kind.value_type) if pa.types.is_dictionary(kind) and not kind.ordered else column


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    return pd.Series(series, copy=False)
