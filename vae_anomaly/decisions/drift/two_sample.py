"""Tests of one batch or file against the calibration rows: its scores, and the values of its columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, kolmogorov

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions.calibration import Calibration
from vae_anomaly.decisions.false_alarms import probability_at_least
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.errors import DataError, SpecificationError

MIN_EXPECTED = 5.0
MAX_EXACT_ROWS, MAX_EXACT_PAIRS = 100, 10_000_000


@dataclass(frozen=True)
class ScoreShift:
    """Whether the scores of a batch are like those of the calibration rows.

    Parameters
    ----------
    p_value : float
        Of the two-sample test of Kolmogorov and Smirnov, in which the calibration rows are a sample too.
    distance : float
        Largest difference between the two distribution functions, from 0 to 1.
    n_rows, n_reference : int
        Rows of the batch, and calibration rows.
    median, reference_median : float
        Nats.
    """

    p_value: float
    distance: float
    n_rows: int
    n_reference: int
    median: float
    reference_median: float

    def sentence(self) -> str:
        """What was found, in nats."""
        return (
            f"The median score is {self.median:.4g} nats, and {self.reference_median:.4g} among the "
            f"{self.n_reference:,} calibration rows (p = {self.p_value:.2g}, {self.n_rows:,} rows)."
        )


@dataclass(frozen=True)
class AlertShift:
    """Whether a batch has more or fewer alerts than its normal rows alone would.

    Parameters
    ----------
    p_value : float
        Two-sided, of the beta-binomial law of rows above a calibration score.
    n_alerts, n_rows : int
        Of the batch.
    expected : float
        Alerts, on average, in as many normal rows.
    """

    p_value: float
    n_alerts: int
    n_rows: int
    expected: float


@dataclass(frozen=True)
class ColumnShift:
    """Whether a column is like that of the calibration rows.

    Parameters
    ----------
    column : str
        Its name.
    what : {"values", "levels", "missing"}
        What was compared.
    p_value : float
        Of this test alone; see `holm` for many.
    before, now : float
        Of values the median, in the column's unit; of levels the share of the level that changed most; of missing cells
        their share.
    level : str, default=""
        The level that changed most.
    n_unseen : int, default=0
        Cells with a level that no calibration row has.
    """

    column: str
    what: Literal["values", "levels", "missing"]
    p_value: float
    before: float
    now: float
    level: str = ""
    n_unseen: int = 0

    def sentence(self) -> str:
        """What was found, in the column's unit.

        Examples
        --------
        >>> print(missing_moved("age", 10, 1_000, 40, 1_000).sentence())
        'age': missing cells 1 % -> 4 % (p = 1.9e-05)
        """
        if self.what == "values":
            change = f"median {self.before:.4g} -> {self.now:.4g}"
        elif self.what == "levels":
            unseen = f", {self.n_unseen:,} cells with levels not seen before" if self.n_unseen else ""
            change = f"level {self.level!r} {100 * self.before:.3g} % -> {100 * self.now:.3g} %{unseen}"
        else:
            change = f"missing cells {100 * self.before:.3g} % -> {100 * self.now:.3g} %"
        return f"{self.column!r}: {change} (p = {self.p_value:.2g})"


def scores_moved(calibration: Calibration, comparisons: FloatArray) -> ScoreShift:
    """Compares the scores of a batch with those of the calibration rows.

    Of a cross calibration each fold is compared with the scores by the members that did not see it; the fold that
    differs most counts, with its p-value times the number of folds.

    Parameters
    ----------
    calibration : Calibration
        Split or cross.
    comparisons : ndarray of shape (rows, folds)
        Scores of the batch, nats: by the members of each fold.

    Raises
    ------
    SpecificationError
        If the calibration rows were fitted: new rows have other scores than those, drift or not.
    DataError
        If the batch has no row.

    Examples
    --------
    >>> calibration = Calibration.of("split", [np.arange(100.0)])
    >>> scores_moved(calibration, np.arange(0.0, 100.0, 5)[:, None]).p_value > 0.9
    True
    >>> scores_moved(calibration, np.arange(60.0, 80.0)[:, None]).p_value < 1e-5
    True
    """
    if calibration.kind == "training":
        raise SpecificationError(
            "drift is measured against calibration rows that the model has not seen, and this model has none: fit it "
            "with calibration='auto', or give normal rows with calibrate(X)."
        )
    compared = calibration.checked_comparisons(comparisons)
    batches = [SortedScores.of(compared[:, fold]) for fold in range(len(calibration.folds))]
    pairs = [(one, new) for one, new in zip(calibration.folds, batches, strict=True) if one.n]
    results = [_compared(one, new) for one, new in pairs]
    least = int(np.argmin([p_value for _, p_value in results]))
    reference, new = pairs[least]
    distance, p_value = results[least]
    return ScoreShift(
        min(1.0, len(pairs) * p_value),
        distance,
        new.n,
        calibration.n_rows,
        new.quantile(0.5),
        reference.quantile(0.5),
    )


def alerts_moved(n_alerts: int, n_rows: int, rank: int, n_calibration: int) -> AlertShift:
    """Compares the alerts above the k-th largest score of a split calibration with what normal rows would have.

    Parameters
    ----------
    n_alerts, n_rows : int
        Of the batch.
    rank : int
        k: alerts have p-values of at most ``k / (n + 1)``.
    n_calibration : int
        Calibration rows.

    Examples
    --------
    >>> shift = alerts_moved(30, 1_000, 10, 999)
    >>> shift.expected, round(shift.p_value, 4)
    (10.0, 0.001)
    """
    more = probability_at_least(n_alerts, n_rows, rank, n_calibration)
    fewer = 1 - probability_at_least(n_alerts + 1, n_rows, rank, n_calibration)
    return AlertShift(min(1.0, 2 * min(more, fewer)), n_alerts, n_rows, n_rows * rank / (n_calibration + 1))


def values_moved(column: str, reference: SortedScores, values: npt.ArrayLike) -> ColumnShift:
    """Compares the numbers of a column with those of the calibration rows.

    Parameters
    ----------
    column : str
        Its name.
    reference : SortedScores
        Observed values of the calibration rows, in the column's unit.
    values : array-like of shape (cells,)
        Of the batch; missing ones (NaN) are left out.

    Raises
    ------
    DataError
        If either has no observed value.
    """
    cells = np.asarray(values, dtype=np.float64)
    new = SortedScores.of(cells[~np.isnan(cells)])
    _, p_value = _compared(reference, new, f"column {column!r}: ")
    return ColumnShift(column, "values", p_value, reference.quantile(0.5), new.quantile(0.5))


def levels_moved(column: str, reference: Mapping[str, int], counts: Mapping[str, int]) -> ColumnShift:
    """Compares the levels of a column with those of the calibration rows.

    Pearson's chi-square test of two samples; levels of which fewer than five cells are expected in either sample,
    those not seen in the calibration rows among them, are one class.

    Parameters
    ----------
    column : str
        Its name.
    reference, counts : mapping of str to int
        Cells by level: of the calibration rows and of the batch.

    Raises
    ------
    DataError
        If either has no cell.

    Examples
    --------
    >>> print(levels_moved("site", {"a": 500, "b": 500}, {"a": 40, "b": 50, "c": 10}).sentence())
    'site': level 'c' 0 % -> 10 %, 10 cells with levels not seen before (p = 5e-11)
    """
    levels = [*reference, *(level for level in counts if level not in reference)]
    table = np.array([[one.get(level, 0) for level in levels] for one in (reference, counts)], dtype=np.float64)
    n_cells = table.sum(axis=1)
    if not n_cells.all():
        raise DataError(f"column {column!r} has no cell to compare", "both samples need one.")
    shares = table / n_cells[:, None]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    n_unseen = int(table[1, len(reference) :].sum())
    p_value = _counts_compared(table)
    return ColumnShift(
        column, "levels", p_value, float(shares[0, most]), float(shares[1, most]), str(levels[most]), n_unseen
    )


def missing_moved(column: str, n_missing: int, n_rows: int, n_missing_now: int, n_rows_now: int) -> ColumnShift:
    """Compares the share of missing cells with that of the calibration rows, by Fisher's exact test.

    Parameters
    ----------
    column : str
        Its name.
    n_missing, n_rows : int
        Of the calibration rows.
    n_missing_now, n_rows_now : int
        Of the batch.

    Raises
    ------
    DataError
        If either has no row.
    """
    if not n_rows or not n_rows_now:
        raise DataError(f"column {column!r} has no cell to compare", "both samples need one.")
    p_value = _fisher([n_missing, n_missing_now], [n_rows, n_rows_now])
    return ColumnShift(column, "missing", p_value, n_missing / n_rows, n_missing_now / n_rows_now)


def holm(p: npt.ArrayLike) -> FloatArray:
    """p-values adjusted for their number, whatever their dependence: those up to a share are wrong with that chance.

    Parameters
    ----------
    p : array-like of shape (tests,)
        p-values.

    Returns
    -------
    ndarray of shape (tests,), float64

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values: FloatArray = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return adjusted


