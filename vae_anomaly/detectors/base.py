"""What follows from a score and a threshold, the same for every detector."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone

from vae_anomaly.data import FloatArray
from vae_anomaly.display import html_table, one_line
from vae_anomaly.forks import ForkSafeLock
from vae_anomaly.model import own_settings

# What changes a fitted estimator reads it, and writes it back, while no other thread does.
CHANGES = ForkSafeLock()

# What a notebook shows of a fitted detector.
SHOWN = ("columns_", "row_score_", "fit_report_", "threshold_", "calibration_")

EstimatorT = TypeVar("EstimatorT", bound=BaseEstimator)


@contextmanager
def fitted_at_once(estimator: EstimatorT) -> Iterator[EstimatorT]:
    """A copy to fit inside; all that it learned becomes the estimator's at the end, together.

    Whatever interrupts the fit, the estimator stays what it was before, and threads that score with it meanwhile find
    all of the fit before or all of this one.
    """
    draft = object.__new__(type(estimator))
    draft.__dict__ = estimator.__dict__.copy()
    yield draft
    estimator.__dict__ = draft.__dict__


def as_it_is(estimator: EstimatorT) -> EstimatorT:
    """The estimator to read from, all of one fit, whatever another thread's fit makes of it meanwhile."""
    present = object.__new__(type(estimator))
    # `fitted_at_once` puts another one in its place.
    present.__dict__ = estimator.__dict__
    return present


def copied_parameters(estimator: BaseEstimator) -> dict[str, Any]:
    """The parameters of an estimator as they are now: what is changed in them later does not change these."""
    parameters: dict[str, Any] = estimator.get_params(deep=False)
    for name, value in parameters.items():
        if isinstance(value, BaseEstimator):
            parameters[name] = clone(value)
        elif isinstance(value, list | Mapping):
            parameters[name] = copy.copy(value)
    return parameters


class AnomalyDetectorMixin(abc.ABC):
    """`anomaly_score`, `decision_function` and `predict` of a detector with `score_samples` and ``offset_``."""

    offset_: float
    """Rows with lower scores are anomalous."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # PyTorch shares the copying of large weights among threads, which in a forked process never ends.
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        with own_settings():
            twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """What notebooks show: the diagram of scikit-learn, and below it what a fit learned."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        learned = {name: getattr(self, name, None) for name in SHOWN}
        known = {name: one_line(value) for name, value in learned.items() if value is not None}
        if "text/html" in bundle and known:
            bundle["text/html"] += html_table("fitted", pd.DataFrame({"": list(known), " ": list(known.values())}))
        return bundle

    @abc.abstractmethod
    def score_samples(self, X: Any) -> FloatArray:
        """Scores, higher for more normal rows or images: (n,)."""

    @own_settings()
    def anomaly_score(self, X: Any) -> FloatArray:
        """``-score_samples(X)``: higher for more anomalous rows or images, in nats.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return -self.score_samples(X)

    @own_settings()
    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, for a search over parameters without labels; files without a score do not count.

        Comparable between models of the same columns or channels and the same kinds of likelihood; a change of
        preprocessing or from densities to probabilities changes the unit.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        float
            Nats.
        """
        return float(np.nanmean(self.score_samples(X)))

    @own_settings()
    def decision_function(self, X: Any) -> FloatArray:
        """``score_samples(X) - offset_``: negative for anomalies.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return self.score_samples(X) - self.offset_

    @own_settings()
    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for anomalies, +1 for what is normal; what has no score, as a file that cannot be read, is not normal.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (n,), int
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)
