"""The frame that a detector sees of rows to score, and which rows cannot be scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.arrow_rows.arrow_text import with_nulls
from vae_anomaly.arrow_rows.typed_cells import ISO, ReadsCells, as_series, unreadable_rows

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

EMPTY = "holds no value in any column of the model"


@dataclass(frozen=True)
class RowFeatures:
    """What a detector sees of rows.

    Attributes
    ----------
    frame : DataFrame
        A line for every row; cells that cannot be read are missing.
    problems : mapping of int to str
        Why rows, from 0, cannot be scored; in their order.
    """

    frame: pd.DataFrame
    problems: Mapping[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """The rows that can be scored, from 0."""
        usable = np.ones(len(self.frame), dtype=bool)
        usable[list(self.problems)] = False
        return np.flatnonzero(usable)

    @property
    def usable(self) -> pd.DataFrame:
        """What it sees of the rows that can be scored."""
        return self.frame.iloc[self.rows] if self.problems else self.frame


def scoring_features(
    cells: pa.RecordBatch | pa.Table,
    columns: tuple[Column, ...],
    reader: ReadsCells,
    group: str | None = None,
    given: Mapping[str, str] | None = None,
    *,
    compared_by: Sequence[str] = (),
    forgiving: bool = False,
) -> RowFeatures:
    """Return the features of a model, in its order: each cell is what the model's column makes of it.

    No cell depends on the others of its column, so rows may come in batches of any size.  Columns that the model set
    aside are empty.  A row with a cell that its column cannot read, or without any value, cannot be scored.

    Parameters
    ----------
    cells : RecordBatch or Table
        Rows with all columns that the model uses.
    columns : tuple of Column
        Of the model.
    reader : ReadsCells
        How cells become values: that of the input.
    group : str, optional
        The column whose values are calibrated one by one: it is read, set aside or not.
    given : mapping of str to str, optional
        What columns of the model are called in the input, where that differs.
    compared_by : sequence of str
        Columns that say what numbers are compared with: they are read, set aside or not.
    forgiving : bool
        Whether cells that cannot be read are missing and no problem, as in a fit.
    """
    import pandas as pd

    named = given or {}
    features: dict[str, Any] = {}
    problems: dict[int, str] = {}
    for column in columns:
        if column.name == group or not (column.is_used or column.name in compared_by):
            continue
        if not column.is_used and not column.is_date:
            features[column.name] = as_series(reader.group_values(cells[named.get(column.name, column.name)]))
            continue
        found = cells[named.get(column.name, column.name)]
        features[column.name], unreadable = readable_values(found, column, reader)
        if unreadable is not None and not forgiving:
            for row in np.flatnonzero(unreadable).tolist():
                problems.setdefault(row, unreadable_cell(column, found[row].as_py()))
    if group is not None:
        features[group] = as_series(reader.group_values(cells[named.get(group, group)]))
    modelled = [column for column in columns if column.is_used]
    problems |= dict.fromkeys(_empty_rows(modelled, features, cells.num_rows, problems), EMPTY)
    problems = dict(sorted(problems.items()))
    if all(isinstance(feature, np.ndarray) for feature in features.values()):
        # One block that the detector takes as it is.
        matrix = np.full((len(columns), cells.num_rows), np.nan)
        for position, column in enumerate(columns):
            if column.name in features:
                matrix[position] = features[column.name]
        names = [column.name for column in columns]
        return RowFeatures(pd.DataFrame(matrix.T, columns=names, copy=False), problems)
    nothing = np.full(cells.num_rows, np.nan)
    by_name = {column.name: features.get(column.name, nothing) for column in columns}
    return RowFeatures(pd.DataFrame(by_name, copy=False), problems)


def readable_values(
    cells: pa.Array | pa.ChunkedArray, column: Column, reader: ReadsCells
) -> tuple[Any, npt.NDArray[np.bool_] | None]:
    """Read cells as what a column of a model takes them for; those that it cannot read are missing.

    Parameters
    ----------
    cells : Array or ChunkedArray
        As the format has them.
    column : Column
        Of the model.
    reader : ReadsCells
        Reads each cell by itself, and gives back text where one of them is not what the column takes.

    Returns
    -------
    values
        What the detector takes.
    ndarray of bool or None
        Which cells cannot be read; None where there are none.
    """
    values = reader.scoring_values(cells, column)
    if isinstance(values, np.ndarray) and values.dtype != object:
        unbounded = np.isinf(values)
        return (np.where(unbounded, np.nan, values), unbounded) if unbounded.any() else (values, None)
    unreadable = unreadable_rows(values, column)
    if not unreadable.any():
        return values, None
    whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if (unreadable | np.asarray(whole.is_null())).all():
        return np.full(len(whole), np.nan), unreadable
    readable = with_nulls(whole, pa.array(unreadable))
    # What is left may be numbers now, some of them infinite.
    values, infinite = readable_values(readable, column, reader)
    return values, unreadable if infinite is None else unreadable | infinite


def unreadable_cell(column: Column, cell: object) -> str:
    """Say why a column of a model cannot read a cell."""
    return f"'{column.name}' holds {str(cell)!r}, which is no {_expected(column, str(cell))}"


def _expected(column: Column, cell: str) -> str:
    """What a cell should be; how it should be written, where it looks like a date, or a number, of another form."""
    form = column.text_format
    looks_right = any(character.isdigit() for character in cell)
    if column.is_date:
        written = ISO if form is None else form.date_format
        spoken = "like 2026-02-28" if written == ISO else f"as {written}"
        return f"date {spoken}" if looks_right else "date"
    unit = "" if form is None else form.unit
    if not looks_right or math.isinf(_plain_number(cell)):
        return "number"
    return f"number in '{unit}'" if unit else "plain number"


def _plain_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _empty_rows(
    columns: Sequence[Column], features: Mapping[str, Any], n_rows: int, problems: Mapping[int, str]
) -> list[int]:
    """Rows without a value; not those that have a problem anyway."""
    rows = np.delete(np.arange(n_rows), list(problems))
    # Numbers first: they take no reading, and leave few rows.
    for column in sorted(columns, key=lambda column: not isinstance(features[column.name], np.ndarray)):
        rows = rows[_missing(features[column.name], rows, column)]
        if not len(rows):
            break
    found: list[int] = rows.tolist()
    return found


def _missing(values: Any, rows: npt.NDArray[np.intp], column: Column) -> npt.NDArray[np.bool_]:
    """Which of some cells are missing, as the library reads them."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return np.isnan(values[rows])
    import pandas as pd

    from vae_anomaly.columns import read_text
    from vae_anomaly.data import Table as Cells

    some = pd.DataFrame({column.name: pd.Series(values).iloc[rows].reset_index(drop=True)})
    return read_text(Cells((column.name,), some), [column]).missing(0)
