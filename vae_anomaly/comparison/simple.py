"""Baselines, all scikit-learn's, to compare VAEDetector with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.comparison.encoding import NumericEncoder
from vae_anomaly.data import FloatArray

NOISE_FLOOR = 1e-6


class MeanDistance(OutlierMixin, BaseEstimator):
    """Score a row by its mean distance to the nearest training rows.

    Parameters
    ----------
    n_neighbors : int, default=5
        How many of them.

    Attributes
    ----------
    neighbors_ : NearestNeighbors
        The training rows.

    Examples
    --------
    >>> detector = MeanDistance(n_neighbors=2).fit([[0.0], [1.0], [5.0]])
    >>> detector.score_samples([[0.0]]).tolist(), detector.score_training_rows().tolist()
    ([-0.5], [-3.0, -2.5, -4.5])
    """

    def __init__(self, n_neighbors: int = 5) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: Any, y: Any = None) -> MeanDistance:
        """Keep the training rows.

        Parameters
        ----------
        X : array-like of shape (rows, columns)
            Training rows, at least two; with too few of them, all others are neighbours.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        MeanDistance
            The fitted detector.
        """
        self.neighbors_ = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(X) - 1)).fit(X)
        return self

    def score_samples(self, X: Any) -> FloatArray:
        """The negative mean distance of each row, higher for more normal rows.

        Parameters
        ----------
        X : array-like of shape (rows, columns)
            Rows that training did not see: each of these would be its own neighbour.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        return self._score(X)

    def score_training_rows(self) -> FloatArray:
        """The same of the training rows, none of which is its own neighbour.

        Returns
        -------
        ndarray of shape (training rows,), float64
        """
        return self._score(None)

    def _score(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        scores: FloatArray = -self.neighbors_.kneighbors(X)[0].mean(axis=1)
        return scores


class ProbabilisticPCA(PCA):
    """PCA whose `score_samples` stays finite where the components leave no variance.

    Its log-likelihood is that of probabilistic PCA. scikit-learn takes the mean of the variances that are left for the
    noise; here it is at least a millionth of the mean variance of the columns, so that tables with linearly
    dependent columns, such as one-hot ones, have a likelihood, too.

    References
    ----------
    Tipping and Bishop, "Probabilistic principal component analysis", 1999, eq. 8.
    """

    def fit(self, X: Any, y: Any = None) -> ProbabilisticPCA:
        """Find the components.

        Parameters
        ----------
        X : array-like of shape (rows, columns)
            Training rows.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        ProbabilisticPCA
            The fitted model.
        """
        super().fit(X)
        floor = NOISE_FLOOR * float(np.var(np.asarray(X), axis=0).mean())
        self.noise_variance_: float = max(float(self.noise_variance_), floor)
        return self


class GaussianMixtureByBIC(OutlierMixin, BaseEstimator):
    """Gaussian mixture with as many components as the Bayesian information criterion asks for.

    One component more is tried until the criterion of the training rows rises.

    Parameters
    ----------
    max_components : int, default=10
        Where to stop in any case.
    reg_covar : float, default=1e-3
        Added to the variances. Meant for standardised columns, where one-hot ones are linearly dependent.
    random_state : int, RandomState or None, default=None
        Of the initial responsibilities.

    Attributes
    ----------
    mixture_ : GaussianMixture
        The chosen one.
    """

    def __init__(self, max_components: int = 10, *, reg_covar: float = 1e-3, random_state: Any = None) -> None:
        self.max_components = max_components
        self.reg_covar = reg_covar
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> GaussianMixtureByBIC:
        """Choose the number of components, and fit them.

        Parameters
        ----------
        X : array-like of shape (rows, columns)
            Training rows.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        GaussianMixtureByBIC
            The fitted detector.
        """
        lowest = np.inf
        with warnings.catch_warnings():
            # A mixture that had not converged is compared by its criterion like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for n_components in range(1, min(self.max_components, len(X)) + 1):
                mixture = GaussianMixture(n_components, reg_covar=self.reg_covar, random_state=self.random_state).fit(X)
                criterion = mixture.bic(X)
                if criterion >= lowest:
                    break
                lowest, self.mixture_ = criterion, mixture
        return self

    def score_samples(self, X: Any) -> FloatArray:
        """The log-density of each row.

        Parameters
        ----------
        X : array-like of shape (rows, columns)
            Rows.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        check_is_fitted(self)
        densities: FloatArray = self.mixture_.score_samples(X)
        return densities


def simple_detectors(columns: Mapping[str, str] | None = None) -> dict[str, Pipeline]:
    """Detectors that a user would try first, each behind a `NumericEncoder`.

    IsolationForest and LOF (20 neighbours) are at scikit-learn's defaults; kNN is the mean distance to 5 neighbours;
    PCA the log-likelihood of probabilistic PCA with the components that hold 90 % of the variance; GaussianMixture has
    full covariances and as many components as BIC asks for.

    Parameters
    ----------
    columns : mapping of str to str, optional
        What columns are, where their cells mislead; see `NumericEncoder`.

    Returns
    -------
    dict of str to Pipeline

    Examples
    --------
    >>> list(simple_detectors())
    ['IsolationForest', 'LOF', 'kNN', 'PCA', 'GaussianMixture']
    """
    models: dict[str, Any] = {
        "IsolationForest": IsolationForest(),
        "LOF": LocalOutlierFactor(n_neighbors=20, novelty=True),
        "kNN": MeanDistance(),
        "PCA": ProbabilisticPCA(n_components=0.9),
        "GaussianMixture": GaussianMixtureByBIC(),
    }
    return {name: make_pipeline(NumericEncoder(columns), model) for name, model in models.items()}
