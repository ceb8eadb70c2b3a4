"""A detector that learns from what people find in the rows that it proposes."""

from __future__ import annotations

import abc
import copy
import dataclasses
import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder, References
from vae_anomaly.data import FloatArray, Images, Table, anomalous, row_digests
from vae_anomaly.decisions import Calibration, Decisions, FixedScore, rule_of
from vae_anomaly.detectors.base import fitted_at_once
from vae_anomaly.detectors.calibrated import (
    CalibratedDetectorMixin,
    image_fingerprints,
    p_values_of,
    row_ids,
)
from vae_anomaly.detectors.containers import row_labels
from vae_anomaly.errors import DataError, DataWarning, FitWarning, SpecificationError, callers_level
from vae_anomaly.explain import LearnedWeights, learned_weights
from vae_anomaly.fitting import (
    Answers,
    FittedModel,
    OffsetFit,
    ReviewedRows,
    fit_offset,
    reviewed_rows,
    score_shares,
    scores_and_comparisons,
)
from vae_anomaly.model import LearnedOffset, own_settings
from vae_anomaly.scores import additive_of, likelihood_score_of, with_learned

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

UNCERTAIN_OF = 10
MAX_LEFT_OUT = 20
MAX_NAMED = 3
MOST_ANOMALOUS, UNCERTAIN = "most anomalous", "uncertain"
NO_CALIBRATION = (
    "the rows that calibrate the model are not here, and by what was learned they have other scores: there are no "
    "p-values, and how many normal rows are above the threshold is not known. Give rows like those to judge: "
    "learn(X, y, calibration=...)"
)


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Rows by which decisions are found.

    Parameters
    ----------
    data : Table or Images
    folds : ndarray of int, shape (rows,)
        Which fold each calibrates.
    ids : int64 ndarray of shape (rows,)
        What they are called in an audit.
    groups : ndarray of shape (rows,) or None
        The calibration group of each.
    kind : {"split", "cross"}
    references : References, optional
        What numbers of training rows are compared with, without their own.
    n_dropped : int, default=0
        Rows beside these that an audit found anomalous.
    """

    data: Table | Images
    folds: npt.NDArray[np.intp]
    ids: IntArray
    groups: npt.NDArray[np.object_] | None
    kind: Literal["split", "cross"]
    references: References | None = None
    n_dropped: int = 0

    def take(self, rows: npt.NDArray[np.intp]) -> CalibrationSet:
        """Some of the rows."""
        return dataclasses.replace(
            self,
            data=self.data.take(rows),
            folds=self.folds[rows],
            ids=self.ids[rows],
            groups=None if self.groups is None else self.groups[rows],
            references=None if self.references is None else self.references.take(rows),
        )

    def encoded(self, model: FittedModel[Encoder]) -> Batch:
        """The rows as the model sees them, or as it saw them in training."""
        if self.references is None or isinstance(self.data, Images):
            return model.encoder.encode(self.data, fingerprints=model.tells_copies)
        return model.table_encoder.encode(self.data, fingerprints=model.tells_copies, references=self.references)


class KeptRows:
    """The calibration rows of a fit, which copies of a detector share; a pickle has none.

    Parameters
    ----------
    rows : CalibrationSet or None
    """

    def __init__(self, rows: CalibrationSet | None) -> None:
        self.rows = rows

    def __deepcopy__(self, memo: dict[int, Any]) -> KeptRows:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"rows": None}


NOTHING_KEPT = KeptRows(None)


class ReviewedDetectorMixin(CalibratedDetectorMixin):
    """A detector that proposes rows for a review, and learns from the answers."""

    model_: FittedModel[Encoder]
    """Everything that was learned."""

    _kept_rows: KeptRows = NOTHING_KEPT

    @own_settings()
    def review(self, X: Any, k: int = 20) -> pd.DataFrame:
        """Rows that a person should look at: the most anomalous ones, and a few that are uncertain.

        A tenth of the rows are those nearest to where rows become rather anomalous than not: the threshold, and after
        `learn` where both are as likely.  Rows that were answered before, by `learn`, are left out, and of rows with
        equal cells all but the first.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.
        k : int, default=20
            How many at most.

        Returns
        -------
        DataFrame
            In the order to look at, with the index of `X`: row (position in `X`), anomaly_score (nats), p_value (NaN
            without a calibration), why ("most anomalous" or "uncertain"), and reason where rows are those of a table.

        Raises
        ------
        SpecificationError
            If `k` is not a positive integer.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> X[7] = [6.0, -6.0]
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X)
        >>> todo = detector.review(X, k=10)
        >>> int(todo["row"].iloc[0]), len(todo)
        (7, 10)
        """
        check_is_fitted(self)
        if not (isinstance(k, Integral) and not isinstance(k, bool) and k >= 1):
            raise SpecificationError(f"k is a positive integer, not {k!r}")
        X = self._prepared(X)
        compared, answers = self._compared(X), self.model_.answers
        digests = self._digests(X)
        is_open = ~np.isnan(compared.scores)
        if answers is not None:
            is_open &= ~answers.knows(digests)
        chosen = proposed_rows(compared.scores, digests, is_open, int(k), self.boundary_)
        rows = np.concatenate(chosen)
        calibration = self.decisions_.calibration
        unknown = np.full(len(rows), np.nan)
        listed = {
            "row": rows,
            "anomaly_score": compared.scores[rows],
            "p_value": unknown if calibration is None else p_values_of(calibration, compared.take(rows)),
            "why": np.repeat(np.array([MOST_ANOMALOUS, UNCERTAIN], dtype=object), [len(part) for part in chosen]),
        }
        reasons = self._reasons_of(X, rows)
        if reasons is not None:
            listed["reason"] = reasons
        return pd.DataFrame(listed, index=row_labels(X, len(compared.scores))[rows])

    @own_settings()
    def learn(self, X: Any, y: Any, calibration: Any = None) -> Self:
        r"""Learn from reviewed rows; nothing of the model is trained.

        An offset is added to the anomaly score, in nats: see `LearnedOffset`. A column whose nats pointed to what was
        found anomalous counts more from then on, one that raised false alarms counts less, and so do directions of
        numbers and levels. It is drawn to the score alone, the more the fewer rows there are, and cross-validation
        draws it further where it does not tell held-out reviewed rows apart. Contributions of `explain` have it in
        them; `likelihood_score` is the score without it.

        By what was learned, rows that calibrate have other scores. They are scored again where they are here: after
        `fit`, as long as the detector keeps its training rows, or as `calibration`. Those that were found anomalous
        are left out; those that were found normal count with the score that they have by what the other answers
        teach, so that they do not vouch for themselves. Without them p-values are not available.

        The next `fit` of this detector leaves the rows out that were found anomalous.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            All rows that were reviewed so far, with the columns of the training rows.
        y : array-like of shape (rows,)
            What was found: 1 or True for anomalous and 0 for normal; or -1 for anomalous and 1 for normal, as `predict`
            has it, where there is a -1.
        calibration : array-like, DataFrame, or images, optional
            Rows like those to judge that the model was not trained on; reviewed rows may be among them.

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        DataError
            If equal rows have different answers, or rows of `calibration` were trained on.
        SpecificationError
            If `y` is something else, or not as many as rows.
        NotAvailable
            If the score of the model is no sum over columns.

        References
        ----------
        Das, Wong, Dietterich, Fern and Emmott, "Incorporating expert feedback into active anomaly discovery", ICDM
        2016; Bashari, Sesia and Romano, "Robust conformal outlier detection under contaminated reference data", ICML
        2025 (confirmed anomalies leave the calibration).

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> X[:20, 0] += 6.0
        >>> X[20:40, 1] += 6.0
        >>> detector = VAEDetector(max_iter=100, early_stopping=False).fit(X[40:])
        >>> detector = detector.learn(X[5:35], np.arange(5, 35) < 20)
        >>> print(detector.learned_.sentences(1)[0])
        what x1 adds counts 0.3 times
        >>> top = np.argsort(-detector.anomaly_score(X))[:20]
        >>> sorted(top.tolist()) == list(range(20))
        True
        """
        check_is_fitted(self)
        with fitted_at_once(self) as draft:
            draft._learn_answers(X, y, calibration)
        return self

    @own_settings()
    def likelihood_score(self, X: Any) -> FloatArray:
        """The anomaly score without what reviewed rows taught, in nats.

        Parameters
        ----------
        X : array-like, DataFrame, or images
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,)
            What `anomaly_score` was before `learn`, to the last bit.
        """
        check_is_fitted(self)
        compared = self._compared(X)
        return compared.scores if compared.likelihood_scores is None else compared.likelihood_scores

    @own_settings()
    def use_answers(self, in_use: bool = True) -> Self:
        """Turn off what reviewed rows taught, or on again.

        Parameters
        ----------
        in_use : bool, default=True
            Whether scores have it. Each way has its own calibration and threshold.

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        SpecificationError
            If nothing was learned.
        """
        check_is_fitted(self)
        with fitted_at_once(self) as draft:
            draft.model_ = _with_use(draft.model_, in_use=bool(in_use))
        return self

    @own_settings()
    def forget_answers(self) -> Self:
        """Forget all that reviewed rows taught, and the answers themselves: the detector is as before `learn`.

        Returns
        -------
        estimator
            The detector.
        """
        check_is_fitted(self)
        with fitted_at_once(self) as draft:
            draft.model_ = _without_answers(draft.model_)
        return self

    @property
    def answers_(self) -> Answers | None:
        """What was found in reviewed rows; None before `learn`."""
        return self.model_.answers

    @property
    def learned_(self) -> LearnedWeights | None:
        """What reviewed rows taught: ``frame()`` has all numbers, ``sentences()`` the largest; None before `learn`."""
        return learned_weights(self.model_, in_use=_is_in_use(self.model_))

    @property
    def boundary_(self) -> float:
        """The score of uncertain rows, nats: the threshold, and after `learn` where both kinds are as likely."""
        answers = self.model_.answers
        if answers is None or answers.boundary is None or not _is_in_use(self.model_):
            return self.decisions_.threshold.score
        return answers.boundary

    @abc.abstractmethod
    def _read(self, X: Any) -> Table | Images: ...

    @abc.abstractmethod
    def _digests(self, X: Any) -> IntArray:
        """Of rows: equal for rows with equal cells."""

    @abc.abstractmethod
    def _reasons_of(self, X: Any, rows: npt.NDArray[np.intp]) -> list[str] | None:
        """What makes some rows anomalous; None of images."""

    @abc.abstractmethod
    def _with_reference(self, *, cells: bool = False) -> FittedModel[Encoder]: ...

    def _may_calibrate(self, X: Any) -> BoolArray | None:
        """All but confirmed anomalies may, with a warning of those that taught the score: they have too low a one."""
        answers = self.model_.answers
        if answers is None:
            return None
        digests = self._digests(X)
        n_normal = int(answers.found(digests, anomalous=False).sum())
        if n_normal and _is_in_use(self.model_):
            warnings.warn(
                DataWarning(
                    f"{n_normal} of these rows were reviewed as normal and taught the score, too low a one for them: "
                    "p-values of rows like them are too small. Take learn(X, y, calibration=...), which scores "
                    "each of them by the other answers"
                ),
                stacklevel=callers_level(),
            )
        return ~answers.found(digests, anomalous=True)

    def _learn_answers(self, X: Any, y: Any, calibration: Any) -> None:
        X = self._prepared(X)
        digests = self._digests(X)
        is_anomaly = anomalous(y, len(digests))
        first = _first_of_equal(digests, is_anomaly, row_labels(X, len(digests)))
        answers = Answers(digests[first], is_anomaly[first])
        _warn_of_forgotten(self.model_.answers, answers)
        rule = rule_of(self.decisions_.threshold)
        calibrating = self._rows_of_fit() if calibration is None else self._calibrating(calibration)
        model = _without_answers(self.model_)
        typical = None
        if not model.takes_images:
            self.model_ = model
            model = self._with_reference()
            assert model.reference is not None
            typical = model.reference.typical
        batch = model.encoder.encode(self._read(X).take(first))
        rows, empty = reviewed_rows(model, batch, answers.is_anomaly, typical)
        if not rows.has_both:
            _warn_of_one_kind(answers)
        review = _Review.of(rows, answers.digests)
        vae = copy.deepcopy(model.vae)
        vae.learned = LearnedOffset.of(review.coefficients, empty.typical, empty.features).to(model.noise.device)
        answers = dataclasses.replace(
            answers, boundary=review.fit.boundary, shrinkage=review.fit.shrinkage, others=model.decisions
        )
        model = dataclasses.replace(model, vae=vae, score=with_learned(model.score))
        decisions = model.decisions
        if isinstance(rule, FixedScore) and rule.rule == "score" and np.isfinite(review.fit.shrinkage):
            warnings.warn(
                DataWarning(
                    f"the threshold of {rule.score:.4g} nats was set for the score before, and stays "
                    "although rows have other scores now. Set it again with set_threshold"
                ),
                stacklevel=callers_level(),
            )
        if calibrating is not None:
            found = _calibrated(model, calibrating, answers, review)
            decisions = dataclasses.replace(decisions, calibration=found, stream=None).with_rule(rule)
        elif np.isfinite(review.fit.shrinkage):
            decisions = _uncalibrated(decisions)
            decisions = decisions.with_rule(rule) if isinstance(rule, FixedScore) else decisions
            warnings.warn(FitWarning(NO_CALIBRATION, "uncalibrated"), stacklevel=callers_level())
        self.model_ = dataclasses.replace(model, answers=answers, decisions=decisions)

    def _rows_of_fit(self) -> CalibrationSet | None:
        """The rows of the fit that calibrate, where they are here, without those that an audit dropped."""
        model = self.model_
        kept, calibration, answers = self._kept_rows.rows, model.decisions.calibration, model.answers
        if kept is None or calibration is None or calibration.declared_normal:
            return None
        suspects = calibration.suspects
        if not suspects.n_confirmed:
            return kept
        dropped = ~np.isin(kept.ids, suspects.ids) & (_own_scores(model, kept) >= suspects.scores.min(initial=np.inf))
        if answers is not None:
            dropped &= ~answers.knows(digests_of(kept.data))
        return dataclasses.replace(kept.take(np.flatnonzero(~dropped)), n_dropped=int(dropped.sum()))

    def _calibrating(self, X: Any) -> CalibrationSet:
        """Rows that are given to calibrate with."""
        X = self._prepared(X)
        compared = self._compared(X)
        usable = np.flatnonzero(~np.isnan(compared.scores))
        if not len(usable):
            raise DataError("none of the rows of calibration has a score. Give rows that can be read.")
        self.decisions_.check_unseen(compared.fingerprints[usable])
        groups = None if compared.groups is None else compared.groups[usable]
        data = self._read(X)
        read = data.take(usable) if data.n_rows == len(compared.scores) else data
        return CalibrationSet(read, np.zeros(len(usable), dtype=np.intp), row_ids(X, usable), groups, "split")


@dataclass(frozen=True, eq=False)
class _Review:
    """What reviewed rows teach, and what they teach without some of them.

    Parameters
    ----------
    rows : ReviewedRows
        In as many coordinates as rows.
    basis : ndarray of shape (coordinates, features)
        From these to features.
    fit : OffsetFit
        Of all rows.
    digests : int64 ndarray of shape (rows,)
    """

    rows: ReviewedRows
    basis: FloatArray
    fit: OffsetFit
    digests: IntArray

    @classmethod
    def of(cls, rows: ReviewedRows, digests: IntArray) -> _Review:
        reduced, basis = rows.reduced()
        return cls(reduced, basis, fit_offset(reduced), digests)

    @property
    def coefficients(self) -> Tensor:
        """Of the features."""
        return torch.from_numpy(self.basis.T @ self.fit.coefficients)

    def without(self, digests: IntArray) -> FloatArray:
        """Coefficients of the features that each row has by the others: (rows, features).

        Of many rows some are left out at a time.

        Parameters
        ----------
        digests : int64 ndarray of shape (rows,)
            Of reviewed rows.
        """
        distinct, which = np.unique(digests, return_inverse=True)
        n_parts = min(len(distinct), MAX_LEFT_OUT)
        found = np.zeros((len(digests), self.basis.shape[1]))
        for part in range(n_parts):
            left = self.rows.take(~np.isin(self.digests, distinct[part::n_parts]))
            if len(left):
                found[which % n_parts == part] = self.basis.T @ fit_offset(left, self.fit.shrinkage).coefficients
        return found


def proposed_rows(
    scores: FloatArray, digests: IntArray, is_open: BoolArray, k: int, boundary: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The most anomalous rows, and the uncertain ones, each in the order to look at.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Anomaly scores, nats.
    digests : int64 ndarray of shape (rows,)
        Equal for equal rows, of which the first is proposed.
    is_open : bool ndarray of shape (rows,)
        Which may be proposed.
    k : int
        How many at most.
    boundary : float
        The score of the most uncertain row.
    """
    still_open = np.flatnonzero(is_open)
    candidates = still_open[np.sort(np.unique(digests[still_open], return_index=True)[1])]
    n_uncertain = k // UNCERTAIN_OF
    ranked = candidates[np.argsort(-scores[candidates], kind="stable")]
    top, rest = ranked[: k - n_uncertain], ranked[k - n_uncertain :]
    return top, rest[np.argsort(np.abs(scores[rest] - boundary), kind="stable")][:n_uncertain]


