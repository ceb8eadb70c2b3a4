"""How sure the difference of two AUROCs is, measured on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from vae_anomaly.data import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ScoredRows:
    """Rows that two detectors have scored after one fit each.

    Parameters
    ----------
    rows : ndarray of int, shape (scored,)
        Which rows of the table; all splits score the same anomalies.
    is_anomaly : ndarray of bool, shape (scored,)
        Their labels.
    first, second : ndarray of shape (scored,)
        Anomaly scores, higher is more anomalous.
    """

    rows: npt.NDArray[np.intp]
    is_anomaly: BoolArray
    first: FloatArray
    second: FloatArray


@dataclass(frozen=True)
class Difference:
    """AUROC of the first less that of the second.

    Parameters
    ----------
    mean : float
        Over the splits.
    lower, upper : float
        Confidence limits of the mean, between -1 and 1.
    by_split : tuple of float
        Split by split.
    """

    mean: float
    lower: float
    upper: float
    by_split: tuple[float, ...]


def placements(is_anomaly: BoolArray, scores: FloatArray) -> FloatArray:
    """Share of the other class that each row is on the right side of; ties count half.

    The mean over either class is the AUROC.

    Parameters
    ----------
    is_anomaly : ndarray of bool, shape (rows,)
        Both classes are needed.
    scores : ndarray of shape (rows,)
        Higher is more anomalous.

    Returns
    -------
    ndarray of shape (rows,), float64

    Examples
    --------
    >>> placements(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.3, 0.9])).tolist()
    [1.0, 0.5, 0.5, 1.0]
    """
    anomalies, normal = np.sort(scores[is_anomaly]), np.sort(scores[~is_anomaly])
    shares = np.empty(len(scores))
    shares[is_anomaly] = _share_below(scores[is_anomaly], normal)
    shares[~is_anomaly] = 1 - _share_below(scores[~is_anomaly], anomalies)
    return shares


def auroc(is_anomaly: BoolArray, scores: FloatArray) -> float:
    """Area under the ROC curve: the probability that an anomaly scores higher than a normal row.

    Parameters
    ----------
    is_anomaly : ndarray of bool, shape (rows,)
        Both classes are needed.
    scores : ndarray of shape (rows,)
        Higher is more anomalous.

    Returns
    -------
    float
    """
    return float(placements(is_anomaly, scores)[is_anomaly].mean())


def auroc_difference(splits: Sequence[ScoredRows], confidence: float = 0.95) -> Difference:
    """Mean difference of two AUROCs over splits, with its confidence interval.

    The variance is DeLong's for correlated AUROCs, which is what a paired bootstrap over the rows tends to, with two
    additions: what a row contributes is averaged over the splits that scored it before it is squared, since it is one
    row however often it was scored; and the variance between splits, divided by their number, is added for the chance
    in which rows were fitted and in the detectors' seeds. The quantile is Student's, with one degree of freedom less
    than the smaller class has rows.

    Parameters
    ----------
    splits : sequence of ScoredRows
        At least one, with at least two rows of each class.
    confidence : float, default=0.95
        Probability that the interval covers.

    Returns
    -------
    Difference

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44, 1988, eq. 4 and 5.

    Examples
    --------
    >>> labels = np.array([False, False, False, True, True])
    >>> perfect, constant = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.zeros(5)
    >>> auroc_difference([ScoredRows(np.arange(5), labels, perfect, constant)]).mean
    0.5
    """
    n_rows = 1 + max(int(split.rows.max()) for split in splits)
    influence = np.zeros(n_rows)
    is_anomaly = np.zeros(n_rows, dtype=bool)
    scored = np.zeros(n_rows, dtype=bool)
    by_split = []
    for split in splits:
        difference = placements(split.is_anomaly, split.first) - placements(split.is_anomaly, split.second)
        by_split.append(float(difference[split.is_anomaly].mean()))
        for of_class in (split.is_anomaly, ~split.is_anomaly):
            influence[split.rows[of_class]] += (difference[of_class] - by_split[-1]) / of_class.sum() / len(splits)
        is_anomaly[split.rows], scored[split.rows] = split.is_anomaly, True
    variance = float(np.var(by_split, ddof=1)) / len(splits) if len(splits) > 1 else 0.0
    counts = []
    for of_class in (scored & is_anomaly, scored & ~is_anomaly):
        counts.append(int(of_class.sum()))
        variance += counts[-1] / (counts[-1] - 1) * float(np.square(influence[of_class]).sum())
    mean = float(np.mean(by_split))
    reach = float(stats.t.ppf((1 + confidence) / 2, min(counts) - 1)) * variance**0.5
    return Difference(mean, max(mean - reach, -1.0), min(mean + reach, 1.0), tuple(by_split))


def _share_below(scores: FloatArray, others: FloatArray) -> FloatArray:
    """Share of the sorted others that are below each score; ties count half."""
    below, up_to = np.searchsorted(others, scores, "left"), np.searchsorted(others, scores, "right")
    shares: FloatArray = (below + up_to) / (2 * len(others))
    return shares
