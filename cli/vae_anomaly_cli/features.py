"""The frame that the detector sees: of a table to fit on, and of rows to score."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vae_anomaly_cli.cell_reader import CellReader, as_series
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.columns import Column


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


def scoring_frame(
    cells: pa.RecordBatch | pa.Table,
    columns: "tuple[Column, ...]",
    reader: CellReader,
    group: str | None = None,
    given: Mapping[str, str] | None = None,
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
    reader : CellReader
        How cells become values: that of the input.
    group : str, optional
        The column whose values are calibrated one by one: it is read, set aside or not.
    given : mapping of str to str, optional
        What columns of the model are called in the input, where that differs.
    """
    import pandas as pd

    named = given or {}
    features = {
        column.name: reader.scoring_values(cells[named.get(column.name, column.name)], column)
        for column in columns
        if column.likelihood is not None and column.name != group
    }
    if group is not None:
        features[group] = as_series(reader.group_values(cells[named.get(group, group)]))
    if all(isinstance(feature, np.ndarray) for feature in features.values()):
        # One block that the detector takes as it is.
        matrix = np.full((len(columns), cells.num_rows), np.nan)
        for position, column in enumerate(columns):
            if column.name in features:
                matrix[position] = features[column.name]
        return pd.DataFrame(matrix.T, columns=[column.name for column in columns], copy=False)
    nothing = np.full(cells.num_rows, np.nan)
    return pd.DataFrame({column.name: features.get(column.name, nothing) for column in columns}, copy=False)


def with_row_numbers(frame: "pd.DataFrame", table: Table) -> "pd.DataFrame":
    """Name the rows of a sample by their numbers in the whole input, from 0; others have them."""
    return frame if table.drawn is None else frame.set_axis(table.drawn)
