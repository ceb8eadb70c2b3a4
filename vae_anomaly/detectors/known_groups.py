"""Names of the groups that rows are in: of which cells are one group, and which model judges a row."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data import text_of

WHOLE_NUMBER = re.compile(r"([+-]?\d+)(?:\.0+)?")
# As programs write numbers that are very large or small, and dates.
WITH_EXPONENT = re.compile(r"[+-]?\d(?:\.\d+)?e[+-]\d{2,3}")
MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?",
)

Names = npt.NDArray[np.object_]


def group_names(cells: pd.Series[Any]) -> Names:
    """The group of each row as text, None where the cell is missing or blank.

    A number is the text that it is written as, whole numbers without a decimal point, so that 1, 1.0 and "1" are one
    group, and the text "1.0" is another one; true and false are True and False, and not 1 and 0. A date is written
    2026-01-31, a moment 2026-01-31 08:00:00. Blanks around a text do not count, its case does.

    Parameters
    ----------
    cells : Series
        Of the column that groups the rows.

    Examples
    --------
    >>> group_names(pd.Series(["b", " b ", 2, 2.0, "2", True, None, ""], dtype=object)).tolist()
    ['b', 'b', '2', '2', '2', 'True', None, None]
    """
    codes, levels = pd.factorize(cells, use_na_sentinel=True)
    narrow = _narrow_float(cells.dtype)
    texts = np.array([*(_name(level if narrow is None else narrow(level)) for level in levels), None], dtype=object)
    names = texts[codes]
    for code, level in enumerate(levels) if cells.dtype == object else ():
        if isinstance(level, Number | np.bool_) and level in (0, 1):
            # True is 1 in Python, and no name of a group may depend on which came first.
            rows = np.flatnonzero(codes == code)
            names[rows] = [_name(cell) for cell in cells.iloc[rows]]
    return names


class KnownGroups:
    """The groups that have a model of their own.

    Parameters
    ----------
    names : collection of str
    """

    def __init__(self, names: Collection[str]) -> None:
        self._known = set(names)
        self._values: dict[str, str | None] = {}
        for name in names:
            value = _value(name)
            # Of two texts for one value each stands for itself alone.
            self._values[value] = None if value in self._values else name

    def judging(self, names: Names) -> Names:
        """The group whose model judges each row; None for the pooled one.

        A text that a program wrote for the same value is the group of that value where no group has this very text:
        "1.0" is 1, "1e+16" is 10000000000000000, "true" is True, and "2026-01-31T00:00:00" is 2026-01-31. "1.10" is not
        1.1, which may be versions.

        Parameters
        ----------
        names : ndarray of shape (rows,)
            What `group_names` found.
        """
        codes, levels = pd.factorize(names, use_na_sentinel=True)
        return np.array([*map(self._judging, levels), None], dtype=object)[codes]

    def _judging(self, name: str) -> str | None:
        return name if name in self._known else self._values.get(_value(name))


def rows_by_group(names: Names) -> dict[str | None, npt.NDArray[np.intp]]:
    """The rows of each group, in their order; groups in that of their first rows."""
    codes, levels = pd.factorize(names, use_na_sentinel=False)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(levels)))[:-1]
    found = [None if pd.isna(level) else level for level in levels]
    return dict(zip(found, np.split(order, ends), strict=True)) if found else {}


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that are equal but for their case and blanks, together; those that have no such other are left out.

    Examples
    --------
    >>> alike(["Bonn", "bonn", "Köln", "St.  Ives", "st. ives"])
    [('Bonn', 'bonn'), ('St.  Ives', 'st. ives')]
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(" ".join(name.casefold().split()), []).append(name)
    return [tuple(together) for together in found.values() if len(together) > 1]


def _name(cell: Any) -> str | None:
    if isinstance(cell, np.floating) and not isinstance(cell, float):
        # The number that is meant: 0.1 in single precision is 0.10000000149 in double.
        cell = float(str(cell))
    if isinstance(cell, dt.timedelta):
        cell = pd.Timedelta(cell)
    text = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else text_of(cell)
    return (text.strip() or None) if text is not None else None


def _narrow_float(dtype: Any) -> type[np.floating[Any]] | None:
    """The type of numbers of less than double precision, whatever array has them."""
    dtype = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    dtype = getattr(dtype, "numpy_dtype", dtype)
    return next((kind for kind in (np.float16, np.float32) if dtype == kind), None)


def _value(name: str) -> str:
    """What texts share that programs write for one value."""
    number = WHOLE_NUMBER.fullmatch(name)
    if number is not None:
        return number[1]
    if WITH_EXPONENT.fullmatch(name):
        whole = float(name)
        return str(int(whole)) if whole.is_integer() else format(Decimal(name), "f")
    if MOMENT.fullmatch(name):
        try:
            return str(pd.Timestamp(name))
        except ValueError:
            return name
    return name.lower() if name.lower() in ("true", "false") else name
