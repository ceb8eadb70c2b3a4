"""Decisions with a guarantee, the same for every detector: p-values, thresholds, selections, audits."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from vae_anomaly.caching import cached_property
from vae_anomaly.columns import Batch, LevelRule
from vae_anomaly.data import ColumnRoles, FloatArray, Images, anomalous
from vae_anomaly.decisions import (
    AlertBudget,
    AlertShift,
    Calibration,
    ColumnSample,
    Contamination,
    Decisions,
    FalseAlarmRate,
    FixedScore,
    LabelledCost,
    Method,
    Selection,
    SimpleJumper,
    Threshold,
    ThresholdRule,
    alerts_moved,
    chance_of_repeats,
    columns_moved,
    percent,
    scores_moved,
    select,
    threshold_table,
)
from vae_anomaly.detectors.base import CHANGES, AnomalyDetectorMixin
from vae_anomaly.detectors.containers import row_labels
from vae_anomaly.detectors.drift_report import DriftReport, adjusted_p_values
from vae_anomaly.detectors.inputs import spread
from vae_anomaly.display import Described, counted
from vae_anomaly.errors import (
    DataError,
    DataWarning,
    FitWarning,
    NonFiniteScoreError,
    NotAvailable,
    SpecificationError,
    callers_level,
)
from vae_anomaly.model import own_settings

SEED_OF_STREAM = 0
MAX_REPEATED, MIN_ROWS_TO_WARN = 0.2, 20
MAX_ID = np.iinfo(np.int64).max


@dataclass(frozen=True, repr=False)
class Compared(Described):
    """Rows beside a calibration.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Anomaly scores, nats; NaN where there is none.
    comparisons : ndarray of shape (rows, folds)
        What they are compared with the folds of the calibration by.
    find_fingerprints : callable
        Returns an int64 ndarray of shape (rows,), equal for equal rows; called once somebody asks for them.
    groups : str ndarray of shape (rows,) or None
        The calibration group of each row.
    likelihood_scores : ndarray of shape (rows,) or None
        Anomaly scores without what reviewed rows taught; None where nothing is in use.
    """

    scores: FloatArray
    comparisons: FloatArray
    find_fingerprints: Callable[[], npt.NDArray[np.int64]]
    groups: npt.NDArray[np.object_] | None = None
    likelihood_scores: FloatArray | None = None

    def _summary(self) -> str:
        return f"{counted(len(self.scores), 'row')}, {counted(self.comparisons.shape[1], 'fold')}"

    @cached_property
    def fingerprints(self) -> npt.NDArray[np.int64]:
        """What tells rows from others, and whether they were trained on."""
        return self.find_fingerprints()

    def take(self, rows: npt.NDArray[np.intp]) -> Compared:
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        untaught = None if self.likelihood_scores is None else self.likelihood_scores[rows]
        return Compared(self.scores[rows], self.comparisons[rows], lambda: self.fingerprints[rows], groups, untaught)

    @classmethod
    def over(
        cls, portions: Iterable[tuple[Images, npt.NDArray[np.bool_]]], compare: Callable[[Images], Compared]
    ) -> Compared:
        """Some images at a time, and which of those asked for they are; NaN for the others."""
        parts: list[tuple[FloatArray, FloatArray, npt.NDArray[np.int64], FloatArray]] = []
        has_likelihood = False
        for images, usable in portions:
            if usable.any():
                try:
                    found = compare(images)
                except NonFiniteScoreError as error:
                    n_before = sum(len(scores) for scores, *_ in parts)
                    raise error.with_row(n_before + int(np.flatnonzero(usable)[error.row])) from error
                has_likelihood = has_likelihood or found.likelihood_scores is not None
                likelihood = found.scores if found.likelihood_scores is None else found.likelihood_scores
                of_rows = found.scores, found.comparisons, found.fingerprints, likelihood
                scores, comparisons, fingerprints, likelihood = (spread(values, usable) for values in of_rows)
                parts.append((scores, comparisons, fingerprints, likelihood))
            else:
                missing = np.full(len(usable), np.nan)
                parts.append((missing, missing[:, None], np.zeros(len(usable), dtype=np.int64), missing))
        scores, comparisons, fingerprints, likelihood = map(np.concatenate, zip(*parts, strict=True))
        return cls(scores, comparisons, lambda: fingerprints, None, likelihood if has_likelihood else None)


class CalibratedDetectorMixin(AnomalyDetectorMixin):
    """A detector that decides by scores of rows that influenced nothing."""

    decisions_: Decisions
    """The threshold and the calibration that it follows from."""

    column_roles_: ColumnRoles = ColumnRoles()
    level_rule_: LevelRule = LevelRule()
    """Columns of the training rows that are no features."""

    @own_settings()
    def compared(self, X: Any) -> Compared:
        """Score rows for a comparison with the calibration, in one pass.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        Compared
        """
        check_is_fitted(self)
        return self._compared(X)

    @property
    def calibration_(self) -> Calibration:
        """Scores of rows that influenced nothing.

        Raises
        ------
        NotAvailable
            If there are none: the fit had ``calibration=None`` or too few rows, or the model is of an earlier version.
        """
        calibration = self.decisions_.calibration
        if calibration is None:
            raise NotAvailable(
                "the model has no calibration: it was fitted without one, with too few rows, or by an earlier version. "
                "Give normal rows that it has not seen to calibrate(X), or fit again with calibration='auto'."
            )
        return calibration

    @property
    def threshold_(self) -> Threshold:
        """Where rows become anomalous, by which rule, and how many false alarms to expect."""
        return self.decisions_.threshold

    @property
    def offset_(self) -> float:
        """Rows with lower scores are anomalous, nats."""
        return -self.decisions_.threshold.score

    @offset_.setter
    def offset_(self, offset: float) -> None:
        self._set_rule(FixedScore(-float(offset)))

    @own_settings()
    def p_values(self, X: Any) -> FloatArray:
        r"""Chance that a row like those of the calibration has at least so anomalous a score.

        With n calibration scores, :math:`p(x) = (1 + \#\{i : s_i \ge s(x)\}) / (n + 1)`; ties count against the row.
        For a normal row, P(p <= a) is at most a, over calibration and row together. In a cross-fitted model each fold
        is compared by the scores of the member that has not seen it; the proved bound is then about 2a, and for
        `FeatureMapDetector`, which compares by the scores of all, there is none.

        The p-values of several rows depend on the same calibration. To choose rows from a table, take `select`.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes, that the model has not seen.

        Returns
        -------
        ndarray of shape (n,), float64
            From 1 / (n + 1) to 1; NaN where there is no score.

        Raises
        ------
        NotAvailable
            If the model has no calibration.

        References
        ----------
        Bates, Candes, Lei, Romano and Sesia, "Testing for outliers with conformal p-values", Annals of Statistics
        51(1), 2023, eq. 3; Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
        74, 2015.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(rng.normal(size=(400, 2)))
        >>> p = detector.p_values([[0.0, 0.0], [9.0, 9.0]])
        >>> bool(p[0] > 0.1), float(p[1]) == detector.calibration_.smallest_p
        (True, True)
        """
        check_is_fitted(self)
        calibration = self.calibration_
        compared = self._compared(X)
        return p_values_of(calibration, compared)

    @own_settings()
    def decide(self, X: Any) -> pd.DataFrame:
        """Scores, p-values and flags in one pass.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        DataFrame
            Columns anomaly_score (nats), p_value (NaN without a calibration) and is_anomaly; what has no score, as a
            file that cannot be read, is NaN and False. Where reviewed rows taught something that is in use, also
            likelihood_score: the anomaly score without it.
        """
        check_is_fitted(self)
        compared = self._compared(X)
        return decisions_frame(compared, self.decisions_, row_labels(X, len(compared.scores)))

    @own_settings()
    def calibrate(self, X: Any, y: Any = None) -> Self:
        """Replace the calibration by the scores of other normal rows; nothing is trained, the threshold keeps its rule.

        A threshold that was found by labels stays where it is, because labels are not kept.  Rows that a review found
        anomalous are left out.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            Normal rows that the model has not seen, like those that it will judge.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        DataError
            If rows were trained on, or none has a score.
        SpecificationError
            If they are too few for the rule of the threshold.
        """
        check_is_fitted(self)
        X = self._prepared(X)
        compared = self._compared(X)
        has_score, may_calibrate = ~np.isnan(compared.scores), self._may_calibrate(X)
        usable = np.flatnonzero(has_score if may_calibrate is None else has_score & may_calibrate)
        self.decisions_.check_unseen(compared.fingerprints[usable])
        return self.calibrate_with(compared.take(usable), row_ids(X, usable), self._column_samples(X))

    @own_settings()
    def calibrate_with(self, compared: Compared, ids: npt.NDArray[np.int64], columns: tuple[ColumnSample, ...]) -> Self:
        """`calibrate` with rows that were scored before, batch by batch where they are many.

        Parameters
        ----------
        compared : Compared
            Of normal rows that all have a score, and that the model has not seen: see `compared`.
        ids : int64 ndarray of shape (rows,)
            What the rows are called in an audit.
        columns : tuple of ColumnSample
            What their columns hold: see `column_samples`.

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        DataError
            If there are no rows.
        """
        if not len(compared.scores):
            raise DataError("none of the rows has a score. Give rows that can be read.")
        calibration = Calibration.of(
            "split",
            [compared.scores],
            ids=[ids],
            groups=None if compared.groups is None else [compared.groups.tolist()],
            group_column=self._calibration_groups(),
            declared_normal=True,
        )
        self._change(lambda before: dataclasses.replace(before.recalibrated(calibration), columns=columns))
        return self

    @own_settings()
    def set_threshold(
        self,
        *,
        false_alarm_rate: float | None = None,
        confidence: float | None = None,
        n_alerts: float | None = None,
        per: int | None = None,
        contamination: float | None = None,
        labels: tuple[Any, Any] | None = None,
        cost: float | None = None,
        score: float | None = None,
    ) -> Self:
        """Move the threshold by what can be afforded; nothing is trained. Give one of the rules.

        Parameters
        ----------
        false_alarm_rate : float, optional
            Largest share of normal rows to flag, in (0, 1): on average over calibrations, or with `confidence` for
            this very model.
        confidence : float, optional
            In (0, 1), as 0.95: how sure it is that this model does not flag a larger share.
        n_alerts : float, optional
            So many alerts among `per` normal rows.
        per : int, optional
            Rows that `n_alerts` is for, those of a day for instance.
        contamination : float, optional
            Share of rows like those of the calibration to flag, in (0, 0.5].
        labels : (X, y), optional
            Rows and what they are, 1 or True for anomalous: the threshold of lowest cost on them.
        cost : float, optional
            With `labels`: what a missed anomaly costs, in false alarms; 1 by default.
        score : float, optional
            The threshold itself: an anomaly score, nats.

        Returns
        -------
        estimator
            The detector, whose `threshold_` says what to expect.

        Raises
        ------
        SpecificationError
            If none of the rules or several are given, a number is out of its range, or there are too few calibration
            rows for it.
        NotAvailable
            If the model has no calibration.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X).set_threshold(n_alerts=20, per=1000)
        >>> round(detector.threshold_.expected_rate, 2)
        0.02
        """
        check_is_fitted(self)
        given = {
            "false_alarm_rate": false_alarm_rate,
            "n_alerts": n_alerts,
            "contamination": contamination,
            "labels": labels,
            "score": score,
        }
        chosen = [name for name, value in given.items() if value is not None]
        if len(chosen) != 1:
            raise SpecificationError(
                f"set_threshold takes one of {', '.join(given)}; {' and '.join(chosen) or 'none'} was given."
            )
        for name, value, owner in (
            ("confidence", confidence, "false_alarm_rate"),
            ("per", per, "n_alerts"),
            ("cost", cost, "labels"),
        ):
            if value is not None and chosen != [owner]:
                raise SpecificationError(f"{name} belongs to {owner}, which is not given. Leave it out.")
        rule: ThresholdRule
        if false_alarm_rate is not None:
            rule = FalseAlarmRate(false_alarm_rate, confidence)
        elif n_alerts is not None:
            if per is None:
                raise SpecificationError("n_alerts needs per: the number of rows that so many alerts are for.")
            rule = AlertBudget(n_alerts, per)
        elif contamination is not None:
            rule = Contamination(contamination)
        elif labels is not None:
            rule = self._labelled(labels, 1.0 if cost is None else cost)
        else:
            assert score is not None
            rule = FixedScore(score)
        self._set_rule(rule)
        return self

    @own_settings()
    def threshold_table(self, confidence: float = 0.95, *, extrapolate: bool = False) -> pd.DataFrame:
        """Thresholds for false-alarm rates from .01 to 10 %, and what to expect of each.

        Parameters
        ----------
        confidence : float, default=0.95
            Of the bounds.
        extrapolate : bool, default=False
            Whether rates that are too small for the calibration are read off a model of the tail, which promises
            nothing.

        Returns
        -------
        DataFrame
            See `vae_anomaly.decisions.threshold_table`.

        Raises
        ------
        NotAvailable
            If the model has no calibration.
        """
        check_is_fitted(self)
        return threshold_table(self.calibration_, confidence, extrapolate=extrapolate)

    @own_settings()
    def select(self, X: Any, fdr: float = 0.1, method: Method = "benjamini_hochberg") -> npt.NDArray[np.bool_]:
        """Choose rows so that the expected share of normal ones among the chosen is at most `fdr`.

        All rows that are judged together are one family: give the whole table at once, because selections from parts
        of it add up to a larger share of false alarms.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            The whole family.
        fdr : float, default=0.1
            False-discovery rate, in (0, 1): the expected share; in a single table it can be larger.
        method : {"benjamini_hochberg", "storey"}, default="benjamini_hochberg"
            Benjamini and Hochberg's procedure, or Storey's, which estimates the share of normal rows.

        Returns
        -------
        bool ndarray of shape (n,)

        Raises
        ------
        SpecificationError
            If no row could be chosen whatever its score, because the calibration has too few rows.
        NotAvailable
            If the model has no calibration.

        References
        ----------
        Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57(1), 1995; Bates et al., "Testing for
        outliers with conformal p-values", Annals of Statistics 51(1), 2023, theorem 2.
        """
        return self.selection(X, fdr, method)[1]

    @own_settings()
    def selection(
        self, X: Any, fdr: float = 0.1, method: Method = "benjamini_hochberg"
    ) -> tuple[Selection, npt.NDArray[np.bool_]]:
        """`select`, with what is known of the share of false alarms among the chosen rows.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            The whole family.
        fdr, method
            See `select`.

        Returns
        -------
        Selection
            How many are chosen and what may be expected of them; its ``sentence()`` says so.
        bool ndarray of shape (n,)
            Which; what has no score is not chosen.
        """
        check_is_fitted(self)
        p_values = self.p_values(X)
        judged = ~np.isnan(p_values)
        selection = select(self.calibration_, p_values[judged], fdr, method)
        return selection, spread(selection.selects(p_values[judged]), judged)

    @own_settings()
    def confirm(self, ids: Sequence[Any], is_anomaly: Sequence[bool]) -> Self:
        """Take the calibration rows that a person found anomalous out of the calibration; see `audit`.

        Only rows that were looked at may be taken out, and only those confirmed: leaving out the most anomalous rows by
        guess makes p-values too small.

        Parameters
        ----------
        ids : sequence
            Of rows that were looked at.
        is_anomaly : sequence of bool
            What was found.

        Returns
        -------
        estimator
            The detector, recalibrated without a fit.

        Raises
        ------
        DataError
            If an id is not one of the audit, or there are not as many answers as ids.

        References
        ----------
        Bashari, Sesia and Romano, "Robust conformal outlier detection under contaminated reference data", ICML 2025.
        """
        check_is_fitted(self)
        answers = anomalous(is_anomaly, np.size(ids))
        self._change(lambda before: before.recalibrated(self.calibration_.answered(ids, answers)))
        return self

    @own_settings()
    def audit(self, n_rows: int = 50, X: Any = None) -> pd.DataFrame:
        """The most anomalous calibration rows that nobody has looked at: anomalies among them hide others.

        Anomalies among the reference rows make p-values too large, which costs nearly all the power of `select`. A
        person looks at the rows listed here and gives the answers to `confirm`.

        Parameters
        ----------
        n_rows : int, default=50
            How many at most.
        X : array-like, DataFrame, or images, optional
            What was given to `fit` or `calibrate`, the later of both: adds the reasons of each row.

        Returns
        -------
        DataFrame
            id (the index of a DataFrame if it is of integers, else the position of the row; after `partial_fit` its
            place in the sample, and of image files that were given to `fit` the place among those that it read),
            anomaly_score (nats), p_value (its rank among the calibration rows), and reason where `X` is given and is a
            table. Its index is that of `X`, if this is a DataFrame.

        Raises
        ------
        SpecificationError
            If `n_rows` is not a positive integer, or `X` has not the rows.
        NotAvailable
            If the model has no calibration.
        """
        check_is_fitted(self)
        if not (isinstance(n_rows, Integral) and not isinstance(n_rows, bool) and n_rows >= 1):
            raise SpecificationError(f"n_rows is a positive integer, not {n_rows!r}")
        calibration = self.calibration_
        suspects = calibration.suspects
        chosen = np.flatnonzero(~suspects.is_normal)[:n_rows]
        ranks = (1 + calibration.pooled.n_above(suspects.scores[chosen])) / calibration.n_rows
        listed = pd.DataFrame(
            {"id": suspects.ids[chosen], "anomaly_score": suspects.scores[chosen], "p_value": np.minimum(ranks, 1)}
        )
        return listed if X is None else self._with_reasons(listed, self._prepared(X))

    @own_settings()
    def check_drift(self, X: Any, alpha: float = 0.01) -> DriftReport:
        """Compare rows with those of the calibration: their scores, their columns, and the stream that they go on with.

        Scores and columns of these rows are tested together; the stream is a test of all rows that were ever checked,
        in their order, which stays valid however often one looks. The detector keeps the state of the stream, also in
        a model file; a new calibration starts another one.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            New rows, in their order.
        alpha : float, default=0.01
            Chance of a false alarm of either test, in (0, 1).

        Returns
        -------
        DriftReport
            Its ``sentence()`` says what was found, ``frame()`` has all tests, ``drifted`` is the alarm.

        Raises
        ------
        SpecificationError
            If `alpha` is out of its range.
        NotAvailable
            If the model has no calibration.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rows = pd.DataFrame(np.random.default_rng(0).normal(size=(900, 2)), columns=["speed", "load"])
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(rows[:600])
        >>> detector.check_drift(rows[600:750]).drifted
        False
        >>> detector.check_drift(rows[750:] + [2.0, 0.0]).moved[0].column
        'speed'
        """
        check_is_fitted(self)
        if not (isinstance(alpha, Real) and not isinstance(alpha, bool) and 0 < alpha < 1):
            raise SpecificationError(f"alpha is a number between 0 and 1, not {alpha!r}")
        calibration = self.calibration_
        X = self._prepared(X)
        compared = self._compared(X)
        judged = ~np.isnan(compared.scores)
        if not judged.any():
            raise DataError("none of the rows has a score. Give rows that can be read.")
        comparisons = compared.comparisons[judged]
        fold = int(np.argmax([one.n for one in calibration.folds]))
        columns = columns_moved(self.decisions_.columns, self._column_samples(X)) if self.decisions_.columns else []
        scores = scores_moved(calibration, comparisons)
        nats, alerts = self._nats_by_column(X), self.alerts_moved(compared.scores[judged])

        def gone_on(before: Decisions) -> Decisions:
            stream = before.stream or SimpleJumper.of(calibration.folds[fold], SEED_OF_STREAM)
            return dataclasses.replace(before, stream=stream.updated(comparisons[:, fold]))

        stream = self._change(gone_on).stream
        assert stream is not None
        p_values = adjusted_p_values(scores, columns)
        return DriftReport(float(alpha), scores, alerts, tuple(columns), p_values, stream, nats)

    @own_settings()
    def alerts_moved(self, scores: FloatArray) -> AlertShift | None:
        """Flags beside those that were to be expected; None where these are not known.

        Parameters
        ----------
        scores : ndarray of shape (rows,)
            Anomaly scores, nats.
        """
        threshold, n_rows = self.threshold_, self.calibration_.n_rows
        if threshold.expected_rate is None or threshold.n_calibration != n_rows:
            return None
        rank = round(threshold.expected_rate * (n_rows + 1))
        return alerts_moved(int((scores > threshold.score).sum()), len(scores), rank, n_rows)

    @own_settings()
    def column_samples(self, X: Any) -> tuple[ColumnSample, ...]:
        """What the columns of rows hold, in no order, to compare those of other rows with; images have none.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.
        """
        check_is_fitted(self)
        return self._column_samples(X)

    @own_settings()
    def nats_by_column(self, X: Any) -> pd.DataFrame | None:
        """The mean part of each column in the anomaly score, of training rows and of others.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        DataFrame or None
            Columns nats_before and nats_now, and a row for each column; None of images, and where the score is no sum
            over columns.
        """
        check_is_fitted(self)
        return self._nats_by_column(X)

    @abc.abstractmethod
    def _compared(self, X: Any) -> Compared: ...

    def _prepared(self, X: Any) -> Any:
        """Rows in a container and with columns that nothing below changes."""
        return X

    def _may_calibrate(self, X: Any) -> npt.NDArray[np.bool_] | None:
        """Which rows may calibrate; None for all."""
        return None

    def _column_samples(self, X: Any) -> tuple[ColumnSample, ...]:
        return ()

    def _nats_by_column(self, X: Any) -> pd.DataFrame | None:
        """The mean part of each column in the score, before and now."""
        return None

    def _with_reasons(self, listed: pd.DataFrame, X: Any) -> pd.DataFrame:
        """Rows of an audit with what makes them anomalous."""
        return listed

    @own_settings()
    def _set_rule(self, rule: ThresholdRule) -> None:
        calibration = self.decisions_.calibration
        if calibration is None and not isinstance(rule, FixedScore):
            calibration = self.calibration_
        self._change(lambda before: before.with_rule(rule))

    def _change(self, change: Callable[[Decisions], Decisions]) -> Decisions:
        """Put other decisions in the place of these, without losing what another thread changes meanwhile."""
        with CHANGES:
            self.decisions_ = changed = change(self.decisions_)
        return changed

    def _labelled(self, labels: tuple[Any, Any], cost: float) -> LabelledCost:
        try:
            X, y = labels
        except (TypeError, ValueError):
            raise SpecificationError("labels is a pair: rows, and what they are (1 for anomalous).") from None
        scores = self.anomaly_score(X)
        return LabelledCost(scores, anomalous(y, len(scores)), cost)

    def _calibration_groups(self) -> str | None:
        """The column whose values are calibrated one by one."""
        return None


def decisions_frame(compared: Compared, decisions: Decisions, labels: pd.Index[Any]) -> pd.DataFrame:
    """Scores, p-values and flags of rows.

    Parameters
    ----------
    compared : Compared
        The rows beside the calibration.
    decisions : Decisions
        The calibration and the threshold.
    labels : Index
        What the rows are called.
    """
    calibration = decisions.calibration
    p_values = np.full(len(compared.scores), np.nan)
    if calibration is not None:
        p_values = p_values_of(calibration, compared)
    flags = compared.scores > decisions.threshold.score
    found = {"anomaly_score": compared.scores, "p_value": p_values, "is_anomaly": flags}
    if compared.likelihood_scores is not None:
        found["likelihood_score"] = compared.likelihood_scores
    return pd.DataFrame(found, index=labels)


def p_values_of(calibration: Calibration, compared: Compared) -> FloatArray:
    """The p-value of each row; NaN where there is no score."""
    judged = ~np.isnan(compared.scores)
    groups = None if compared.groups is None else compared.groups[judged].tolist()
    given = sorted(set(groups or ())) if calibration.groups else []
    names = zip(given, calibration.names_of(given), strict=True)
    unknown = [group for group, name in names if name not in calibration.groups]
    if unknown:
        warnings.warn(
            DataWarning(
                f"no calibration row has {calibration.group_column}={unknown[0]!r}: such rows have a p-value of 1 "
                "however anomalous they are, and are never selected. Calibrate with rows of this group.",
            ),
            stacklevel=callers_level(),
        )
    return spread(calibration.p_values(compared.comparisons[judged], groups), judged)


def decisions_of(
    rule: ThresholdRule,
    scores: FloatArray,
    ids: npt.NDArray[np.int64] | None,
    fingerprints: npt.NDArray[np.int64],
    trained: npt.NDArray[np.int64],
    *,
    crossed: bool = False,
) -> Decisions:
    """What to decide by.

    Parameters
    ----------
    rule : ThresholdRule
    scores : ndarray of shape (rows,)
        Anomaly scores of rows that were held out or set aside, or else of rows that were trained on.
    ids : int64 ndarray of shape (rows,) or None
        Names of the rows that were held out or set aside; None where they were trained on.
    fingerprints : int64 ndarray of shape (rows,)
        Of the same rows.
    trained : int64 ndarray
        Of the rows that were trained on, each of them.
    crossed : bool, default=False
        Whether the rows were held out from models of the others, and trained on in the end.
    """
    learned, n_alike = np.unique(trained, return_counts=True)
    if ids is None:
        return Decisions(rule.find(Calibration.of("training", [scores])), None, (learned,), 0.0)
    told = fingerprints if crossed else None
    calibration = Calibration.of("cross" if crossed else "split", [scores], ids=[ids], fingerprints=told)
    repeated = n_alike[np.searchsorted(learned, fingerprints)] > 1 if crossed else np.isin(fingerprints, learned)
    return Decisions(rule.find(calibration), calibration, (learned,), chance_of_repeats(repeated))


def warn_if_uncalibrated(decisions: Decisions, n_rows: int) -> None:
    """Say that the threshold is that of training rows, where it should be another's."""
    if decisions.calibration is None:
        warnings.warn(
            FitWarning(
                f"{n_rows} rows are too few to set any aside: the threshold comes from the training rows themselves "
                "and flags more of the rows to come than it says, and there are no p-values. Give more rows, or "
                "calibrate with others",
                "uncalibrated",
            ),
            stacklevel=callers_level(),
        )


