"""How anomalous single cells are to detectors that a careful user has today, and how they fill missing values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.impute import KNNImputer

FloatArray = npt.NDArray[np.float64]

FEW_VALUES = 10
N_BACKGROUNDS = 5


def is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))


def marginal_tail(frame: pd.DataFrame) -> FloatArray:
    """Minus the logarithm of each cell's tail probability in its column: two-sided ranks, or rarer-or-equal levels."""
    anomalous = np.zeros(frame.shape)
    for index, name in enumerate(frame.columns):
        column, n = frame[name], frame[name].notna().sum()
        if is_numeric(column) and column.nunique() > FEW_VALUES:
            low, high = column.rank(method="max"), (-column).rank(method="max")
            tail = (2 * low.where(low < high, high) / n).clip(upper=1.0)
        else:
            counts = column.value_counts()
            rarer = {level: float(counts[counts <= count].sum()) / n for level, count in counts.items()}
            tail = column.map(rarer).astype(float)
        anomalous[:, index] = -np.log(tail.fillna(1.0).to_numpy(dtype=float))
    return anomalous


def one_hot(frame: pd.DataFrame) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Scaled numbers and indicators, with NaN for missing values, and the column that each of them belongs to."""
    parts, owners = [], []
    for index, name in enumerate(frame.columns):
        column = frame[name]
        if is_numeric(column):
            block = ((column - column.mean()) / (column.std() or 1.0)).to_numpy(dtype=float)[:, None]
        else:
            block = pd.get_dummies(column).to_numpy(dtype=float).copy()
            block[column.isna().to_numpy()] = np.nan
        parts.append(block)
        owners += [index] * block.shape[1]
    return np.hstack(parts), np.array(owners)


def _filled(matrix: FloatArray) -> FloatArray:
    return np.where(np.isnan(matrix), np.nanmedian(matrix, axis=0), matrix)


def ecod(frame: pd.DataFrame) -> FloatArray:
    """ECOD's own score of each column; indicators of one column are added up."""
    from pyod.models.ecod import ECOD

    matrix, owners = one_hot(frame)
    detector = ECOD().fit(_filled(matrix))
    columns = np.zeros(frame.shape)
    np.add.at(columns.T, owners, np.asarray(detector.O).T)
    return np.where(frame.notna(), columns, 0.0)


def isolation_forest(frame: pd.DataFrame, seed: int) -> FloatArray:
    """How much a forest's score falls when a cell is replaced by that of another row, averaged over five rows.

    The first term of a Shapley value with an interventional background: exact ones need 2 ** columns evaluations.
    """
    matrix, owners = one_hot(frame)
    filled = _filled(matrix)
    forest = IsolationForest(random_state=seed).fit(filled)
    before = -forest.score_samples(filled)
    rng = np.random.default_rng(seed)
    anomalous = np.zeros(frame.shape)
    for index in range(frame.shape[1]):
        own = owners == index
        for _ in range(N_BACKGROUNDS):
            changed = filled.copy()
            changed[:, own] = filled[rng.permutation(len(filled))][:, own]
            anomalous[:, index] += (before + forest.score_samples(changed)) / N_BACKGROUNDS
    return np.where(frame.notna(), anomalous, -np.inf).clip(min=-1e9)


def column_mean(frame: pd.DataFrame) -> pd.DataFrame:
    """Missing values filled with the mean of numbers and the most frequent level."""
    filled = {name: frame[name].mean() if is_numeric(frame[name]) else frame[name].mode().iloc[0] for name in frame}
    return frame.fillna(filled)


def nearest_neighbours(frame: pd.DataFrame) -> pd.DataFrame:
    """Missing values filled by the five nearest rows among scaled numbers and indicators."""
    matrix, owners = one_hot(frame)
    filled = KNNImputer(n_neighbors=5).fit_transform(matrix)
    result = frame.copy()
    for index, name in enumerate(frame.columns):
        column, missing, own = frame[name], frame[name].isna().to_numpy(), filled[:, owners == index]
        if not missing.any():
            continue
        if is_numeric(column):
            values = own[:, 0] * (column.std() or 1.0) + column.mean()
            result[name] = np.where(missing, values, column)
        else:
            levels = pd.get_dummies(column).columns.to_numpy()
            result[name] = np.where(missing, levels[own.argmax(1)], column)
    return result
