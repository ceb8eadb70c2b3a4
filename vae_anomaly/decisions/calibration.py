"""The rows that new ones are compared with, and the conformal p-values that come of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.caching import cached_property
from vae_anomaly.data import FloatArray, HashedTexts
from vae_anomaly.decisions.false_alarms import CONFIDENCE, band, checked_share, rank_grid
from vae_anomaly.decisions.sorted_scores import MAX_EXACT, IntArray, SortedScores, checked_scores, lowest_equal
from vae_anomaly.display import Described, Shown, counted
from vae_anomaly.errors import DataError, SpecificationError

Kind = Literal["split", "cross", "training"]

MAX_SUSPECTS = 1_000
RATIO_OF_RANKS = 1.02
N_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class Suspects(Described):
    """The most anomalous calibration rows, the most anomalous first, for an audit.

    Parameters
    ----------
    ids : ndarray of shape (suspects,), int64
        What the fit calls the rows, such as their positions in the training table.
    scores : ndarray of shape (suspects,), float64
        Nats.
    folds : ndarray of shape (suspects,), int64
        Which fold each is in.
    groups : ndarray of shape (suspects,), int64
        Position of each one's group among `Calibration.groups`; -1 where there are no groups.
    is_normal : ndarray of shape (suspects,), bool
        Which of them somebody looked at and found normal.
    n_confirmed : int, default=0
        Rows that somebody found anomalous, and that are calibration rows no more.
    fingerprints : ndarray of shape (suspects,), int64, optional
        What tells rows from others whose scores cannot be found again, because what they were held out from is not
        kept.
    """

    ids: IntArray
    scores: FloatArray
    folds: IntArray
    groups: IntArray
    is_normal: npt.NDArray[np.bool_]
    n_confirmed: int = 0
    fingerprints: IntArray | None = None

    def _summary(self) -> str:
        return f"{counted(len(self.ids), 'row')}, {self.n_audited:,} of them looked at"

    @property
    def n_audited(self) -> int:
        """Rows that somebody looked at."""
        return int(self.is_normal.sum()) + self.n_confirmed

    def unaudited(self, n_rows: int) -> IntArray:
        """Ids of the most anomalous rows that nobody has looked at, at most `n_rows`."""
        return self.ids[~self.is_normal][:n_rows]

    def positions(self, ids: npt.ArrayLike) -> IntArray:
        """Where the rows are among the suspects.

        Raises
        ------
        DataError
            If an id is not a whole number, not among them, or given twice.
        """
        given = np.asarray(ids).reshape(-1)
        if given.size and (given.dtype.kind not in "iuf" or not (given == np.rint(given)).all()):
            raise DataError(
                f"ids are whole numbers, and {given.dtype} is given", "an audit takes rows as it listed them."
            )
        wanted: IntArray = given.astype(np.int64)
        if len(np.unique(wanted)) < len(wanted):
            raise DataError("an id is given twice", "each row has one answer.")
        order = np.argsort(self.ids)
        at = np.searchsorted(self.ids, wanted, sorter=order)
        found = np.append(order, -1)[at]
        unknown = (found < 0) | (np.append(self.ids, 0)[found] != wanted)
        if unknown.any():
            raise DataError(
                f"index {wanted[unknown][0]} is not among the {len(self.ids)} most anomalous calibration rows",
                "an audit takes rows that it has listed.",
            )
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Shown):
    """Scores of reference rows, against which new rows have p-values.

    Parameters
    ----------
    kind : {"split", "cross", "training"}
        "split": rows that no member saw.  "cross": rows of fold k, scored by the members that did not see fold k; a new
        row is compared fold by fold, with its scores by the same members; one fold is of rows that were held out in
        turn, with which scores by a model of all are compared.  "training": rows that were fitted, so that
        p-values are ranks among them and guarantee nothing.
    folds : tuple of SortedScores
        One for split and training.
    suspects : Suspects
        The most anomalous of the rows.
    group_column : str, optional
        The column whose levels have a calibration of their own.
    groups : mapping of str to tuple of SortedScores
        By level, the scores by fold; empty without groups.
    declared_normal : bool, default=False
        Whether somebody vouched for the rows, as with ``calibrate(X_normal)``.
    hashed_groups : HashedTexts, optional
        Those of the groups that are known by hashes alone, in their order.

    Examples
    --------
    >>> calibration = Calibration.of("split", [[1.0, 2.0, 3.0, 4.0]])
    >>> calibration.p_values(np.array([[0.0], [3.0], [9.0]])).tolist()
    [1.0, 0.6, 0.2]
    """

    kind: Kind
    folds: tuple[SortedScores, ...]
    suspects: Suspects
    group_column: str | None = None
    groups: Mapping[str, tuple[SortedScores, ...]] = field(default_factory=dict)
    declared_normal: bool = False
    hashed_groups: HashedTexts | None = None

    @classmethod
    def of(
        cls,
        kind: Kind,
        scores: Sequence[npt.ArrayLike],
        ids: Sequence[npt.ArrayLike] | None = None,
        group_column: str | None = None,
        groups: Sequence[Sequence[str]] | None = None,
        declared_normal: bool = False,
        max_exact: int = MAX_EXACT,
        fingerprints: npt.ArrayLike | None = None,
    ) -> Self:
        """Makes a calibration of scores.

        Parameters
        ----------
        kind : {"split", "cross", "training"}
            See the class.
        scores : sequence of array-like of shape (rows,)
            Anomaly scores, nats, one array per fold.
        ids : sequence of array-like of shape (rows,), optional
            Integers that name the rows; by default they are counted through the folds.
        group_column : str, optional
            What `groups` are levels of.
        groups : sequence of sequence of str, optional
            The level of each row.
        declared_normal : bool, default=False
            See the class.
        max_exact : int, default=100_000
            See `SortedScores.of`.
        fingerprints : array-like of shape (rows,), optional
            See `Suspects`.

        Raises
        ------
        SpecificationError
            If the kind is unknown, or there are folds where there is one set of members.
        DataError
            If there is no row, or a score is NaN.
        """
        arrays = [checked_scores(one) for one in scores]
        pooled = np.concatenate([np.empty(0), *arrays])
        if kind not in {"split", "cross", "training"}:
            raise SpecificationError(f"a calibration is 'split', 'cross' or 'training', not {kind!r}")
        if kind != "cross" and len(arrays) != 1:
            raise SpecificationError(f"a {kind} calibration has one set of scores, not {len(arrays)}")
        if not len(pooled):
            raise DataError("no calibration rows", "p-values compare a row with at least one other.")
        fold = np.repeat(np.arange(len(arrays)), [len(one) for one in arrays])
        names, codes = _grouped(groups, fold)
        given = np.arange(len(pooled)) if ids is None else np.concatenate([np.asarray(one) for one in ids])
        if given.shape != pooled.shape:
            raise DataError(f"{len(pooled)} calibration scores have {len(given)} ids", "each row has one.")
        first = np.argsort(-pooled, kind="stable")[:MAX_SUSPECTS]
        return cls(
            kind,
            tuple(SortedScores.of(one, max_exact) for one in arrays),
            Suspects(
                given[first].astype(np.int64),
                pooled[first],
                fold[first],
                codes[first],
                np.zeros(len(first), dtype=bool),
                fingerprints=None if fingerprints is None else np.asarray(fingerprints)[first].astype(np.int64),
            ),
            group_column,
            {
                name: tuple(
                    SortedScores.of(pooled[(codes == code) & (fold == k)], max_exact) for k in range(len(arrays))
                )
                for code, name in enumerate(names)
            },
            declared_normal,
        )

    def _summary(self) -> str:
        folds = f" in {counted(len(self.folds), 'fold')}" if len(self.folds) > 1 else ""
        groups = f", {counted(len(self.groups), 'group')} of {self.group_column!r}" if self.groups else ""
        audited = ", audited" if self.is_audited else ""
        return f"{self.kind}, {counted(self.n_rows, 'row')}{folds}{groups}{audited}, smallest p {self.smallest_p:.2g}"

    def _table(self) -> pd.DataFrame:
        return self.false_alarm_rates().iloc[::-1].head(N_SHOWN)

    @cached_property
    def n_rows(self) -> int:
        """Calibration rows."""
        return sum(one.n for one in self.folds)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that a row can have, of the largest group where there are groups."""
        n_compared = [sum(one.n for one in folds) for folds in self.groups.values()] or [self.n_rows]
        return 1 / (max(n_compared) + 1)

    @cached_property
    def pooled(self) -> SortedScores:
        """The rows of all folds."""
        return self.folds[0] if len(self.folds) == 1 else self.folds[0].merged(*self.folds[1:])

    @property
    def is_audited(self) -> bool:
        """Whether somebody vouched for the rows, or looked at the most anomalous of them."""
        return self.declared_normal or self.suspects.n_audited > 0

    def p_values(self, comparisons: FloatArray, groups: Sequence[str] | None = None) -> FloatArray:
        r"""Conformal p-values: the rank of each row among the calibration rows.

        :math:`p(t) = (1 + \sum_k \#\{i \in \text{fold } k: s_k(x_i) \ge s_k(t)\}) / (n + 1)`.  For rows like those of
        a split calibration :math:`P(p \le a) \le a`; for cross calibration of several folds
        :math:`2 a + 2 (1 - a) (K - 1) / (n + K)` is proved and about a is measured.  A row of an unknown group has
        p = 1.

        Parameters
        ----------
        comparisons : ndarray of shape (rows, folds)
            Anomaly scores of the new rows, nats: by the members of each fold.
        groups : sequence of str, optional
            The group of each row, for a calibration by group.

        Returns
        -------
        ndarray of shape (rows,), float64
            Never below `smallest_p`.

        References
        ----------
        Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005, section 2.2 and, for groups, 4.5;
        Vovk, "Cross-conformal predictors", 2015; Barber et al., "Predictive inference with the jackknife+", 2021.
        """
        compared = self.checked_comparisons(comparisons)
        if not self.groups:
            return _p_values(self.folds, compared)
        if groups is None or len(groups) != len(compared):
            raise DataError(
                f"p-values of {len(compared)} rows come with {0 if groups is None else len(groups)} groups",
                f"this calibration goes by the column {self.group_column!r}, and each row has one level.",
            )
        p: FloatArray = np.ones(len(compared))
        names = self.names_of(groups)
        level = np.array([*names, None], dtype=object)[:-1]
        for name in set(names) & self.groups.keys():
            rows = np.flatnonzero(level == name)
            p[rows] = _p_values(self.groups[name], compared[rows])
        return p

    def false_alarm_rates(self, confidence: float = CONFIDENCE) -> pd.DataFrame:
        """How many new normal rows are above each calibration score, the lowest first.

        Parameters
        ----------
        confidence : float, default=0.95
            Probability that all bounds hold at once.

        Returns
        -------
        DataFrame
            Columns threshold (nats), expected_rate and rate_bound. Of many rows some: their ranks, counted from the
            highest score, rise by a fiftieth. A training calibration has shares of the rows fitted, and no bounds.

        Examples
        --------
        >>> Calibration.of("split", [[1.0, 2.0, 3.0]]).false_alarm_rates()[["threshold", "expected_rate"]]
           threshold  expected_rate
        0        1.0           0.75
        1        2.0           0.50
        2        3.0           0.25
        """
        checked_share(confidence, "confidence")
        n = self.n_rows
        places = [self.pooled.kth_largest(int(rank)) for rank in rank_grid(n, RATIO_OF_RANKS)]
        thresholds = np.unique(np.array(places))
        n_above = self.pooled.n_above(thresholds)
        if self.kind == "training":
            rates, bounds = n_above / n, np.full(len(thresholds), np.nan)
        else:
            rates, bounds = (n_above + 1) / (n + 1), band(n, confidence)[n_above]
        return pd.DataFrame({"threshold": thresholds, "expected_rate": rates, "rate_bound": bounds})

    def names_of(self, groups: Sequence[str]) -> list[str]:
        """Groups as they are called here: those of which only the hash is known by what stands for them."""
        return list(groups) if self.hashed_groups is None else self.hashed_groups.names_of(groups)

    def checked_comparisons(self, comparisons: FloatArray) -> FloatArray:
        """Scores of new rows by the members of each fold, as float64.

        Raises
        ------
        DataError
            If they are not rows by folds.
        """
        compared: FloatArray = np.asarray(comparisons, dtype=np.float64)
        if compared.ndim != 2 or compared.shape[1] != len(self.folds):
            expected = f"(rows, {len(self.folds)}) was expected: rows by folds."
            raise DataError(f"comparisons have the shape {compared.shape}", expected)
        return compared

    def answered(self, ids: npt.ArrayLike, is_anomaly: npt.ArrayLike) -> Calibration:
        """The calibration after an audit: confirmed anomalies are dropped, nothing else changes.

        Dropping confirmed anomalies alone keeps false-discovery control and gives the power back that they cost;
        dropping the most anomalous rows unseen does not control it.

        Parameters
        ----------
        ids : array-like of int, shape (answers,)
            Rows that somebody looked at, of the suspects.
        is_anomaly : array-like of bool, shape (answers,)
            What they are.

        Raises
        ------
        DataError
            If a row is not a suspect or no calibration row would be left.

        References
        ----------
        Bashari, Sesia and Romano, "Robust conformal outlier detection under contaminated reference data", ICML 2025.
        """
        where = self.suspects.positions(ids)
        answers = np.asarray(is_anomaly)
        if not answers.size:
            answers = answers.astype(bool)
        if answers.shape != where.shape or answers.dtype != np.bool_:
            raise DataError(
                f"{len(where)} rows have answers of shape {answers.shape}, {answers.dtype}", "True or False each."
            )
        gone = where[answers]
        if len(gone) == self.n_rows:
            raise DataError("no calibration row is left", "at least one is normal.")
        left = np.setdiff1d(np.arange(len(self.suspects.ids)), gone)
        is_normal = self.suspects.is_normal.copy()
        is_normal[where] = True
        suspects = Suspects(
            self.suspects.ids[left],
            self.suspects.scores[left],
            self.suspects.folds[left],
            self.suspects.groups[left],
            is_normal[left],
            self.suspects.n_confirmed + len(gone),
            None if self.suspects.fingerprints is None else self.suspects.fingerprints[left],
        )

        def dropped(folds: tuple[SortedScores, ...], rows: IntArray) -> tuple[SortedScores, ...]:
            of_fold = self.suspects.folds[rows]
            return tuple(one.without(self.suspects.scores[rows[of_fold == k]]) for k, one in enumerate(folds))

        groups = {
            name: dropped(folds, gone[self.suspects.groups[gone] == code])
            for code, (name, folds) in enumerate(self.groups.items())
        }
        return dataclasses.replace(self, folds=dropped(self.folds, gone), suspects=suspects, groups=groups)

    def without(self, ids: npt.ArrayLike) -> Calibration:
        """The calibration without rows that are confirmed anomalies; see `answered`."""
        return self.answered(ids, np.ones(np.asarray(ids).size, dtype=bool))


def _p_values(folds: Sequence[SortedScores], compared: FloatArray) -> FloatArray:
    found = (one.n_at_least(lowest_equal(compared[:, fold])) for fold, one in enumerate(folds))
    n_at_least = sum(found, np.zeros(len(compared), dtype=np.int64))
    p: FloatArray = (1 + n_at_least) / (1 + sum(one.n for one in folds))
    return p


def _grouped(groups: Sequence[Sequence[str]] | None, fold: IntArray) -> tuple[list[str], IntArray]:
    """Names in order, and the position of each row's among them."""
    if groups is None:
        return [], np.full(len(fold), -1, dtype=np.int64)
    levels = [str(level) for of_fold in groups for level in of_fold]
    if len(levels) != len(fold):
        raise DataError(f"{len(fold)} calibration scores have {len(levels)} groups", "each row has one.")
    names = sorted(set(levels))
    code = {name: position for position, name in enumerate(names)}
    return names, np.array([code[level] for level in levels], dtype=np.int64)