def digests_of(data: Table | Images) -> IntArray:
    """Of the rows of a table, or of images: equal for equal ones."""
    return image_fingerprints(data) if isinstance(data, Images) else row_digests(data)


def _first_of_equal(digests: IntArray, is_anomaly: BoolArray, labels: pd.Index[Any]) -> npt.NDArray[np.intp]:
    """The first of equal rows, in their order.

    Raises
    ------
    DataError
        If equal rows have different answers.
    """
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    differs = np.flatnonzero(is_anomaly != is_anomaly[first][which])
    if len(differs):
        row = int(differs[0])
        other = int(first[which[row]])
        words = {True: "anomalous", False: "normal"}
        raise DataError(
            f"rows {labels[other]} and {labels[row]} have equal cells, and one is {words[bool(is_anomaly[other])]} and "
            f"the other {words[bool(is_anomaly[row])]}",
            "each row has one answer. Settle which it is, or leave both out.",
        )
    return np.sort(first)


def _warn_of_forgotten(before: Answers | None, now: Answers) -> None:
    """Say that answers of before are not given again."""
    n_forgotten = 0 if before is None else int((~now.knows(before.digests)).sum())
    if n_forgotten:
        warnings.warn(
            DataWarning(
                f"{n_forgotten} of the rows that were answered before are not given again, and what they taught is "
                "forgotten: learn takes all rows that were reviewed so far"
            ),
            stacklevel=callers_level(),
        )


