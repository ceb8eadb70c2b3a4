"""Text cells: what the text of a column stands for, learned from its training cells and kept with the column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.caching import cached_property
from vae_anomaly.data.hashed_texts import HashedTexts
from vae_anomaly.data.text_clocks import clock_text, find_clock, seconds_of
from vae_anomaly.data.text_dates import ISO, DateFormat, find_date_format, is_no_date, read_dates
from vae_anomaly.data.text_numbers import CODE, DOUBTFUL_FACTORS, FACTORS, PLAIN, ParsedNumbers, parse_numbers

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
TextKind = Literal["number", "date", "boolean", "level"]

# In any column of text.
MISSING_TEXTS = frozenset(
    ("", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null", "None")
)
# Among numbers, dates, true and false, in upper or lower case.
MISSING_WORDS = frozenset(
    (
        *("", "-", "--", "---", ".", "..", "...", "\u2013", "\u2014", "?", "??", "\\n"),
        *("na", "n/a", "n.a.", "n.a", "n/k", "n.k.", "n/d", "n.d.", "nd", "nan", "-nan", "nat", "null", "none", "nil"),
        *("(null)", "[null]", "<na>", "(blank)", "(empty)", "tbd", "missing", "unknown", "unbekannt", "inconnu"),
        *("desconocido", "not available", "not applicable", "no data", "keine angabe", "k.a.", "k. a."),
        *("#na", "#n/a", "#n/v", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!"),
        *("#wert!", "#bezug!", "#zahl!"),
    )
)
TRUE, FALSE = "true", "false"
LIKE_DIGITS = frozenset("oil|")
NONE_WORD, NOT_AVAILABLE = "none", "NA"
TWO_CAPITALS = re.compile(r"[A-Z]{2}").fullmatch
MAX_ODD_SHARE, MIN_CELLS_FOR_ODD = 0.01, 20
MAX_REMEMBERED = 10_000
MIN_NUMERIC_SHARE = 0.5
MAX_SHOWN = 3
PLAIN_DESCRIPTIONS = ("", "numbers", "dates in ISO 8601", "true and false")
EMPTY_LEVEL = "(empty)"
MARKS = frozenset(
    ("x", "*", "+", "\u2713", "\u2714", "y", "yes", "j", "ja", "o", "oui", "s", "si", "s\u00ed", "t", TRUE, "on")
)
ONES = frozenset(("1", "1.0"))
# Yes and no, which name nobody.
FLAG_WORDS = MARKS | ONES | {"n", "no", "nein", "non", "nej", "f", FALSE, "off", "0", "0.0"}
MIN_EMPTY_SHARE = 0.5
MIN_CODE_DIGITS, MAX_EXACT = 8, 2.0**53
SPOKEN = {",": "','", ".": "'.'", " ": "spaces", "'": "apostrophes"}


@dataclass(frozen=True)
class TextRules:
    """What the user says of how text is read; None leaves it to the cells.

    Parameters
    ----------
    decimal, thousands : str or None
        Marks of numbers.
    date_format : str or None
        As ``pandas.to_datetime`` takes it.
    fold_case : bool
        Whether levels that differ in case alone are one.
    """

    decimal: str | None = None
    thousands: str | None = None
    date_format: str | None = None
    fold_case: bool = True

    @property
    def decimal_mark(self) -> str | None:
        """The decimal mark, where it is said or follows from the other."""
        if self.decimal is None and self.thousands in (".", ","):
            return "," if self.thousands == "." else "."
        return self.decimal


@dataclass(frozen=True)
class TextFormat:
    """How the text of one column is read, in training and in scoring.

    Parameters
    ----------
    kind : {"number", "date", "boolean", "level"}
        What it stands for.
    decimal : str
        The decimal mark of numbers that could be read in two ways: 1.234.
    unit : str
        Currency or unit that numbers may have.
    factors : bool
        Whether numbers may end with k, M or B.
    strict : bool
        Whether the decimal mark is the only one.
    clock : {"", "hours", "minutes"}
        What comes first in durations and times of day of two parts, which are numbers of seconds; empty of others.
    date_format : str
        Of dates, as ``pandas.to_datetime`` takes it.
    missing : tuple of str
        What stands for missing, besides the usual signs.
    usual_missing : bool
        Whether the usual signs stand for missing: NA, null, None, ?.
    kept : tuple of str
        Of the usual signs those that are levels.
    fold : bool
        Whether levels that differ in case alone are one.
    by_value : bool
        Whether levels that are numbers are known by their value: 1.0 is 1.
    empty_level : str
        The level of empty cells; empty where they are missing.
    description : str
        The same for people.
    examples : str
        Cells of training that say more; a model file holds none.
    hashed_missing : HashedTexts or None
        What stands for missing, too, and is known by hashes alone; nothing that this format reads.

    Examples
    --------
    >>> TextFormat("number", decimal=",").numbers(["1.234", "2,5 ", "-"]).tolist()
    [1234.0, 2.5, nan]
    """

    kind: TextKind
    decimal: str = "."
    unit: str = ""
    factors: bool = False
    strict: bool = False
    clock: Literal["", "hours", "minutes"] = ""
    date_format: str = ""
    missing: tuple[str, ...] = ()
    usual_missing: bool = True
    kept: tuple[str, ...] = ()
    fold: bool = False
    by_value: bool = False
    empty_level: str = ""
    description: str = ""
    examples: str = field(default="", compare=False)
    hashed_missing: HashedTexts | None = None

    @property
    def described(self) -> str:
        """How it reads, with examples, for people."""
        return self.description + self.examples

    @property
    def is_plain(self) -> bool:
        """Whether it reads what programs write."""
        return self.described in PLAIN_DESCRIPTIONS

    def had_thousands(self, mark: str) -> bool:
        """Whether numbers in training had a mark between thousands."""
        return "between thousands" in self.description and SPOKEN[mark] in self.description

    @cached_property
    def _missing(self) -> frozenset[str]:
        return frozenset(self.missing)

    def is_missing(self, texts: Sequence[str]) -> Flags:
        """Which trimmed texts stand for missing."""
        own = self._missing
        if self.kind == "level":
            usual = MISSING_TEXTS if self.usual_missing else frozenset(("",))
            kept = self.kept
            return np.array([(text in usual and text not in kept) or text in own for text in texts], dtype=bool)
        return np.array([text.casefold() in MISSING_WORDS or text in own for text in texts], dtype=bool)

    def read(self, texts: Sequence[str]) -> tuple[npt.NDArray[Any], Flags]:
        """Read texts: float64, datetime64 in microseconds, or objects; and which of them cannot be read.

        Parameters
        ----------
        texts : sequence of str
            Of any spacing at their ends.
        """
        trimmed = [text.strip() for text in texts]
        missing = self.is_missing(trimmed)
        if self.kind == "number":
            values: npt.NDArray[Any] = (
                seconds_of(trimmed, self.clock) if self.clock else self.values_of(parse_numbers(trimmed))
            )
            values[missing] = np.nan
            return values, self._not_hashed(trimmed, np.isnan(values) & ~missing)
        if self.kind == "date":
            moments = read_dates(trimmed, self.date_format)
            moments[missing] = np.datetime64("NaT")
            return moments, self._not_hashed(trimmed, np.isnat(moments) & ~missing)
        if self.kind == "boolean":
            folded = [text.casefold() for text in trimmed]
            flags: dict[str, Any] = {TRUE: True, FALSE: False, "1": True, "0": False, "1.0": True, "0.0": False}
            read = np.array([flags.get(text) for text in folded], dtype=object)
            unknown = np.array([text not in flags for text in folded], dtype=bool)
            return read, unknown & ~missing
        levels = np.array([self.level_of(text) for text in trimmed] + [None], dtype=object)[:-1]
        levels[missing] = self.empty_level or None
        return levels, np.zeros(len(trimmed), dtype=bool)

    def _not_hashed(self, texts: Sequence[str], lost: Flags) -> Flags:
        """Which texts of those that are lost are not known by their hashes as missing."""
        if self.hashed_missing is None or not lost.any():
            return lost
        at = np.flatnonzero(lost)
        lost[at] = self.hashed_missing.positions([texts[index] for index in at.tolist()]) < 0
        return lost

    def with_hashed_missing(self, key: bytes) -> TextFormat:
        """The same format without cells of training: those that stand for missing are hashed where nothing reads them.

        Parameters
        ----------
        key : bytes
            Of the hashes, where there are none yet.
        """
        if not self.missing:
            return replace(self, examples="")
        _, lost = replace(self, missing=(), hashed_missing=None).read(self.missing)
        hidden = [text for text, odd in zip(self.missing, lost.tolist(), strict=True) if odd]
        known = self.hashed_missing or HashedTexts.of((), key)
        return replace(
            self,
            missing=tuple(text for text, odd in zip(self.missing, lost.tolist(), strict=True) if not odd),
            hashed_missing=replace(known, digests=known.digests + HashedTexts.of(hidden, known.key).digests),
            examples="",
        )

    def numbers(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Texts as numbers, NaN where missing or unreadable."""
        return self.read(texts)[0]

    def write(self, values: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
        """Numbers, dates and flags as text that this format reads; levels as they are."""
        if self.clock:
            texts = ["" if np.isnan(value) else clock_text(value) for value in values.tolist()]
        elif self.kind == "number":
            texts = [f"{value:.12g}".replace(".", self.decimal) for value in values.tolist()]
        elif self.kind == "date":
            form = None if self.date_format == ISO else self.date_format
            texts = [
                "" if pd.isna(moment) else moment.strftime(form) if form else moment.isoformat()
                for moment in pd.DatetimeIndex(values)
            ]
        elif self.kind == "boolean":
            texts = [TRUE if value else FALSE for value in values.tolist()]
        else:
            levels = values.astype(object)
            levels[values == (self.empty_level or None)] = None
            return levels
        written: npt.NDArray[np.object_] = np.array([*texts, None], dtype=object)[:-1]
        return written

    def values_of(self, parsed: ParsedNumbers) -> npt.NDArray[np.float64]:
        """Numbers of parsed texts; NaN where this format does not read them."""
        values = np.where((parsed.marks != "") & (parsed.marks != self.decimal), parsed.grouped, parsed.values)
        other_unit = (parsed.units != "") & (parsed.units != self.unit)
        if self.unit:
            other_unit &= np.array([unit.casefold() != self.unit.casefold() for unit in parsed.units], dtype=bool)
        scaled = parsed.factors != ""
        if self.factors:
            for factor in np.unique(parsed.factors[scaled].astype(str)).tolist():
                values = np.where(parsed.factors == factor, values * FACTORS[factor], values)
        elif scaled.any():
            # A single letter may be the unit.
            other_unit |= scaled & (parsed.factors != self.unit)
        wrong = other_unit
        if self.strict:
            wrong |= (parsed.decimals != "") & (parsed.decimals != self.decimal)
            wrong |= parsed.thousands == self.decimal
        values[wrong] = np.nan
        return values

    def level_of(self, text: str) -> str:
        """A trimmed text as a level."""
        if not self.by_value or CODE(text) or not PLAIN(text):
            return text
        number = float(text)
        if number.is_integer():
            return str(int(text)) if text.lstrip("+-").isdigit() else str(int(number))
        return str(number)


@dataclass(frozen=True)
class DistinctTexts:
    """The different texts of a column, trimmed, and where they stand.

    Parameters
    ----------
    texts : list of str
        In the order of their first rows.
    codes : ndarray of int
        Which text each row has; -1 where it is missing.
    are_cells : bool, default=False
        Whether the cells are these very texts, in the dtype that pandas gives to text.
    """

    texts: list[str]
    codes: npt.NDArray[np.intp]
    are_cells: bool = False

    @classmethod
    def of(cls, codes: npt.NDArray[np.intp], found: Sequence[str], *, are_cells: bool = False) -> DistinctTexts:
        """Those of texts that may differ in the spaces around them.

        Parameters
        ----------
        codes : ndarray of int
            Which text each row has; -1 where it is missing.
        found : sequence of str
            The texts.
        are_cells : bool
            Whether the cells are text, in the dtype that pandas gives to text.
        """
        place: dict[str, int] = {}
        moved = np.array([place.setdefault(text.strip(), len(place)) for text in found] + [-1], dtype=np.intp)
        texts = list(place)
        return cls(texts, codes if len(texts) == len(found) else moved[codes], are_cells and texts == list(found))

    @cached_property
    def counts(self) -> Counts:
        """How many rows have each text."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    def row_of(self, index: int) -> int:
        """The first row that has a text."""
        return int((self.codes == index).argmax())

    def spread(self, values: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
        """A value for each row, by its text."""
        padded = np.empty(len(values) + 1, dtype=values.dtype)
        padded[:-1], padded[-1] = values, fill
        return padded[self.codes]


@dataclass(frozen=True)
class OddTexts:
    """Cells that the format of their column does not read.

    Parameters
    ----------
    text : str
        The first.
    row : int
        Its row.
    count : int
        How many cells.
    n_cells : int
        Of how many that are not missing.
    """

    text: str
    row: int
    count: int
    n_cells: int


@dataclass(frozen=True)
class LearnedText:
    """What was learned of a column of text.

    Parameters
    ----------
    format : TextFormat
        How it is read.
    values : ndarray
        Of its distinct texts.
    odd : OddTexts or None
        Cells that are taken as missing, though they say something.
    mixed : (str, str) or None
        A number and a text of a column that is mostly numbers and read as text.
    units : tuple of str
        Units that keep a column of numbers text.
    unsure : str
        A text that can be read in two ways, where nothing decides; empty where there is none.
    coded : (tuple of str, int) or None
        Dates that are none and stand for missing ones, and how many cells hold one.
    merged : tuple of (str, str)
        Spellings of levels that were made one.
    numbers : LearnedText or None
        The same column as numbers, where it is mostly numbers.
    """

    format: TextFormat
    values: npt.NDArray[Any]
    odd: OddTexts | None = None
    mixed: tuple[str, str] | None = None
    units: tuple[str, ...] = ()
    unsure: str = ""
    coded: tuple[tuple[str, ...], int] | None = None
    merged: tuple[tuple[str, str], ...] = ()
    numbers: LearnedText | None = None


@dataclass(frozen=True)
class TextColumn:
    """A column of text before it is known what it stands for: parsed once."""

    distinct: DistinctTexts
    empty: Flags
    parsed: ParsedNumbers

    @classmethod
    def of(cls, distinct: DistinctTexts) -> TextColumn:
        """Look at the distinct texts of a column."""
        empty = TextFormat("number").is_missing(distinct.texts)
        return cls(distinct, empty, parse_numbers(distinct.texts))

    @cached_property
    def evidence(self) -> Counter[str]:
        """How many cells say for certain which decimal mark they have, if they are numbers."""
        counts = self.distinct.counts
        n_numbers = int(counts[self.parsed.ok & ~self.empty].sum())
        mostly = n_numbers * 2 > int(counts[~self.empty].sum())
        return self.parsed.evidence(counts) if mostly else Counter()


@dataclass(frozen=True)
class DecimalMarks:
    """How many columns of a table, and how many of their cells, speak for each decimal mark.

    Parameters
    ----------
    columns, cells : Counter
        By mark.

    Examples
    --------
    >>> own = Counter({".": 5})
    >>> marks = DecimalMarks.of([own, Counter({",": 2}), Counter()])
    >>> marks.without(Counter()), marks.without(own)
    ('.', ',')
    """

    columns: Counter[str]
    cells: Counter[str]

    @classmethod
    def of(cls, evidence: Iterable[Counter[str]]) -> DecimalMarks:
        """What the evidence of all columns, see `TextColumn.evidence`, adds up to."""
        columns, cells = Counter[str](), Counter[str]()
        for found in evidence:
            columns.update(_mark_of(found))
            cells.update(found)
        return cls(columns, cells)

    def without(self, own: Counter[str]) -> str | None:
        """The mark that most columns but one have, or of as many the one of most cells; None where none has any."""
        left = self.columns - Counter(_mark_of(own))
        if not left:
            return None
        return max((".", ","), key=lambda mark: (left[mark], self.cells[mark] - own[mark]))


def _mark_of(found: Counter[str]) -> list[str]:
    """The mark that most cells of a column have, if there is any."""
    return [max(found, key=lambda mark: found[mark])] if found else []


def learn_text(
    column: TextColumn,
    table_mark: str | None,
    rules: TextRules,
    declared: TextKind | None = None,
    *,
    order: str = "",
    by_value: bool = False,
) -> LearnedText:
    """Learn what the text of a column stands for.

    Parameters
    ----------
    column : TextColumn
        Its cells.
    table_mark : str or None
        The decimal mark of other columns of the table.
    rules : TextRules
        What the user says of all columns.
    declared : {"number", "date", "boolean", "level"} or None
        What the user says that it is; cells that it does not read are not taken as missing beyond the usual.
    order : {"", "day", "month"}
        What comes first in dates of other columns.
    by_value : bool
        Whether levels that are numbers are known by their value.
    """
    if declared == "level":
        return learn_levels(column.distinct, rules, by_value=by_value)
    clocks = _learn_clocks(column) if declared in (None, "number") else None
    if clocks is not None:
        return clocks
    if declared is None and _is_mark_or_nothing(column):
        return learn_levels(column.distinct, rules, by_value=True)
    if declared in (None, "number"):
        numbers = _learn_numbers(column, table_mark, rules, forced=declared is not None)
        if declared or numbers.odd is None or _few(numbers.odd):
            return numbers
    if declared in (None, "boolean"):
        booleans = _learn_booleans(column)
        if booleans is not None:
            return booleans
    if declared in (None, "date"):
        dates = _learn_dates(column, rules, order, forced=declared is not None)
        if dates is not None:
            return dates
    levels = learn_levels(column.distinct, rules, by_value=by_value)
    return levels if declared else _with_doubts(levels, numbers, column)


def learn_levels(
    distinct: DistinctTexts, rules: TextRules, *, exact: bool = False, by_value: bool = False
) -> LearnedText:
    """Learn the levels of a column.

    Parameters
    ----------
    distinct : DistinctTexts
        Its cells.
    rules : TextRules
        Whether levels that differ in case alone are one.
    exact : bool
        Whether the levels are the categories of a dtype, which stay as they are.
    by_value : bool
        Whether levels that are numbers are known by their value.
    """
    form = TextFormat("level", usual_missing=not exact, by_value=by_value, fold=rules.fold_case and not exact)
    if not exact:
        form = _with_words_kept(form, distinct)
    levels, _ = form.read(distinct.texts)
    counts = distinct.counts
    merged = []
    if form.fold:
        keys: dict[str, list[int]] = {}
        for index, level in enumerate(levels):
            if level is not None:
                keys.setdefault(level.casefold(), []).append(index)
        for alike in keys.values():
            if len(alike) > 1:
                shown = max(alike, key=lambda index: (counts[index], levels[index]))
                merged += [(levels[index], levels[shown]) for index in alike if levels[index] != levels[shown]]
                levels[alike] = levels[shown]
    if merged:
        first = ", ".join(f"'{one}' is '{other}'" for one, other in merged[:MAX_SHOWN])
        described = "; ".join(filter(None, (form.description, "levels in upper or lower case")))
        form = replace(form, description=described, examples=f": {first}{', ...' * (len(merged) > MAX_SHOWN)}")
    present = {level for level in levels if level is not None}
    n_empty = len(distinct.codes) - int(counts[[level is not None for level in levels]].sum())
    if len(present) == 1 and n_empty and not exact:
        (only,) = present
        if only.casefold() in MARKS or only in ONES or n_empty >= MIN_EMPTY_SHARE * len(distinct.codes):
            named = f"'{only}'" if only.casefold() in MARKS or only in ONES else "one text"
            form = replace(form, empty_level=EMPTY_LEVEL, description=f"{named} or empty, which is a level of its own")
            levels[[level is None for level in levels]] = EMPTY_LEVEL
    return LearnedText(form, levels, merged=tuple(merged))


def _with_words_kept(form: TextFormat, distinct: DistinctTexts) -> TextFormat:
    """A format of levels in which "None" is a level beside words, and "NA" beside codes of two capital letters."""
    others = [text for text in distinct.texts if text.casefold() not in MISSING_WORDS]
    n_words = sum(not PLAIN(text) for text in others)
    kept = []
    if n_words * 2 > len(others):
        kept += [text for text in distinct.texts if text.casefold() == NONE_WORD and text in MISSING_TEXTS]
    if NOT_AVAILABLE in distinct.texts and len(others) > 1 and all(map(TWO_CAPITALS, others)):
        kept.append(NOT_AVAILABLE)
    if not kept:
        return form
    named = " and ".join(repr(text) for text in kept)
    return replace(form, kept=tuple(kept), description=f"{named} as a level, not as missing")


def _is_mark_or_nothing(column: TextColumn) -> bool:
    """Whether all cells are 1 or empty, which are two levels."""
    texts = {text for text in column.distinct.texts if text}
    nothing = "" in column.distinct.texts or bool((column.distinct.codes < 0).any())
    return nothing and bool(texts) and all(text in ONES for text in texts)


def _few(odd: OddTexts) -> bool:
    """Whether cells are so few that they do not say what a column is."""
    return odd.count <= _most_odd(odd.n_cells)


def _most_odd(n_cells: int) -> float:
    return max(MAX_ODD_SHARE * n_cells, 1 if n_cells >= MIN_CELLS_FOR_ODD else 0)


def _learn_clocks(column: TextColumn) -> LearnedText | None:
    """Durations or times of day, as seconds; None where a column has none, or too many other cells."""
    distinct = column.distinct
    kept = np.flatnonzero(~column.empty)
    clock = find_clock([distinct.texts[index] for index in kept.tolist()], distinct.counts[kept]) if len(kept) else None
    if clock is None:
        return None
    form = TextFormat("number", clock=clock)
    values, lost = form.read(distinct.texts)
    odd = _odd(distinct, lost)
    if odd is not None and not _few(odd):
        return None
    example = distinct.texts[int((~np.isnan(values)).argmax())]
    parts = " (minutes and seconds)" if clock == "minutes" and example.count(":") == 1 else ""
    form = replace(
        form,
        missing=_remembered(distinct, lost),
        description=f"durations or times of day{parts}, in seconds",
        examples=f", like '{example}'",
    )
    return LearnedText(form, values, odd)


def _learn_numbers(column: TextColumn, table_mark: str | None, rules: TextRules, *, forced: bool) -> LearnedText:
    parsed, distinct = column.parsed, column.distinct
    counts = np.where(column.empty, 0, distinct.counts)
    own, forced_mark = column.evidence, rules.decimal_mark
    in_question = (parsed.marks != "") & ~column.empty
    mark = forced_mark or (max(own, key=lambda each: own[each]) if own else None) or table_mark
    unsure = "" if mark or not in_question.any() else distinct.texts[int(in_question.argmax())]
    units, factors, several = _units_of(parsed, counts)
    form = TextFormat(
        "number",
        decimal=mark or ".",
        unit=units[0] if len(units) == 1 else "",
        factors=factors,
        strict=forced_mark is not None,
    )
    values = form.values_of(parsed)
    values[column.empty] = np.nan
    odd = _odd(distinct, np.isnan(values) & ~column.empty)
    if not forced and (several or _are_codes(parsed, distinct, counts) or _one_number_and_words(values, column)):
        odd = OddTexts(distinct.texts[0] if distinct.texts else "", 0, 1, 1)
    if np.isnan(values).all():
        odd = odd or OddTexts("", 0, 1, 1)
    grouped = in_question & (parsed.marks != form.decimal)
    seen = sorted({*parsed.thousands[counts > 0].tolist(), *parsed.marks[grouped].tolist()} - {""})
    described = _described(form, seen, distinct.texts, column.empty)
    if in_question.any() and not own and table_mark and not forced_mark:
        described += f", as elsewhere in the table {SPOKEN[table_mark]} is the decimal mark"
    form = replace(form, missing=_remembered(distinct, np.isnan(values) & ~column.empty), description=described)
    return LearnedText(form, values, odd, units=tuple(several), unsure=unsure)


def _described(form: TextFormat, seen: list[str], texts: list[str], empty: Flags) -> str:
    """How numbers are read, for people; empty where there is nothing to say."""
    parts = []
    if form.unit:
        parts.append("in percent" if form.unit == "%" else f"in '{form.unit}'")
    if form.factors:
        parts.append("with k, M or B")
    if form.decimal == ",":
        parts.append("with ',' as decimal mark")
    if seen:
        parts.append(f"with {' and '.join(SPOKEN[mark] for mark in seen)} between thousands")
    words = [text for text, lost in zip(texts, empty.tolist(), strict=True) if lost and text not in MISSING_TEXTS]
    if words:
        parts.append(f"with {', '.join(repr(word) for word in words[:MAX_SHOWN])} as missing")
    return f"numbers {', '.join(parts)}" if parts else "numbers"


def _units_of(parsed: ParsedNumbers, counts: Counts) -> tuple[list[str], bool, list[str]]:
    """The unit, if there is one; whether k, M or B are factors; and the units, where they are several."""
    shown = counts > 0
    factors = set(parsed.factors[shown & parsed.ok].tolist()) - {""}
    plain = parsed.units == ""
    # A letter beside no other factor is the unit: metres, bytes.
    alone = factors and all(factor in DOUBTFUL_FACTORS for factor in factors)
    weights: Counter[str] = Counter()
    names: dict[str, str] = {}
    for index in np.flatnonzero(shown & parsed.ok & (~plain | (parsed.factors != ""))).tolist():
        unit = parsed.units[index] or (parsed.factors[index] if alone else "")
        if unit:
            weights[unit.casefold()] += int(counts[index])
            names.setdefault(unit.casefold(), unit)
    if not weights:
        return [], bool(factors), []
    total = int(counts[parsed.ok].sum())
    half = total / 2
    # 4O and 3l beside plain numbers are slips of the pen.
    likely = {unit: n for unit, n in weights.items() if unit not in LIKE_DIGITS or n > half}
    common = sorted((unit for unit, n in likely.items() if n > _most_odd(total)), key=lambda unit: -likely[unit])
    if not common and sum(weights.values()) > half:
        common = [weights.most_common(1)[0][0]]
    if not common:
        # The others have none.
        return [], bool(factors) and not alone, []
    several = [names[unit] for unit in common] if len(common) > 1 else []
    return [names[common[0]]], bool(factors) and not alone, several


def _are_codes(parsed: ParsedNumbers, distinct: DistinctTexts, counts: Counts) -> bool:
    """Whether whole numbers are codes: with leading zeros, longer than floats, or all of one length in groups."""
    codes = parsed.codes & (counts > 0)
    total = int(counts.sum())
    long = [
        index
        for index in np.flatnonzero((np.abs(parsed.values) >= MAX_EXACT) & (counts > 0)).tolist()
        if distinct.texts[index].lstrip("+-").isdecimal()
    ]
    if counts[long].sum() > max(MAX_ODD_SHARE * total, 1):
        return True
    if codes.any():
        lengths = {len(distinct.texts[index]) for index in np.flatnonzero(codes).tolist()}
        n_alike = sum(
            int(counts[index])
            for index in np.flatnonzero(parsed.ok & (counts > 0)).tolist()
            if len(distinct.texts[index]) in lengths
        )
        if counts[codes].sum() > max(MAX_ODD_SHARE * total, 1) or n_alike * 2 > total:
            return True
    spaced = (parsed.thousands == " ") & (parsed.digits > 0) & (counts > 0)
    sizes = parsed.digits[spaced]
    if not spaced.any() or counts[spaced].sum() < 0.9 * total:
        return False
    return bool(sizes.min() == sizes.max() >= MIN_CODE_DIGITS)


def _one_number_and_words(values: npt.NDArray[np.float64], column: TextColumn) -> bool:
    """Whether one number stands beside words for missing: 1 and -, which are two levels."""
    words = column.empty & np.array([text not in MISSING_TEXTS for text in column.distinct.texts], dtype=bool)
    n_words = int(column.distinct.counts[words].sum())
    return n_words > MAX_ODD_SHARE * len(column.distinct.codes) and len(np.unique(values[~np.isnan(values)])) == 1


def _learn_booleans(column: TextColumn) -> LearnedText | None:
    form = TextFormat("boolean", description="true and false")
    folded = {text.casefold() for text, lost in zip(column.distinct.texts, column.empty, strict=True) if not lost}
    if not folded or not folded <= {TRUE, FALSE}:
        return None
    values, _ = form.read(column.distinct.texts)
    if len(folded) == 1 and (column.empty.any() or (column.distinct.codes < 0).any()):
        # A mark or nothing: the levels say it.
        return None
    return LearnedText(form, values)


def _learn_dates(column: TextColumn, rules: TextRules, order: str, *, forced: bool) -> LearnedText | None:
    distinct = column.distinct
    impossible = np.array([is_no_date(text) for text in distinct.texts], dtype=bool) & ~column.empty
    kept = np.flatnonzero(~column.empty & ~impossible)
    texts = [distinct.texts[index] for index in kept.tolist()]
    if not texts:
        return None
    asked = rules.date_format
    if asked and np.isnat(read_dates(texts, asked)).mean() > MAX_ODD_SHARE:
        # It is of other columns.
        asked = None
    found = DateFormat(asked) if asked else _found_dates(texts, distinct.counts[kept], order)
    if found is None and not forced:
        return None
    found = found or DateFormat(rules.date_format or ISO)
    codes = tuple(distinct.texts[index] for index in np.flatnonzero(impossible).tolist())
    form = TextFormat("date", date_format=found.format, missing=codes)
    values, lost = form.read(distinct.texts)
    odd = _odd(distinct, lost)
    if not forced and (lost[kept].all() or not (odd is None or _few(odd))):
        return None
    why = f", by '{found.decided_by}'" if found.decided_by else ""
    none = f", {' and '.join(map(repr, codes[:MAX_SHOWN]))} as missing" if codes else ""
    form = replace(
        form,
        missing=(*codes, *_remembered(distinct, lost)),
        description=f"dates {_spoken_format(found.format)}",
        examples=f"{why}{none}",
    )
    coded = (codes, int(distinct.counts[impossible].sum())) if codes else None
    return LearnedText(form, values, odd, unsure=texts[0] if found.other else "", coded=coded)


def _found_dates(texts: list[str], counts: Counts, order: str) -> DateFormat | None:
    some = texts[:: max(1, len(texts) // 20)]
    if not any(any(each.isdigit() for each in text) for text in some):
        return None
    return find_date_format(texts, counts, order)


def _spoken_format(form: str) -> str:
    return "in ISO 8601" if form == ISO else f"as {form}"


def _odd(distinct: DistinctTexts, lost: Flags) -> OddTexts | None:
    """What a format does not read of a column, if there is any."""
    if not lost.any():
        return None
    usual = TextFormat("number").is_missing(distinct.texts)
    at = np.flatnonzero(lost)
    rows = np.isin(distinct.codes, at)
    row = int(rows.argmax())
    text = distinct.texts[int(distinct.codes[row])]
    return OddTexts(text, row, int(rows.sum()), int(distinct.counts[~usual].sum()))


def _remembered(distinct: DistinctTexts, lost: Flags) -> tuple[str, ...]:
    return tuple(distinct.texts[index] for index in np.flatnonzero(lost)[:MAX_REMEMBERED].tolist())


def _with_doubts(levels: LearnedText, numbers: LearnedText, column: TextColumn) -> LearnedText:
    """Levels, with what speaks for numbers."""
    odd, read = numbers.odd, ~np.isnan(numbers.values)
    if numbers.units:
        named = ", ".join(f"'{unit}'" for unit in numbers.units[:MAX_SHOWN])
        form = replace(levels.format, description=f"numbers in several units ({named}), which are not converted")
        return replace(levels, format=form, units=numbers.units)
    if odd is None or odd.count > (1 - MIN_NUMERIC_SHARE) * odd.n_cells or odd.n_cells < 2 or not read.any():
        return levels
    number = column.distinct.texts[int(read.argmax())]
    return replace(levels, mixed=(number, odd.text), numbers=numbers)
