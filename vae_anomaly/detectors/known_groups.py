"""Names of the groups that rows are in: of which cells are one group, and which model judges a row."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data import text_of

WHOLE_NUMBER = re.compile(r"([+-]?\d+)(?:\.0+)?")

Names = npt.NDArray[np.object_]


def group_names(cells: pd.Series[Any]) -> Names:
    """The group of each row as text, None where the cell is missing or blank.

    A number is the text that it is written as, whole numbers without a decimal point, so that 1, 1.0 and "1" are one
    group; blanks around a text do not count, its case does.

    Parameters
    ----------
    cells : Series
        Of the column that groups the rows.

    Examples
    --------
    >>> group_names(pd.Series(["b", " b ", 2, 2.0, "2", "B", None, ""], dtype=object)).tolist()
    ['b', 'b', '2', '2', '2', 'B', None, None]
    """
    codes, levels = pd.factorize(cells, use_na_sentinel=True)
    texts = np.array([*map(_name, levels), None], dtype=object)
    return texts[codes]


class KnownGroups:
    """The groups that have a model of their own.

    Parameters
    ----------
    names : collection of str
    """

    def __init__(self, names: Collection[str]) -> None:
        self._known = set(names)
        self._numbers: dict[str, str | None] = {}
        for name in names:
            number = _number(name)
            if number is not None:
                # Of two texts for one number each stands for itself alone.
                self._numbers[number] = None if number in self._numbers else name

    def judging(self, names: Names) -> Names:
        """The group whose model judges each row; None for the pooled one.

        A text that is a whole number, like "1.0" of a file that was written with decimals, is the group of that number
        where no group has this very text.

        Parameters
        ----------
        names : ndarray of shape (rows,)
            What `group_names` found.
        """
        codes, levels = pd.factorize(names, use_na_sentinel=True)
        return np.array([*map(self._judging, levels), None], dtype=object)[codes]

    def _judging(self, name: str) -> str | None:
        if name in self._known:
            return name
        number = _number(name)
        return None if number is None else self._numbers.get(number)


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
    text = text_of(cell)
    return (text.strip() or None) if text is not None else None


def _number(name: str) -> str | None:
    found = WHOLE_NUMBER.fullmatch(name)
    return None if found is None else found[1]
