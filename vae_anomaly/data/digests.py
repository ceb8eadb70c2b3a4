"""One number for each row of a table, by which its cells are known again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data.table import Table

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MISSING = np.uint64(0x6D697373696E67)


def row_digests(table: Table) -> npt.NDArray[np.int64]:
    """64-bit digests of rows, equal for rows with equal cells in the same columns; nothing of the cells is in them.

    Text that was read as numbers or dates counts as these; what a model learned of the columns does not count, so that
    digests of a file's rows are the same under every model.

    Parameters
    ----------
    table : Table
        With its text read.

    Returns
    -------
    int64 ndarray of shape (rows,)

    Examples
    --------
    >>> rows = Table(("a", "b"), np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> first, second, third = row_digests(rows)
    >>> bool(first == third), bool(first == second)
    (True, False)
    """
    digests = np.zeros(table.n_rows, dtype=np.uint64)
    for position, name in enumerate(table.names):
        salt = pd.util.hash_array(np.array([name], dtype=object))[0]
        with np.errstate(over="ignore"):
            mixed = (_of_cells(table, position) ^ salt) * MULTIPLIER
            # A sum, so that the order of the columns does not count.
            digests += mixed ^ (mixed >> np.uint64(29))
    return digests.view(np.int64)


def _of_cells(table: Table, position: int) -> npt.NDArray[np.uint64]:
    content = table.content(position)
    if content == "text":
        texts, places = table.distinct_levels(position)
        return np.append(pd.util.hash_array(texts), MISSING)[places]
    cells = table.days(position) if content == "datetime" else table.numbers(position)
    # Adding 0 makes one of the two zeros.
    hashed: npt.NDArray[np.uint64] = np.where(np.isnan(cells), MISSING, pd.util.hash_array(cells + 0.0))
    return hashed