def _warn_of_one_kind(answers: Answers) -> None:
    """Say that answers of one kind teach little."""
    kind, other, effect = (
        ("anomalous", "normal", "scores stay as they are")
        if answers.n_anomalies
        else ("normal", "anomalous", "rows like them are moved below the threshold")
    )
    warnings.warn(
        FitWarning(
            f"all {answers.n_rows} reviewed rows are {kind}: {effect}, and what tells them from others is learned once "
            f"some {other} rows are among those reviewed",
            "one_class",
        ),
        stacklevel=callers_level(),
    )


def _is_in_use(model: FittedModel[Encoder]) -> bool:
    return likelihood_score_of(model.score) is not model.score


def _with_use(model: FittedModel[Encoder], *, in_use: bool) -> FittedModel[Encoder]:
    """The model with what was learned in use, or not, with the decisions that belong to it."""
    answers = model.answers
    if answers is None or model.vae.learned is None or answers.others is None:
        raise SpecificationError("nothing was learned from answers yet. Call learn(X, y) with reviewed rows first.")
    if in_use == _is_in_use(model):
        return model
    score = with_learned(model.score) if in_use else likelihood_score_of(model.score)
    others = dataclasses.replace(answers, others=model.decisions)
    return dataclasses.replace(model, score=score, decisions=answers.others, answers=others)


