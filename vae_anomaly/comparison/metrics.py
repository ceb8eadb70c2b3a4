"""Scorers for labelled search that cannot be got the wrong way round."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly.errors import DataError


class ScoresSamples(Protocol):
    """An estimator, or a pipeline that ends in one, whose `score_samples` is higher for more normal rows."""

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores of shape (rows,)."""


def anomaly_labels(y: Any) -> npt.NDArray[np.bool_]:
    """Labels in either convention as a mask of anomalies.

    Parameters
    ----------
    y : array-like of shape (rows,)
        {0, 1} or booleans, where 1 or True is an anomaly; or scikit-learn's {-1, 1}, where -1 is an anomaly.

    Returns
    -------
    ndarray of shape (rows,), bool

    Raises
    ------
    DataError
        If the labels are of neither convention, or of one class only (then the convention is unknown).

    Examples
    --------
    >>> anomaly_labels([0, 1, 0]).tolist()
    [False, True, False]
    >>> anomaly_labels([1, -1, 1]).tolist()
    [False, True, False]
    """
    labels = np.asarray(y).ravel()
    levels = set(np.unique(labels).tolist()) if labels.dtype.kind in "biuf" else set()
    if levels == {0, 1}:
        return np.asarray(labels == 1)
    if levels == {-1, 1}:
        return np.asarray(labels == -1)
    listed = ", ".join(str(level) for level in np.unique(labels.astype(str))[:4])
    raise DataError(
        f"y holds {listed}; expected both of {{0, 1}} (1 is an anomaly) or both of {{-1, 1}} (-1 is an anomaly). "
        "Recode the labels."
    )


def anomaly_roc_auc(estimator: ScoresSamples, X: Any, y: Any) -> float:
    """Area under the ROC curve, with anomalies as the positive class.

    Parameters
    ----------
    estimator : fitted estimator or pipeline
        With `score_samples`, higher for more normal rows.
    X : array-like or DataFrame of shape (rows, columns)
        Rows.
    y : array-like of shape (rows,)
        {0, 1} with 1 for anomalies, or {-1, 1} with -1 for anomalies.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If `y` is of neither convention.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> X = np.array([[0.0], [0.1], [0.2], [0.3], [9.0]])
    >>> anomaly_roc_auc(IsolationForest(random_state=0).fit(X), X, [0, 0, 0, 0, 1])
    1.0
    """
    return float(roc_auc_score(anomaly_labels(y), -np.asarray(estimator.score_samples(X))))


def anomaly_average_precision(estimator: ScoresSamples, X: Any, y: Any) -> float:
    """Average precision, with anomalies as the positive class.

    Parameters, errors and conventions are those of `anomaly_roc_auc`.

    Parameters
    ----------
    estimator : fitted estimator or pipeline
        With `score_samples`, higher for more normal rows.
    X : array-like or DataFrame of shape (rows, columns)
        Rows.
    y : array-like of shape (rows,)
        {0, 1} with 1 for anomalies, or {-1, 1} with -1 for anomalies.

    Returns
    -------
    float
    """
    return float(average_precision_score(anomaly_labels(y), -np.asarray(estimator.score_samples(X))))
