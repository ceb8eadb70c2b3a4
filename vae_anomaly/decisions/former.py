"""Offsets as the detectors take them today: former names, until the callers have changed."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray

N_DEVIATIONS = 3.0
MIN_DEVIATION = 0.5
QUARTILE_OF_NORMAL = 0.6744897501960817
MAX_ROBUST_ROWS = 2048

ScoreRows = Callable[[npt.NDArray[np.intp]], FloatArray]


def robust_offset(scores: FloatArray, min_deviation: float = MIN_DEVIATION) -> float:
    """The score three robust standard deviations below the median of the training scores.

    The deviation is taken from the lower half alone, as the distance from the median to the lower quartile over that
    of a normal distribution (0.6745), so that the long side of the scores sets the threshold.  Where a quarter of the
    rows share the median score, as in tables of flags, the quartile says nothing and the root mean square of the lower
    half is taken instead.  A deviation below half a nat counts as half a nat: no row is flagged that is less than
    4.5 times rarer than the median one.  Scores that are not numbers take no part.  How many rows are flagged depends
    on the data: none where all rows are alike.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Scores of training rows, nats, higher for more normal rows.
    min_deviation : float, default=0.5
        What half a nat is in the unit of the scores.

    References
    ----------
    Tukey, "Exploratory Data Analysis", 1977, chapter 2; Iglewicz and Hoaglin, "How to detect and
    handle outliers", 1993.

    Examples
    --------
    >>> round(robust_offset(np.linspace(-1.0, 1.0, 101)), 2)
    -2.22
    """
    scores = scores[np.isfinite(scores)]
    lower, median = np.quantile(scores, [0.25, 0.5])
    deviation = (median - lower) / QUARTILE_OF_NORMAL
    if lower == median:
        below = np.minimum(scores - median, 0)
        deviation = math.sqrt(2 * float(np.mean(below**2)))
    return float(median - N_DEVIATIONS * max(deviation, min_deviation))


def contamination_offset(scores: FloatArray, contamination: float) -> float:
    """The score that exactly a share `contamination` of the training rows is below.

    Halfway between the last row inside the share and the first outside it; with tied scores there, fewer rows are
    below.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Scores of all training rows, nats, higher for more normal rows.
    contamination : float
        Share in (0, 0.5].

    Examples
    --------
    >>> contamination_offset(np.array([4.0, 1.0, 3.0, 2.0]), 0.25)
    1.5
    """
    n_flagged = min(max(math.floor(contamination * len(scores) + 0.5), 1), len(scores) - 1)
    ordered = np.sort(scores)
    inside, outside = ordered[n_flagged - 1], ordered[n_flagged]
    middle = inside + (outside - inside) / 2
    return float(middle if middle > inside else outside)


class Threshold(abc.ABC):
    """A rule by which a fit finds its offset: rows with a lower score are anomalous."""

    @abc.abstractmethod
    def offset(self, n_rows: int, score_rows: ScoreRows) -> float:
        """The offset, nats.

        Parameters
        ----------
        n_rows : int
            Training rows.
        score_rows : callable
            From indices of training rows to their scores.
        """


@dataclass(frozen=True)
class RobustThreshold(Threshold):
    """`robust_offset` of the training rows, of evenly spaced ones where they are many."""

    def offset(self, n_rows: int, score_rows: ScoreRows) -> float:
        """See `robust_offset`."""
        return robust_offset(score_rows(np.arange(0, n_rows, max(1, n_rows // MAX_ROBUST_ROWS))))


@dataclass(frozen=True)
class ContaminationThreshold(Threshold):
    """`contamination_offset` of the training rows.

    Parameters
    ----------
    contamination : float
        Share in (0, 0.5].
    """

    contamination: float

    def offset(self, n_rows: int, score_rows: ScoreRows) -> float:
        """See `contamination_offset`."""
        return contamination_offset(score_rows(np.arange(n_rows)), self.contamination)


@dataclass(frozen=True)
class FixedThreshold(Threshold):
    """An offset that no score of a training row changes.

    Parameters
    ----------
    value : float
        Nats; minus infinity flags nothing.
    """

    value: float

    def offset(self, n_rows: int, score_rows: ScoreRows) -> float:
        """The value."""
        return self.value
