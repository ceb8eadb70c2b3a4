"""What text cells are: missing, whole numbers, numbers, true/false, dates or text."""

import json
import re
from collections.abc import Callable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.arrow_rows import cast_or_none, plain_dates, with_nulls

MISSING_TEXTS = (
    *("", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan"),
    *("NULL", "Null", "null", "None"),
)
# Leading zeros, and what Arrow would read as hexadecimal.
CODE = r"^[+-]?0[0-9xX]"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
WHOLE_NUMBER = r"^[+-]?[0-9]+$"
DECIMAL_COMMA = r"^([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)$"
TRUE_OR_FALSE = r"(?i)^(true|false)$"
# Marks that cannot be the other one: the whole cell is looked at, with what may stand around a number.
N_FIRST = 10_000
SURE_POINT = r"(^|[^0-9])0?\.[0-9]|[0-9]{4,}\.[0-9]|\.[0-9]{0,2}$|\.[0-9]{4,}|[eE]"
SURE_COMMA = r"^[^0-9A-Za-z]*([A-Z]{3} ?)?[0-9.' ]*[0-9],([0-9]{1,2}|[0-9]{4,})[^0-9,.]*$"
EITHER_MARK = r"^[^0-9]*[0-9]{1,3}[.,][0-9]{3}[^0-9]*$"
EITHER_MARK_POINT = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"


class InferredType:
    """The type of a text column from the chunks so far: integers, numbers, true/false or text.

    All cells decide: one that is no number makes it text. Whole numbers with leading zeros, or with more digits
    than 64 bits hold, are codes and stay text. The order and the size of the chunks do not matter.

    Parameters
    ----------
    decimal_comma : bool
        Whether numbers may be written 1,5.
    """

    def __init__(self, decimal_comma: bool) -> None:
        self.decimal_comma = decimal_comma
        self.is_empty = True
        # Cast to 64 bits; digits only, if too many of them; codes among them.
        self.whole, self.digits, self.codes = True, True, False
        self.numbers, self.booleans = True, True

    def update(self, text: pa.Array) -> None:
        """Take cells into account, trimmed and with missing ones null."""
        if text.null_count == len(text):
            return
        self.is_empty = False
        if self.whole and cast_or_none(text, pa.int64()) is not None:
            self.booleans = False
            if _any(text, CODE):
                self.codes = True
                # A hexadecimal number is whole and no decimal one.
                self.numbers = self.numbers and cast_or_none(text, pa.float64()) is not None
            return
        self.whole = False
        # Beside decimal commas a point may stand between thousands.
        self.numbers = self.numbers and not (self.decimal_comma and _any(text, EITHER_MARK_POINT))
        self.digits = self.digits and _all(text, WHOLE_NUMBER)
        self.numbers = self.numbers and cast_or_none(self._with_points(text), pa.float64()) is not None
        # The cast to bool also takes 0 and 1, which do not go with true and false.
        self.booleans = self.booleans and _all(text, TRUE_OR_FALSE)

    @property
    def type(self) -> pa.DataType:
        """The type that has room for all cells seen."""
        if self.is_empty or (self.numbers and not self.digits):
            return pa.float64()
        if self.whole:
            return pa.string() if self.codes else pa.int64()
        return pa.bool_() if self.booleans else pa.string()

    def cast(self, text: pa.Array) -> pa.Array:
        """Read cells, trimmed and with missing ones null, as that type."""
        inferred = self.type
        return pc.cast(self._with_points(text) if pa.types.is_floating(inferred) else text, inferred)

    def _with_points(self, text: pa.Array) -> pa.Array:
        return with_decimal_points(text) if self.decimal_comma else text


def values_of(column: pa.ChunkedArray, decimal_comma: bool) -> pa.ChunkedArray:
    """Read the cells of a text column as integers, numbers, true/false or text, as the whole column says."""
    text, inferred = without_missing(column), InferredType(decimal_comma)
    inferred.update(text)
    return inferred.cast(text)


def numbers_of(text: pa.ChunkedArray, decimal_comma: bool) -> pa.ChunkedArray:
    """Read text as numbers, 007 as 7; as it is if a cell is none."""
    text = with_decimal_points(text) if decimal_comma else text
    numbers = cast_or_none(text, pa.float64())
    return text if numbers is None else numbers


def numbers_of_cells(text: pa.Array, decimal_comma: bool, *, booleans: bool) -> pa.Array:
    """Read each cell as a number by itself; if one of them is no number, return what was tried to read, as text.

    Parameters
    ----------
    text : pyarrow.Array
        The cells as the file has them.
    decimal_comma : bool
        Whether they may be written 1,5.
    booleans : bool
        Whether true and false are 1 and 0.
    """

    def with_booleans(levels: pa.Array) -> pa.Array:
        levels = pc.replace_substring_regex(without_missing(levels), "(?i)^true$", "1")
        return numbers_of(pc.replace_substring_regex(levels, "(?i)^false$", "0"), decimal_comma)

    if booleans:
        return _by_level(text, with_booleans)
    # Mostly the first or the second reading will do, at a fraction of the cost of the third.
    numbers = cast_or_none(text, pa.float64())
    if numbers is None:
        numbers = cast_or_none(with_nulls(text, pc.equal(pc.binary_length(text), 0)), pa.float64())
    return numbers_of(without_missing(text), decimal_comma) if numbers is None else numbers


def level_texts(text: pa.Array, decimal_comma: bool) -> pa.Array:
    """Write the cells that are numbers as a level that was a number is written: 1.50 as 1.5, 2.0 as 2; others stay."""

    def read(levels: pa.Array) -> pa.Array:
        levels = with_decimal_points(levels) if decimal_comma else levels
        return pa.array([_level_text(level) for level in levels.to_pylist()], pa.string())

    return _by_level(text, read)


def _by_level(text: pa.Array, read: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Read each level once, where cells repeat few of them."""
    encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
    return read(encoded.dictionary).take(encoded.indices)


def _level_text(level: str) -> str:
    if re.match(CODE, level) or not re.match(NUMBER, level):
        return level
    if re.match(WHOLE_NUMBER, level):
        return str(int(level))
    number = float(level)
    return str(int(number)) if number.is_integer() else str(number)


def with_decimal_points(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write 1,5 as 1.5."""
    return pc.replace_substring_regex(text, DECIMAL_COMMA, r"\1.\2")


def plain_values(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read a whole column of text that programs write: whole numbers, numbers with points, true and false, ISO dates.

    Parameters
    ----------
    text : ChunkedArray
        Trimmed, with missing cells null.

    Returns
    -------
    ChunkedArray or None
        None where a cell is something else, or a code: these take more than a cast.
    """
    inferred = InferredType(decimal_comma=False)
    inferred.update(text)
    if not pa.types.is_string(inferred.type):
        values = inferred.cast(text)
        return None if _is_mark_or_nothing(values) else values
    return plain_dates(text) if _all(text, DATE) else None


def _is_mark_or_nothing(values: pa.ChunkedArray) -> bool:
    """Whether all cells are true or empty, false or empty, or 1 or empty: levels, one of which is nothing."""
    if not values.null_count or values.null_count == len(values):
        return False
    if pa.types.is_boolean(values.type):
        return len(pc.unique(pc.drop_null(values))) == 1
    if pa.types.is_temporal(values.type):
        return False
    ends = pc.min_max(values).as_py()
    return bool(ends["min"] == ends["max"] == 1)


def iso_dates(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read a whole column of text as dates, where all cells are ISO ones; else leave it as it is."""
    dates = plain_dates(text) if _all(text, DATE) else None
    return text if dates is None else dates


def is_decimal_point(text: pa.ChunkedArray) -> bool:
    """Whether points of numbers are decimal ones for certain: 1.234 alone may be a thousand."""
    return _any(text.slice(0, N_FIRST), SURE_POINT) or _any(text.slice(N_FIRST), SURE_POINT)


def has_decimal_commas(text: pa.ChunkedArray) -> bool:
    """Whether a cell looks like a number with a decimal comma."""
    return _any(text, SURE_COMMA)


def has_either_mark(text: pa.ChunkedArray) -> bool:
    """Whether a cell looks like a number whose mark may be the decimal one or stand between thousands."""
    return _any(text, EITHER_MARK)


def without_missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Trim the cells of a text column and take the usual signs for missing as missing."""
    text = pc.utf8_trim_whitespace(column)
    return with_nulls(text, pc.is_in(text, _missing_texts()))


@cache
def _missing_texts() -> pa.Array:
    # Not at import: an Arrow array from Python objects loads pandas.
    return pa.array(MISSING_TEXTS)


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write every cell as text; a missing cell is empty."""
    columns = [_text_of(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _text_of(column: pa.Array) -> pa.Array:
    try:
        text = pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # Lists, objects and raw bytes have no text of their own.
        cells = column.to_pylist()
        text = pa.array([None if v is None else json.dumps(v, default=str) for v in cells])
    return pc.fill_null(text, "")


def _any(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())


def _all(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())
