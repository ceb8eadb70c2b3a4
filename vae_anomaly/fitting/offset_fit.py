"""Learning an offset of the score from reviewed rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.data import FloatArray
from vae_anomaly.fitting.fitted_model import FittedModel
from vae_anomaly.fitting.predict import score_rows, score_shares
from vae_anomaly.model import LearnedOffset, OffsetFeatures
from vae_anomaly.scores import additive_of, likelihood_score_of

BoolArray = npt.NDArray[np.bool_]

N_FOLDS, MIN_ROWS_TO_VALIDATE, MIN_GAIN = 5, 20, 0.5
MIN_CURVATURE = 1e-9


@dataclass(frozen=True)
class ReviewedRows:
    """Reviewed rows as the offset sees them.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Anomaly scores without what was learned, nats.
    design : ndarray of shape (rows, features)
        What the offset is a linear function of; see `LearnedOffset.design`.
    is_anomaly : bool ndarray of shape (rows,)
        What was found.
    threshold : float
        The score above which rows are anomalous as long as nobody says otherwise, nats.
    """

    scores: FloatArray
    design: FloatArray
    is_anomaly: BoolArray
    threshold: float

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def has_both(self) -> bool:
        """Whether some are anomalous and some normal."""
        return bool(self.is_anomaly.any() and not self.is_anomaly.all())

    def take(self, rows: npt.NDArray[np.intp] | BoolArray) -> ReviewedRows:
        """Some of the rows."""
        return ReviewedRows(self.scores[rows], self.design[rows], self.is_anomaly[rows], self.threshold)

    def reduced(self) -> tuple[ReviewedRows, FloatArray]:
        """The rows in as many coordinates as there are rows, and these coordinates: (coordinates, features).

        They say all that a ridge can learn: coefficients of features are those of the coordinates, times them.

        References
        ----------
        Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2009, section 18.3.5.
        """
        left, singular, right = np.linalg.svd(self.design, full_matrices=False)
        return ReviewedRows(self.scores, left * singular, self.is_anomaly, self.threshold), right

    @property
    def weights(self) -> FloatArray:
        """Of each row in the loss: all normal ones together count as much as all anomalous ones."""
        if not self.has_both:
            return np.ones(len(self))
        n, n_anomalous = len(self), int(self.is_anomaly.sum())
        weights: FloatArray = np.where(self.is_anomaly, n / (2 * n_anomalous), n / (2 * (n - n_anomalous)))
        return weights


@dataclass(frozen=True)
class OffsetFit:
    r"""The coefficients of an offset, and the anomaly score from which on a row is rather anomalous.

    Parameters
    ----------
    coefficients : ndarray of shape (features,)
        Nats, in the order of `LearnedOffset.design`.
    boundary : float
        Where both kinds are as likely, if as many rows of one are reviewed as of the other; nats.
    shrinkage : float
        :math:`\lambda` of `fit_offset`; infinite where the score alone is as good.
    """

    coefficients: FloatArray
    boundary: float
    shrinkage: float


def reviewed_rows(
    model: FittedModel[Encoder], batch: Batch, is_anomaly: BoolArray, typical: Tensor | None
) -> tuple[ReviewedRows, LearnedOffset]:
    """Rows as the offset of a model sees them, and an offset of the model that adds nothing.

    Parameters
    ----------
    model : FittedModel
    batch : Batch
        The rows.
    is_anomaly : bool ndarray of shape (rows,)
    typical : Tensor of shape (model columns + 1,) or None
        What each model column, and the row as a whole, adds to the anomaly score of a training row; None takes the mean
        of these rows instead.
    """
    base = likelihood_score_of(model.score)
    shares = score_shares(model.vae, batch.without_units(), additive_of(base), model.noise)
    if typical is None:
        typical = torch.cat([-shares.cells.mean(0), shares.of_row.mean().unsqueeze(0)])
    empty = LearnedOffset.empty(OffsetFeatures.of(model.encoder))
    empty.typical.copy_(typical)
    design = empty.design(-shares.cells, shares.of_row, batch).numpy()
    scores = -score_rows(model.vae, batch, base, model.noise).numpy()
    return ReviewedRows(scores, design, is_anomaly, -model.offset), empty


def fit_offset(rows: ReviewedRows, shrinkage: float | None = None) -> OffsetFit:
    r"""Ridge logistic regression with the anomaly score as its offset.

    .. math:: \mathrm{logit}\, P(y = 1 \mid x) = a + s(x) + \beta^T f(x), \qquad \beta_k \sim N(0, 1 / \lambda)

    An anomaly score is the log-odds of a row between an alternative that finds all rows as likely, and the model.  What
    is learned is another alternative: :math:`\beta^T f` is its log-density.  A priori a weight is within one of 1, so
    that the nats of a column may count twice or not at all, and a number moves the score by a nat for each deviation.
    Normal rows together count as much as anomalous ones.  Where all are of one kind, :math:`a` is minus the threshold.

    Parameters
    ----------
    rows : ReviewedRows
        Of many features, as `ReviewedRows.reduced` has them.
    shrinkage : float, optional
        :math:`\lambda`; infinite for the score alone.  By default 1 or infinite, as cross-validation says: see
        `chosen_shrinkage`.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2009, eq. 4.31.
    """
    # Takes long to import, and a fit does not need it.
    from scipy.optimize import minimize

    strength = chosen_shrinkage(rows) if shrinkage is None else shrinkage
    n_features = rows.design.shape[1] if np.isfinite(strength) else 0
    signs, weights = np.where(rows.is_anomaly, 1.0, -1.0), rows.weights
    features = np.concatenate([np.ones((len(rows), int(rows.has_both))), rows.design[:, :n_features]], 1)
    penalty = np.repeat([0.0, strength if n_features else 0.0], [features.shape[1] - n_features, n_features])
    centre = np.median(rows.scores) if rows.has_both else rows.threshold
    known = rows.scores - centre

    def loss(solution: FloatArray) -> tuple[float, FloatArray]:
        margins = -signs * (known + features @ solution)
        slopes = -weights * signs * expit(margins)
        value = float(weights @ np.logaddexp(0, margins) + 0.5 * penalty @ solution**2)
        return value, features.T @ slopes + penalty * solution

    def curvature(solution: FloatArray) -> FloatArray:
        share = expit(known + features @ solution)
        matrix: FloatArray = (features.T * (weights * share * (1 - share))) @ features
        return matrix + np.diag(penalty + MIN_CURVATURE)

    start = np.zeros(features.shape[1])
    solution = start
    if len(start):
        solution = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-8}).x
    coefficients = np.zeros(rows.design.shape[1])
    coefficients[:n_features] = solution[len(start) - n_features :]
    boundary = centre - solution[0] if rows.has_both else centre
    return OffsetFit(coefficients, float(boundary), strength)


def chosen_shrinkage(rows: ReviewedRows) -> float:
    """1, or infinite, which is the score alone, where answers do not teach to tell held-out reviewed rows apart.

    From 20 rows on, cross-validation by five folds ranks each row by what the others teach: the AUROC of that has to be
    above the AUROC of the score alone by half of what it would deviate by chance, if answers had nothing to do with
    rows, or by half of what the score lacks to 1.  Ranks and not log-odds are compared, because those of a density are
    far too sure of themselves, so that to cancel them is always better.  Where all rows are anomalous nothing is taught
    either: beside no normal row, what they have in common may be what all rows have in common.
    """
    if rows.is_anomaly.all():
        return np.inf
    n_anomalous, n_normal = int(rows.is_anomaly.sum()), int((~rows.is_anomaly).sum())
    n_folds = min(N_FOLDS, n_anomalous, n_normal)
    if n_folds < 2 or len(rows) < MIN_ROWS_TO_VALIDATE:
        return 1.0
    fold = np.empty(len(rows), dtype=np.intp)
    for kind in (False, True):
        own = np.flatnonzero(rows.is_anomaly == kind)
        fold[own[np.argsort(rows.scores[own], kind="stable")]] = np.arange(len(own)) % n_folds
    taught = np.empty(len(rows))
    for number in range(n_folds):
        held_out = np.flatnonzero(fold == number)
        fit = fit_offset(rows.take(fold != number), 1.0)
        taught[held_out] = rows.scores[held_out] + rows.design[held_out] @ fit.coefficients - fit.boundary
    by_chance = math.sqrt((len(rows) + 1) / (12 * n_anomalous * n_normal))
    alone = _auroc(rows.is_anomaly, rows.scores)
    gain = _auroc(rows.is_anomaly, taught) - alone
    return 1.0 if gain >= MIN_GAIN * min(by_chance, 1 - alone) else np.inf


def _auroc(is_anomaly: BoolArray, scores: FloatArray) -> float:
    above, below = scores[is_anomaly][:, None], scores[~is_anomaly]
    return float((above > below).mean() + 0.5 * (above == below).mean())
