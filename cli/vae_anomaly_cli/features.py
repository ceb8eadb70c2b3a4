"""The frame that the detector sees: of a table to fit on, and of rows to score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.cell_reader import ISO, CellReader, as_series, unreadable_rows
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import Table
from vae_anomaly_cli.types import with_nulls

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column

EMPTY = "holds no value in any column of the model"


def training_frame(
    table: Table, names: list[str], declared: Mapping[str, str], group: str | None = None, *, forced: bool = False
) -> "pd.DataFrame":
    """Return the features to fit on: what their columns hold as a whole decides what their cells are.

    Parameters
    ----------
    table : Table
        The rows.
    names : list of str
        The features.
    declared : mapping of str to str
        Kinds of columns, where the user says them.
    group : str, optional
        The feature whose values are calibrated one by one.
    forced : bool
        Whether the user says how text is read, so that the library reads all of it.

    Returns
    -------
    DataFrame
        Its index says which rows of the whole input these are, from 0.

    Raises
    ------
    InputError
        If there are too few rows to learn from, or if a column is not what the user says.
    """
    if table.n_rows < 2:
        raise InputError(
            f"{table.name} has 1 row; fitting needs at least 2. To score single rows, use a saved model: --model FILE."
        )
    import pandas as pd

    reader = table.source.cell_reader
    columns = {name: table.cells[name] for name in names if name != group}
    values = reader.training_values(columns, declared, forced=forced)
    if group is not None:
        values[group] = reader.group_values(table.cells[group])
    features = {name: as_series(values[name]) for name in names}
    return with_row_numbers(pd.DataFrame(features), table)


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

    frame: "pd.DataFrame"
    problems: Mapping[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """The rows that can be scored, from 0."""
        usable = np.ones(len(self.frame), dtype=bool)
        usable[list(self.problems)] = False
        return np.flatnonzero(usable)

    @property
    def usable(self) -> "pd.DataFrame":
        """What it sees of the rows that can be scored."""
        return self.frame.iloc[self.rows] if self.problems else self.frame


def scoring_features(
    cells: pa.RecordBatch | pa.Table,
    columns: "tuple[Column, ...]",
    reader: CellReader,
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
    reader : CellReader
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
                problems.setdefault(row, _unreadable(column, found[row].as_py()))
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
    cells: pa.Array | pa.ChunkedArray, column: "Column", reader: CellReader
) -> "tuple[Any, npt.NDArray[np.bool_] | None]":
    """Read cells as what a column of a model takes them for; those that it cannot read are missing.

    Parameters
    ----------
    cells : Array or ChunkedArray
        As the format has them.
    column : Column
        Of the model.
    reader : CellReader
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


def _unreadable(column: "Column", cell: object) -> str:
    return f"'{column.name}' holds {str(cell)!r}, which is no {_expected(column, str(cell))}"


def _expected(column: "Column", cell: str) -> str:
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
    columns: "Sequence[Column]", features: Mapping[str, Any], n_rows: int, problems: Mapping[int, str]
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


def _missing(values: Any, rows: npt.NDArray[np.intp], column: "Column") -> npt.NDArray[np.bool_]:
    """Which of some cells are missing, as the library reads them."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return np.isnan(values[rows])
    import pandas as pd

    from vae_anomaly.columns import read_text
    from vae_anomaly.data import Table as Cells

    some = pd.DataFrame({column.name: pd.Series(values).iloc[rows].reset_index(drop=True)})
    return read_text(Cells((column.name,), some), [column]).missing(0)


def with_row_numbers(frame: "pd.DataFrame", table: Table) -> "pd.DataFrame":
    """Name the rows of a sample by their numbers in the whole input, from 0; others have them."""
    return frame if table.drawn is None else frame.set_axis(table.drawn)
