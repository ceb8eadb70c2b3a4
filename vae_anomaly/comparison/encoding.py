"""Mixed tables with missing values as matrices of numbers, for detectors that take nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.data import FloatArray, Table
from vae_anomaly.detectors import as_rows
from vae_anomaly.errors import DataError

MIN_FREQUENCY = 10
MISSING = "missing"
NUMBERS, DAYS, LEVELS, ASIDE = "numbers", "days", "levels", "aside"
DECLARED = {"categorical": LEVELS, "binary": LEVELS, "boolean": LEVELS, "datetime": DAYS, "identifier": ASIDE}


class NumericEncoder(TransformerMixin, BaseEstimator):
    """Encode a mixed table as numbers: medians for missing values, standardised; text and flags one-hot.

    Dates become days. A missing text is a level of its own, rare levels share a column, and a level that training did
    not see is all zeros. A column without a training value is left out.

    Parameters
    ----------
    columns : mapping of str to str, default=None
        What columns are, where their cells mislead, as `VAEDetector` has it: "categorical", "binary" and "boolean"
        become levels, "identifier" is left out, "datetime" becomes days, and the other kinds numbers.
    min_frequency : int, default=10
        Levels in fewer training rows than this share a column.

    Attributes
    ----------
    readings_ : dict of str to str
        How each column is read: "numbers", "days", "levels" or "aside".
    transformer_ : ColumnTransformer
        What encodes them.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"amount": [1.0, 3.0, None], "shop": ["a", "b", "a"]})
    >>> NumericEncoder(min_frequency=1).fit_transform(X).round(2).tolist()
    [[-1.22, 1.0, 0.0], [1.22, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """

    def __init__(self, columns: Mapping[str, str] | None = None, *, min_frequency: int = MIN_FREQUENCY) -> None:
        self.columns = columns
        self.min_frequency = min_frequency

    def fit(self, X: Any, y: Any = None) -> NumericEncoder:
        """Learn medians, means, standard deviations and levels.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Training rows.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        NumericEncoder
            The fitted transformer.

        Raises
        ------
        DataError
            If a cell is infinite, or is not what its column holds; the message names both.
        """
        table = _table(X)
        declared = self.columns or {}
        self.readings_ = {
            name: _reading(table, position, declared.get(name)) for position, name in enumerate(table.names)
        }
        numeric = [name for name, reading in self.readings_.items() if reading in (NUMBERS, DAYS)]
        levels = [name for name, reading in self.readings_.items() if reading == LEVELS]
        self.transformer_ = ColumnTransformer(
            [
                ("numeric", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
                (
                    "levels",
                    OneHotEncoder(handle_unknown="ignore", min_frequency=self.min_frequency, sparse_output=False),
                    levels,
                ),
            ]
        ).fit(self._plain(table))
        return self

    def transform(self, X: Any) -> FloatArray:
        """Encode rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data, by name.

        Returns
        -------
        ndarray of shape (rows, encoded columns), float64

        Raises
        ------
        DataError
            If a column is missing, or a cell is not what its column holds.
        """
        check_is_fitted(self)
        encoded: FloatArray = np.asarray(self.transformer_.transform(self._plain(_table(X))), dtype=np.float64)
        return encoded

    def _plain(self, table: Table) -> pd.DataFrame:
        """The columns in use as float64 or text, whatever dtype they came in."""
        plain: dict[str, Any] = {}
        for name, reading in self.readings_.items():
            if reading == ASIDE:
                continue
            if name not in table.names:
                raise DataError(f"column {name!r} is missing; expected the columns of the training rows.", column=name)
            position = table.names.index(name)
            if reading == NUMBERS:
                plain[name] = table.numbers(position)
            elif reading == DAYS:
                plain[name] = table.days(position)
            else:
                plain[name] = np.where(table.missing(position), MISSING, table.texts(position))
        return pd.DataFrame(plain, index=range(table.n_rows))


def _table(X: Any) -> Table:
    X = as_rows(X)
    if isinstance(X, pd.DataFrame):
        return Table(tuple(str(name) for name in X.columns), X)
    cells = np.asarray(X)
    names = tuple(f"x{position}" for position in range(cells.shape[1]))
    if cells.dtype.kind in "OUS":
        return Table(names, pd.DataFrame(cells.astype(object), columns=list(names)).infer_objects())
    return Table(names, cells.astype(np.float64))


def _reading(table: Table, position: int, declared: str | None) -> str:
    """How to read a column, by what it is declared to be or holds."""
    if table.missing(position).all():
        return ASIDE
    if declared is not None:
        return DECLARED.get(declared, NUMBERS)
    content = table.content(position)
    if content == "datetime":
        return DAYS
    return NUMBERS if content == "number" else LEVELS
