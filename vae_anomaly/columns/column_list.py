"""Columns: those of a table, as a tuple that shows itself."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from vae_anomaly.columns.column import Column
from vae_anomaly.display import Shown, shortened

N_SHOWN, MAX_NAME, MAX_REASON = 10, 20, 40


class Columns(Shown, tuple[Column, ...]):
    """The columns of a table: a tuple of `Column`, which shows the kinds and the first of them.

    Examples
    --------
    >>> Columns([Column("age", "count", None, "whole numbers"), Column("id", "identifier", None, "all different")])
    Columns(2: 1 count, 1 identifier
      'age': count, whole numbers
      'id': identifier, all different)
    """

    __slots__ = ()

    def frame(self) -> pd.DataFrame:
        """A line for each column: its name, kind, likelihood, why, and whether the model sees anything of it.

        Returns
        -------
        DataFrame
            Columns column, kind, likelihood, reason and is_used.
        """
        lines = [
            {
                "column": column.name,
                "kind": column.kind,
                "likelihood": "" if column.likelihood is None else type(column.likelihood).__name__,
                "reason": column.reason,
                "is_used": column.is_used,
            }
            for column in self
        ]
        return pd.DataFrame(lines, columns=["column", "kind", "likelihood", "reason", "is_used"])

    def _summary(self) -> str:
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(column.kind for column in self).most_common())
        first = [
            f"{shortened(column.name, MAX_NAME)!r}: {column.kind}, {shortened(column.reason, MAX_REASON)}"
            for column in self[:N_SHOWN]
        ]
        more = [f"and {len(self) - N_SHOWN:,} more, see frame()"] if len(self) > N_SHOWN else []
        return "\n  ".join([f"{len(self)}: {kinds}" if self else "0", *first, *more])

    def _table(self) -> pd.DataFrame:
        return self.frame()
