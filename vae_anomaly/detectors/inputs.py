"""What users give, checked once and turned into a table or images: nothing below asks which of them it was."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, validate_data

from vae_anomaly.columns import Encoder, read_text
from vae_anomaly.data import (
    SUFFIXES,
    FloatArray,
    ImageFileError,
    ImageFiles,
    ImageFormat,
    Images,
    Problem,
    Table,
    as_array,
    check_unique,
    holds_long_numbers,
    is_images,
    is_pillow_images,
    open_images,
    read_arrays,
    read_pillow_images,
)
from vae_anomaly.detectors.containers import as_rows
from vae_anomaly.detectors.known_columns import aligned, needed_columns
from vae_anomaly.detectors.odd_columns import read_odd_columns
from vae_anomaly.errors import DataError, FileLeftOutWarning, SpecificationError, callers_level

OnProblems = Callable[[Sequence[ImageFileError]], None]

NO_IMAGES = (
    "the model takes images; expected an array of shape (n, height, width), (n, height, width, channels) or (n, "
    "channels, height, width), a folder or image files. For flattened images give image_shape=(height, width)."
)
NO_TABLE = (
    "the model takes rows of a table, and images or files are given. Read a table from its file first, or fit a model "
    "on images."
)


def read_rows(estimator: BaseEstimator, X: Any, known: Encoder | None, *, lenient: bool = False) -> Table | Images:
    """Rows of a table, or images where the input has their axes or the estimator their shape.

    Parameters
    ----------
    estimator : BaseEstimator
        With `image_shape`; gets ``n_features_in_`` when fitting, is checked against it otherwise.
    X : array-like, DataFrame or Tensor
        Rows of shape (rows, columns), or images as `read_arrays` takes them.
    known : Encoder or None
        Of the model that the rows are for; None when fitting, which needs at least two rows.
    lenient : bool, default=False
        Whether a few cells that cannot be read are missing.

    Raises
    ------
    ValueError
        If the shape, the names or the container are not usable.
    """
    if known is None:
        images = estimator.get_params(deep=False)["image_shape"] is not None or _are_images(X)
    else:
        images = known.takes_images
    if images:
        return read_images(estimator, X, known)
    return read_table(estimator, X, fitting=known is None, lenient=lenient)


def read_training_rows(
    estimator: BaseEstimator, X: Any, sample_weight: Any, known: Encoder | None, min_rows: int
) -> tuple[Table | Images, FloatArray | None, npt.NDArray[np.bool_]]:
    """The rows of positive weight, these weights (None where none are given), and which of all rows they are.

    Raises
    ------
    DataError
        If fewer than `min_rows` rows are left.
    """
    data = read_rows(estimator, X, known, lenient=True)
    if sample_weight is None:
        return data, None, np.ones(data.n_rows, dtype=bool)
    if isinstance(data, Images) and np.shape(sample_weight) not in ((), (data.n_rows,)):
        raise DataError(
            f"there are {np.size(sample_weight)} weights for {data.n_rows} images. Images that cannot be read are "
            "left out: take them off the list, and their weights as well."
        )
    weights: FloatArray = _check_sample_weight(
        as_array(sample_weight) if isinstance(sample_weight, torch.Tensor) else sample_weight,
        np.empty(data.n_rows),
        dtype=np.float64,
        ensure_non_negative=True,
    )
    present = np.flatnonzero(weights)
    if len(present) < min_rows:
        words = {1: "one", 2: "two"}
        raise DataError(
            f"{len(present)} row(s) have a weight above 0; training needs at least {words.get(min_rows, min_rows)}."
        )
    return data.take(present), weights[present], weights != 0


def read_images(estimator: BaseEstimator, X: Any, known: Encoder | None) -> Images:
    """Images, as arrays, Pillow images, files or flattened rows; see `read_rows`.

    Raises
    ------
    DataError
        If they are rows of a table, or too few.
    """
    image_shape = _checked_shape(estimator.get_params(deep=False)["image_shape"])
    if is_files(X):
        return _read_files(estimator, X, image_shape, known)
    if is_pillow_images(X):
        X = read_pillow_images(X, _file_size(image_shape), None if known is None else format_of_files(estimator, known))
    flattened = not is_images(X)
    if flattened and image_shape is None:
        raise DataError(NO_IMAGES)
    if flattened:
        X = read_table(estimator, X, fitting=known is None).cells
    images = read_arrays(X, image_shape if flattened else None)
    if image_shape is not None and sorted(image_shape) not in (sorted(images.shape), sorted(images.shape[1:])):
        raise DataError(f"the images have the shape {images.shape}, and image_shape={image_shape}. Leave it out.")
    min_images = 2 if known is None else 1
    if images.n_rows < min_images:
        raise DataError(f"there are {images.n_rows} images; expected at least {min_images}. Give more.")
    if known is None and not flattened:
        estimator.n_features_in_ = math.prod(images.shape)
    return images


def _are_images(X: Any) -> bool:
    return is_images(X) or is_pillow_images(X) or is_files(X)


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


def open_files(X: Any, image_format: ImageFormat | None) -> ImageFiles:
    """Image files in the format of a model.

    Parameters
    ----------
    X : path-like, or a list of them
    image_format : ImageFormat
        See `format_of_files`.

    Raises
    ------
    DataError
        If none has the size of the model, and it resizes none.
    """
    return open_images(X, image_format=image_format)[0]


def format_of_files(estimator: BaseEstimator, known: Encoder) -> ImageFormat | None:
    """How a model reads image files: resized where `image_shape` is given, and else only those of its own size.

    None for models of tables.
    """
    found = known.image_format
    resizes = estimator.get_params(deep=False)["image_shape"] is not None
    return None if found is None else replace(found, resizes=resizes)


def read_portions(
    files: ImageFiles, on_problems: OnProblems | None = None
) -> Iterator[tuple[Images, npt.NDArray[np.bool_]]]:
    """Images of some files at a time, and which of these files have one; a warning, or a call, for those with none."""
    n_read = 0
    for paths, images, problems in files.chunks():
        (on_problems or warn_of_files)(problems)
        part = files.paths[n_read : n_read + len(paths) + len(problems)]
        n_read += len(part)
        found = deque(paths)
        yield images, np.array([bool(found and found[0] == path and found.popleft()) for path in part], dtype=bool)


def spread(values: npt.NDArray[Any], usable: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Values of the usable among several, in the places of these; NaN or 0 in the others."""
    fill = math.nan if values.dtype.kind == "f" else 0
    every = np.full((len(usable), *values.shape[1:]), fill, dtype=values.dtype)
    every[usable] = values
    return every


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
        warnings.warn(FileLeftOutWarning(problem.path, problem.reason), stacklevel=callers_level())


