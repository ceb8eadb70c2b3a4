"""Rows that a person found anomalous, to be left out of a fit: known by their cells."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.answers import AnsweredLines
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import TableSource, listed
from vae_anomaly_cli.types import DATE, MISSING_TEXTS

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class KnownAnomalies:
    """Rows of a review that are anomalous.

    Attributes
    ----------
    name : str
        How messages call the review.
    cells : pyarrow.Table
        Their cells, as the review has them.
    """

    name: str
    cells: pa.Table

    @classmethod
    def read(cls, source: TableSource) -> "KnownAnomalies":
        """Read a review that was filled in.

        Raises
        ------
        InputError
            If it is none, or nobody has filled it in.
        """
        answered = AnsweredLines.read(source)
        return cls(source.name, answered.table.cells.take(answered.lines[answered.is_anomaly]))

    def among(self, cells: pa.Table, names: Sequence[str]) -> Rows:
        """Find the rows of a table that are equal to one of them.

        Parameters
        ----------
        cells : pyarrow.Table
            The rows.
        names : sequence of str
            The columns that have to be equal.

        Raises
        ------
        InputError
            If the review lacks one.
        """
        missing = [name for name in names if name not in self.cells.column_names]
        if missing:
            raise InputError(
                f"--reviewed {self.name} lacks {listed(missing)}, and a row is known by all columns that are "
                "fitted. Give a review with all of them."
            )
        known = [[cell_key(cell) for cell in self.cells[name].to_pylist()] for name in names]
        found = np.arange(cells.num_rows, dtype=np.intp)
        by_column: list[list[Any]] = []
        for name, wanted in zip(names, map(set, known), strict=True):
            if not len(found):
                return found
            encoded = cells[name].take(found).combine_chunks().dictionary_encode()
            keys = [*map(cell_key, encoded.dictionary.to_pylist()), None]
            places = np.asarray(encoded.indices.fill_null(len(keys) - 1), dtype=np.intp)
            is_wanted = np.array([key in wanted for key in keys])[places]
            found = found[is_wanted]
            by_column = [[key for key, stays in zip(column, is_wanted, strict=True) if stays] for column in by_column]
            by_column.append([keys[place] for place in places[is_wanted]])
        rows = set(zip(*known, strict=True))
        return found[[row in rows for row in zip(*by_column, strict=True)]]


def cell_key(cell: Any) -> Any:
    """Return what makes cells equal that formats write in several ways; None where one is missing.

    Examples
    --------
    >>> cell_key("1.50") == cell_key(1.5), cell_key("NA"), cell_key(" north "), cell_key(True)
    (True, None, 'north', 'true')
    >>> import datetime
    >>> cell_key("2026-02-28") == cell_key("2026-02-28 00:00:00.000") == cell_key(datetime.date(2026, 2, 28))
    True
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    text = "" if cell is None else str(cell).strip()
    if text in MISSING_TEXTS or text == "NaT":
        return None
    if re.match(DATE, text):
        return _date(text)
    try:
        number = float(text)
    except ValueError:
        return text.lower() if text.lower() in ("true", "false") else text
    return None if math.isnan(number) else number


def _date(text: str) -> Any:
    import pandas as pd

    try:
        return pd.Timestamp(text)
    except ValueError:
        return text
