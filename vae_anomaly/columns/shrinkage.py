"""Medians and deviations of groups, and how far each is drawn to what its parent has: robust empirical Bayes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data import FloatArray

IntArray = npt.NDArray[np.intp]

# Of the median and of the mean distance from the median, for the standard deviation of a normal distribution.
NORMAL_DEVIATION, NORMAL_MEAN_DEVIATION = 1.4826, 1.2533
# Of the median deviation of n normal values, for n from 2 on; of more it is n / (n - 0.8).
SMALL_SAMPLE_FACTORS = (1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
# Sampling variances of a median, in squared deviations, and of the logarithm of a median deviation, times n.
MEDIAN_VARIANCE, LOG_DEVIATION_VARIANCE = math.pi / 2, 1.36
WINSORIZED_AT = 3.0
# Mean of the square of a standard normal number, at most `WINSORIZED_AT` squared.
WINSORIZED_MEAN = 0.99499
# A group of that many rows keeps within a standard error of its own median and deviation, whatever the others are.
MIN_OWN_ROWS = 16
MIN_ROWS_OF_SPREAD = 4
MAX_LEFT_OUT_ROWS = 64
MAX_CELLS = 1 << 22
N_HALVINGS = 100


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of groups, or of the groups of rows.

    Parameters
    ----------
    counts : ndarray of shape (groups,)
        Values of each.
    medians, deviations : ndarray of shape (groups,)
        Median, and median distance from it as the standard deviation of a normal distribution, or the mean distance
        where that is 0 because most values are equal; 0 of a single value, NaN of none.
    """

    counts: FloatArray
    medians: FloatArray
    deviations: FloatArray

    def take(self, groups: IntArray) -> Statistics:
        """Those of some groups; negative ones have no value."""
        known = groups >= 0
        none = np.where(known, 0.0, np.nan)
        return Statistics(
            np.where(known, self.counts[groups], 0.0), self.medians[groups] + none, self.deviations[groups] + none
        )


@dataclass(frozen=True)
class Spread:
    """How the groups of a level differ from their parents.

    Parameters
    ----------
    location_variance : float
        Variance of their locations about the parents'.
    log_scale_shift, log_scale_variance : float
        Typical logarithm of the ratio of their scales to the parents', and its variance.
    """

    location_variance: float
    log_scale_shift: float
    log_scale_variance: float


@dataclass(frozen=True, eq=False)
class Estimates:
    """Where groups are, and how widely their values spread.

    Parameters
    ----------
    locations : ndarray of shape (groups,)
    scales : ndarray of shape (groups,)
        Of values about the location, with the uncertainty of the location.
    inner_scales : ndarray of shape (groups,)
        Without it.
    """

    locations: FloatArray
    scales: FloatArray
    inner_scales: FloatArray

    def take(self, groups: IntArray) -> Estimates:
        """Those of some groups."""
        return Estimates(self.locations[groups], self.scales[groups], self.inner_scales[groups])


def group_statistics(values: FloatArray, groups: IntArray, n_groups: int) -> Statistics:
    """Counts, medians and deviations of the values of each group.

    Parameters
    ----------
    values : ndarray of shape (rows,)
        NaN where missing.
    groups : int ndarray of shape (rows,)
        Negative for rows without a group.
    n_groups : int

    Examples
    --------
    >>> found = group_statistics(np.array([1.0, 2, 9, 5, np.nan]), np.array([0, 0, 0, 1, 1]), 3)
    >>> found.counts.tolist(), found.medians.tolist()
    ([3.0, 1.0, 0.0], [2.0, 5.0, nan])
    """
    used = ~np.isnan(values) & (groups >= 0)
    values, groups = values[used], groups[used]
    counts = np.bincount(groups, minlength=n_groups)
    medians = _medians(values, groups, n_groups)
    distances = np.abs(values - medians[groups])
    deviations = _medians(distances, groups, n_groups) * NORMAL_DEVIATION * _factors(counts)
    means = np.bincount(groups, distances, n_groups) / np.maximum(counts, 1) * NORMAL_MEAN_DEVIATION
    return Statistics(counts.astype(np.float64), medians, np.where(deviations == 0, means, deviations))


