"""False-discovery control over one finite family of rows, such as a whole file."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions.calibration import Calibration, Kind
from vae_anomaly.decisions.false_alarms import (
    CONFIDENCE,
    ROUNDING,
    CalibrationTooSmall,
    checked_share,
    most_above,
    rank_grid,
)
from vae_anomaly.decisions.sorted_scores import IntArray
from vae_anomaly.decisions.thresholds import percent
from vae_anomaly.errors import DataError, DataWarning, SpecificationError, callers_level

BoolArray = npt.NDArray[np.bool_]
Method = Literal["benjamini_hochberg", "storey"]

LAMBDA = 0.5
MAX_PENDING = 65_536
CERTIFICATE_RATIO = 1.5
# An empty selection says nothing where it takes more than ten rows, and more than a twentieth of all, to select any.
MANY_ROWS, MANY_SHARE = 10, 0.05


def benjamini_hochberg(p: npt.ArrayLike, fdr: float) -> BoolArray:
    """Which hypotheses the procedure of Benjamini and Hochberg rejects.

    Of conformal p-values with one calibration set, the expected share of false ones among the rejected is at most
    `fdr` times the share of normal rows.

    Parameters
    ----------
    p : array-like of shape (rows,)
        p-values of the whole family: never batch by batch.
    fdr : float
        Share in (0, 1).

    References
    ----------
    Benjamini and Hochberg, "Controlling the false discovery rate", 1995; Bates et al., "Testing for outliers with
    conformal p-values", 2023, theorem 2.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, 0.9, 0.04], 0.05).tolist()
    [True, True, False, False]
    """
    values = checked_p_values(p)
    return values <= FamilyCounts.of(values).cutoff(fdr)


def storey(p: npt.ArrayLike, fdr: float, lambda_: float = LAMBDA) -> BoolArray:
    """Which hypotheses the procedure of Benjamini and Hochberg rejects with Storey's estimate of the normal share.

    Parameters
    ----------
    p : array-like of shape (rows,)
        p-values of the whole family.
    fdr : float
        Share in (0, 1).
    lambda_ : float, default=0.5
        p-values above it are taken for those of normal rows; none above it is rejected.

    References
    ----------
    Storey, Taylor and Siegmund, "Strong control, conservative point estimation and simultaneous conservative
    consistency of false discovery rates", 2004; Bates et al., 2023, theorem 3.
    """
    values = checked_p_values(p)
    return values <= FamilyCounts.of(values).cutoff(fdr, "storey", lambda_)


class FamilyCounts:
    """p-values of a family that comes in batches: each value and how many rows have it.

    What `cutoff` says does not depend on the batches.  There are no more values than calibration rows, so that a first
    pass over a file of any size fits into memory, and a second one selects.

    Examples
    --------
    >>> family = FamilyCounts()
    >>> for batch in ([0.01, 0.02], [0.9, 0.04]):
    ...     family.add(batch)
    >>> family.n_rows, family.cutoff(0.05)
    (4, 0.02)
    """

    def __init__(self) -> None:
        self._values: FloatArray = np.empty(0)
        self._counts: IntArray = np.empty(0, dtype=np.int64)
        self._pending: list[FloatArray] = []
        self._n_pending = 0
        self.n_rows = 0

    @classmethod
    def of(cls, p: npt.ArrayLike) -> FamilyCounts:
        """The family of all these p-values."""
        family = cls()
        family.add(p)
        return family

    def add(self, p: npt.ArrayLike) -> None:
        """Takes a batch.

        Parameters
        ----------
        p : array-like of shape (rows,)
            p-values, in (0, 1].
        """
        values = checked_p_values(p)
        self._pending.append(values)
        self._n_pending += len(values)
        self.n_rows += len(values)
        if self._n_pending > MAX_PENDING:
            self._merge()

    def merge(self, other: FamilyCounts) -> None:
        """Takes the rows of another family, counted elsewhere.

        Parameters
        ----------
        other : FamilyCounts
            Of other rows.
        """
        self._merge()
        self._add(*other.counts())
        self.n_rows += other.n_rows

    def counts(self) -> tuple[FloatArray, IntArray]:
        """Each value, from the smallest, and how many rows have it."""
        self._merge()
        return self._values, self._counts

    @classmethod
    def of_counts(cls, values: FloatArray, counts: IntArray) -> FamilyCounts:
        """The family of what `counts` returned.

        Parameters
        ----------
        values : ndarray of shape (values,)
            p-values, in (0, 1], ascending and each once.
        counts : ndarray of int, shape (values,)
            How many rows have each.
        """
        family = cls()
        family._values, family._counts = checked_p_values(values), np.asarray(counts, dtype=np.int64)
        family.n_rows = int(family._counts.sum())
        return family

    def n_up_to(self, p: float) -> int:
        """Rows with a p-value of at most this."""
        self._merge()
        return int(self._counts[self._values <= p].sum())

    def cutoff(self, fdr: float, method: Method = "benjamini_hochberg", lambda_: float = LAMBDA) -> float:
        """The p-value up to which rows are selected; 0 where none is.

        Parameters
        ----------
        fdr : float
            Share in (0, 1).
        method : {"benjamini_hochberg", "storey"}, default="benjamini_hochberg"
            See the functions of these names.
        lambda_ : float, default=0.5
            Of "storey".
        """
        checked_share(fdr, "fdr")
        self._merge()
        n_normal, most = float(self.n_rows), 1.0
        if method == "storey":
            most = checked_share(lambda_, "lambda_")
            n_normal = (1 + self.n_rows - self.n_up_to(most)) / (1 - most)
        elif method != "benjamini_hochberg":
            raise SpecificationError(f"method is 'benjamini_hochberg' or 'storey', not {method!r}")
        n_up_to = np.cumsum(self._counts)
        passing = (self._values * n_normal <= fdr * n_up_to * (1 + ROUNDING)) & (self._values <= most)
        return float(self._values[passing][-1]) if passing.any() else 0.0

    def select(
        self,
        calibration: Calibration,
        fdr: float,
        method: Method = "benjamini_hochberg",
        confidence: float = CONFIDENCE,
    ) -> Selection:
        """See `select`: the same for the rows of all batches together."""
        cutoff = self.cutoff(fdr, method)
        checked_share(confidence, "confidence")
        selection = Selection(
            cutoff,
            self.n_up_to(cutoff),
            self.n_rows,
            fdr,
            method,
            calibration.kind,
            calibration.n_rows,
            calibration.smallest_p,
            calibration.is_audited,
            _false_share_bound(calibration, self.n_rows, cutoff, self.n_up_to(cutoff), confidence),
            confidence,
        )
        if self.n_rows and not selection.n_selected:
            _explain_nothing(selection)
        return selection

    def _merge(self) -> None:
        if not self._pending:
            return
        self._add(*np.unique(np.concatenate(self._pending), return_counts=True))
        self._pending, self._n_pending = [], 0

    def _add(self, values: FloatArray, counts: IntArray) -> None:
        together, where = np.unique(np.concatenate([self._values, values]), return_inverse=True)
        summed = np.zeros(len(together), dtype=np.int64)
        np.add.at(summed, where, np.concatenate([self._counts, counts]))
        self._values, self._counts = together, summed


@dataclass(frozen=True)
class Selection:
    """Which rows of a family are selected as anomalous, and how many of them may be normal.

    Parameters
    ----------
    cutoff : float
        Rows with a p-value of at most this are selected; 0 selects none.
    n_selected, n_rows : int
        Of the family.
    fdr : float
        What the expected false share keeps to.
    method : {"benjamini_hochberg", "storey"}
        The procedure.
    kind : {"split", "cross", "training"}
        See `Calibration`.
    n_calibration : int
        Calibration rows.
    smallest_p : float
        The smallest p-value that a row can have.
    is_audited : bool
        Whether somebody vouched for the calibration rows or looked at the most anomalous of them.
    false_share_bound : float, optional
        Upper bound on the share of normal rows among the selected of this very family; None where none is proved: for
        calibrations that are not split or go by groups, and for an empty selection.
    confidence : float, default=0.95
        Of the bound.
    """

    cutoff: float
    n_selected: int
    n_rows: int
    fdr: float
    method: Method
    kind: Kind
    n_calibration: int
    smallest_p: float
    is_audited: bool
    false_share_bound: float | None = None
    confidence: float = CONFIDENCE

    @property
    def expected_false_share(self) -> float | None:
        """Bound on the share of normal rows among the selected, on average over families; None for training rows."""
        return None if self.kind == "training" else self.fdr

    @property
    def n_least(self) -> int:
        """Rows that have to be more anomalous than all calibration rows before any can be selected."""
        return math.ceil(self.n_rows * self.smallest_p / self.fdr * (1 - ROUNDING))

    def selects(self, p: npt.ArrayLike) -> BoolArray:
        """Which of these rows of the family are selected: bool, of the shape of `p`."""
        return checked_p_values(p) <= self.cutoff

    def sentence(self, noun: str = "row") -> str:
        """What may be expected of the selection, and under what condition.

        Parameters
        ----------
        noun : str
            What is judged: "row" or "image".
        """
        selected = f"{self.n_selected:,} of {self.n_rows:,} {noun}s are selected"
        if not self.n_selected:
            return (
                f"None of {self.n_rows:,} {noun}s is selected: it takes {self.n_least:,} or more that are more "
                f"anomalous than all {self.n_calibration:,} calibration {noun}s."
            )
        rarity = f"each is among the most anomalous {percent(self.cutoff)} of the {self.n_calibration:,}"
        if self.kind == "training":
            return f"{selected}: {rarity} {noun}s that the model was fitted on. Nothing is promised about false alarms."
        by = " by measurement (not proved for cross calibration)" if self.kind == "cross" else ""
        if not self.is_audited:
            return (
                f"{selected}: {rarity} calibration {noun}s. If these are all normal, at most {percent(self.fdr)} of "
                f"the selected are false alarms on average{by}; anomalies among them hide others until they are "
                "audited."
            )
        average = f"at most {percent(self.fdr)} of them are false alarms on average over such files"
        if self.kind == "cross":
            return f"{selected}; {average}{by}; in one file it can be more."
        bound = "in one file it can be more"
        if self.false_share_bound is not None:
            most = percent(self.false_share_bound, upwards=True)
            bound = f"in this file, with {percent(self.confidence)} confidence, at most {most}"
        alike = f"if normal {noun}s are like the {self.n_calibration:,} calibration {noun}s"
        return f"{selected}; {average}, {alike}; {bound}."


def select(
    calibration: Calibration,
    p: npt.ArrayLike,
    fdr: float,
    method: Method = "benjamini_hochberg",
    confidence: float = CONFIDENCE,
) -> Selection:
    """Selects rows of a family so that few of them are normal.

    Parameters
    ----------
    calibration : Calibration
        What the p-values were computed with.
    p : array-like of shape (rows,)
        p-values of all rows of the family; for a family in batches see `FamilyCounts`.
    fdr : float
        Share of normal rows among the selected, expected at most: in (0, 1).
    method : {"benjamini_hochberg", "storey"}, default="benjamini_hochberg"
        See the functions of these names.
    confidence : float, default=0.95
        Of `Selection.false_share_bound`.

    Raises
    ------
    CalibrationTooSmall
        If nothing is selected, and there are too few calibration rows for that to say anything.

    Warns
    -----
    DataWarning
        If nothing is selected, and more calibration rows or an audit of them may change that.

    Examples
    --------
    >>> calibration = Calibration.of("split", [np.arange(1.0, 1000.0)], declared_normal=True)
    >>> scores = np.array([[2000.0], [3000.0], [500.0], [20.0]])
    >>> selection = select(calibration, calibration.p_values(scores), fdr=0.1)
    >>> selection.selects(calibration.p_values(scores)).tolist()
    [True, True, False, False]
    >>> print(selection.sentence())
    2 of 4 rows are selected; at most 10 % of them are false alarms on average over such files, if normal rows are like
    the 999 calibration rows; in this file, with 95 % confidence, at most 50 %.
    """
    return FamilyCounts.of(p).select(calibration, fdr, method, confidence)


def checked_p_values(p: npt.ArrayLike) -> FloatArray:
    """p-values as a flat array of float64 in (0, 1].

    Raises
    ------
    DataError
        If they are anything else.
    """
    values: FloatArray = np.asarray(p, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"p-values have the shape {values.shape}", "one per row was expected.")
    wrong = np.flatnonzero(~((values > 0) & (values <= 1)))
    if len(wrong):
        raise DataError(f"a p-value is {values[wrong[0]]:g}", "above 0 and at most 1 was expected.", row=int(wrong[0]))
    return values


def _false_share_bound(
    calibration: Calibration, n_rows: int, cutoff: float, n_selected: int, confidence: float
) -> float | None:
    """Normal rows among the selected, at most, over their number: for all cutoffs at once.

    The normal rows above the k-th largest calibration score are at most as many as a beta-binomial variable; the
    level is divided among ranks half as large again each, and between them the bound of the next holds.

    References
    ----------
    Song, Jin and Candès, on certificates of the realised false discovery proportion, 2026.
    """
    if calibration.kind != "split" or calibration.groups or not n_selected:
        return None
    n = calibration.n_rows
    rank = round(cutoff * (n + 1))
    if rank > n:
        return 1.0
    grid = rank_grid(n, CERTIFICATE_RATIO)
    next_rank = int(grid[np.searchsorted(grid, rank)])
    return min(most_above(n_rows, next_rank, n, (1 - confidence) / len(grid)) / n_selected, 1.0)


def _explain_nothing(selection: Selection) -> None:
    """Says why nothing may be selected, where that is for want of calibration rows or of an audit."""
    n, n_rows, n_least = selection.n_calibration, selection.n_rows, selection.n_least
    n_allowed = max(MANY_ROWS, math.floor(MANY_SHARE * n_rows))
    if n_least > min(n_allowed, n_rows):
        n_few = min(MANY_ROWS, n_rows)
        raise CalibrationTooSmall(
            f"a selection of {n_few} of {n_rows:,} rows at fdr={selection.fdr:g}",
            math.ceil(n_rows / (selection.fdr * n_few) * (1 - ROUNDING) - 1),
            n,
            f"with these, {n_least:,} rows would have to be more anomalous than every one of them (d discoveries among "
            "m rows take m / (fdr d) - 1 calibration rows): ask for a higher fdr, select in a smaller family",
        )
    if selection.kind != "training" and not selection.is_audited:
        warnings.warn(
            DataWarning(
                f"nothing is selected of {n_rows:,} rows, and nobody has audited the {n:,} calibration rows: a few "
                "anomalies among them hide those among new rows. An audit lists those to look at: fifty often do."
            ),
            stacklevel=callers_level(),
        )
    elif n_least > max(1, n_rows // 100):
        warnings.warn(
            DataWarning(
                f"nothing is selected: that takes {n_least:,} or more of {n_rows:,} rows that are more anomalous than "
                f"all {n:,} calibration rows; with more of these, fewer are needed."
            ),
            stacklevel=callers_level(),
        )
