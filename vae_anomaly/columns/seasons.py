"""What the place in a day, a week, a year and the training adds to the numbers of a column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vae_anomaly.caching import cached_property
from vae_anomaly.columns.dates import PERIOD_DAYS, PERIODS, date_part
from vae_anomaly.columns.shrinkage import (
    MEDIAN_VARIANCE,
    NORMAL_DEVIATION,
    Estimates,
    IntArray,
    Spread,
    group_statistics,
    shrunk,
    variance_between,
)
from vae_anomaly.data import FloatArray

SEASONS = ("hour", "weekday", "month")
N_LEVELS = tuple(len(PERIODS[period]) for period in SEASONS)
N_EFFECTS, TREND = sum(N_LEVELS), "trend"
# A season is told from a trend where the rows see it twice, and its parts where each has some rows.
MIN_SEASONS, MIN_ROWS_PER_LEVEL = 1.95, 5
MAX_TREND_KNOTS, MIN_TREND_KNOTS, MIN_ROWS_PER_KNOT = 60, 5, 10
N_ROUNDS, MAX_ROWS = 3, 20_000


@dataclass(frozen=True, eq=False)
class Seasons:
    """What dates add to some columns, on the scale on which they are compared.

    Parameters
    ----------
    effects : ndarray of shape (columns, 24 + 7 + 12)
        Of the hours, the weekdays and the months; 0 where the rows tell nothing.
    slopes : ndarray of shape (columns,)
        A day.
    first_day, last_day : float
        Of training, since 1970: before and after, the trend stays what it was.
    """

    effects: FloatArray
    slopes: FloatArray
    first_day: float
    last_day: float

    @cached_property
    def used(self) -> tuple[str, ...]:
        """What of a date adds anything: of "hour", "weekday", "month" and "trend"."""
        parts = np.split(self.effects, np.cumsum(N_LEVELS)[:-1], axis=1)
        named = [period for period, effects in zip(SEASONS, parts, strict=True) if effects.any()]
        return (*named, TREND) if self.slopes.any() else tuple(named)

    def of(self, days: FloatArray) -> FloatArray:
        """What dates add: (rows, columns); 0 where the date is missing.

        Parameters
        ----------
        days : ndarray of shape (rows,)
            Since 1970.
        """
        known = ~np.isnan(days)
        added = np.zeros((len(days), len(self.slopes)))
        first = 0
        for period, n_levels in zip(SEASONS, N_LEVELS, strict=True):
            of_levels = self.effects[:, first : first + n_levels]
            if of_levels.any():
                added[known] += of_levels.T[date_part(days[known], period).astype(np.intp)]
            first += n_levels
        if self.slopes.any():
            middle = (self.first_day + self.last_day) / 2
            added[known] += (np.clip(days[known], self.first_day, self.last_day) - middle)[:, None] * self.slopes
        return added


def usable_seasons(days: FloatArray) -> tuple[str, ...]:
    """The seasons that training rows see twice, in different parts.

    Parameters
    ----------
    days : ndarray of shape (rows,)
        Since 1970, NaN where missing.
    """
    present = days[~np.isnan(days)]
    span = float(np.ptp(present)) if len(present) else 0.0
    return tuple(
        period
        for period, n_levels in zip(SEASONS, N_LEVELS, strict=True)
        if span >= MIN_SEASONS * PERIOD_DAYS[period]
        and len(present) >= MIN_ROWS_PER_LEVEL * n_levels
        and len(np.unique(date_part(present, period))) > 1
    )


def learned_seasons(residuals: FloatArray, days: FloatArray, periods: tuple[str, ...]) -> tuple[FloatArray, float]:
    """What dates add to one column: the effects of the levels of `SEASONS` side by side, and the slope of a day.

    Medians of what groups leave, part after part, each of what the others leave, drawn to 0 as far as chance goes.

    Parameters
    ----------
    residuals : ndarray of shape (rows,)
        What is left of the cells by their groups; NaN where missing.
    days : ndarray of shape (rows,)
        Since 1970, NaN where missing.
    periods : tuple of str
        Of `usable_seasons`.
    """
    known = np.flatnonzero(~np.isnan(residuals) & ~np.isnan(days))
    if len(known) > MAX_ROWS:
        known = np.random.default_rng(0).choice(known, MAX_ROWS, replace=False)
    residuals, days = residuals[known], days[known]
    parts = {
        period: np.zeros(n_levels) for period, n_levels in zip(SEASONS, N_LEVELS, strict=True) if period in periods
    }
    codes = {period: date_part(days, period).astype(np.intp) for period in parts}
    slope = 0.0
    if not len(residuals):
        return np.zeros(N_EFFECTS), slope
    middle = (float(days.min()) + float(days.max())) / 2
    for _ in range(N_ROUNDS):
        for period, own in codes.items():
            others = sum((parts[other][codes[other]] for other in parts if other != period), np.zeros(len(days)))
            left = residuals - others - slope * (days - middle)
            parts[period] = _level_effects(left, own, len(parts[period]))
        seasonal = sum((parts[period][own] for period, own in codes.items()), np.zeros(len(days)))
        slope = _slope(residuals - seasonal, days)
    every = [parts.get(period, np.zeros(n)) for period, n in zip(SEASONS, N_LEVELS, strict=True)]
    return np.concatenate(every), slope


def _level_effects(left: FloatArray, codes: IntArray, n_levels: int) -> FloatArray:
    statistics = group_statistics(left, codes, n_levels)
    scale = NORMAL_DEVIATION * float(np.median(np.abs(left - np.median(left))))
    if scale == 0:
        return np.zeros(n_levels)
    known = statistics.counts > 0
    centre = float(np.median(left))
    noise = MEDIAN_VARIANCE * scale**2 / statistics.counts[known]
    between = variance_between(statistics.medians[known] - centre, noise)
    parents = Estimates(np.full(n_levels, centre), np.full(n_levels, scale), np.full(n_levels, scale))
    found = shrunk(statistics, parents, Spread(between, 0.0, 0.0), np.zeros(n_levels)).locations - centre
    # Rows without a date are taken for average ones.
    return found - float(np.average(found, weights=statistics.counts))


def _slope(left: FloatArray, days: FloatArray) -> float:
    """Median slope between medians of equally many rows (Theil and Sen), less what chance explains."""
    n_knots = min(MAX_TREND_KNOTS, len(left) // MIN_ROWS_PER_KNOT)
    if n_knots < MIN_TREND_KNOTS or np.ptp(days) == 0:
        return 0.0
    parts = np.array_split(np.argsort(days, kind="stable"), n_knots)
    places = np.array([days[part].mean() for part in parts])
    medians = np.array([np.median(left[part]) for part in parts])
    first, second = np.triu_indices(n_knots, 1)
    apart = places[second] - places[first]
    usable = apart > 0
    slope = float(np.median((medians[second] - medians[first])[usable] / apart[usable]))
    distances = medians - slope * places
    scale = NORMAL_DEVIATION * float(np.median(np.abs(distances - np.median(distances))))
    noise = scale**2 / float(np.square(places - places.mean()).sum())
    return slope * max(0.0, 1.0 - noise / slope**2) if slope else 0.0
