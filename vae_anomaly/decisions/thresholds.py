"""From scores to decisions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FENCE_WIDTH = 3.0
MIN_DEVIATION = 0.5
QUARTILE_OF_NORMAL = 0.6744897501960817


def fence_offset(scores: npt.NDArray[np.float64], smallest_deviation: float = MIN_DEVIATION) -> float:
    """The score three robust standard deviations below the median of the training scores.

    The deviation is taken from the lower half alone, as the distance from the median to the lower quartile over that
    of a normal distribution (0.6745), so that the long side of the scores sets the fence.  Where a quarter of the rows
    share the median score, as in tables of flags, the quartile says nothing and the root mean square of the lower
    half takes its place.  A deviation below half a nat counts as half a nat: no row is flagged that is less than
    4.5 times rarer than the median one.  Scores that are not numbers take no part.  How many rows lie beyond the
    fence depends on the data: none where all rows are alike.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        ELBO of training rows, nats.
    smallest_deviation : float, default=0.5
        What half a nat is in the unit of the scores.

    References
    ----------
    Tukey, "Exploratory Data Analysis", 1977, chapter 2; Iglewicz and Hoaglin, "How to detect and
    handle outliers", 1993.

    Examples
    --------
    >>> round(fence_offset(np.linspace(-1.0, 1.0, 101)), 2)
    -2.22
    """
    scores = scores[np.isfinite(scores)]
    lower, median = np.quantile(scores, [0.25, 0.5])
    deviation = (median - lower) / QUARTILE_OF_NORMAL
    if lower == median:
        below = np.minimum(scores - median, 0)
        deviation = math.sqrt(2 * float(np.mean(below**2)))
    return float(median - FENCE_WIDTH * max(deviation, smallest_deviation))


def share_offset(scores: npt.NDArray[np.float64], contamination: float) -> float:
    """The score that exactly a share `contamination` of the training rows lies below.

    Halfway between the last row inside the share and the first outside it; with tied scores at that place fewer
    rows lie below.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        ELBO of all training rows, nats.
    contamination : float
        Share in (0, 0.5].

    Examples
    --------
    >>> share_offset(np.array([4.0, 1.0, 3.0, 2.0]), 0.25)
    1.5
    """
    n_flagged = min(max(math.floor(contamination * len(scores) + 0.5), 1), len(scores) - 1)
    ordered = np.sort(scores)
    inside, outside = ordered[n_flagged - 1], ordered[n_flagged]
    middle = inside + (outside - inside) / 2
    return float(middle if middle > inside else outside)
