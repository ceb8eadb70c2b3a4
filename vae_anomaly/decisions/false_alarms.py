"""How often new normal rows are above the k-th largest of n calibration scores: the Beta law and what follows."""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Real

import numpy as np
from scipy.special import betainc, betaincinv, gammaln

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions.sorted_scores import IntArray
from vae_anomaly.errors import SpecificationError

CONFIDENCE = 0.95
N_SIMULATIONS = 4_000
# Calibration rows, and at what level each of the bounds holds so that all do with 95 % confidence: simulated 40,000
# times by `_simulated_level`, of which each took half a second.
LEVELS = (
    (1, 0.0463),
    (2, 0.0266),
    (3, 0.0183),
    (5, 0.0125),
    (10, 0.0075),
    (20, 0.0049),
    (50, 0.0043),
    (100, 0.0035),
    (500, 0.0030),
    (1_000, 0.0024),
    (2_000, 0.0023),
    (10_000, 0.0020),
    (30_000, 0.0016),
    (100_000, 0.0015),
    (1_000_000, 0.0013),
)
RANK_RATIO = 1.1
# Decimal rates such as 0.29 (100 rows) would otherwise miss a rank by their last bit.
ROUNDING = 1e-9


class CalibrationTooSmall(SpecificationError):
    """The wish needs more calibration rows than there are.

    Parameters
    ----------
    wish : str
        What was asked for.
    n_needed : int
        Calibration rows that it needs.
    n_calibration : int
        Calibration rows that there are.
    possible : str
        What is possible with these.
    """

    def __init__(self, wish: str, n_needed: int, n_calibration: int, possible: str) -> None:
        super().__init__(wish, n_needed, n_calibration, possible)
        self.wish = wish
        self.n_needed = n_needed
        self.n_calibration = n_calibration
        self.possible = possible

    def __str__(self) -> str:
        return (
            f"{self.wish} needs at least {self.n_needed:,} calibration rows, and there are {self.n_calibration:,}; "
            f"{self.possible}, or give more normal rows with calibrate(X)."
        )


