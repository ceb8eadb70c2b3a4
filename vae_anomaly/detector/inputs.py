"""What users hand in, checked once and turned into a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.tables import FloatArray, Table


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
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
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


def pack_like(X: Any, columns: list[npt.NDArray[Any]]) -> npt.NDArray[Any] | pd.DataFrame:
    """Columns in the container that `X` came in: a DataFrame with its index, or an array."""
    if isinstance(X, pd.DataFrame):
        frame = pd.DataFrame(dict(enumerate(columns)), index=X.index)
        frame.columns = X.columns
        return frame
    dtype = np.float64 if all(column.dtype == np.float64 for column in columns) else object
    return np.column_stack([column.astype(dtype) for column in columns])


def resolve_device(device: str) -> torch.device:
    """The device by name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    SpecificationError
        If this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecificationError("device='cuda', but PyTorch finds no CUDA device here; use device='auto' or 'cpu'.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise SpecificationError("device='mps', but PyTorch finds no Apple GPU here; use device='auto' or 'cpu'.")
    return torch.device(device)


def new_seed(random_state: Any) -> int:
    """A seed from an int, a NumPy generator of either kind, or fresh entropy for None, without global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)
