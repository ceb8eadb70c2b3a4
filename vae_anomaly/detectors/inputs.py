"""What users hand in, checked once and turned into a table."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from vae_anomaly.columns import ImageEncoder
from vae_anomaly.data import (
    SUFFIXES,
    FloatArray,
    ImageFileError,
    ImageFiles,
    Images,
    Problem,
    Table,
    as_array,
    is_images,
    is_pillow_images,
    open_images,
    read_arrays,
    read_pillow_images,
    text_of,
)
from vae_anomaly.errors import DataError, FileLeftOutWarning, SpecificationError

NO_IMAGES = (
    "the model takes images; expected an array of shape (n, height, width), (n, height, width, channels) or (n, "
    "channels, height, width), a folder or image files. For flattened images give image_shape=(height, width)."
)


def read_rows(estimator: BaseEstimator, X: Any, *, fitting: bool) -> Table | Images:
    """Rows of a table, or images where the input has their axes or the estimator their shape.

    Parameters
    ----------
    estimator : BaseEstimator
        With `image_shape`; gets ``n_features_in_`` when fitting, is checked against it otherwise.
    X : array-like, DataFrame or Tensor
        Rows of shape (rows, columns), or images as `read_arrays` takes them.
    fitting : bool
        Whether this is the training data, which needs at least two rows.

    Raises
    ------
    ValueError
        If the shape, the names or the container are not usable.
    """
    image_shape = _checked_shape(estimator.get_params(deep=False)["image_shape"])
    known = None if fitting else getattr(estimator, "encoder_", None)
    images_given = is_images(X) or is_pillow_images(X) or is_files(X)
    wanted = image_shape is not None or images_given
    if known is not None:
        wanted = isinstance(known, ImageEncoder)
        if images_given and not wanted:
            raise DataError(
                "the model takes rows of a table, and images or files are given. Read a table from its file first, "
                "or fit a model on images."
            )
    if not wanted:
        return read_table(estimator, X, fitting=fitting)
    if is_files(X):
        return _read_files(estimator, X, image_shape, known, fitting=fitting)
    if is_pillow_images(X):
        encoder = known if isinstance(known, ImageEncoder) else None
        X = read_pillow_images(X, _file_size(image_shape), None if encoder is None else encoder.image_format)
    flattened = not is_images(X)
    if flattened and image_shape is None:
        raise DataError(NO_IMAGES)
    if flattened:
        X = read_table(estimator, X, fitting=fitting).cells
    images = read_arrays(X, image_shape if flattened else None)
    if image_shape is not None and sorted(image_shape) not in (sorted(images.shape), sorted(images.shape[1:])):
        raise DataError(f"the images have the shape {images.shape}, and image_shape={image_shape}. Leave it out.")
    least = 2 if fitting else 1
    if images.n_rows < least:
        raise DataError(f"there are {images.n_rows} images; expected at least {least}. Give more.")
    if fitting and not flattened:
        estimator.n_features_in_ = math.prod(images.shape)
    return images


def read_images(estimator: BaseEstimator, X: Any, *, fitting: bool) -> Images:
    """The same for an estimator that takes images only.

    Raises
    ------
    DataError
        If they are rows of a table.
    """
    images = read_rows(estimator, X, fitting=fitting)
    if not isinstance(images, Images):
        raise DataError(NO_IMAGES)
    return images


def _checked_shape(image_shape: Any) -> tuple[int, ...] | None:
    if image_shape is None:
        return None
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or not all(isinstance(side, Integral) and int(side) > 0 for side in shape):
        raise SpecificationError(
            f"image_shape={image_shape!r}; expected (height, width), (height, width, channels) or (channels, height, "
            "width)."
        )
    return tuple(int(side) for side in shape)


def is_files(X: Any) -> bool:
    """Whether the input names image files: a path, or several."""
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "OU":
        X = X.tolist()
    if isinstance(X, list | tuple):
        return bool(X) and all(_names_a_file(path) for path in X)
    return isinstance(X, str | os.PathLike)


def _names_a_file(path: Any) -> bool:
    return isinstance(path, os.PathLike) or (isinstance(path, str) and Path(path).suffix.lower() in SUFFIXES)


def open_files(X: Any, image_shape: Sequence[int] | None, encoder: object) -> ImageFiles:
    """Image files in the format of the model, or in their own for a fit, with a warning for each that is unusable.

    Parameters
    ----------
    X : path-like, or a list of them
    image_shape : sequence of int, optional
        Height and width that images are resized to.
    encoder : ImageEncoder or None
        Of the model.
    """
    if isinstance(encoder, ImageEncoder):
        return open_images(X, image_format=encoder.image_format)[0]
    files, problems = open_images(X, _file_size(_checked_shape(image_shape)))
    warn_of_files(problems)
    return files


def _file_size(image_shape: tuple[int, ...] | None) -> tuple[int, int] | None:
    """Height and width that images are resized to."""
    if image_shape is None:
        return None
    if len(image_shape) != 2:
        raise DataError(
            f"image_shape={image_shape}; for image files expected (height, width), to which they are resized."
        )
    return image_shape[0], image_shape[1]


def warn_of_files(problems: Sequence[Problem | ImageFileError]) -> None:
    """One `FileLeftOutWarning` for each file that cannot be used."""
    for problem in problems:
        warnings.warn(FileLeftOutWarning(problem.path, problem.reason), stacklevel=4)


def _read_files(
    estimator: BaseEstimator, X: Any, image_shape: Sequence[int] | None, known: object, *, fitting: bool
) -> Images:
    files = open_files(X, image_shape, known)
    if not fitting:
        images, problems = files.load(most_bytes=sys.maxsize)
        if problems:
            raise problems[0]
        return images
    seed = new_seed(estimator.get_params(deep=False)["random_state"])
    images, problems = files.load(seed=seed)
    warn_of_files(problems)
    if images.n_rows < 2:
        raise DataError(f"{images.n_rows} images can be read; expected at least 2. Give more.")
    estimator.n_features_in_ = math.prod(images.shape)
    return images


def read_table(estimator: BaseEstimator, X: Any, *, fitting: bool) -> Table:
    """Rows as a table, with their shape and names checked against the fitted ones.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` and ``feature_names_in_`` when fitting, is checked against them otherwise.
    X : array-like, DataFrame or Tensor of shape (rows, columns)
        Rows.
    fitting : bool
        Whether this is the training data, which needs at least two rows.

    Raises
    ------
    ValueError
        If the shape, the names or the container are not usable.
    """
    if isinstance(X, torch.Tensor | np.ma.MaskedArray):
        X = as_array(X)
    X = as_pandas(X)
    if isinstance(X, list | tuple):
        rows = X
        X = np.asarray(rows)
        if X.dtype.kind in "US":
            # NumPy would have turned the numbers among them into text.
            X = np.array(rows, dtype=object)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 2:
        frame = pd.DataFrame(X.astype(object)).infer_objects()
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        return _read_frame(frame, tuple(f"x{place}" for place in range(X.shape[1])), fitting)
    if isinstance(X, pd.DataFrame):
        if not X.columns.is_unique:
            repeated = X.columns[X.columns.duplicated()][0]
            raise DataError(
                f"column {repeated!r} occurs more than once; rename or drop the copies.", column=str(repeated)
            )
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        return _read_frame(X, tuple(str(name) for name in X.columns), fitting)
    cells: FloatArray = validate_data(
        estimator,
        X,
        reset=fitting,
        dtype=np.float64,
        ensure_all_finite=False,
        ensure_min_samples=2 if fitting else 1,
    )
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{place}" for place in range(cells.shape[1])]
    return Table(tuple(str(name) for name in names), cells)


def as_pandas(X: Any) -> Any:
    """A Polars or Arrow table as a DataFrame, anything else as it is."""
    if isinstance(X, pd.DataFrame | np.ndarray) or not nw.dependencies.is_into_dataframe(X):
        return X
    frame = nw.from_native(X, eager_only=True)
    return frame.to_pandas()


def _read_frame(frame: pd.DataFrame, names: tuple[str, ...], fitting: bool) -> Table:
    n_rows, n_columns = frame.shape
    if n_columns == 0:
        raise DataError(f"0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if n_rows < (2 if fitting else 1):
        raise DataError(
            f"the table has {n_rows} sample(s) (shape={frame.shape}) while a minimum of {2 if fitting else 1} is "
            "required. Give more rows."
        )
    complex_columns = [name for name, dtype in zip(names, frame.dtypes, strict=True) if dtype.kind == "c"]
    if complex_columns:
        raise DataError(f"Complex data not supported: column {complex_columns[0]!r}. Give real and imaginary parts.")
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in frame.dtypes)
    return Table(names, frame.to_numpy(dtype=np.float64) if plain else frame)


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


def new_seed(random_state: Any) -> int:
    """A seed from an int, a NumPy generator of either kind, or fresh entropy for None, without global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)
