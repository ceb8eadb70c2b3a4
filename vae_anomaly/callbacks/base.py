"""What a callback is told of a fit."""

from __future__ import annotations

from typing import Any

from vae_anomaly.model import TrainingCheck


class Callback:
    """Watches a fit; every method does nothing until a subclass says what.

    An exception in any of them ends the fit and leaves the detector as it was before it.  Only `StopTraining`, from
    `on_check`, ends the training and keeps what it has learned: `History.stopped_by` says why.  Callbacks do not change
    what is learned otherwise: the fit has random numbers of its own.

    ``clone`` copies callbacks, as `GridSearchCV` does for each of its fits, and processes (``n_jobs``) and pickles take
    those that can be pickled.  Model files do not hold them.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.callbacks import Callback, StopTraining
    >>> class GoodEnough(Callback):
    ...     def on_check(self, detector, check):
    ...         if check.iteration >= 50:
    ...             raise StopTraining("50 steps are enough here")
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = VAEDetector(max_iter=100, early_stopping=False, callbacks=[GoodEnough()]).fit(X)
    >>> detector.n_iter_, detector.history_.stopped_by
    (50, '50 steps are enough here')
    """

    def on_fit_begin(self, detector: Any, X: Any) -> None:
        """Told before anything is read.

        Parameters
        ----------
        detector : estimator
            With its parameters; what is in it before the end is of an earlier fit.
        X : array-like, DataFrame, images or paths
            As given to `fit` or `partial_fit`.
        """

    def on_check(self, detector: Any, check: TrainingCheck) -> None:
        """Told at each check of the training: 20 times, where nothing ends it earlier.

        Parameters
        ----------
        detector : estimator
            As in `on_fit_begin`.
        check : TrainingCheck
            What is known of the training.

        Raises
        ------
        StopTraining
            To end it here, with the best weights so far.  Where a fit consists of several trainings, it ends this one.
        """

    def on_fit_end(self, detector: Any) -> None:
        """Told when all is learned; not where the fit fails.

        Parameters
        ----------
        detector : estimator
            Fitted: it can score, reconstruct and be saved.
        """

    def close(self) -> None:
        """Give back what was opened, however the fit ended: called once for each `on_fit_begin`."""