def _without_answers(model: FittedModel[Encoder]) -> FittedModel[Encoder]:
    """The model as it was before anything was learned."""
    answers = model.answers
    if answers is None:
        return model
    before = answers.others if _is_in_use(model) or model.vae.learned is None else model.decisions
    vae = model.vae
    if vae.learned is not None:
        vae = copy.deepcopy(vae)
        vae.learned = None
    return dataclasses.replace(
        model,
        vae=vae,
        score=likelihood_score_of(model.score),
        decisions=model.decisions if before is None else before,
        answers=None,
    )


def _own_scores(model: FittedModel[Encoder], rows: CalibrationSet) -> FloatArray:
    """Anomaly scores of rows by the members that have not seen them: (rows,), nats."""
    batch = rows.encoded(model)
    crossed = rows.kind == "cross"
    found = -scores_and_comparisons(model.vae, batch, model.score, model.noise, by_member=crossed)[1]
    own: FloatArray = found[np.arange(len(found)), rows.folds]
    return own


def _calibrated(model: FittedModel[Encoder], rows: CalibrationSet, answers: Answers, review: _Review) -> Calibration:
    """The calibration by what was learned: without confirmed anomalies, and with no row that vouches for itself.

    Raises
    ------
    DataError
        If no row is left.
    """
    digests, n_before = digests_of(rows.data), len(rows.ids)
    left = np.flatnonzero(~answers.found(digests, anomalous=True))
    if not len(left):
        raise DataError("all calibration rows were found anomalous", "at least one is normal.")
    rows, digests = rows.take(left), digests[left]
    scores = _own_scores(model, rows)
    again = np.flatnonzero(answers.found(digests, anomalous=False))
    if len(again):
        scores[again] = _scores_by_others(model, rows.take(again), review.without(digests[again]))
    folds = [np.flatnonzero(rows.folds == fold) for fold in range(int(rows.folds.max()) + 1)]
    column = None if model.decisions.calibration is None else model.decisions.calibration.group_column
    calibration = Calibration.of(
        rows.kind,
        [scores[fold] for fold in folds],
        ids=[rows.ids[fold] for fold in folds],
        group_column=None if rows.groups is None else column,
        groups=None if rows.groups is None else [rows.groups[fold].tolist() for fold in folds],
    )
    listed = np.intersect1d(rows.ids[again], calibration.suspects.ids)
    audited = calibration.answered(listed, np.zeros(len(listed), dtype=bool))
    suspects = dataclasses.replace(audited.suspects, n_confirmed=rows.n_dropped + n_before - len(left))
    return dataclasses.replace(audited, suspects=suspects)


