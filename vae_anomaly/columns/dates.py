"""The parts of a date that recur: the hour, the weekday, the day of the month, the month."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray

MICROSECOND = 1 / 86_400_000_000
THURSDAY = 3

PERIODS: dict[str, tuple[str, ...]] = {
    "hour": tuple(f"{hour:02d}h" for hour in range(24)),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "day of month": tuple(str(day) for day in range(1, 32)),
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
PERIOD_DAYS = {"hour": 1.0, "weekday": 7.0, "day of month": 365.25 / 12, "month": 365.25}
MIN_PERIODS = 5
ROWS_PER_LEVEL = 10
OCCASIONS_PER_LEVEL = 10
# Days of a tick, and the ticks since 1970 that are dates between 1973 and 2286.
EPOCH_UNITS = {
    "s": (1 / 86_400, 1e8, 1e10),
    "ms": (1e-3 / 86_400, 1e11, 1e13),
    "us": (1e-6 / 86_400, 1e14, 1e16),
    "ns": (1e-9 / 86_400, 1e17, 1e19),
}
MIN_EPOCH_SHARE = 0.9


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
    elif period == "day of month":
        dates = moments(present)
        codes[known] = (dates.astype("datetime64[D]") - dates.astype("datetime64[M]")).astype(np.int64)
    else:
        codes[known] = moments(present).astype("datetime64[M]").astype(np.int64) % 12
    return codes


def counted_levels(days: FloatArray, period: str) -> dict[str, int]:
    """How many dates fall on each level that a model is to know.

    Those that occur, and the others as well where the rows would show them: where the hours, days or months with rows
    are ten times as many as the levels.  Then a row at night is a surprise, else it is not known.

    Parameters
    ----------
    days : ndarray of shape (cells,)
        Since 1970, without missing ones.
    period : str
        See `PERIODS`.
    """
    counts = np.bincount(date_part(days, period).astype(np.intp), minlength=len(PERIODS[period])).tolist()
    if period == "hour":
        occasions = np.floor(days * 24 + 1e-6)
    elif period == "month":
        occasions = moments(days).astype("datetime64[M]").astype(np.float64)
    else:
        occasions = np.floor(days)
    would_show = len(np.unique(occasions)) >= OCCASIONS_PER_LEVEL * len(counts)
    return {level: count for level, count in zip(PERIODS[period], counts, strict=True) if count or would_show}


def part_codes(days: FloatArray, period: str, levels: Sequence[object]) -> FloatArray:
    """Codes in some levels of a period of days since 1970, NaN where missing and for levels that are not among them."""
    code_of = {level: float(code) for code, level in enumerate(levels)}
    codes = np.array([*(code_of.get(level, np.nan) for level in PERIODS[period]), np.nan])
    places = np.nan_to_num(date_part(days, period), nan=-1.0).astype(np.intp)
    return codes[places]


def epoch_unit(numbers: FloatArray) -> str | None:
    """The unit in which nearly all numbers are times since 1970: "s", "ms", "us" or "ns"; None where they are none.

    Parameters
    ----------
    numbers : ndarray of shape (cells,)
        Without missing ones.

    Examples
    --------
    >>> epoch_unit(np.array([1.7e9, 1.8e9])), epoch_unit(np.array([1.7e12])), epoch_unit(np.array([12.5]))
    ('s', 'ms', None)
    """
    for unit, (_, low, high) in EPOCH_UNITS.items():
        if len(numbers) and ((numbers >= low) & (numbers < high)).mean() >= MIN_EPOCH_SHARE:
            return unit
    return None


def periods_of(days: FloatArray) -> tuple[str, ...]:
    """The periods that these dates are many and long enough for, and that say anything.

    A period needs five of its lengths, ten rows per level, and two different levels.

    Parameters
    ----------
    days : ndarray of shape (cells,)
        Since 1970, without missing ones and without dates out of all proportion.
    """
    span = float(np.ptp(days)) if len(days) else 0.0
    return tuple(
        period
        for period, levels in PERIODS.items()
        if span >= MIN_PERIODS * PERIOD_DAYS[period]
        and len(days) >= ROWS_PER_LEVEL * len(levels)
        and len(np.unique(date_part(days, period))) > 1
    )
