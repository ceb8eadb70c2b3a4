"""Dates as people and programs write them: one format for a column."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Moments = npt.NDArray[np.datetime64]

ISO = "ISO8601"
N_GUESSED, N_TRIED = 60, 1000
# Days that spread over whole months, as years of two digits hardly do.
MIN_DAYS, DAYS_OF_MONTH = 12, (3, 28)
# A year with four digits, a month and a day; what pandas reads as ISO 8601 is more: "2024" and "today", too.
ISO_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2}(?:[ T][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2}(?:[.,][0-9]+)?)?)?"
    r"\s?(?:Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?)?"
).fullmatch
ISO_WITHOUT_MARKS = re.compile(r"[0-9]{8}(?:T[0-9]{4}(?:[0-9]{2})?Z?)?").fullmatch
# What forms hold where there is no date.
NO_DATE = re.compile(
    r"(?:0{1,4}(?P<zero>[./\- ])0{1,2}(?P=zero)0{1,4}|9{2,4}(?P<nine>[./\- ])99(?P=nine)9{2,4}|0{8}|9{8})"
    r"(?:[ T][0:.]+Z?|[ T][9:.]+Z?)?"
).fullmatch
UTC = ("UTC", "GMT")
WORDS = frozenset(("today", "now"))
NUMERIC_DATE = re.compile(
    r"(?P<first>[0-9]{1,4})(?P<mark>[./\- ])(?P<second>[0-9]{1,2})(?P=mark)(?P<third>[0-9]{2,4})(?P<time>[ T].*)?"
).fullmatch
NAMED_DATE = re.compile(
    r"(?P<first>[0-9]{1,2})(?P<mark>[./\- ]|)(?P<month>[A-Za-z]{3,9})(?P=mark)(?P<third>[0-9]{2,4})(?P<time>[ T:].*)?"
).fullmatch
NAMED_MONTH = re.compile(r"(?P<month>[A-Za-z]{3,9})(?P<mark>[./\- ])[0-9]{4}").fullmatch
TIME = re.compile(
    r"(?P<gap>[ T:])(?P<hour>[0-9]{1,2}):[0-9]{2}(?P<seconds>:[0-9]{2})?(?P<fraction>\.[0-9]{1,9})?"
    r"(?P<noon>\s?[AaPp][Mm])?(?P<zone>\s?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
).fullmatch


@dataclass(frozen=True)
class DateFormat:
    """How a column writes its dates.

    Parameters
    ----------
    format : str
        As ``pandas.to_datetime`` takes it.
    other : str
        The format with day and month exchanged that reads all cells as well; empty where cells decide.
    decided_by : str
        A cell that has one of day and month alone in its place; empty where the order needs none.
    """

    format: str
    other: str = ""
    decided_by: str = ""


def read_dates(texts: Sequence[str], date_format: str) -> Moments:
    """Read trimmed texts as moments in UTC, in microseconds; NaT where one is none.

    Examples
    --------
    >>> read_dates(["2026-01-31T10:00:00.5+02:00", "today"], "ISO8601").astype(str).tolist()
    ['2026-01-31T08:00:00.500000', 'NaT']
    """
    if date_format == ISO:
        cells: list[str | None] = [
            (f"{text[:-3].rstrip()}Z" if text.endswith(UTC) else text)
            if ISO_DATE(text) or ISO_WITHOUT_MARKS(text)
            else None
            for text in texts
        ]
    else:
        cells = [None if text.casefold() in WORDS else text for text in texts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read: Any = pd.to_datetime(pd.Series(cells, dtype=object), format=date_format, errors="coerce", utc=True)
    moments: Moments = read.dt.tz_localize(None).astype("datetime64[us]").to_numpy(copy=True)
    return moments


def is_no_date(text: str) -> bool:
    """Whether a trimmed text is a date of zeros or nines, which is no day of any calendar.

    Examples
    --------
    >>> [is_no_date(text) for text in ("99/99/9999", "0000-00-00 00:00:00", "00.00.0000", "9999-12-31", "09/09/1999")]
    [True, True, True, False, False]
    """
    return NO_DATE(text) is not None


def find_date_format(texts: Sequence[str], counts: npt.NDArray[np.int64], order: str = "") -> DateFormat | None:
    """The one format that reads most of some texts; None where none reads at least half of them.

    Parameters
    ----------
    texts : sequence of str
        Distinct and trimmed.
    counts : ndarray of int
        How often each occurs.
    order : {"", "day", "month"}
        What comes first where the texts do not tell.
    """
    some = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), N_TRIED)).astype(np.intp))
    tried = [texts[index] for index in some.tolist()]
    weights = counts[some]
    if weights[[ISO_DATE(text) is not None for text in tried]].sum() * 2 >= weights.sum():
        return DateFormat(ISO)
    guessed = Counter(found for text in tried[:: max(1, len(tried) // N_GUESSED)] for found in _guesses(text))
    scored = []
    for candidate in guessed:
        read = ~np.isnat(read_dates(tried, candidate))
        scored.append((int(weights[read].sum()), guessed[candidate], candidate))
    scored = sorted(scored, key=lambda entry: entry[:2], reverse=True)
    if not scored or scored[0][0] * 2 < weights.sum():
        return None
    most = scored[0][0]
    tied = [form for n, _, form in scored if n == most]
    year_first = next((form for form in tied if form.startswith("%y")), "")
    days_first, days_last = (_spreads_over_months(tried, place) for place in ("first", "third"))
    if year_first and (len(tied) == 1 or (days_last and not days_first)):
        return DateFormat(year_first)
    if order or (days_first and not days_last):
        year_first = ""
    scored = [entry for entry in scored if not entry[2].startswith("%y")]
    best = next((form for n, _, form in scored if n == most and order_of(form) == (order or _usual_order(form))), "")
    best = best or scored[0][2]
    other = _exchanged(best)
    if other not in guessed:
        return DateFormat(best)
    for looked_at, n_cells in ((tried, weights), (texts, counts)):
        # All cells decide where the sample does not.
        first, second = ~np.isnat(read_dates(looked_at, best)), ~np.isnat(read_dates(looked_at, other))
        n_first, n_second = int(n_cells[first].sum()), int(n_cells[second].sum())
        if n_second > n_first:
            best, other, first, second = other, best, second, first
        if n_first != n_second:
            decisive = looked_at[int((first & ~second).argmax())] if order_of(best) and not year_first else ""
            return DateFormat(best, other=year_first, decided_by=decisive)
    return DateFormat(best, other="" if order or "." in best.split()[0] else other)


def _guesses(text: str) -> set[str]:
    """Formats that may have written a text: pandas' guesses, and those that it does not make."""
    from pandas.tseries.api import guess_datetime_format

    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dayfirst in (False, True):
            guess = guess_datetime_format(text, dayfirst=dayfirst)
            if guess is not None and _is_date(guess) and len(text) > len("20250131"):
                found.add(guess)
    return found | _further_guesses(text)