def checked_share(value: float, name: str, most: float | None = None) -> float:
    """A number above 0 and below 1, or up to `most`.

    Raises
    ------
    SpecificationError
        If it is not, which NaN and True are not either.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not (0 < value < 1 if most is None else 0 < value <= most):
        upper = "below 1" if most is None else f"at most {most:g}"
        raise SpecificationError(f"{name} is a number above 0 and {upper}, not {value!r}")
    return float(value)


def largest_rank(n_calibration: int, rate: float, confidence: float | None = None) -> int:
    """The largest k whose k-th largest calibration score has at most this false-alarm rate.

    Parameters
    ----------
    n_calibration : int
        Calibration rows.
    rate : float
        Share of new normal rows that may be above.
    confidence : float, optional
        Probability, over the calibration rows, that the rate of this very model keeps to it; None: it does on average.

    Returns
    -------
    int
        0 where there is none.

    References
    ----------
    Vovk, "Conditional validity of inductive conformal predictors", 2012, proposition 2a.

    Examples
    --------
    >>> largest_rank(999, 0.01), largest_rank(999, 0.01, 0.95), largest_rank(99, 0.001)
    (10, 5, 0)
    """
    checked_share(rate, "rate")
    if confidence is None:
        return math.floor(rate * (n_calibration + 1) * (1 + ROUNDING))
    checked_share(confidence, "confidence")
    lower, upper = 0, n_calibration + 1
    while upper - lower > 1:
        middle = (lower + upper) // 2
        if betainc(middle, n_calibration + 1 - middle, rate) >= confidence:
            lower = middle
        else:
            upper = middle
    return lower


def rows_needed(rate: float, confidence: float | None = None) -> int:
    """The fewest calibration rows with which a false-alarm rate can be had.

    Examples
    --------
    >>> rows_needed(0.01), rows_needed(0.01, 0.95), rows_needed(0.001, 0.95)
    (99, 299, 2995)
    """
    checked_share(rate, "rate")
    if confidence is None:
        return math.ceil((1 / rate) * (1 - ROUNDING) - 1)
    return math.ceil(math.log1p(-checked_share(confidence, "confidence")) / math.log1p(-rate))


def smallest_rate(n_calibration: int, confidence: float | None = None) -> float:
    """The smallest false-alarm rate that can be had with so many calibration rows.

    Examples
    --------
    >>> smallest_rate(99)
    0.01
    >>> round(smallest_rate(299, 0.95), 4)
    0.01
    """
    return 1 / (n_calibration + 1) if confidence is None else rate_bound(n_calibration, 1, confidence)


def rate_bound(n_calibration: int, rank: int, confidence: float = CONFIDENCE) -> float:
    """Upper confidence bound on the false-alarm rate above the k-th largest calibration score, for a k chosen before.

    The rate follows Beta(k, n + 1 - k) over the calibration rows, and is lower where scores are tied.

    Examples
    --------
    >>> round(rate_bound(1000, 10), 4)
    0.0157
    """
    return 1.0 if rank > n_calibration else float(betaincinv(rank, n_calibration + 1 - rank, confidence))


def band(n_calibration: int, confidence: float = CONFIDENCE) -> FloatArray:
    """Upper bounds on the false-alarm rates above all calibration scores at once, for a k chosen after looking.

    Each bound is the same quantile of its Beta distribution, so that the band is as tight for the most anomalous
    scores as for the others.  Which quantile it is, is simulated with a fixed seed, less two
    standard errors for the chance in that.

    Parameters
    ----------
    n_calibration : int
        Calibration rows.
    confidence : float, default=0.95
        Probability that all bounds hold.

    Returns
    -------
    ndarray of shape (n_calibration,), float64
        For the largest score first, ascending; read only.

    References
    ----------
    Berk and Jones, "Goodness-of-fit test statistics that dominate the Kolmogorov statistics", 1979; Aldor-Noiman et
    al., "The power to see: a new graphical test of normality", 2013.

    Examples
    --------
    >>> band(1000)[[0, 9, 99]].round(3).tolist()
    [0.006, 0.021, 0.132]
    """
    ranks, bounds = _bounds(n_calibration, confidence)
    every: FloatArray = bounds[np.searchsorted(ranks, np.arange(1, n_calibration + 1))]
    every.flags.writeable = False
    return every


def band_at(n_calibration: int, rank: int, confidence: float = CONFIDENCE) -> float:
    """The bound of `band` above the k-th largest calibration score, without those of the others.

    Examples
    --------
    >>> round(band_at(1000, 10), 3), band_at(1000, 1001)
    (0.021, 1.0)
    """
    if rank > n_calibration:
        return 1.0
    ranks, bounds = _bounds(n_calibration, confidence)
    return float(bounds[np.searchsorted(ranks, rank)])


@lru_cache(maxsize=16)
def _bounds(n_calibration: int, confidence: float) -> tuple[IntArray, FloatArray]:
    ranks = rank_grid(n_calibration, RANK_RATIO)
    level = _level(n_calibration, ranks, confidence)
    return ranks, np.asarray(1 - betaincinv(n_calibration + 1 - ranks, ranks, level), dtype=np.float64)


def _level(n_calibration: int, ranks: IntArray, confidence: float) -> float:
    """At what level each bound holds, so that all do; from the table, that of the next larger number of rows."""
    if confidence == CONFIDENCE:
        for n_rows, level in LEVELS:
            if n_calibration <= n_rows:
                return level
    return _simulated_level(n_calibration, ranks, confidence, N_SIMULATIONS)


def _simulated_level(n_calibration: int, ranks: IntArray, confidence: float, n_simulations: int) -> float:
    random = np.random.default_rng(n_calibration)
    steps = random.standard_gamma(np.diff(ranks, prepend=0), (n_simulations, len(ranks)))
    sums = np.cumsum(steps, axis=1)
    rest = random.standard_gamma(n_calibration + 1 - ranks[-1], (n_simulations, 1))
    rates = sums / (sums[:, -1:] + rest)
    beyond = betainc(n_calibration + 1 - ranks, ranks, 1 - rates).min(axis=1)
    risk = 1 - confidence
    n_missed = n_simulations * risk - 2 * math.sqrt(n_simulations * risk * confidence)
    return float(np.sort(beyond)[max(math.floor(n_missed), 1) - 1])


def rank_grid(n_calibration: int, ratio: float) -> IntArray:
    """Ranks from 1 to n, each about `ratio` times the one before.

    Examples
    --------
    >>> rank_grid(20, 1.5).tolist()
    [1, 2, 3, 4, 6, 9, 13, 19, 20]
    """
    ranks = [1]
    while ranks[-1] < n_calibration:
        ranks.append(min(max(ranks[-1] + 1, math.floor(ranks[-1] * ratio)), n_calibration))
    return np.array(ranks, dtype=np.int64)


def probability_at_least(n_above: int, n_rows: int, rank: int, n_calibration: int) -> float:
    """Probability that so many of n new rows, or more, are above the k-th largest calibration score.

    The number of them is beta-binomial; the sum is that of the hypergeometric distribution of calibration rows among
    the largest ``n_above + rank - 1`` of all rows.

    Examples
    --------
    >>> round(probability_at_least(1, 1, 5, 99), 3)
    0.05
    """
    if n_above <= 0:
        return 1.0
    if n_above > n_rows:
        return 0.0
    largest = n_above + rank - 1
    n_calibration_rows = np.arange(max(0, largest - n_rows), rank)
    terms = (
        _log_choose(n_calibration, n_calibration_rows)
        + _log_choose(n_rows, largest - n_calibration_rows)
        - _log_choose(n_calibration + n_rows, np.array(largest))
    )
    return min(float(np.exp(terms).sum()), 1.0)


def most_above(n_rows: int, rank: int, n_calibration: int, level: float) -> int:
    """The most of n new normal rows that are above the k-th largest calibration score, but for a probability `level`.

    Examples
    --------
    >>> most_above(1000, 10, 999, 0.05)
    18
    """
    lower, upper = 0, n_rows
    while lower < upper:
        middle = (lower + upper) // 2
        if probability_at_least(middle + 1, n_rows, rank, n_calibration) <= level:
            upper = middle
        else:
            lower = middle + 1
    return lower


def _log_choose(n: int, k: IntArray) -> FloatArray:
    logarithm: FloatArray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return logarithm
