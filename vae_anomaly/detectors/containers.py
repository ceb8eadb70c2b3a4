"""Cells back into the container that the user gave."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch

from vae_anomaly.data import FloatArray, text_of


def as_pandas(X: Any) -> Any:
    """A Polars or Arrow table as a DataFrame, anything else as it is."""
    if isinstance(X, pd.DataFrame | np.ndarray) or not nw.dependencies.is_into_dataframe(X):
        return X
    frame = nw.from_native(X, eager_only=True)
    return frame.to_pandas()


def row_labels(X: Any, n_rows: int) -> pd.Index[Any]:
    """The index of a DataFrame; of anything else the positions of its rows."""
    native = as_pandas(X)
    return native.index if isinstance(native, pd.DataFrame) else pd.RangeIndex(n_rows)


def pack_like(X: Any, columns: list[npt.NDArray[Any]] | npt.NDArray[Any]) -> Any:
    """Columns in the container that `X` came in: a DataFrame with its index, a Polars or Arrow table, or an array.

    Images stay what they are, flattened if `X` was.
    """
    if isinstance(columns, np.ndarray):
        return columns.reshape(len(columns), -1) if getattr(X, "ndim", 3) == 2 else columns
    native = as_pandas(X)
    if isinstance(native, pd.DataFrame):
        frame = pd.DataFrame(dict(enumerate(columns)), index=native.index)
        frame.columns = native.columns
        return _from_pandas(frame, X)
    dtype = np.float64 if all(column.dtype == np.float64 for column in columns) else object
    return np.column_stack([column.astype(dtype) for column in columns])


def fill_cells(X: Any, cells: npt.NDArray[np.bool_], columns: list[npt.NDArray[Any]]) -> Any:
    """`X` with some cells replaced, in the container that it came in; the other cells are not touched.

    Parameters
    ----------
    X : array-like or DataFrame of shape (rows, columns)
    cells : bool ndarray of shape (rows, columns)
        Which to replace.
    columns : list of ndarray
        Values for every row, column by column.
    """
    native = as_pandas(X)
    if isinstance(native, pd.DataFrame):
        filled = native.copy()
        for position, values in enumerate(columns):
            if cells[:, position].any():
                series = _filled(native.iloc[:, position], cells[:, position], values)
                filled.isetitem(position, series.array)
        return _from_pandas(filled, X)
    array = native.detach().cpu().numpy() if isinstance(native, torch.Tensor) else np.array(native)
    if array.dtype.kind in "US":
        array = np.array(native, dtype=object)
    if array.dtype != object:
        proposed = np.column_stack([values.astype(np.float64) for values in columns])
        fits = array.dtype.kind == "f" or _holds_whole(array.dtype, proposed[cells])
        return np.where(cells, proposed, array).astype(array.dtype if fits else np.float64)
    for position, values in enumerate(columns):
        array[cells[:, position], position] = values[cells[:, position]].astype(object)
    return array


def _holds_whole(dtype: Any, numbers: FloatArray) -> bool:
    """Whether an integer dtype can hold these numbers."""
    if np.dtype(dtype).kind not in "iu" or not (numbers == np.rint(numbers)).all():
        return False
    limits = np.iinfo(dtype)
    return bool(((numbers >= limits.min) & (numbers <= limits.max)).all())


def _filled(series: pd.Series[Any], rows: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> pd.Series[Any]:
    """A column with some rows replaced; it keeps its dtype where that can hold the values."""
    result = series.reset_index(drop=True)
    chosen: Any = pd.Series(values[rows], index=np.flatnonzero(rows))
    dtype: Any = series.dtype
    if result.isna().all():
        # Its dtype says nothing of what it holds.
        filled: pd.Series[Any] = pd.Series(values, dtype=chosen.dtype).where(rows)
        return filled
    if isinstance(dtype, pd.CategoricalDtype):
        level_of = {str(text_of(level)): level for level in dtype.categories}
        chosen = chosen.map(lambda value: level_of.get(str(text_of(value)), value))
        result = result.cat.add_categories([level for level in chosen.unique() if level not in dtype.categories])
    elif isinstance(dtype, pd.DatetimeTZDtype):
        chosen = chosen.dt.tz_localize("UTC").dt.tz_convert(dtype.tz)
    elif pd.api.types.is_string_dtype(dtype) and chosen.dtype.kind == "M":
        chosen = chosen.map(lambda moment: moment.isoformat())
    elif pd.api.types.is_bool_dtype(dtype):
        chosen = chosen.astype(bool)
    elif pd.api.types.is_float_dtype(dtype):
        chosen = chosen.astype(np.float64).astype(dtype)
    elif pd.api.types.is_integer_dtype(dtype):
        numbers = chosen.to_numpy(dtype=np.float64)
        if _holds_whole(getattr(dtype, "numpy_dtype", dtype), numbers):
            chosen = chosen.astype("int64").astype(dtype)
        else:
            result = result.astype("Float64" if result.hasnans else np.float64)
    else:
        chosen = chosen.astype(object) if pd.api.types.is_object_dtype(dtype) else chosen
    try:
        result[rows] = chosen
    except (TypeError, ValueError):
        result = result.astype(object)
        result[rows] = chosen.astype(object)
    return result


def _from_pandas(frame: pd.DataFrame, X: Any) -> Any:
    if isinstance(X, pd.DataFrame):
        return frame
    backend = nw.from_native(X, eager_only=True).implementation
    return nw.from_arrow(pa.Table.from_pandas(frame, preserve_index=False), backend=backend).to_native()
