"""Columns of a DataFrame that are neither numbers, text, booleans nor dates: read as one of them, or named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vae_anomaly.errors import CellTypeError

DURATIONS, PERIODS = "durations, in seconds", "periods, by their start"
MAX_CHARACTERS = 60
# As scikit-learn says it.
EXPECTED = "a cell as argument must be a string or a real number: "

# What is known of cells of one type by `pandas.api.types.infer_dtype`, and what to do about it.
_REMEDIES = {
    "bytes": ("bytes", "decode them, with frame[{name!r}].str.decode('utf-8')"),
    "complex": ("complex numbers", "Complex data not supported: give real and imaginary parts"),
    "time": ("times of day", "give hours as a number, or a date with the time"),
    "interval": ("intervals", "give their bounds as numbers"),
    "list": ("lists", "give each of their entries a column of its own, or drop the column"),
    "dict": ("dicts", "give each of their entries a column of its own, or drop the column"),
}
_PLAIN = frozenset(
    {
        "integer",
        "floating",
        "mixed-integer-float",
        "decimal",
        "empty",
        "boolean",
        "datetime64",
        "datetime",
        "date",
        "string",
        "categorical",
    }
)


@dataclass(frozen=True)
class ReadColumns:
    """A DataFrame whose columns all are of the plain kinds.

    Parameters
    ----------
    frame : DataFrame
        With a missing cell in the place of every cell of an unusable column.
    remarks : mapping of str to str
        How columns were read that were of other kinds, or why they cannot be used.
    unusable : mapping of str to CellTypeError
        What is wrong with those.
    """

    frame: pd.DataFrame
    remarks: Mapping[str, str]
    unusable: Mapping[str, CellTypeError]


def read_odd_columns(frame: pd.DataFrame, names: tuple[str, ...]) -> ReadColumns:
    """Read durations as seconds and periods as dates, and find columns that are of no use.

    Parameters
    ----------
    frame : DataFrame
    names : tuple of str
        Of its columns, for messages.
    """
    changed: dict[int, Any] = {}
    remarks: dict[str, str] = {}
    unusable: dict[str, CellTypeError] = {}
    for position, (name, dtype) in enumerate(zip(names, frame.dtypes, strict=True)):
        if not _may_be_odd(dtype):
            continue
        column: Any = frame.iloc[:, position]
        found = _kind_of(column)
        if found in _PLAIN:
            continue
        if found.startswith("timedelta"):
            changed[position], remarks[name] = _seconds(column), DURATIONS
        elif found == "period":
            changed[position], remarks[name] = _starts(column), PERIODS
        elif (refusal := _refusal(name, column, found)) is not None:
            changed[position] = np.full(len(frame), np.nan)
            unusable[name], remarks[name] = refusal
        elif _holds_dates(column):
            changed[position] = column.map(lambda cell: cell.isoformat() if isinstance(cell, dt.date) else cell)
    if changed:
        frame = frame.copy(deep=False)
        for position, cells in changed.items():
            frame.isetitem(position, cells)
    return ReadColumns(frame, remarks, unusable)


def _may_be_odd(dtype: Any) -> bool:
    return dtype.kind in "Ocm" or isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype | pd.ArrowDtype)


def _kind_of(column: Any) -> str:
    """What cells are, in the words of `infer_dtype`, whatever their dtype."""
    dtype = column.dtype
    if dtype.kind == "m":
        return "timedelta"
    if dtype.kind == "c":
        return "complex"
    if isinstance(dtype, pd.PeriodDtype):
        return "period"
    if isinstance(dtype, pd.IntervalDtype):
        return "interval"
    if isinstance(dtype, pd.CategoricalDtype):
        return "categorical"
    if isinstance(dtype, pd.ArrowDtype):
        held = dtype.pyarrow_dtype
        if pa.types.is_binary(held) or pa.types.is_large_binary(held) or pa.types.is_fixed_size_binary(held):
            return "bytes"
        if pa.types.is_time(held):
            return "time"
        return "mixed" if pa.types.is_nested(held) else "string"
    return str(pd.api.types.infer_dtype(column, skipna=True))


def _seconds(column: Any) -> Any:
    durations = column if column.dtype.kind == "m" else pd.to_timedelta(column)
    return durations.dt.total_seconds().astype(np.float64)


def _starts(column: Any) -> Any:
    """The first moment of periods, whose lengths may differ where the dtype is object."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    starts = [cell.start_time if isinstance(cell, pd.Period) else pd.NaT for cell in column]
    return pd.Series(starts, index=column.index, dtype="datetime64[ns]")


def _refusal(name: str, column: Any, found: str) -> tuple[CellTypeError, str] | None:
    """Why a column cannot be used, by its first cell of that kind, and without it; None if all its cells can be."""
    cells = column.to_numpy(dtype=object, na_value=None)
    is_odd = [cell is not None and cell is not pd.NaT for cell in cells] if found in _REMEDIES else _odd_cells(cells)
    if not any(is_odd):
        return None
    row = is_odd.index(True)
    cell = cells[row].tolist() if isinstance(cells[row], np.ndarray) else cells[row]
    holds, remedy = _REMEDIES.get(_named(cell, found), (f"cells of type {type(cell).__name__}", "drop the column"))
    remedy = remedy.format(name=name)
    error = CellTypeError(
        f"column {name!r} holds {holds} such as {_short(cell)}", f"{EXPECTED}{remedy}.", column=name, row=row
    )
    return error, f"it holds {holds}; {remedy}"


def _named(cell: Any, found: str) -> str:
    """By which name the table of remedies has a cell."""
    if isinstance(cell, bytes):
        return "bytes"
    if isinstance(cell, complex | np.complexfloating):
        return "complex"
    if isinstance(cell, dict):
        return "dict"
    return "list" if isinstance(cell, list | tuple | set) else found


def _odd_cells(cells: Any) -> list[bool]:
    return [not _is_plain(cell) for cell in cells]


def _is_plain(cell: Any) -> bool:
    if isinstance(cell, complex | np.complexfloating):
        return False
    return cell is None or cell is pd.NaT or isinstance(cell, str | Real | Decimal | np.generic | dt.date)


def _holds_dates(column: Any) -> bool:
    return any(isinstance(cell, dt.date) for cell in column)


def _short(cell: object) -> str:
    line = " ".join((str(cell) if isinstance(cell, dt.time) else repr(cell)).split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}..."
