"""Rows out of the container that the user gave, and cells back into it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from scipy.sparse import issparse

from vae_anomaly.data import FloatArray, text_of
from vae_anomaly.errors import DataError

MAX_DENSE_BYTES = 1 << 31
BYTES_PER_CELL = 8
# Of what frames share, the one that is changed gets a copy; always since version 3.
FRAMES_COPY_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


def as_rows(X: Any) -> Any:
    """Rows by name as a DataFrame, sparse ones with all their cells, and anything else as it is.

    Rows by name are a Polars or Arrow table, a dict or a Series whose index is text (one row), a list of them, a dict
    of columns, and an array with fields.

    Raises
    ------
    DataError
        If a sparse matrix is too large to be held with all its cells, or the columns of a dict differ in length.
    """
    if isinstance(X, pd.DataFrame):
        return _dense_frame(X)
    if isinstance(X, np.ndarray):
        return X if X.dtype.names is None else pd.DataFrame(X)
    if issparse(X):
        # Before dicts: a dok_matrix is one.
        matrix: Any = X
        _check_dense_size(matrix.shape)
        return matrix.toarray()
    if isinstance(X, Mapping):
        return _frame_of_dict(dict(X))
    if _is_named_row(X):
        return X.to_frame().T.infer_objects()
    if isinstance(X, list | tuple) and X and all(isinstance(row, Mapping) or _is_named_row(row) for row in X):
        return pd.DataFrame(list(X)).infer_objects()
    if nw.dependencies.is_into_dataframe(X):
        return nw.from_native(X, eager_only=True).to_pandas()
    return X


def _is_named_row(X: Any) -> bool:
    return isinstance(X, pd.Series) and bool(len(X)) and all(isinstance(name, str) for name in X.index)


def _frame_of_dict(row: dict[Any, Any]) -> pd.DataFrame:
    """A dict of lists holds columns, any other is a row."""
    if not (row and all(isinstance(cell, list | tuple | np.ndarray | pd.Series) for cell in row.values())):
        return pd.DataFrame([row])
    lengths = {str(name): len(cells) for name, cells in row.items()}
    if len(set(lengths.values())) > 1:
        least, most = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise DataError(
            f"column {least!r} of the dict has {lengths[least]} cells, and {most!r} has {lengths[most]}. Give as many "
            "of each, or a dict of single cells for one row.",
            column=least,
        )
    return pd.DataFrame(row)


def unshared(cells: FloatArray | pd.DataFrame, X: Any) -> FloatArray | pd.DataFrame:
    """Cells that whoever gave the rows does not change by changing these: copied only where memory is shared.

    Parameters
    ----------
    cells : ndarray or DataFrame
        What `X` was read as.
    X : array-like or DataFrame
        The rows as they were given.
    """
    if isinstance(cells, pd.DataFrame):
        return cells.copy(deep=not FRAMES_COPY_ON_WRITE)
    if isinstance(X, pd.DataFrame):
        columns = (column.to_numpy() for _, column in X.items() if isinstance(column.dtype, np.dtype))
        shared = cells.base is not None and any(np.may_share_memory(cells, column) for column in columns)
    else:
        shared = not isinstance(X, np.ndarray) or np.may_share_memory(cells, X)
    return cells.copy() if shared else cells


def _dense_frame(frame: pd.DataFrame) -> pd.DataFrame:
    is_sparse = [isinstance(dtype, pd.SparseDtype) for dtype in frame.dtypes]
    if not any(is_sparse):
        return frame
    _check_dense_size((len(frame), sum(is_sparse)))
    if all(is_sparse):
        accessor: Any = frame.sparse
        dense: pd.DataFrame = accessor.to_dense()
        return dense
    copy = frame.copy(deep=False)
    for position in np.flatnonzero(is_sparse).tolist():
        column: Any = frame.iloc[:, position].array
        copy.isetitem(position, column.to_dense())
    return copy


def _check_dense_size(shape: tuple[int, ...]) -> None:
    n_bytes = BYTES_PER_CELL * math.prod(shape)
    if n_bytes > MAX_DENSE_BYTES:
        raise DataError(
            f"the sparse rows of shape {shape} take {n_bytes / (1 << 30):,.1f} GiB with all their cells; expected at "
            f"most {MAX_DENSE_BYTES >> 30} GiB. Give some rows at a time (partial_fit learns from batches), or fewer "
            "columns: OrdinalEncoder or text columns in the place of OneHotEncoder."
        )


def as_cells(X: Any) -> Any:
    """Rows as a DataFrame or an array of their own memory that keeps numbers among text what they are.

    Parameters
    ----------
    X : array-like or DataFrame
        What `as_rows` returns.
    """
    if isinstance(X, pd.DataFrame):
        return X
    array = X.detach().cpu().numpy() if isinstance(X, torch.Tensor) else np.array(X)
    return np.array(X, dtype=object) if array.dtype.kind in "US" else array


def row_labels(X: Any, n_rows: int) -> pd.Index[Any]:
    """The index of a DataFrame; of anything else the positions of its rows."""
    native = as_rows(X)
    return native.index if isinstance(native, pd.DataFrame) else pd.RangeIndex(n_rows)


def pack_like(X: Any, columns: list[npt.NDArray[Any]] | npt.NDArray[Any], rows: Any = None) -> Any:
    """Columns in the container that `X` came in: a DataFrame with its index, a Polars or Arrow table, or an array.

    Images stay what they are, flattened if `X` was.

    Parameters
    ----------
    X : array-like or DataFrame
    columns : list of ndarray, or ndarray for images
        Cells, column by column.
    rows : array-like or DataFrame, optional
        `X` with the columns that these are; by default `X` has them.
    """
    if isinstance(columns, np.ndarray):
        return columns.reshape(len(columns), -1) if getattr(X, "ndim", 3) == 2 else columns
    native = as_rows(X) if rows is None else rows
    if isinstance(native, pd.DataFrame):
        frame = pd.DataFrame(dict(enumerate(columns)), index=native.index)
        frame.columns = native.columns
        return _from_pandas(frame, X)
    dtype = np.float64 if all(column.dtype == np.float64 for column in columns) else object
    return np.column_stack([column.astype(dtype) for column in columns])


def fill_cells(
    X: Any, cells: npt.NDArray[np.bool_], columns: list[npt.NDArray[Any]], places: list[int] | None = None
) -> Any:
    """`X` with some cells replaced, in the container that it came in; the other cells are not touched.

    Parameters
    ----------
    X : array-like or DataFrame of shape (rows, columns)
    cells : bool ndarray of shape (rows, columns)
        Which to replace.
    columns : list of ndarray
        Values for every row, column by column.
    places : list of int, optional
        Where these columns are in `X`, a negative number where they are not; by default in their order.
    """
    native = as_rows(X)
    if isinstance(native, pd.DataFrame):
        filled = native.copy()
        for position, (place, values) in enumerate(zip(places or range(len(columns)), columns, strict=True)):
            if place >= 0 and cells[:, position].any():
                series = _filled(native.iloc[:, place], cells[:, position], values)
                filled.isetitem(place, series.array)
        return _from_pandas(filled, X)
    array = as_cells(native)
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
        chosen = chosen.map(lambda value: value if value is None else level_of.get(str(text_of(value)), value))
        new = (level for level in chosen.unique() if level is not None and level not in dtype.categories)
        result = result.cat.add_categories(list(new))
    elif isinstance(dtype, pd.DatetimeTZDtype):
        chosen = chosen.dt.tz_localize("UTC").dt.tz_convert(dtype.tz)
    elif isinstance(dtype, pd.PeriodDtype):
        chosen = chosen.dt.to_period(dtype.freq)
    elif dtype.kind == "m":
        chosen = pd.to_timedelta(chosen, unit="s").astype(dtype)
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
    places = np.flatnonzero(rows)
    try:
        with warnings.catch_warnings():
            # pandas 2 warns of what pandas 3 refuses.
            warnings.simplefilter("error", FutureWarning)
            result.iloc[places] = chosen.array
    except (TypeError, ValueError, FutureWarning):
        result = result.astype(object)
        result.iloc[places] = chosen.astype(object).array
    return result


def _from_pandas(frame: pd.DataFrame, X: Any) -> Any:
    if isinstance(X, pd.DataFrame) or not nw.dependencies.is_into_dataframe(X):
        return frame
    backend = nw.from_native(X, eager_only=True).implementation
    return nw.from_arrow(pa.Table.from_pandas(frame, preserve_index=False), backend=backend).to_native()
