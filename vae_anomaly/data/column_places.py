"""Columns of a DataFrame by their names in a fitted model, whatever their order and whatever stands beside them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from vae_anomaly.data.column_names import close_name, match_names
from vae_anomaly.errors import DataError, ExtraColumnsWarning, MatchedColumnsWarning, callers_level

NOT_THERE = -1


@dataclass(frozen=True)
class KnownColumns:
    """What a fitted detector knows of the columns of rows to come.

    Parameters
    ----------
    names : tuple of str
        Its columns, in its order.
    needed : frozenset of str
        Those that it cannot do without: the others were set aside.
    have_names : bool
        Whether it was fitted on a DataFrame with names that are text.
    others : tuple of str
        Columns that are no features, and that it does not wonder about.
    """

    names: tuple[str, ...]
    needed: frozenset[str]
    have_names: bool
    others: tuple[str, ...] = ()

    def places(self, frame: Any) -> list[int] | None:
        """Where each column is in a DataFrame, `NOT_THERE` if it is not; None where all are in their places.

        Raises
        ------
        DataError
            If a column that is needed is missing.

        Warns
        -----
        MatchedColumnsWarning, ExtraColumnsWarning
            If names differ in case or blanks, or the model does not know some.
        """
        given = [str(name) for name in frame.columns]
        if tuple(given) == self.names:
            return None
        if not self.have_names and not set(self.names) <= set(given):
            return None
        if self.have_names and not any(isinstance(name, str) for name in frame.columns):
            return None
        found = match_names(self.names, given)
        self._check_complete(found, given)
        renamed = {name: there for name, there in found.items() if name != there}
        if renamed:
            warnings.warn(MatchedColumnsWarning(tuple(renamed.values()), tuple(renamed)), stacklevel=callers_level())
        known = {*found.values(), *match_names(self.others, given).values()}
        extra = tuple(name for name in given if name not in known)
        if extra:
            warnings.warn(ExtraColumnsWarning(extra), stacklevel=callers_level())
        position_of = {name: position for position, name in enumerate(given)}
        return [position_of[found[name]] if name in found else NOT_THERE for name in self.names]

    def _check_complete(self, found: dict[str, str], given: list[str]) -> None:
        missing = [name for name in self.names if name in self.needed and name not in found]
        if not missing:
            return
        close = close_name(missing[0], (name for name in given if name not in found.values()))
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        hint = f"did you mean {close!r}?" if close else f"there are {', '.join(map(repr, given[:5]))}."
        raise DataError(
            f"the rows lack column {missing[0]!r}{more} of the {len(self.needed)} columns that the model uses",
            f"{hint} Missing cells may be NaN.",
            column=missing[0],
        )


def check_unique(frame: Any) -> None:
    """Refuse names that occur more than once.

    Raises
    ------
    DataError
        If one does.
    """
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"column {repeated!r} occurs more than once; rename or drop the copies.", column=str(repeated))
