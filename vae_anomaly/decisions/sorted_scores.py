"""Calibration scores, sorted and counted: exact in the tail, and small however many rows there were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.caching import cached_property
from vae_anomaly.data import FloatArray
from vae_anomaly.display import Described, counted, number_text
from vae_anomaly.errors import DataError

IntArray = npt.NDArray[np.int64]

MAX_EXACT = 100_000
N_EXACT_TAIL = 10_000
ROUNDING, RELATIVE_ROUNDING = 1e-5, 1e-6


def lowest_equal(scores: npt.ArrayLike) -> FloatArray:
    """The lowest number that a score is taken to be equal to.

    Other processors, and other versions of this library, round scores differently, and a copy of many calibration rows
    must not pass them all by its last bit.

    Parameters
    ----------
    scores : array-like of shape (rows,)
        Nats.

    Examples
    --------
    >>> lowest_equal([0.5, 300.0, -np.inf]).tolist()
    [0.49999, 299.9997, -inf]
    """
    found = np.asarray(scores, dtype=np.float64)
    margin = np.maximum(RELATIVE_ROUNDING * np.abs(found), ROUNDING)
    return found - np.where(np.isfinite(found), margin, 0)


@dataclass(frozen=True, eq=False, repr=False)
class SortedScores(Described):
    """Anomaly scores in ascending order, equal ones counted.

    Parameters
    ----------
    values : ndarray of shape (distinct,), float64
        Nats, ascending, all different, higher is more anomalous.
    counts : ndarray of shape (distinct,), int64
        How many rows have each value.

    Examples
    --------
    >>> scores = SortedScores.of([3.0, 1.0, 2.0, 3.0])
    >>> scores.n, scores.kth_largest(1), scores.n_at_least([2.0, 2.5, 3.5]).tolist()
    (4, 3.0, [3, 2, 0])
    """

    values: FloatArray
    counts: IntArray

    @classmethod
    def of(cls, scores: npt.ArrayLike, max_exact: int = MAX_EXACT) -> Self:
        """Sorts scores, and joins those far from the tail where they are many.

        Parameters
        ----------
        scores : array-like of shape (rows,)
            Nats, in any order; they may be infinite.
        max_exact : int, default=100_000
            Distinct values that are kept as they are.  Of more, the largest 10,000 are, and the rest is divided into
            groups, each of which stands at its upper end, so that no count of scores "at least" something is too small.

        Raises
        ------
        DataError
            If a score is NaN.
        """
        values, counts = np.unique(checked_scores(scores), return_counts=True)
        n_exact = min(N_EXACT_TAIL, max_exact)
        n_groups = max_exact - n_exact
        n_rest = len(values) - n_exact
        if len(values) > max_exact:
            up_to = np.cumsum(counts[:n_rest])
            group = (up_to - 1) * max(n_groups, 1) // up_to[-1]
            starts = np.flatnonzero(np.diff(group, prepend=-1))
            ends = np.append(starts[1:], n_rest) - 1
            values = np.concatenate([values[ends], values[n_rest:]])
            counts = np.concatenate([np.add.reduceat(counts[:n_rest], starts), counts[n_rest:]])
        return cls(values, counts.astype(np.int64))

    def _summary(self) -> str:
        if not len(self.values):
            return "no rows"
        return f"{counted(self.n, 'row')}, {number_text(self.values[0])} to {number_text(self.values[-1])} nats"

    @cached_property
    def n(self) -> int:
        """Rows."""
        return int(self.counts.sum())

    @cached_property
    def _n_below(self) -> IntArray:
        """Rows below each value, and below infinity and beyond: (distinct + 1,)."""
        below: IntArray = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        return below

    def n_at_least(self, scores: npt.ArrayLike) -> IntArray:
        """How many rows have a score of at least each of these.

        Parameters
        ----------
        scores : array-like of shape (rows,)
            Nats.

        Returns
        -------
        ndarray of shape (rows,), int64
        """
        at: IntArray = self.n - self._n_below[np.searchsorted(self.values, checked_scores(scores), "left")]
        return at

    def n_above(self, scores: npt.ArrayLike) -> IntArray:
        """How many rows have a score of more than each of these; see `n_at_least`."""
        above: IntArray = self.n - self._n_below[np.searchsorted(self.values, checked_scores(scores), "right")]
        return above

    def kth_largest(self, k: int) -> float:
        """The k-th largest score, counted from 1.

        Raises
        ------
        IndexError
            If there is none.
        """
        if not 1 <= k <= self.n:
            raise IndexError(f"no {k}-th largest of {self.n} scores")
        return float(self.values[np.searchsorted(self._n_below, self.n - k, "right") - 1])

    def quantile(self, share: float) -> float:
        """The score that a share of the rows is below, linear between two rows as ``numpy.quantile``.

        Examples
        --------
        >>> SortedScores.of([0.0, 10.0]).quantile(0.25)
        2.5
        """
        if not 0 <= share <= 1 or self.n == 0:
            raise ValueError(f"a quantile takes a share from 0 to 1 of at least one row, not {share!r} of {self.n}")
        lower = int(np.floor(share * (self.n - 1)))
        below, above = self.kth_largest(self.n - lower), self.kth_largest(max(self.n - lower - 1, 1))
        weight = share * (self.n - 1) - lower
        return below if weight == 0 or below == above else below + weight * (above - below)

    def merged(self, *others: SortedScores) -> SortedScores:
        """All rows of these and of others."""
        values, where = np.unique(np.concatenate([one.values for one in (self, *others)]), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, where, np.concatenate([one.counts for one in (self, *others)]))
        return SortedScores(values, counts)

    def without(self, scores: npt.ArrayLike) -> SortedScores:
        """The rows that are left when one row of each of these scores goes.

        Raises
        ------
        DataError
            If fewer rows have such a score.
        """
        gone, n_gone = np.unique(checked_scores(scores), return_counts=True)
        where = np.searchsorted(self.values, gone)
        known = np.append(self.values, np.nan)[where] == gone
        counts = np.append(self.counts, 0)
        np.subtract.at(counts, where, n_gone)
        if not known.all() or (counts < 0).any():
            lacking = gone[~known | (counts[where] < 0)][0]
            raise DataError(f"no row with a score of {lacking:g} nats is left to be taken away")
        left = counts[:-1] > 0
        return SortedScores(self.values[left], counts[:-1][left])


def checked_scores(scores: npt.ArrayLike) -> FloatArray:
    """Scores as a flat array of float64, of which none is NaN.

    Raises
    ------
    DataError
        If one is, with its row, or if the array has more than one axis.
    """
    checked: FloatArray = np.asarray(scores, dtype=np.float64)
    if checked.ndim != 1:
        raise DataError(f"scores have the shape {checked.shape}", "one score per row was expected.")
    missing = np.flatnonzero(np.isnan(checked))
    if len(missing):
        raise DataError("a score is NaN", "a rank needs a number.", row=int(missing[0]))
    return checked