def _further_guesses(text: str) -> set[str]:
    """Formats with two digits for the year, with am and pm, and with short months."""
    named, numeric, month_alone = NAMED_DATE(text), NUMERIC_DATE(text), NAMED_MONTH(text)
    if month_alone is not None:
        return {f"{'%b' if len(month_alone['month']) == 3 else '%B'}{month_alone['mark']}%Y"}
    parts = numeric or named
    if parts is None:
        return set()
    time = _time_format(parts["time"] or "")
    if time is None:
        return set()
    mark, n_year = parts["mark"], len(parts["third"])
    if named is not None:
        month = "%b" if len(named["month"]) == 3 else "%B"
        return {f"%d{mark}{month}{mark}{'%Y' if n_year == 4 else '%y'}{time}"} if n_year != 3 else set()
    if len(parts["first"]) == 4:
        return {f"%Y{mark}%m{mark}%d{time}", f"%Y{mark}%d{mark}%m{time}"} if n_year <= 2 else set()
    year = {2: "%y", 4: "%Y"}.get(n_year)
    if year is None or len(parts["first"]) > 2 or mark == " ":
        return set()
    year_first = {f"%y{mark}%m{mark}%d{time}"} if n_year == len(parts["first"]) == 2 else set()
    return {f"%d{mark}%m{mark}{year}{time}", f"%m{mark}%d{mark}{year}{time}"} | year_first


def _spreads_over_months(texts: Sequence[str], place: str) -> bool:
    """Whether one of three numbers, "first" or "third", has the days of whole months, as few years of two digits do."""
    days = {int(found[place]) for found in map(NUMERIC_DATE, texts) if found is not None}
    return len(days) >= MIN_DAYS and min(days) <= DAYS_OF_MONTH[0] and max(days) >= DAYS_OF_MONTH[1]


def _time_format(text: str) -> str | None:
    """The format of what follows a date; None where it is no time."""
    if not text:
        return ""
    time = TIME(text)
    if time is None:
        return None
    noon, zone = time["noon"], time["zone"]
    return (
        time["gap"]
        + ("%I:%M" if noon else "%H:%M")
        + (":%S" if time["seconds"] else "")
        + (".%f" if time["fraction"] else "")
        + ((" %p" if noon[0].isspace() else "%p") if noon else "")
        + ((" %z" if zone[0].isspace() else "%z") if zone else "")
    )


def _is_date(form: str) -> bool:
    """Whether a format has a year and a month, and the day where the year has two digits."""
    has_month = any(part in form for part in ("%m", "%b", "%B"))
    return has_month and ("%Y" in form or ("%y" in form and "%d" in form))


def order_of(form: str) -> str:
    """Whether the day or the month comes first; empty where the month is named or the year is first."""
    if "%d" not in form or "%m" not in form or form.startswith(("%Y", "%y")):
        return ""
    return "day" if form.index("%d") < form.index("%m") else "month"


def _usual_order(form: str) -> str:
    """What comes first where no cell tells: the month beside slashes, as pandas has it, else the day."""
    if not order_of(form):
        return ""
    return "month" if "/" in form else "day"


def _exchanged(form: str) -> str:
    """The format with day and month exchanged."""
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
