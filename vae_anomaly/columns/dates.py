"""The parts of a date that recur: the hour, the weekday, the month."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray

MICROSECOND = 1 / 86_400_000_000
THURSDAY = 3

PERIODS: dict[str, tuple[str, ...]] = {
    "hour": tuple(f"{hour:02d}h" for hour in range(24)),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
}
PERIOD_DAYS = {"hour": 1.0, "weekday": 7.0, "month": 365.25}
MIN_PERIODS = 5
ROWS_PER_LEVEL = 10


def moments(days: FloatArray) -> npt.NDArray[np.datetime64]:
    """Days since 1970 as dates with microseconds, within the years that NumPy can write."""
    return np.rint(np.clip(days, -1e8, 1e8) / MICROSECOND).astype(np.int64).astype("datetime64[us]")


def date_part(days: FloatArray, period: str) -> FloatArray:
    """Codes in `PERIODS` of days since 1970, NaN where missing."""
    known = ~np.isnan(days)
    codes = np.full(len(days), np.nan)
    present = days[known]
    if period == "hour":
        codes[known] = np.floor((present - np.floor(present)) * 24 + 1e-9).clip(max=23)
    elif period == "weekday":
        codes[known] = (np.floor(present) + THURSDAY) % 7
    else:
        codes[known] = moments(present).astype("datetime64[M]").astype(np.int64) % 12
    return codes


def periods_of(days: FloatArray) -> tuple[str, ...]:
    """The periods that these dates are many and long enough for, and that say anything.

    A period needs five of its lengths, ten rows per level, and two different levels.
    """
    span = float(np.ptp(days))
    return tuple(
        period
        for period, levels in PERIODS.items()
        if span >= MIN_PERIODS * PERIOD_DAYS[period]
        and len(days) >= ROWS_PER_LEVEL * len(levels)
        and len(np.unique(date_part(days, period))) > 1
    )
