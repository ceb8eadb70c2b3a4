"""Numbers that say which row it is, and not how it is: running numbers, clocks, keys."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from vae_anomaly.columns.dates import EPOCH_UNITS, epoch_unit
from vae_anomaly.data import FloatArray

MIN_ROWS_TO_COUNT = 20
MAX_OUT_OF_ORDER, MIN_OUT_OF_ORDER = 0.02, 2
MIN_DISTINCT, MIN_DISTINCT_UNNAMED = 0.2, 0.5
# How many times as fast as elsewhere a running number may grow in a tenth of the rows.
MAX_ACCELERATION, N_BLOCKS, MIN_ROWS_TO_BE_STEADY = 3.0, 10, 100
OUTERMOST = 0.01
MIN_WHOLE = 0.98
MAX_EXACT = 2.0**53
MIN_RANK_CORRELATION = 0.9
MIN_EXPECTED_REPEATS = 10.0
MIN_CALENDAR_DAYS, FIRST_CALENDAR_DAY, LAST_CALENDAR_DAY = 11, 19000101, 20991231
KEY_WORDS = frozenset({"id", "ids", "key", "pk", "uuid", "guid", "rowid"})
LAST_KEY_WORDS = KEY_WORDS | {
    *("nr", "no", "num", "number", "serial", "seq", "sequence"),
    *("ean", "gtin", "upc", "isbn", "issn", "barcode", "imei", "sku", "plu"),
}
# Codes of things: of so many digits with a check digit, or of so many more, all of them the same.
MIN_CODES, MIN_CHECKED_SHARE = 20, 0.95
MIN_CHECKED_DIGITS, MAX_ARTICLE_DIGITS, MIN_LUHN_DIGITS, MIN_CODE_DIGITS = 8, 14, 13, 12
MIN_LAST_DIGITS = 8
MAX_CODES_LOOKED_AT = 10_000
CLOCK_YEARS = (1980, 2050)
CLOCK_WORDS = frozenset(
    {"time", "timestamp", "ts", "epoch", "datetime", "date", "created", "updated", "modified", "datum", "zeit", "fecha"}
)
# Of papers that are numbered one after the other: keys where the numbers rise or fall with the rows.
NUMBERED_WORDS = frozenset(
    {"ticket", "invoice", "receipt", "voucher", "order", "booking", "case", "beleg", "rechnung", "auftrag"}
)
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def names_a_key(name: str) -> bool:
    """Whether a name is that of an identifier or a number that is given out: id, order_no, customerKey.

    Examples
    --------
    >>> names_a_key("customerId"), names_a_key("invoice_no"), names_a_key("number of rooms"), names_a_key("width")
    (True, True, False, False)
    """
    words = [word.lower() for word in WORDS.findall(name)]
    return bool(words) and (not KEY_WORDS.isdisjoint((words[0], words[-1])) or words[-1] in LAST_KEY_WORDS)


def why_set_aside(name: str, numbers: FloatArray) -> str | None:
    """Why a column only says which row it is; None where it does not, as far as one can see.

    It grows or falls from row to row, with few rows out of order, and is a time since 1970, or bears the name of a key,
    or holds whole numbers that grow steadily.  Or all its whole numbers are dates such as 20240131.  Or they never
    occur twice, and bear the name of a key, or would repeat themselves at least ten times if they were drawn at random.

    Parameters
    ----------
    name : str
        Of the column.
    numbers : ndarray of shape (cells,)
        Observed cells in the order of the rows.

    Examples
    --------
    >>> why_set_aside("n", 1000 + 3.0 * np.arange(100))
    'it counts the rows; declare it integer to use it'
    >>> why_set_aside("price", np.sort(np.random.default_rng(0).lognormal(size=100)).round(2)) is None
    True
    """
    if len(numbers) < MIN_ROWS_TO_COUNT:
        return None
    share_whole = float((numbers == np.floor(numbers)).mean())
    whole, mostly_whole = share_whole == 1, share_whole >= MIN_WHOLE
    direction, unit = direction_of(numbers), epoch_unit(numbers)
    if not whole and not direction and unit is None:
        return None
    kind = "integer" if whole else "continuous"
    named = names_a_key(name)
    n_distinct = len(np.unique(numbers))
    steady = n_distinct >= MIN_DISTINCT_UNNAMED * len(numbers) and is_steady(numbers)
    clock = unit is not None and (
        not CLOCK_WORDS.isdisjoint(map(str.lower, WORDS.findall(name)))
        or (direction != 0 and (steady or named or unit != "s"))
    )
    if clock and n_distinct >= max(MIN_ROWS_TO_COUNT, MIN_DISTINCT * len(numbers)):
        return f"it is a time since 1970 ({unit}); declare it datetime to use hours and weekdays, or {kind}"
    if whole and n_distinct >= MIN_CALENDAR_DAYS and are_calendar_days(numbers):
        return (
            "its whole numbers are dates, written as 20240131 is; convert it with "
            "pandas.to_datetime(..., format='%Y%m%d'), or declare it integer to use it"
        )
    steps = np.diff(numbers)
    if whole and steps[0] != 0 and (steps == steps[0]).all():
        return "it counts the rows; declare it integer to use it"
    numbered = named or not NUMBERED_WORDS.isdisjoint(map(str.lower, WORDS.findall(name)[-1:]))
    if direction and mostly_whole and (numbered or steady):
        grows = "grows" if direction > 0 else "falls"
        return f"it {grows} with the rows; declare it {kind} to use it"
    if not whole or n_distinct < len(numbers):
        return None
    expected_repeats = len(numbers) * (len(numbers) - 1) / (2 * (float(np.ptp(numbers)) + 1))
    if named:
        return "its whole numbers never occur twice, and its name is that of a key; declare it integer to use it"
    if expected_repeats >= MIN_EXPECTED_REPEATS:
        return (
            f"its {len(numbers)} whole numbers never occur twice, though they are close together: a key; declare it "
            "integer to use it"
        )
    return None


def why_codes(numbers: FloatArray) -> str | None:
    """Why whole numbers are codes that name things; None where they are not, as far as one can see.

    At least twenty are different, and none is small.  Nineteen in twenty have at least 8 digits and end with the check
    digit of articles (EAN-8, UPC, EAN-13, GTIN-14), or at least 13 and that of cards and devices (Luhn); of random ones
    one in ten would.  Or all have the same number of digits, at least 12, are not rounded, and are no times since 1970;
    amounts, counts and populations of that size differ in their number of digits.

    Parameters
    ----------
    numbers : ndarray of shape (cells,)
        Observed cells.

    Examples
    --------
    >>> why_codes(4e12 + 7_777_777_777.0 * np.arange(100))
    'its whole numbers all have 13 digits'
    >>> why_codes(np.random.default_rng(0).integers(10**7, 10**8, 500).astype(float)) is None
    True
    """
    if len(numbers) < MIN_CODES or float(numbers.min()) < 10.0 ** (MIN_CHECKED_DIGITS - 1):
        return None
    distinct = np.unique(numbers)
    if len(distinct) < MIN_CODES or distinct[-1] > MAX_EXACT or not (distinct == np.floor(distinct)).all():
        return None
    some = distinct[:: max(1, len(distinct) // MAX_CODES_LOOKED_AT)].astype(np.int64)
    n_digits = _digits_of(some)
    articles = (_check_sums(some, 3) % 10 == 0) & (n_digits <= MAX_ARTICLE_DIGITS)
    if articles.mean() >= MIN_CHECKED_SHARE:
        return "its whole numbers end with the check digit of article numbers (EAN, UPC, GTIN)"
    cards = (_check_sums(some, 2) % 10 == 0) & (n_digits >= MIN_LUHN_DIGITS)
    if cards.mean() >= MIN_CHECKED_SHARE:
        return "its whole numbers end with the check digit of cards and devices (Luhn)"
    alike = n_digits[0] == n_digits[-1] >= MIN_CODE_DIGITS
    if alike and len(np.unique(some % 10)) >= MIN_LAST_DIGITS and not _is_clock(distinct):
        return f"its whole numbers all have {n_digits[0]} digits"
    return None


def _digits_of(whole: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.searchsorted(10 ** np.arange(1, 19, dtype=np.int64), whole, side="right") + 1


def _check_sums(whole: npt.NDArray[np.int64], weight: int) -> npt.NDArray[np.int64]:
    """Sums of digits, every second from the right times a weight; by Luhn the digits of such a product count."""
    total, rest, place = np.zeros(len(whole), dtype=np.int64), whole, 0
    while rest.any():
        rest, digit = np.divmod(rest, 10)
        product = digit * (weight if place % 2 else 1)
        total, place = total + (product - 9 * (product > 9) if weight == 2 else product), place + 1
    return total


def _is_clock(numbers: FloatArray) -> bool:
    """Whether numbers are times since 1970 that clocks of today may have shown."""
    unit = epoch_unit(numbers)
    if unit is None:
        return False
    years = 1970 + numbers * EPOCH_UNITS[unit][0] / 365.2425
    return bool(((years >= CLOCK_YEARS[0]) & (years <= CLOCK_YEARS[1])).mean() >= MIN_WHOLE)


def are_calendar_days(numbers: FloatArray) -> bool:
    """Whether all whole numbers are days of the years 1900 to 2099, written as 20240131.

    Of numbers drawn at random one in thirty would be.

    Examples
    --------
    >>> are_calendar_days(np.array([20240131.0, 19991231.0])), are_calendar_days(np.array([20240230.0]))
    (True, False)
    """
    if numbers.min() < FIRST_CALENDAR_DAY or numbers.max() > LAST_CALENDAR_DAY:
        return False
    years, months = numbers // 10_000, numbers // 100 % 100
    if months.min() < 1 or months.max() > 12:
        return False
    starts = ((years - 1970) * 12 + months - 1).astype(np.int64).astype("datetime64[M]")
    lengths = ((starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]")).astype(np.int64)
    days = numbers % 100
    return bool(((days >= 1) & (days <= lengths)).all())


def direction_of(numbers: FloatArray) -> int:
    """1 where numbers rise from row to row but for few, -1 where they fall, 0 where neither, or where they repeat."""
    if len(numbers) < MIN_ROWS_TO_COUNT:
        return 0
    n_up, n_down = int((numbers[1:] > numbers[:-1]).sum()), int((numbers[1:] < numbers[:-1]).sum())
    few = max(MIN_OUT_OF_ORDER, MAX_OUT_OF_ORDER * len(numbers))
    direction = 1 if n_down <= few else -1 if n_up <= few else 0
    # Before anything is sorted: nearly every column has no direction.
    if not direction or len(np.unique(numbers)) < max(MIN_ROWS_TO_COUNT, MIN_DISTINCT * len(numbers)):
        return 0
    ranks = np.argsort(np.argsort(numbers, kind="stable"), kind="stable")
    agreement = np.corrcoef(ranks, np.arange(len(numbers)))[0, 1]
    return direction if direction * agreement >= MIN_RANK_CORRELATION else 0


def is_steady(numbers: FloatArray) -> bool:
    """Whether numbers in order grow about as fast everywhere, as those do that are given out one after the other.

    Sorted measurements grow slowly where most of them are, and fast in their tails.
    """
    if len(numbers) < MIN_ROWS_TO_BE_STEADY:
        return False
    edges = np.quantile(numbers, np.linspace(OUTERMOST, 1 - OUTERMOST, N_BLOCKS + 1))
    lengths = np.diff(edges)
    return bool(lengths.min() > 0 and lengths.max() <= MAX_ACCELERATION * lengths.min())