def _scores_by_others(model: FittedModel[Encoder], rows: CalibrationSet, coefficients: FloatArray) -> FloatArray:
    """Scores of rows by what the other answers teach, one set of coefficients for each: (rows,), nats."""
    base = likelihood_score_of(model.score)
    scores = np.empty(len(rows.ids))
    assert model.vae.learned is not None
    for fold in np.unique(rows.folds):
        own = np.flatnonzero(rows.folds == fold)
        part = rows.take(own).encoded(model)
        crossed = rows.kind == "cross"
        compared = -scores_and_comparisons(model.vae, part, base, model.noise, by_member=crossed)[1][:, fold]
        member = int(fold) if crossed else None
        shares = score_shares(model.vae, part.without_units(), additive_of(base), model.noise, member=member)
        learned = copy.deepcopy(model.vae.learned).cpu()
        design = learned.design(-shares.cells, shares.of_row, part).numpy()
        scores[own] = compared + (design * coefficients[own]).sum(1)
    return scores


def _uncalibrated(decisions: Decisions) -> Decisions:
    """The same threshold, of which it is not known how many normal rows are above it."""
    threshold = dataclasses.replace(
        decisions.threshold, expected_rate=None, rate_bound=None, kind=None, n_calibration=0, smallest_p=0.0
    )
    return dataclasses.replace(decisions, threshold=threshold, calibration=None, stream=None)
