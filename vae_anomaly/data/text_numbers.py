"""Numbers as people and programs write them: marks, groups, currencies, units, signs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE).fullmatch
# Leading zeros of whole numbers: codes, unless the column is declared to be numbers.
CODE = re.compile(r"[+-]?0[0-9]+").fullmatch
EITHER_WAY = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}").fullmatch

SYMBOLS = "$¢£¤¥֏؋৲৳฿₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿﷼＄￡￥"
CODES = (
    "AED ARS AUD BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HRK HUF IDR ILS INR ISK JOD JPY KES KRW KWD "
    "KZT LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RMB RON RSD RUB SAR SEK SGD THB TND TRY TWD UAH USD UYU "
    "VND ZAR BTC ETH"
)
CURRENCY = rf"(?:[A-Z]{{0,3}}[{SYMBOLS}]|(?:{'|'.join(CODES.split())})|Rs\.?|Fr\.?|kr\.?|zł|Kč|Ft|руб\.?|р\.)"
MINUS = "\\-\u2212\u2012\u2013"
SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u200a\u202f"), " ")
# Excel's marks of text, before a cell and around it.
WRAPPED = re.compile(r"'(?P<marked>[^']+)|=\"(?P<quoted>[^\"]+)\"").fullmatch
APOSTROPHES = dict.fromkeys(map(ord, "\u2019\u02bc\u00b4`"), "'")
ONE_KIND = SPACES | APOSTROPHES
ONE_DIGIT = str.maketrans("123456789", "000000000")
NUMBER = re.compile(
    rf"(?P<first>{CURRENCY}\s?(?=\())?(?P<open>\()?\s?(?P<before>[+{MINUS}])?\s?(?P<prefix>{CURRENCY})?\s?"
    rf"(?P<inner>[+{MINUS}])?\s?"
    r"(?P<body>[0-9](?:[0-9.,' ]*[0-9])?[.,]?|[.,][0-9]+)(?P<exponent>[eE][+-]?[0-9]+)?"
    rf"\s?(?P<suffix>[^0-9\s.,;:()+'\"/{MINUS}][^0-9\s;:()+'\"{MINUS}]{{0,11}}(?:\s{CURRENCY})?)?"
    rf"\s?(?P<behind>[{MINUS}])?(?P<close>\))?"
).fullmatch
FACTORS: dict[str, float] = {
    **dict.fromkeys(("k", "K", "Tsd", "Tsd.", "tsd"), 1e3),
    **dict.fromkeys(("M", "m", "Mio", "Mio.", "mio", "Mn", "mn", "mln"), 1e6),
    **dict.fromkeys(("B", "b", "bn", "Bn", "Mrd", "Mrd.", "mrd"), 1e9),
    **dict.fromkeys(("T", "tn"), 1e12),
}
# Metres and bytes as well: factors beside others alone.
DOUBTFUL_FACTORS = ("m", "b", "T")
FACTOR_AND_CURRENCY = re.compile(rf"(?P<factor>{'|'.join(map(re.escape, FACTORS))})?\s?(?P<unit>{CURRENCY})?").fullmatch
GROUPED = {
    ",": re.compile(r"[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}").fullmatch,
    ".": re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+").fullmatch,
    " ": re.compile(r"[0-9]{1,3}(?: [0-9]{3})+").fullmatch,
    "'": re.compile(r"[0-9]{1,3}(?:'[0-9]{3})+").fullmatch,
}


@dataclass(frozen=True)
class ParsedNumbers:
    """What texts say as numbers, each by itself.

    Parameters
    ----------
    values : ndarray of float64
        NaN where a text is no number; with the mark in question as the decimal one.
    grouped : ndarray of float64
        With that mark between thousands; NaN where no mark is in question.
    marks : ndarray of str
        "." or "," where it may be either.
    decimals, thousands : ndarray of str
        Marks that are certain.
    units, factors : ndarray of object
        Currency or unit, and the sign of a factor like k; empty without.
    codes : ndarray of bool
        Whole numbers with leading zeros.
    digits : ndarray of int
        Digits of grouped whole numbers; 0 of others.
    """

    values: FloatArray
    grouped: FloatArray
    marks: npt.NDArray[np.str_]
    decimals: npt.NDArray[np.str_]
    thousands: npt.NDArray[np.str_]
    units: npt.NDArray[np.object_]
    factors: npt.NDArray[np.object_]
    codes: Flags
    digits: npt.NDArray[np.int64]

    @property
    def ok(self) -> Flags:
        """Which texts are numbers."""
        return ~np.isnan(self.values)

    def evidence(self, counts: npt.NDArray[np.int64]) -> Counter[str]:
        """How many cells say for certain which mark is the decimal one."""
        found: Counter[str] = Counter()
        for mark, other in ((".", ","), (",", ".")):
            sure = (self.decimals == mark) | (self.thousands == other)
            if sure.any():
                found[mark] = int(counts[sure].sum())
        return found


@dataclass(frozen=True)
class _Recipe:
    """How texts of one shape are read: which marks to drop, where the number stands, and what is around it."""

    start: int
    stop: int
    decimal: str
    mark: str
    thousands: str
    unit: str
    factor: str
    negative: bool
    n_whole: int
    n_digits: int


def parse_numbers(texts: Sequence[str]) -> ParsedNumbers:
    """Read trimmed texts as numbers, each by itself.

    Examples
    --------
    >>> parse_numbers(["$1,234.56", "(300)", "1.234", "12 kg", "007", "x"]).values.tolist()
    [1234.56, -300.0, 1.234, 12.0, 7.0, nan]
    """
    n = len(texts)
    parsed = ParsedNumbers(
        values=np.full(n, np.nan),
        grouped=np.full(n, np.nan),
        marks=np.full(n, "", dtype="U1"),
        decimals=np.full(n, "", dtype="U1"),
        thousands=np.full(n, "", dtype="U1"),
        units=np.full(n, "", dtype=object),
        factors=np.full(n, "", dtype=object),
        codes=np.zeros(n, dtype=bool),
        digits=np.zeros(n, dtype=np.int64),
    )
    plain = np.array([PLAIN(text) is not None for text in texts], dtype=bool)
    if plain.all():
        _fill_plain(parsed, texts, np.arange(n))
        return parsed
    if plain.any():
        _fill_plain(parsed, texts, np.flatnonzero(plain))
    _fill_others(parsed, texts, np.flatnonzero(~plain))
    return parsed


def _fill_plain(parsed: ParsedNumbers, texts: Sequence[str], chosen: npt.NDArray[np.intp]) -> None:
    """Read what Python reads as a number."""
    some = [texts[index] for index in chosen.tolist()]
    parsed.values[chosen] = np.array(some, dtype=np.float64)
    zeros = [place for place, text in enumerate(some) if text[0] in "0+-" and CODE(text)]
    parsed.codes[chosen[zeros]] = True
    pointed = [place for place, text in enumerate(some) if "." in text]
    either = [place for place in pointed if EITHER_WAY(some[place])]
    parsed.decimals[chosen[pointed]] = "."
    if either:
        at = chosen[either]
        parsed.decimals[at], parsed.marks[at] = "", "."
        parsed.grouped[at] = np.array([some[place].replace(".", "") for place in either], dtype=np.float64)


def _fill_others(parsed: ParsedNumbers, texts: Sequence[str], chosen: npt.NDArray[np.intp]) -> None:
    """Read other texts, those of one shape by one recipe."""
    groups: dict[str, list[int]] = {}
    written = {}
    for index in chosen.tolist():
        text = texts[index]
        if not text.isascii():
            text = text.translate(ONE_KIND)
        elif "`" in text:
            text = text.replace("`", "'")
        wrapped = WRAPPED(text) if text[:1] in ("'", "=") else None
        if wrapped:
            text = (wrapped["marked"] or wrapped["quoted"]).strip()
        written[index] = text
        groups.setdefault(text.translate(ONE_DIGIT), []).append(index)
    for shape, indices in groups.items():
        recipe = _recipe(shape)
        if recipe is not None:
            _fill_alike(parsed, recipe, [written[index] for index in indices], np.array(indices))
            continue
        for index in indices:
            if INFINITE(written[index]):
                parsed.values[index] = float(written[index])


def _fill_alike(parsed: ParsedNumbers, recipe: _Recipe, texts: list[str], at: npt.NDArray[np.intp]) -> None:
    """Read texts that differ in their digits alone."""
    sign = -1.0 if recipe.negative else 1.0
    bodies = [text[recipe.start : recipe.stop] for text in texts]
    starts_with_zero = np.array([body[0] == "0" for body in bodies], dtype=bool) & (recipe.n_whole > 1)
    wholes = [body.replace(recipe.thousands, "") for body in bodies] if recipe.thousands else bodies
    shown = recipe.decimal or recipe.mark
    parsed.values[at] = sign * np.array([body.replace(",", ".") for body in wholes] if shown == "," else wholes, float)
    parsed.decimals[at] = recipe.decimal
    parsed.thousands[at] = recipe.thousands
    parsed.units[at], parsed.factors[at], parsed.digits[at] = recipe.unit, recipe.factor, recipe.n_digits
    if not shown:
        parsed.codes[at] = starts_with_zero
    elif recipe.thousands:
        parsed.values[at[starts_with_zero]] = np.nan
    if recipe.mark:
        # 0,123 has no thousands, and 012,345 neither.
        zero = np.array([body[0] == "0" for body in bodies], dtype=bool)
        parsed.decimals[at[zero]] = recipe.mark
        rest = at[~zero]
        parsed.marks[rest] = recipe.mark
        parsed.grouped[rest] = sign * np.array([body.replace(recipe.mark, "") for body in wholes], float)[~zero]


@lru_cache(maxsize=65_536)
def _recipe(shape: str) -> _Recipe | None:
    """How to read the texts that differ in their digits alone; None where they are no numbers."""
    found = NUMBER(shape)
    if found is None or (found["open"] is None) != (found["close"] is None):
        return None
    signs = [found[name] for name in ("before", "inner") if found[name]]
    if len(signs) > 1 or (signs == ["+"] and (found["behind"] or found["open"])):
        return None
    if found["first"] and found["prefix"]:
        return None
    unit = _unit_of((found["first"] or found["prefix"] or "").strip(), found["suffix"])
    if unit is None:
        return None
    body = found["body"]
    marks = {each for each in body if not each.isdigit()}
    groups = marks & {" ", "'"}
    if len(groups) > 1 or (groups and signs == ["+"]):
        # +49 170 123 is a telephone number.
        return None
    read = _marks_of(body, marks, next(iter(groups), ""))
    if read is None:
        return None
    thousands, decimal, mark = read
    stop = found.end("exponent") if found["exponent"] else found.end("body")
    if found["exponent"] and mark:
        decimal, mark = mark, ""
    negative = bool(found["open"] or found["behind"] or (signs and signs[0] != "+"))
    n_digits = sum(each.isdigit() for each in body) if thousands and not decimal else 0
    n_whole = len(body.split(decimal or mark or None, 1)[0]) if body[0].isdigit() else 0
    return _Recipe(found.start("body"), stop, decimal, mark, thousands, *unit, negative, n_whole, n_digits)


def _marks_of(body: str, marks: set[str], group: str) -> tuple[str, str, str] | None:
    """The mark between thousands, the decimal one, and the one that may be either; None where they fit no number."""
    both = marks & {".", ","}
    if not marks:
        return "", "", ""
    if group or len(both) == 2:
        last = max(body.rfind("."), body.rfind(","))
        whole, decimal = (body[:last], body[last]) if last >= 0 else (body, "")
        if group and (len(both) > 1 or group not in whole):
            return None
        thousands = group or ("," if decimal == "." else ".")
        if not GROUPED[thousands](whole) or not (body[last + 1 :].isdigit() or not decimal):
            return None
        return thousands, decimal, ""
    (mark,) = both
    if body.count(mark) > 1:
        return (mark, "", "") if GROUPED[mark](body) else None
    before, after = body.split(mark)
    if len(after) == 3 and 1 <= len(before) <= 3:
        return "", "", mark
    return "", mark, ""


def _unit_of(prefix: str, suffix: str | None) -> tuple[str, str] | None:
    """Currency or unit, and factor; None where there is one before and another behind."""
    suffix = (suffix or "").strip()
    split = FACTOR_AND_CURRENCY(suffix)
    factor, unit = (split["factor"] or "", split["unit"] or "") if split else ("", suffix)
    if prefix and unit:
        return None
    return prefix or unit, factor
