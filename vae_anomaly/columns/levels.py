"""Columns of levels: text, flags, codes, ordered categories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vae_anomaly.columns.column import Column, Kind, smoothed
from vae_anomaly.columns.scales import sample_of
from vae_anomaly.data import FLAG_WORDS, MISSING_TEXTS, FloatArray, ObjectArray, Table, is_hashed, with_hashed
from vae_anomaly.errors import DataError
from vae_anomaly.likelihoods import Binary, Categorical, Constant, Likelihood, Ordinal

FEW_VALUES = 10
ROWS_PER_VALUE = 10
MAX_LEVELS = 64
MIN_IDENTIFIERS = 20
MIN_STEP, MAX_STEP = 1e-300, 1e300
RARE = "(rare)"
MAX_LEVEL_CHARACTERS = 64
DECLARED = "declared so"


def level_column(name: str, present: FloatArray, boolean: bool, likelihood: Likelihood | None) -> Column | None:
    """Numeric levels, or None where the values are too many for it and nobody asked."""
    asked = boolean or likelihood is not None
    if not asked and len(np.unique(sample_of(present))) > FEW_VALUES:
        return None
    values, counts = np.unique(present, return_counts=True)
    n_levels, n = len(values), len(present)
    if not asked and n_levels > 1 and (n_levels > FEW_VALUES or n < ROWS_PER_VALUE * n_levels):
        return None
    with np.errstate(over="ignore"):
        step = float(np.diff(values).clip(MIN_STEP, MAX_STEP).min()) if n_levels > 1 else 0.0
    reason = (
        f"{n_levels} distinct values in {n} rows" if n_levels > 1 else f"the only value in {n} rows is {values[0]:g}"
    )
    return Column(
        name,
        "boolean" if boolean else _kind_of_levels(n_levels),
        _likelihood_of_levels(name, n_levels, likelihood),
        "its dtype is boolean" if boolean else reason,
        resolution=step,
        levels=tuple(float(value) for value in values),
        unseen=1 / (n + 1),
        boolean=boolean,
        frequencies=smoothed(counts),
    )


def text_column(table: Table, position: int, declared: str | Likelihood | None) -> Column:
    """Text levels; numbers that are declared to be levels are written as text."""
    name, texts = table.names[position], table.texts(position)
    present = present_texts(texts)
    counted = pd.Series(present, dtype=object).value_counts()
    levels = sorted(counted.index, key=lambda level: (-counted[level], level))
    n = len(present)
    if declared is None and len(levels) > MIN_IDENTIFIERS and len(levels) > n / 2:
        return Column(
            name,
            "identifier",
            None,
            f"{len(levels)} distinct texts in {n} rows look like identifiers; encode it to use it",
        )
    if declared in ("binary", "boolean") and len(levels) > 2:
        raise DataError(
            f"column {name!r} is declared {declared} and holds {len(levels)} different values ({levels[0]!r}, "
            f"{levels[1]!r}, {levels[2]!r}, ...); expected two. Declare it categorical.",
            column=name,
        )
    kept, rare, pool = levels, [], RARE
    while pool in levels:
        pool = f"({pool})"
    if len(levels) > MAX_LEVELS:
        kept, rare = levels[: MAX_LEVELS - 1], levels[MAX_LEVELS - 1 :]
    counts = np.array([counted[level] for level in kept] + ([sum(counted[level] for level in rare)] if rare else []))
    pooled = f", the {len(rare)} rarest pooled" if rare else ""
    return Column(
        name,
        _kind_of_levels(len(levels)),
        _likelihood_of_levels(name, len(levels), declared if isinstance(declared, Likelihood) else None),
        DECLARED + pooled
        if declared
        else f"text with {len(levels)} distinct value{'s' * (len(levels) != 1)} in {n} rows{pooled}",
        levels=tuple(kept) + ((pool,) if rare else ()),
        rare=tuple(rare),
        unseen=1 / (n + 1),
        numeric=table.content(position) == "number",
        frequencies=smoothed(counts),
        counts=tuple(int(counted[level]) for level in (kept + rare[:1])),
    )


def ordinal_column(table: Table, position: int, declared: str | Likelihood | None) -> Column:
    """Ordered levels: numbers, or an ordered category dtype."""
    likelihood = declared if isinstance(declared, Likelihood) else Ordinal()
    name, order = table.names[position], table.ordered_levels(position)
    if order is None:
        if table.content(position) == "text":
            raise DataError(
                f"column {name!r} is declared ordinal and holds text without an order. Give it an ordered category "
                "dtype (pandas.Categorical(..., categories=[...], ordered=True)), or numbers.",
                column=name,
            )
        numbers = table.numbers(position)
        column = level_column(name, numbers[~np.isnan(numbers)], boolean=False, likelihood=likelihood)
        assert column is not None
        if len(column.levels) > MAX_LEVELS:
            raise DataError(
                f"column {name!r} is declared ordinal and holds {len(column.levels)} different values; expected at "
                f"most {MAX_LEVELS}. Declare it integer or continuous.",
                column=name,
            )
        return replace(column, kind="ordinal", reason=DECLARED)
    present = present_texts(table.texts(position))
    if len(order) > MAX_LEVELS:
        reason = f"an ordered category with {len(order)} levels, more than {MAX_LEVELS}"
        return replace(text_column(table, position, "categorical"), reason=reason)
    counts = np.array([(present == level).sum() for level in order])
    return Column(
        name,
        "ordinal",
        likelihood,
        DECLARED if declared else f"its dtype is an ordered category with {len(order)} levels",
        levels=order,
        unseen=1 / (len(present) + 1),
        frequencies=smoothed(counts),
        counts=tuple(counts.tolist()),
    )


@dataclass(frozen=True)
class LevelRule:
    """Which texts of training rows a model file holds; it knows the others again by keyed hashes.

    Parameters
    ----------
    min_count : int, default=10
        Training rows that hold a text, for it to stay.
    raw_values : bool, default=True
        Whether any stays.

    Examples
    --------
    >>> LevelRule().keeps("paid", 10), LevelRule().keeps("ann@example.com", 9), LevelRule().keeps("a" * 65, 100)
    (True, False, False)
    """

    min_count: int = 10
    raw_values: bool = True

    def keeps(self, text: str, count: int) -> bool:
        """Whether a text stays.

        What says that nothing is there does; else, where any does, yes and no in whatever language, and what is common
        and short.
        """
        if text in MISSING_TEXTS or not self.raw_values:
            return text in MISSING_TEXTS
        return text.casefold() in FLAG_WORDS or (len(text) <= MAX_LEVEL_CHARACTERS and count >= self.min_count)


def with_hashed_levels(column: Column, key: bytes, rule: LevelRule) -> Column:
    """The same column in which levels of text that a rule does not keep are known by hashes.

    So are all that were pooled but the first.  Codes of cells are what they were.  Numbers and parts of dates stay.

    Parameters
    ----------
    column : Column
    key : bytes
        Of the hashes, where there are none yet.
    rule : LevelRule
        Which levels stay.
    """
    form = None if column.text_format is None else column.text_format.with_hashed_missing(key)
    column = replace(column, text_format=form)
    if not column.textual:
        return column
    empty_level = "" if form is None else form.empty_level
    levels = [level for level in column.levels if isinstance(level, str)]
    named = [*levels[:-1], *column.rare] if column.rare else levels
    counts = column.counts or _counts_of(column)
    kept = [
        not is_hashed(level) and (level == empty_level or rule.keeps(level, count))
        for level, count in zip(named, counts, strict=False)
    ]
    kept += [False] * (len(named) - len(kept))
    folded = form is not None and form.fold
    shown, hashed = with_hashed(named, kept, column.hashed, key, folded=folded)
    n_own = len(levels) - bool(column.rare)
    return replace(
        column, levels=(*shown[:n_own], *levels[n_own:]), rare=tuple(shown[n_own : n_own + 1]), hashed=hashed
    )


def _counts_of(column: Column) -> tuple[int, ...]:
    """Training rows that hold each level, from the frequencies of a file that has no counts; 0 of those pooled."""
    n_rows = round(1 / column.unseen - 1) if column.unseen else 0
    counts = [round(share * (n_rows + len(column.levels)) - 1) for share in column.frequencies]
    return (*counts[:-1], 0) if column.rare else tuple(counts)


def present_texts(texts: ObjectArray) -> ObjectArray:
    """The texts that are not missing."""
    present: ObjectArray = texts[np.array([text is not None for text in texts], dtype=bool)]
    return present


def _likelihood_of_levels(name: str, n_levels: int, asked: Likelihood | None) -> Likelihood:
    """What was asked for, unless one level leaves nothing to learn; else the cheapest for so many levels."""
    max_levels = None if asked is None else asked.traits.max_levels
    if asked is not None and max_levels is not None and n_levels > max_levels:
        raise DataError(
            f"column {name!r} is to be {asked.title} and holds {n_levels} different values; expected {max_levels}. "
            "Choose Categorical.",
            column=name,
        )
    if n_levels == 1 and (asked is None or not asked.ordered):
        return Constant()
    return asked or (Binary() if n_levels == 2 else Categorical())


def _kind_of_levels(n_levels: int) -> Kind:
    return "constant" if n_levels == 1 else "binary" if n_levels == 2 else "categorical"
