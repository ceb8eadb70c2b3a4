"""Names of columns: which of those that are given are meant by those that a model has, and what columns are for."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Beside what counts as white space: byte order marks and blanks of no width.
INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


@dataclass(frozen=True)
class ColumnRoles:
    """Columns of the training rows that are no features, which a model file keeps.

    The model does not see them; scoring does not wonder about them, be they there or not.

    Parameters
    ----------
    ids : tuple of str
        Columns that name the row.
    dropped : tuple of str
        Columns that were left out.
    label : str, optional
        The column of known anomalies.
    anomalous : str, optional
        The one of two values of `label` that is anomalous.
    normal : tuple of str
        The values of `label` that are normal, where all others are anomalous.

    Examples
    --------
    >>> ColumnRoles(ids=("order",), label="fraud").names
    ('order', 'fraud')
    """

    ids: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    label: str | None = None
    anomalous: str | None = None
    normal: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of these columns."""
        return (*self.ids, *self.dropped, *([] if self.label is None else [self.label]))

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ColumnRoles:
        """The roles that an entry of a manifest describes.

        Raises
        ------
        LookupError or TypeError
            If it describes none.
        """
        ids, dropped, normal = (tuple(entry[name]) for name in ("ids", "dropped", "normal"))
        label, anomalous = entry["label"], entry["anomalous"]
        if not all(isinstance(text, str) for text in (*ids, *dropped, *normal, label or "", anomalous or "")):
            raise TypeError("a column that is no feature has a name that is no text")
        return cls(ids, dropped, label, anomalous, normal)


def plain_name(name: str) -> str:
    r"""A name without its case, and without blanks and invisible characters around it.

    Examples
    --------
    >>> plain_name("\ufeff AGE\xa0")
    'age'
    """
    before = None
    while name != before:
        before, name = name, name.strip().strip(INVISIBLE)
    return name.casefold()


def match_names(wanted: Iterable[str], given: Sequence[str]) -> dict[str, str]:
    """Which of the given names stands for each wanted one; those without any are left out.

    Equal names match first.  Of the others, names match that are equal but for their case and for blanks around them,
    where there is one of them on either side.

    Parameters
    ----------
    wanted : iterable of str
        Names that a model has.
    given : sequence of str
        Names that rows have.

    Examples
    --------
    >>> match_names(["age", "sex", "income"], [" AGE", "sex", "Sex"])
    {'sex': 'sex', 'age': ' AGE'}
    """
    wanted, there = list(dict.fromkeys(wanted)), set(given)
    matched = {name: name for name in wanted if name in there}
    rest = [name for name in wanted if name not in matched]
    if not rest:
        return matched
    candidates: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(given):
        if name not in matched:
            candidates[plain_name(name)].append(name)
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for name in rest:
        owners[plain_name(name)].append(name)
    for plain, names in owners.items():
        if len(names) == len(candidates[plain]) == 1:
            matched[names[0]] = candidates[plain][0]
    return matched


def close_name(name: str, names: Iterable[str]) -> str | None:
    """The most similar of some names, if one is similar; case and blanks do not count."""
    by_plain = {plain_name(other): other for other in names}
    found = difflib.get_close_matches(plain_name(name), by_plain, n=1)
    return by_plain[found[0]] if found else None