def warn_if_repeated(decisions: Decisions) -> None:
    """Say that many calibration rows are copies of training rows, which have lower scores than rows to come."""
    calibration = decisions.calibration
    if calibration is None or calibration.n_rows < MIN_ROWS_TO_WARN:
        return
    if decisions.repeated_share > MAX_REPEATED:
        warnings.warn(
            FitWarning(
                f"up to {percent(decisions.repeated_share)} of the calibration rows are equal to rows that were "
                "trained on: where rows to come are no copies of these, more of them are flagged than the threshold "
                "says. Drop repeated rows before the fit, or calibrate with others",
                "repeated",
            ),
            stacklevel=callers_level(),
        )


def image_fingerprints(images: Images) -> npt.NDArray[np.int64]:
    """One number for each image, equal for equal images."""
    pixels = torch.from_numpy(images.pixels.reshape(images.n_rows, -1).astype(np.float32))
    missing = pixels.isnan()
    fingerprints: npt.NDArray[np.int64] = Batch(pixels.masked_fill(missing, 0), ~missing).fingerprints().numpy()
    return fingerprints


def row_ids(X: Any, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """What rows are called in an audit: the index of a DataFrame if it is of integers, else their positions."""
    index = row_labels(X, int(positions.max(initial=-1)) + 1)
    has_integers = index.dtype.kind in "iu" and index.is_unique and (not len(index) or index.max() <= MAX_ID)
    return index.to_numpy(dtype=np.int64)[positions] if has_integers else positions.astype(np.int64)