def _compared(first: SortedScores, second: SortedScores, of: str = "") -> tuple[float, float]:
    """Distance of Kolmogorov and Smirnov and its p-value, too large where values are tied."""
    if not first.n or not second.n:
        raise DataError(f"{of}no row to compare", "both samples need one.")
    at = np.concatenate([first.values, second.values])
    distance = float(np.abs(first.n_above(at) / first.n - second.n_above(at) / second.n).max())
    if min(first.n, second.n) <= MAX_EXACT_ROWS and first.n * second.n <= MAX_EXACT_PAIRS:
        from scipy.stats import ks_2samp

        one, other = (np.repeat(sample.values, sample.counts) for sample in (first, second))
        return distance, float(ks_2samp(one, other, method="exact").pvalue)
    return distance, float(kolmogorov(math.sqrt(first.n * second.n / (first.n + second.n)) * distance))


def _counts_compared(table: FloatArray) -> float:
    """p-value of Pearson's test of a table of two rows, and of Fisher's for levels too rare for it, taken as one.

    Which levels are rare is decided by their cells in both samples: levels that only one has are rare more often than
    not, and taken by themselves they would always seem to have moved.
    """
    n_cells = table.sum(axis=1)
    frequent = table.sum(axis=0) * n_cells.min() / n_cells.sum() >= MIN_EXPECTED
    classes, rest = table[:, frequent], table[:, ~frequent].sum(axis=1)
    if rest.sum() * n_cells.min() / n_cells.sum() >= MIN_EXPECTED:
        return _chi_square(np.column_stack([classes, rest]))
    p_values = [_fisher(rest, n_cells)] if rest.any() else []
    if classes.shape[1] > 1:
        p_values.append(_chi_square(classes))
    return min(1.0, len(p_values) * min(p_values, default=1.0)) if p_values else 1.0


def _chi_square(table: FloatArray) -> float:
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return float(gammaincc((table.shape[1] - 1) / 2, statistic / 2))


def _fisher(n_inside: npt.ArrayLike, n_cells: npt.ArrayLike) -> float:
    """p-value of Fisher's exact test that two shares are one."""
    from scipy.stats import fisher_exact

    inside, cells = np.asarray(n_inside, dtype=np.int64), np.asarray(n_cells, dtype=np.int64)
    return float(fisher_exact(np.stack([inside, cells - inside])).pvalue)
