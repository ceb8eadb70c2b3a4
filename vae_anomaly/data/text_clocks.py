"""Durations and times of day as people and programs write them: 8:30, 01:02:03, 59:30.5, 0 days 00:01:00, 8:30 pm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
ClockKind = Literal["hours", "minutes"]

CLOCK = re.compile(
    r"(?P<sign>[+-])?(?:(?P<days>[0-9]{1,6}) ?(?:days?|d)[ ,]*)?(?P<inner>[+-])?"
    r"(?:(?P<first>[0-9]{1,4}):(?P<second>[0-5][0-9])(?::(?P<third>[0-5][0-9]))?(?P<fraction>[.,][0-9]{1,9})?"
    r"(?:\s?(?P<noon>[AaPp])\.?[Mm]\.?)?)?"
).fullmatch
MIN_SHARE = 0.5
DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0


def seconds_of(texts: Sequence[str], clock: ClockKind) -> FloatArray:
    """Read trimmed texts as seconds; NaN where one is neither a duration nor a time of day.

    Parameters
    ----------
    texts : sequence of str
    clock : {"hours", "minutes"}
        What the first of two parts is: 8:30 has hours and minutes, 59:30.5 minutes and seconds.

    Examples
    --------
    >>> seconds_of(["00:01:00", "8:30", "1 day, 0:00:01", "-0:10", "8:30 pm", "4:3"], "hours").tolist()
    [60.0, 30600.0, 86401.0, -600.0, 73800.0, nan]
    >>> seconds_of(["59:30.5"], "minutes").tolist()
    [3570.5]
    """
    return np.array([_seconds(text, clock) for text in texts], dtype=np.float64)


def find_clock(texts: Sequence[str], counts: Counts) -> ClockKind | None:
    """How a column writes durations or times of day; None where at most half of its cells are any with a colon.

    Two parts are minutes and seconds where one of them has a fraction, or where other cells have three parts; else
    hours and minutes.

    Parameters
    ----------
    texts : sequence of str
        Distinct and trimmed.
    counts : ndarray of int
        How often each occurs.
    """
    found = [CLOCK(text) if ":" in text else None for text in texts]
    known = np.array([match is not None for match in found], dtype=bool)
    if not known.any() or counts[known].sum() <= MIN_SHARE * counts.sum():
        return None
    clocks = [match for match in found if match is not None and match["first"]]
    two = [match for match in clocks if match["third"] is None]
    fractions = any(match["fraction"] for match in two)
    return "minutes" if fractions or len(two) < len(clocks) else "hours"


def clock_text(seconds: float) -> str:
    """Seconds as text that reads as them.

    Examples
    --------
    >>> clock_text(3570.5), clock_text(-600.0), clock_text(-36_000_060.0)
    ('0:59:30.5', '-0:10:00', '-416 days -16:01:00')
    """
    total = round(abs(seconds), 6)
    minutes, rest = divmod(total, MINUTE)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24) if hours > 9_999 else (0, hours)
    whole = f"{rest:09.6f}".rstrip("0").rstrip(".")
    sign = "-" if seconds < 0 else ""
    return f"{f'{sign}{days} days ' if days else ''}{sign}{hours}:{minutes:02d}:{whole}"


def _seconds(text: str, clock: ClockKind) -> float:
    match = CLOCK(text)
    if match is None or not (match["days"] or match["first"]):
        return np.nan
    total = 0.0
    if match["first"]:
        first, second, third = int(match["first"]), int(match["second"]), match["third"]
        fraction = float("0" + match["fraction"].replace(",", ".")) if match["fraction"] else 0.0
        if match["noon"]:
            if not 1 <= first <= 12:
                return np.nan
            first = first % 12 + 12 * (match["noon"] in "Pp")
        if third is None and clock == "minutes" and not match["noon"] and not match["days"]:
            total = first * MINUTE + second + fraction
        elif third is None and fraction:
            return np.nan
        else:
            total = first * HOUR + second * MINUTE + (int(third) if third else 0) + fraction
    if match["days"]:
        # The sign is that of the days, as Python and pandas write it: -1 day, 23:59:00 and -1 days +23:59:00.
        days = int(match["days"]) * DAY
        return (-days if match["sign"] == "-" else days) + (-total if match["inner"] == "-" else total)
    return -total if "-" in (match["sign"], match["inner"]) else total
