"""The frame that the detector sees: of a table to fit on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vae_anomaly.arrow_rows import as_series
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    import pandas as pd


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


def with_row_numbers(frame: "pd.DataFrame", table: Table) -> "pd.DataFrame":
    """Name the rows of a sample by their numbers in the whole input, from 0; others have them."""
    return frame if table.drawn is None else frame.set_axis(table.drawn)