def _read_files(estimator: BaseEstimator, X: Any, image_shape: Sequence[int] | None, known: Encoder | None) -> Images:
    if known is not None:
        images, problems = open_files(X, format_of_files(estimator, known)).load(max_bytes=sys.maxsize)
        if problems:
            raise problems[0]
        return images
    files, unusable = open_images(X, _file_size(_checked_shape(image_shape)))
    warn_of_files(unusable)
    seed = new_seed(estimator.get_params(deep=False)["random_state"])
    images, problems = files.load(seed=seed)
    if images.n_rows < 2:
        reasons = [*map(str, problems), *(f"{each.path}: {each.reason}" for each in unusable)]
        why = f"The first that cannot: {reasons[0]}" if reasons else "Give more."
        n_files = len(files) + len(unusable)
        raise DataError(f"{images.n_rows} of {n_files} images can be read; expected at least 2. {why}")
    warn_of_files(problems)
    estimator.n_features_in_ = math.prod(images.shape)
    return images


def read_table(estimator: BaseEstimator, X: Any, *, fitting: bool, lenient: bool = False) -> Table:
    """Rows as a table, with their shape and names checked against the fitted ones, and text read as in training.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` and ``feature_names_in_`` when fitting, is checked against them otherwise.
    X : array-like, DataFrame or Tensor of shape (rows, columns)
        Rows, in any container that `as_rows` takes.
    fitting : bool
        Whether this is the training data, which needs at least two rows.
    lenient : bool, default=False
        Whether a few cells that cannot be read are missing.

    Raises
    ------
    ValueError
        If the shape, the names or the container are not usable.
    """
    table = _checked_table(estimator, X, fitting=fitting)
    model = getattr(estimator, "model_", None)
    if fitting or model is None or model.takes_images:
        return table
    with table.naming_rows():
        return read_text(table, model.encoder.columns, lenient=lenient)


