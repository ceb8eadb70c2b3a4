"""AnomalyClassifier: a detector that scikit-learn's tools for classifiers take, the right way round."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.comparison.metrics import anomaly_labels
from vae_anomaly.data import FloatArray


class AnomalyClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A detector as a classifier of two classes, for tools of scikit-learn that take no others.

    scikit-learn's detectors have low scores for anomalies, while curves and scores of classifiers take a high
    `decision_function` for the class that counts as positive. With labels 0 and 1, of which 1 is an anomaly,
    ``scoring="roc_auc"`` of a detector is 1 minus the AUROC, without a word. Here `decision_function` is positive for
    the larger of the two labels: anomalies where labels are 0 and 1, normal rows where they are -1 and 1.

    The detector is fitted to all rows, and labels say what a decision is compared with. `TunedThresholdClassifierCV`,
    `RocCurveDisplay.from_estimator`, scorers by name, `permutation_importance` and `CalibratedClassifierCV` work.

    Parameters
    ----------
    detector : estimator
        With scikit-learn's interface of detectors, or a pipeline that ends in one. One that is fitted already stays as
        it is inside of `sklearn.frozen.FrozenEstimator`.

    Attributes
    ----------
    detector_ : estimator
        The fitted detector.
    classes_ : ndarray of shape (2,)
        The labels, ascending.
    n_features_in_ : int
        Number of columns, where the detector says so.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.metrics import get_scorer
    >>> from vae_anomaly import AnomalyClassifier, VAEDetector
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = VAEDetector(max_iter=60, early_stopping=False).fit(X)
    >>> rows, labels = np.concatenate([X, X[:20] + 9]), np.repeat([0, 1], [200, 20])
    >>> classifier = AnomalyClassifier(FrozenEstimator(detector)).fit(rows, labels)
    >>> float(get_scorer("roc_auc")(classifier, rows, labels))
    1.0
    """

    detector_: Any
    classes_: npt.NDArray[Any]

    _parameter_constraints: ClassVar[dict[str, Any]] = {"detector": "no_validation"}

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> Self:
        """Fit the detector to all rows, and learn which labels there are.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What the detector takes.
        y : array-like of shape (rows,)
            Both of 0 and 1 (1 is an anomaly), booleans, or both of -1 and 1 (-1 is an anomaly).

        Returns
        -------
        AnomalyClassifier
            The fitted classifier.

        Raises
        ------
        DataError
            If labels are of neither convention, or of one class.
        """
        anomaly_labels(y)
        self.classes_ = np.unique(np.asarray(y))
        self.detector_ = clone(self.detector).fit(X, None)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.detector_, name):
                setattr(self, name, getattr(self.detector_, name))
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """How far rows are on the side of the larger label: above 0 is that label.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)

        Returns
        -------
        ndarray of shape (rows,), float64
            Nats, of a detector of this package.
        """
        check_is_fitted(self)
        normality: FloatArray = np.asarray(self.detector_.decision_function(X), dtype=np.float64)
        return normality if self._larger_is_normal else -normality

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The label of each row, as the detector decides.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)

        Returns
        -------
        ndarray of shape (rows,)
        """
        check_is_fitted(self)
        is_normal = np.asarray(self.detector_.predict(X)) == 1
        found: npt.NDArray[Any] = self.classes_[(is_normal == self._larger_is_normal).astype(np.intp)]
        return found

    @property
    def _larger_is_normal(self) -> bool:
        return bool(self.classes_[0] == -1)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags = get_tags(self.detector).input_tags
        return tags
