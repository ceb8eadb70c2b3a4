"""Values that stand for a missing one: -999, 9999, 1900-01-01."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.columns.column import Column
from vae_anomaly.columns.dates import EPOCH_UNITS, moments
from vae_anomaly.columns.scales import gross_cells
from vae_anomaly.data import FloatArray, Table, TextFormat, text_of, with_missing_cells
from vae_anomaly.errors import SpecificationError

Code: TypeAlias = float | str | dt.date
MissingValues: TypeAlias = bool | Code | Sequence[Code] | Mapping[str, "MissingValues"] | None
"""What `VAEDetector` takes: None to recognise codes, values, False or none of them to keep all, or that by column."""

NINES = tuple(float("9" * n_digits) for n_digits in range(2, 11))
NUMBER_CODES = (-2147483648.0, *(-code for code in reversed(NINES)), -9.0, -1.0, *NINES, 2147483647.0)
EPOCH = dt.date(1970, 1, 1)
DATE_CODES = tuple(
    float((dt.date.fromisoformat(day) - EPOCH).days)
    for day in (
        *("0001-01-01", "1582-10-15", "1600-01-01", "1601-01-01", "1677-09-21", "1753-01-01", "1800-01-01"),
        *("1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01", "1904-01-01", "1970-01-01"),
        *("2099-12-31", "2100-01-01", "2100-12-31", "2199-12-31", "2200-01-01", "2262-04-11", "2999-12-31"),
        *("3000-01-01", "9999-01-01", "9999-12-31"),
    )
)
MIN_REPEATS = 3
MAX_SLIPS = 2
MIN_OTHER_CELLS, MIN_OTHER_VALUES = 20, 11
# How many times as large as any other number, and how far from them in widths of the inner nine tenths.
MIN_RATIO, MIN_GAP, MIN_DATE_GAP, MIN_GAP_DAYS = 5.0, 0.1, 0.25, 365.0


def number_codes_of(numbers: FloatArray) -> tuple[float, ...]:
    """Numbers that are known to stand for missing ones, repeat, and lie far from all others.

    They occur at least three times, and are at least five times as large as the largest of the others, or negative
    where all others are positive, with a gap between.  Others need eleven different values: few are categories.
    One or two others may lie farther out than that, where the code occurs at least three times as often as they do: a
    slip of the pen beside a code, which a long tail that is cut off does not look like.

    Parameters
    ----------
    numbers : ndarray of shape (cells,)
        Without missing ones.

    Examples
    --------
    >>> number_codes_of(np.r_[np.linspace(-20, 40, 200), [-999.0] * 3])
    (-999.0,)
    """
    return _codes_of(
        numbers, NUMBER_CODES, lambda code, others: _is_apart_but_for_slips(code, others, int((numbers == code).sum()))
    )


def date_codes_of(days: FloatArray) -> tuple[float, ...]:
    """Dates, as days since 1970, that are known to stand for missing ones, repeat, and lie far from all others."""
    whole = np.floor(days)
    codes = _codes_of(whole, DATE_CODES, _is_another_time)
    return tuple(np.unique(days[np.isin(whole, codes)]).tolist()) if codes else ()


def given_codes(given: MissingValues, name: str) -> tuple[Code, ...] | None:
    """What the user says stands for missing in a column; None where it is to be recognised.

    Raises
    ------
    SpecificationError
        If it is neither a number, nor text, nor a date.
    """
    if isinstance(given, Mapping):
        given = given.get(name)
    if given is None:
        return None
    if given is False:
        return ()
    codes: list[Any] = [given] if np.ndim(given) == 0 else list(given)  # type: ignore[arg-type]
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, str | int | float | np.number | dt.date | np.datetime64):
            raise SpecificationError(
                f"missing_values holds {code!r}; expected numbers, text or dates, a list of them, a mapping from "
                "columns to these, None to recognise usual codes, or False to keep all."
            )
    return tuple(codes)


def check_named_columns(given: MissingValues, names: Sequence[str]) -> None:
    """Refuse a mapping from columns that are not there: their codes would count as values."""
    known = frozenset(names)
    for name in given if isinstance(given, Mapping) else ():
        if name not in known:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(map(repr, names[:5]))}."
            raise SpecificationError(f"missing_values names {name!r}, which is no column of the data; {hint}")


def codes_for(
    table: Table, position: int, given: tuple[Code, ...] | None, *, dates: bool, unit: str = ""
) -> tuple[float, ...] | tuple[str, ...]:
    """The cells of a column that stand for missing ones, as `Column.missing_values` has them.

    Parameters
    ----------
    table : Table
        Training rows.
    position : int
        Of the column.
    given : tuple or None
        What the user says; None recognises usual codes.
    dates : bool
        Whether the column is read as dates.
    unit : str
        See `Column.date_unit`.
    """
    content = table.content(position)
    if content == "boolean" or given == ():
        return ()
    form = None if table.formats is None else table.formats[position]
    if given is not None and form is not None:
        given = tuple(_read(code, form) for code in given)
    if dates and not unit:
        return _present(date_codes_of, table.days(position)) if given is None else _floats(map(_day_of, given))
    if content == "text":
        return () if given is None else _spellings(tuple(map(_text_of, given)), table, position, form)
    if given is not None:
        return _floats(map(_number_of, given))
    numbers = table.numbers(position)
    if not dates:
        return _present(number_codes_of, numbers)
    tick = EPOCH_UNITS[unit][0]
    days = _present(date_codes_of, numbers * tick)
    return tuple(np.unique(numbers[np.isin(numbers * tick, days)]).tolist())


def is_code(table: Table, position: int, column: Column) -> npt.NDArray[np.bool_]:
    """Which cells of a column stand for missing ones."""
    codes = column.missing_values
    if isinstance(codes[0], str):
        return np.isin(table.texts(position).astype(str), codes)
    if column.is_date:
        return np.isin(table.days(position), codes)
    return np.isin(table.numbers(position), codes)


def without_codes(table: Table, columns: Sequence[Column]) -> Table:
    """The same rows in which the cells that stand for missing ones, as each column knows them, are missing."""
    hidden = {
        position: is_code(table, position, column) for position, column in enumerate(columns) if column.missing_values
    }
    return with_missing_cells(table, hidden)


def code_text(code: float | str, *, is_date: bool) -> str:
    """A code as people write it."""
    if isinstance(code, str):
        return repr(code)
    return str(moments(np.array([code]))[0]).removesuffix("T00:00:00.000000") if is_date else f"{code:.15g}"


def _codes_of(
    numbers: FloatArray, known: Sequence[float], is_apart: Callable[[float, FloatArray], bool]
) -> tuple[float, ...]:
    if not len(numbers):
        return ()
    lowest, highest = float(numbers.min()), float(numbers.max())
    within = (code for code in known if lowest <= code <= highest)
    repeated = [code for code in within if (numbers == code).sum() >= MIN_REPEATS]
    if not repeated:
        return ()
    others = numbers[~np.isin(numbers, repeated)]
    if len(others) < MIN_OTHER_CELLS or len(np.unique(others)) < MIN_OTHER_VALUES:
        return ()
    usual = others[~gross_cells(others)]
    return tuple(code for code in repeated if is_apart(code, usual))


def _is_apart_but_for_slips(code: float, others: FloatArray, count: int) -> bool:
    """Whether a code is apart from all others, or from all but one or two beside which it occurs often."""
    in_order = np.sort(others)
    for n_slips in range(MAX_SLIPS + 1):
        if count < MIN_REPEATS * n_slips:
            return False
        kept = in_order[: len(in_order) - n_slips] if code > 0 else in_order[n_slips:]
        if _is_apart(code, kept):
            return True
    return False


def _present(find: Callable[[FloatArray], tuple[float, ...]], cells: FloatArray) -> tuple[float, ...]:
    return find(cells[~np.isnan(cells)])


def _floats(numbers: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(number for number in numbers if number is not None)


def _is_apart(code: float, others: FloatArray) -> bool:
    lowest, highest = float(others.min()), float(others.max())
    if lowest <= code <= highest:
        return False
    if abs(code) >= MIN_RATIO * max(abs(lowest), abs(highest), 1.0) and abs(code) >= NINES[0]:
        return True
    return code < 0 < lowest and lowest - code >= MIN_GAP * _inner_width(others)


def _is_another_time(code: float, others: FloatArray) -> bool:
    gap = max(float(others.min()) - code, code - float(others.max()))
    return gap >= max(MIN_GAP_DAYS, MIN_DATE_GAP * _inner_width(others))


def _inner_width(numbers: FloatArray) -> float:
    low, high = np.quantile(numbers, (0.05, 0.95))
    return float(high - low)


def _number_of(code: Code) -> float | None:
    try:
        return float(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _read(code: Code, form: TextFormat) -> Code:
    """A code as the column reads its text: $0.00, 31/12/2099; as it is where that is nothing."""
    if not isinstance(code, str) or form.kind not in ("number", "date"):
        return code
    values, lost = form.read([code])
    if lost[0] or pd.isna(values[0]):
        return code
    read: Code = float(values[0]) if form.kind == "number" else values[0]
    return read


def _spellings(codes: tuple[str, ...], table: Table, position: int, form: TextFormat | None) -> tuple[str, ...]:
    """Codes as they are written in a column of levels, whatever their case where that does not count."""
    if form is None or not form.fold:
        return codes
    folded = {code.strip().casefold() for code in codes}
    found = {text for text in table.texts(position) if text is not None and text.casefold() in folded}
    return (*codes, *sorted(found.difference(codes)))


def _text_of(code: Code) -> str:
    return code if isinstance(code, str) else str(text_of(code))


def _day_of(code: Code) -> float | None:
    """Days since 1970 of a date or its text; a number is none."""
    if _number_of(code) is not None and not isinstance(code, np.datetime64):
        return None
    moment = pd.to_datetime(pd.Series([code], dtype=object), errors="coerce", utc=True, format="ISO8601").iloc[0]
    return None if pd.isna(moment) else moment.timestamp() / 86_400