def without_own_values(statistics: Statistics, values: FloatArray, groups: IntArray) -> Statistics:
    """Statistics of the group of each row without the row's own value, where the group is small.

    Parameters
    ----------
    statistics : Statistics
        Of the groups, with the values of all rows.
    values, groups : ndarray of shape (rows,)
        As in `group_statistics`.

    Returns
    -------
    Statistics
        Of each row.
    """
    of_rows = statistics.take(groups)
    small = (of_rows.counts <= MAX_LEFT_OUT_ROWS) & (groups >= 0) & ~np.isnan(values)
    rows = np.flatnonzero(small)
    order = rows[np.lexsort((values[rows], groups[rows]))]
    sizes = of_rows.counts[order].astype(np.intp)
    counts, medians, deviations = of_rows.counts.copy(), of_rows.medians.copy(), of_rows.deviations.copy()
    counts[rows] -= 1
    for size in np.unique(sizes).tolist():
        # Rows of groups of one size, group by group.
        chosen = order[sizes == size].reshape(-1, size)
        if size == 1:
            medians[chosen] = deviations[chosen] = np.nan
            continue
        others = np.array([[place for place in range(size) if place != own] for own in range(size)])
        factor = NORMAL_DEVIATION * float(_factors(np.array([size - 1]))[0])
        step = max(1, MAX_CELLS // (size * size))
        for begin in range(0, len(chosen), step):
            some = chosen[begin : begin + step]
            left = values[some][:, others]
            middle = np.median(left, axis=2)
            medians[some] = middle
            distances = np.abs(left - middle[..., None])
            own = np.median(distances, axis=2) * factor
            deviations[some] = np.where(own == 0, distances.mean(axis=2) * NORMAL_MEAN_DEVIATION, own)
    return Statistics(counts, medians, deviations)


def learned_spread(statistics: Statistics, parents: Estimates, floors: FloatArray) -> Spread:
    """How the groups of a level differ from their parents beyond what samples of their sizes do."""
    counts, floored = statistics.counts, np.fmax(statistics.deviations, floors)
    judged = counts >= MIN_ROWS_OF_SPREAD
    with np.errstate(divide="ignore", invalid="ignore"):
        shifts = np.log(floored) - np.log(parents.inner_scales)
        noise = LOG_DEVIATION_VARIANCE / counts
    shift = _weighted_median(shifts[judged], counts[judged]) if judged.any() else 0.0
    variance = variance_between(shifts[judged] - shift, noise[judged])
    of_scales = Spread(0.0, shift, variance)
    inner = _inner_scales(statistics, parents, of_scales, floors)
    known = counts > 0
    distances = (statistics.medians - parents.locations)[known]
    between = variance_between(distances, MEDIAN_VARIANCE * inner[known] ** 2 / counts[known])
    return Spread(between, shift, variance)


def shrunk(statistics: Statistics, parents: Estimates, spread: Spread, floors: FloatArray) -> Estimates:
    """Groups between what their own values say and what their parents are; without values as their parents.

    Parameters
    ----------
    statistics : Statistics
        Of the groups.
    parents : Estimates
        Of the parent of each.
    spread : Spread
        Of the level.
    floors : ndarray of shape (groups,)
        Smallest scales.
    """
    inner = _inner_scales(statistics, parents, spread, floors)
    known = statistics.counts > 0
    counts = np.where(known, statistics.counts, 1.0)
    noise = MEDIAN_VARIANCE * inner**2 / counts
    weight = spread.location_variance / (spread.location_variance + noise)
    medians = np.where(known, statistics.medians, parents.locations)
    locations = parents.locations + weight * (medians - parents.locations)
    own = counts >= MIN_OWN_ROWS
    limit = np.sqrt(noise)
    locations = np.where(own, np.clip(locations, medians - limit, medians + limit), locations)
    scales = np.sqrt(inner**2 + weight * noise)
    return Estimates(
        np.where(known, locations, parents.locations),
        np.where(known, scales, parents.scales),
        np.where(known, inner, parents.inner_scales),
    )


def _inner_scales(statistics: Statistics, parents: Estimates, spread: Spread, floors: FloatArray) -> FloatArray:
    counts = statistics.counts
    expected = np.log(parents.inner_scales) + spread.log_scale_shift
    known = counts >= 2
    noise = LOG_DEVIATION_VARIANCE / np.where(known, counts, 1.0)
    seen = np.log(np.where(known, np.fmax(statistics.deviations, floors), 1.0))
    total = spread.log_scale_variance + noise
    # Two values that happen to be equal do not make a group narrow.
    limit = WINSORIZED_AT * np.sqrt(total)
    distance = np.clip(seen - expected, -limit, limit)
    logarithm = expected + np.where(known, spread.log_scale_variance / total * distance, 0.0)
    own, error = counts >= MIN_OWN_ROWS, np.sqrt(noise)
    logarithm = np.where(own, np.clip(logarithm, seen - error, seen + error), logarithm)
    scales: FloatArray = np.fmax(np.exp(logarithm), floors)
    return scales


def variance_between(distances: FloatArray, noise: FloatArray) -> float:
    r"""Variance of what distances are beside their noise: the root of a winsorized Paule-Mandel equation.

    .. math:: \frac1G \sum_g \min\left(\frac{d_g^2}{v_g + \tau^2}, c^2\right) = E[\min(Z^2, c^2)]

    with Z standard normal and c = 3, so that a few groups far away count as far and no more.

    Parameters
    ----------
    distances : ndarray of shape (groups,)
        From the parents.
    noise : ndarray of shape (groups,)
        Sampling variances.

    References
    ----------
    Paule and Mandel, "Consensus values and weighting factors", J. Res. NBS 87, 1982 (the equation without limits).
    """
    if not len(distances):
        return 0.0
    squares = distances**2

    def excess(variance: float) -> float:
        total = noise + variance
        shares = np.divide(squares, total, out=np.where(squares > 0, np.inf, 0.0), where=total > 0)
        return float(np.minimum(shares, WINSORIZED_AT**2).mean()) - WINSORIZED_MEAN

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(squares.max()) / WINSORIZED_MEAN
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _medians(values: FloatArray, groups: IntArray, n_groups: int) -> FloatArray:
    found = pd.Series(values).groupby(groups).median()
    medians = np.full(n_groups, np.nan)
    medians[found.index.to_numpy()] = found.to_numpy()
    return medians


def _factors(counts: npt.NDArray[np.intp]) -> FloatArray:
    table = np.array([1.0, 1.0, *SMALL_SAMPLE_FACTORS])
    large = counts >= len(table)
    factors: FloatArray = np.where(
        large, counts / np.maximum(counts - 0.8, 1.0), table[np.minimum(counts, len(table) - 1)]
    )
    return factors


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])