def _checked_table(estimator: BaseEstimator, X: Any, *, fitting: bool) -> Table:
    """Rows as a table, with their shape and names checked against the fitted ones."""
    if _are_images(X):
        raise DataError(NO_TABLE)
    if isinstance(X, torch.Tensor | np.ma.MaskedArray):
        X = as_array(X)
    X = as_rows(X) if fitting else aligned(estimator, X)[0]
    if isinstance(X, list | tuple):
        rows = X
        X = np.asarray(rows)
        if X.dtype.kind in "US":
            # NumPy would have turned the numbers among them into text.
            X = np.array(rows, dtype=object)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 2:
        frame = pd.DataFrame(X.astype(object)).infer_objects()
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        numbered = tuple(f"x{index}" for index in range(X.shape[1]))
        return _read_frame(frame, numbered, fitting, needed=frozenset(numbered), labels=None)
    if isinstance(X, pd.DataFrame):
        check_unique(X)
        if fitting or not _is_as_fitted(estimator, X):
            validate_data(estimator, X, reset=fitting, skip_check_array=True)
        needed = frozenset() if fitting else needed_columns(estimator)
        return _read_frame(X, tuple(str(name) for name in X.columns), fitting, needed=needed, labels=X.index)
    cells: FloatArray = X
    if fitting or not _is_as_fitted(estimator, X):
        cells = validate_data(
            estimator,
            X,
            reset=fitting,
            dtype=np.float64,
            ensure_all_finite=False,
            ensure_min_samples=2 if fitting else 1,
        )
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{index}" for index in range(cells.shape[1])]
    return Table(tuple(str(name) for name in names), cells)


def _is_as_fitted(estimator: BaseEstimator, X: Any) -> bool:
    """Whether scikit-learn's checks would find and change nothing: they take as long as all else for one row."""
    names = getattr(estimator, "feature_names_in_", None)
    if isinstance(X, pd.DataFrame):
        return names is not None and list(X.columns) == list(names)
    # Not of a subclass.
    is_plain = type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2 and len(X) > 0
    return is_plain and names is None and X.shape[1] == estimator.n_features_in_


def _read_frame(
    frame: pd.DataFrame,
    names: tuple[str, ...],
    fitting: bool,
    *,
    needed: frozenset[str],
    labels: pd.Index[Any] | None,
) -> Table:
    """A DataFrame as a table; columns that are needed must be usable, others are set aside if they are not."""
    n_rows, n_columns = frame.shape
    if n_columns == 0:
        raise DataError(f"0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if n_rows < (2 if fitting else 1):
        raise DataError(
            f"the table has {n_rows} sample(s) (shape={frame.shape}) while a minimum of {2 if fitting else 1} is "
            "required. Give more rows."
        )
    read = read_odd_columns(frame, names)
    for name, error in read.unusable.items():
        if name in needed:
            if labels is not None and error.row is not None:
                error.label = labels[error.row]
            raise error
    frame = read.frame
    dtypes = list(frame.dtypes)
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in dtypes)
    # In one matrix of floats such numbers would be others.
    whole = [position for position, dtype in enumerate(dtypes) if dtype.kind in "iu"] if plain else []
    plain = plain and not any(holds_long_numbers(frame.iloc[:, position]) for position in whole)
    return Table(names, frame.to_numpy(dtype=np.float64) if plain else frame, remarks=read.remarks, index=labels)


def new_seed(random_state: Any) -> int:
    """A seed from an int, a NumPy generator of either kind, or fresh entropy for None, without global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)


def group_labels(table: Table, name: str) -> npt.NDArray[np.object_]:
    """Cells of a column as text, one group for each.

    Raises
    ------
    SpecificationError
        If there is no such column.
    """
    if name not in table.names:
        raise SpecificationError(f"calibration_groups names column {name!r}, and there is none. Give one of the table.")
    cells = pd.Series(
        table.cells.iloc[:, table.names.index(name)]
        if isinstance(table.cells, pd.DataFrame)
        else table.cells[:, table.names.index(name)]
    )
    labels: npt.NDArray[np.object_] = cells.map(level_text).where(cells.notna(), "missing").to_numpy(dtype=object)
    return labels


def level_text(cell: object) -> str:
    """A level as text, whichever dtype holds it: 3.0 is 3, as in a column of integers without missing cells."""
    return str(int(cell)) if isinstance(cell, float | np.floating) and float(cell).is_integer() else str(cell)
