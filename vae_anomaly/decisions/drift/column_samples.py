"""What the columns of the calibration rows hold, to compare those of new rows with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import HashedTexts
from vae_anomaly.decisions.drift.two_sample import ColumnShift, levels_moved, missing_moved, values_moved
from vae_anomaly.decisions.sorted_scores import SortedScores

NO_VALUES = SortedScores(np.empty(0), np.empty(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class ColumnSample:
    """The cells of a column, in no order and without their rows.

    Parameters
    ----------
    name : str
        Of the column.
    kind : {"values", "levels", "missing"}
        Whether its cells are numbers, levels, or only there or not.
    n_rows, n_missing : int
        Cells in all, and missing ones.
    values : SortedScores
        Observed numbers, in the column's unit.
    levels : mapping of str to int
        Observed levels, and how many cells have them.
    hashed : HashedTexts or None
        Those of the levels that are known by hashes alone, in their order.
    """

    name: str
    kind: Literal["values", "levels", "missing"]
    n_rows: int
    n_missing: int
    values: SortedScores = NO_VALUES
    levels: Mapping[str, int] = field(default_factory=dict)
    hashed: HashedTexts | None = None

    @classmethod
    def of_values(cls, name: str, cells: npt.NDArray[np.float64]) -> ColumnSample:
        """Numbers; NaN is missing.

        Examples
        --------
        >>> ColumnSample.of_values("age", np.array([3.0, np.nan, 3.0])).values.counts.tolist()
        [2]
        """
        observed = cells[~np.isnan(cells)]
        return cls(name, "values", len(cells), len(cells) - len(observed), SortedScores.of(observed))

    @classmethod
    def of_levels(cls, name: str, cells: Sequence[str | None]) -> ColumnSample:
        """Levels; None is missing."""
        counts: dict[str, int] = {}
        for cell in cells:
            if cell is not None:
                counts[cell] = counts.get(cell, 0) + 1
        return cls(name, "levels", len(cells), len(cells) - sum(counts.values()), levels=counts)

    @classmethod
    def of_presence(cls, name: str, missing: npt.NDArray[np.bool_]) -> ColumnSample:
        """Cells of which only counts whether they are missing."""
        return cls(name, "missing", len(missing), int(missing.sum()))

    def without_values(self) -> ColumnSample:
        """The same without its numbers: that many are missing is all that is compared."""
        return replace(self, values=NO_VALUES)

    def names_of(self, levels: Sequence[str]) -> list[str]:
        """Levels as this sample calls them: those of which it knows the hash by what stands for them."""
        return list(levels) if self.hashed is None else self.hashed.names_of(levels)


def columns_moved(before: Sequence[ColumnSample], now: Sequence[ColumnSample]) -> list[ColumnShift]:
    """Compare each column with itself: what it holds, and how much of it is missing.

    Parameters
    ----------
    before, now : sequence of ColumnSample
        Of the calibration rows and of new rows; the columns that are among both are compared.

    Returns
    -------
    list of ColumnShift
        One test of what a column holds, where both samples hold anything, and one of missing cells, where there are
        any. The p-values are those of each test alone.
    """
    shifts = []
    earlier = {old.name: old for old in before}
    for old, new in ((earlier[new.name], new) for new in now if new.name in earlier):
        if old.kind == "values" and old.values.n and new.values.n:
            cells = np.repeat(new.values.values, new.values.counts)
            shifts.append(values_moved(old.name, old.values, cells))
        elif old.kind == "levels" and old.levels and new.levels:
            shifts.append(_levels_moved(old, new))
        if old.n_missing or new.n_missing:
            shifts.append(missing_moved(old.name, old.n_missing, old.n_rows, new.n_missing, new.n_rows))
    return shifts


def _levels_moved(old: ColumnSample, new: ColumnSample) -> ColumnShift:
    if old.hashed is None:
        return levels_moved(old.name, old.levels, new.levels)
    counts: dict[str, int] = {}
    written: dict[str, str] = {}
    for level, name in zip(new.levels, old.names_of(list(new.levels)), strict=True):
        counts[name] = counts.get(name, 0) + new.levels[level]
        written.setdefault(name, level)
    shift = levels_moved(old.name, old.levels, counts)
    return replace(shift, level=written.get(str(shift.level), shift.level))
