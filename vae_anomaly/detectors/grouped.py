"""GroupedDetector: a model for each group of rows, and a pooled one for all others."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import delayed
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from vae_anomaly.callbacks import open_bar
from vae_anomaly.data import ColumnRoles, FloatArray, check_unique, match_names
from vae_anomaly.decisions import CalibrationTooSmall
from vae_anomaly.detectors.base import as_it_is, fitted_at_once
from vae_anomaly.detectors.containers import as_rows, row_labels
from vae_anomaly.detectors.inputs import new_seed, read_table
from vae_anomaly.detectors.known_groups import KnownGroups, Names, alike, group_names, rows_by_group
from vae_anomaly.detectors.vae_detector import VAEDetector
from vae_anomaly.errors import (
    DataError,
    FitWarning,
    GroupsLeftOutWarning,
    NonFiniteScoreError,
    SimilarGroupsWarning,
    SpecificationError,
    UnknownGroupsWarning,
    callers_level,
    first_names,
)
from vae_anomaly.explain import Explanation
from vae_anomaly.forks import with_living_threads
from vae_anomaly.model import own_settings
from vae_anomaly.workers import computed

OWN, POOLED = "group", "pooled"
# What a fit to the rows of one group may end with.
FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
TOO_FEW, FAILED = "too few rows", "failed"


class GroupedDetector(MetaEstimatorMixin, OutlierMixin, BaseEstimator):
    """A model for each group of rows, such as the stores of a chain, and a pooled one for rows of no such group.

    Each group's model is the one that `estimator` would become by a fit to its rows alone, to the bit: neither the
    other groups nor `n_jobs` change it.  The column of the groups itself is not modelled.  A row is judged by the model
    of its group; where there is none, because the group is new, its cell is missing, it had fewer than `min_rows`
    rows or its fit failed, by the pooled model, which was fitted to all rows.  `decide` says for each row which of
    both it was.

    A score is nats of the density of the row's own group: scores of rows of different groups do not make one ranking,
    but their p-values do, and each flag comes from the threshold of the row's own model.

    Parameters
    ----------
    estimator : VAEDetector
        What is fitted to each group, and to all rows.
    by : str
        The column that says which group a row is in; ``x0``, ``x1``, ... for arrays.  1, 1.0 and "1" are one group,
        blanks around a text do not count, its case does.
    min_rows : int, default=100
        Rows of a group, at least, for a model of its own.  Below 100 a training cannot be stopped by rows that are
        held out, and no p-value is below 0.01.
    n_jobs : int, default=None
        Fits at a time, as joblib counts them: None is 1 unless `joblib.parallel_config` says otherwise, and -1 all
        processors.  Models are the same to the bit.
    verbose : bool, default=False
        Whether to draw a progress bar of the groups on stderr.

    Attributes
    ----------
    models_ : mapping of str to VAEDetector
        By group.  Of a model file each is read when it is first asked for.
    pooled_ : VAEDetector
        For all other rows.
    groups_ : DataFrame
        A line for each group of the fit: how many rows it had, which model judges its rows ("group" or "pooled"), and
        why; a model file leaves out the groups with too few rows.
    unlisted_groups_ : tuple of (int, int)
        How many groups a model file left out there, and how many rows they had.
    failures_ : dict of str to str
        Groups whose fit failed, and why.
    by_ : str
        The column that says which group a row is in.
    n_features_in_ : int
        Number of columns, that of the groups included.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `fit` saw a DataFrame with string names.

    Warns
    -----
    GroupsLeftOutWarning
        If groups are judged by the pooled model because they have too few rows, or their fit failed.
    SimilarGroupsWarning
        If names of groups differ in nothing but case and blanks.
    UnknownGroupsWarning
        In scoring: if rows are of groups without a model of their own.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from vae_anomaly import GroupedDetector, VAEDetector
    >>> rng = np.random.default_rng(0)
    >>> rows = pd.DataFrame({"store": ["north", "south"] * 150, "sales": rng.normal([10, 90] * 150)})
    >>> detector = GroupedDetector(VAEDetector(max_iter=100, early_stopping=False), by="store").fit(rows)
    >>> new = pd.DataFrame({"store": ["north", "south", "south"], "sales": [10.0, 90.0, 10.0]})
    >>> detector.decide(new)["is_anomaly"].tolist()
    [False, False, True]
    """

    _required_parameters: ClassVar[list[str]] = ["estimator"]

    models_: Mapping[str, VAEDetector]
    pooled_: VAEDetector
    groups_: pd.DataFrame
    by_: str
    n_features_in_: int
    feature_names_in_: npt.NDArray[np.object_]
    column_roles_: ColumnRoles = ColumnRoles()

    def __init__(
        self,
        estimator: VAEDetector,
        by: str,
        *,
        min_rows: int = 100,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.by = by
        self.min_rows = min_rows
        self.n_jobs = n_jobs
        self.verbose = verbose

    @own_settings()
    def fit(self, X: Any, y: Any = None) -> GroupedDetector:
        """Fit a model to the rows of each group, and one to all rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Training rows, with the column of the groups.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        GroupedDetector
            The fitted estimator.

        Raises
        ------
        SpecificationError
            If a parameter is none that can be used, or the rows have no such column.
        DataError
            If the pooled model cannot be fitted; what fails for single groups is in `failures_`.
        """
        with fitted_at_once(self) as draft:
            draft._check_parameters()
            rows, names = draft._read_training(X)
            by_group = {name: places for name, places in rows_by_group(names).items() if name is not None}
            sizes = {name: len(places) for name, places in by_group.items()}
            enough = ((name, rows.iloc[by_group[name]]) for name in draft._with_enough(sizes))
            draft._learn(rows, enough, sizes)
        return self

    @own_settings()
    def fit_sampled(self, pooled: Any, groups: Iterable[tuple[str, Any]], n_rows: Mapping[str, int]) -> GroupedDetector:
        """Fit to rows that were drawn before, where all rows are more than memory holds.

        Parameters
        ----------
        pooled : DataFrame
            Rows for the pooled model, without the column of the groups.
        groups : iterable of (str, DataFrame or Exception)
            Rows of each group that is to have a model, without that column, asked for one after the other; or why there
            are none.
        n_rows : mapping of str to int
            How many rows each group has, those without a model included.

        Returns
        -------
        GroupedDetector
            The fitted estimator.

        Raises
        ------
        SpecificationError
            If a parameter is none that can be used.
        DataError
            If the pooled model cannot be fitted.
        """
        with fitted_at_once(self) as draft:
            draft._check_parameters()
            frame = as_rows(pooled)
            draft.by_ = str(draft.by)
            draft.feature_names_in_ = np.array([draft.by_, *map(str, frame.columns)], dtype=object)
            draft.n_features_in_ = len(draft.feature_names_in_)
            draft._learn(frame, groups, n_rows)
        return self

    @own_settings()
    def score_samples(self, X: Any) -> FloatArray:
        """The score of each row by the model of its group, in nats, higher for more normal rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows with the columns of the training data.

        Returns
        -------
        ndarray of shape (rows,), float64
            Nats of the density of each row's own group, or of that of all rows.
        """
        return self._by_model(X, lambda model, rows: model.score_samples(rows))

    @own_settings()
    def anomaly_score(self, X: Any) -> FloatArray:
        """``-score_samples(X)``: higher for more anomalous rows of a group, in nats.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        return -self.score_samples(X)

    @own_settings()
    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, for a search over parameters without labels.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        float
            Nats.
        """
        return float(np.nanmean(self.score_samples(X)))

    @own_settings()
    def decision_function(self, X: Any) -> FloatArray:
        """`score_samples` above the threshold of the model that judges the row: negative for anomalies.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), float64
        """
        return self._by_model(X, lambda model, rows: model.decision_function(rows))

    @own_settings()
    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for anomalies, +1 for what is normal.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), int
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    @own_settings()
    def p_values(self, X: Any) -> FloatArray:
        """Chance that a row like the calibration rows of the same model has at least so anomalous a score.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        ndarray of shape (rows,), float64
            None below 1 / (n + 1) for the n calibration rows of the row's own model.

        Raises
        ------
        NotAvailable
            If a model that judges one of the rows has no calibration.
        """
        return self._by_model(X, lambda model, rows: model.p_values(rows))

    @own_settings()
    def decide(self, X: Any) -> pd.DataFrame:
        """Scores, p-values and flags in one pass, each by the model that judges the row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        DataFrame
            Columns anomaly_score (nats of the model that judged the row), p_value, is_anomaly and judged_by: "group" or
            "pooled".
        """
        rows, judging = self._read(X)
        found: dict[str, npt.NDArray[Any]] = {
            "anomaly_score": np.full(len(rows), np.nan),
            "p_value": np.full(len(rows), np.nan),
            "is_anomaly": np.zeros(len(rows), dtype=bool),
        }
        for places, part in self._parts(rows, judging, lambda model, some: model.decide(some)):
            for name, values in found.items():
                values[places] = part[name].to_numpy()
        judged_by = np.where(pd.notna(judging), OWN, POOLED).astype(object)
        return pd.DataFrame({**found, "judged_by": judged_by}, index=row_labels(X, len(rows)))

    @own_settings()
    def explain(self, X: Any) -> dict[str | None, Explanation]:
        """Why rows are anomalous, by the model that judges them: see `VAEDetector.explain`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows; best the most anomalous few.

        Returns
        -------
        dict of str or None to Explanation
            By group, None for the pooled model; rows have the index of `X`.
        """
        rows, judging = self._read(X)
        explained: dict[str | None, Explanation] = {}
        for name, places in rows_by_group(judging).items():
            with _rows_of_the_table(places):
                explained[name] = self._model(name).explain(rows.iloc[places])
        return explained

    @own_settings()
    def judging_groups(self, X: Any) -> pd.Series[Any]:
        """The group whose model judges each row; None for the pooled one.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            What `score_samples` takes.

        Returns
        -------
        Series of str or None
        """
        rows, judging = self._read(X)
        return pd.Series(judging, index=rows.index, name=self.by_, dtype=object)

    @own_settings()
    def calibrate(self, X: Any, y: Any = None) -> Self:
        """Replace calibrations by the scores of other normal rows; nothing is trained, thresholds keep their rule.

        Rows calibrate the model that judges them, and models that judge none of the rows stay as they are.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Normal rows that no model has seen.
        y : ignored
            For scikit-learn's interface.

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        DataError
            If rows were trained on, or those of a group have no score.
        SpecificationError
            If those of a group are too few for the rule of its threshold; then no model is changed.
        """
        rows, judging = self._read(X)
        changed: dict[str | None, VAEDetector] = {}
        for name, places in rows_by_group(judging).items():
            with _rows_of_the_table(places), _of_group(name):
                changed[name] = copy.copy(self._model(name)).calibrate(rows.iloc[places])
        self._replace(changed)
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
    ) -> Self:
        """Move the threshold of each model by what can be afforded, by its own calibration; nothing is trained.

        Parameters
        ----------
        false_alarm_rate : float, optional
            Largest share of the normal rows of each group to flag, in (0, 1).
        confidence : float, optional
            In (0, 1): how sure it is that a model does not flag a larger share.
        n_alerts : float, optional
            So many alerts among `per` normal rows, of each group and so of all.
        per : int, optional
            Rows that `n_alerts` is for.
        contamination : float, optional
            Share of rows like those of the calibration to flag, in (0, 0.5].

        Returns
        -------
        estimator
            The detector.

        Raises
        ------
        SpecificationError
            If none of the rules or several are given, a number is out of its range, or a group has too few calibration
            rows for it; then no model is changed.
        """
        check_is_fitted(self)
        changed: dict[str | None, VAEDetector] = {}
        too_small: dict[str | None, CalibrationTooSmall] = {}
        for name in (None, *self.models_):
            try:
                changed[name] = copy.copy(self._model(name)).set_threshold(
                    false_alarm_rate=false_alarm_rate,
                    confidence=confidence,
                    n_alerts=n_alerts,
                    per=per,
                    contamination=contamination,
                )
            except CalibrationTooSmall as error:
                too_small[name] = error
        if too_small:
            least = min(too_small.values(), key=lambda error: error.n_calibration)
            named = first_names([POOLED if name is None else name for name in too_small])
            raise SpecificationError(
                f"{least.wish} needs at least {least.n_needed:,} calibration rows, and {len(too_small):,} of "
                f"{len(changed) + len(too_small):,} models have fewer ({named}; the least {least.n_calibration:,}). "
                "Take a larger share, fit with min_rows so large that each group has them, or one VAEDetector with "
                "baseline_by, whose calibration is that of all rows."
            )
        self._replace(changed)
        return self

    @property
    def failures_(self) -> dict[str, str]:
        """Groups whose fit failed, and why."""
        failed = self.groups_[self.groups_["judged_by"].eq(POOLED) & self.groups_["why"].str.startswith(FAILED)]
        return {str(name): str(why).removeprefix(f"{FAILED}: ") for name, why in failed["why"].items()}

    @property
    def n_groups_(self) -> int:
        """Groups with a model of their own."""
        return len(self.models_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "pooled_")

    def _check_parameters(self) -> None:
        estimator = self.estimator
        if not isinstance(estimator, VAEDetector):
            raise SpecificationError(f"estimator is a VAEDetector, not {type(estimator).__name__}.")
        if not isinstance(self.by, str):
            raise SpecificationError(f"by is the name of a column, not {self.by!r}.")
        wanted = self.min_rows
        if not isinstance(wanted, Integral) or isinstance(wanted, bool) or wanted < 2:
            raise SpecificationError(f"min_rows is a number of rows, at least 2, not {wanted!r}.")
        if estimator.callbacks is not None or estimator.verbose or estimator.warm_start:
            raise SpecificationError(
                "callbacks, verbose and warm_start of the estimator are for one fit, and each group has its own. Leave "
                "them out; GroupedDetector(verbose=True) shows the progress over groups."
            )
        baseline = estimator.baseline_by or ()
        taken = {estimator.calibration_groups, estimator.baseline_time}
        taken |= {baseline} if isinstance(baseline, str) else set(baseline)
        if self.by in taken | set(estimator.columns or {}):
            raise SpecificationError(
                f"by={self.by!r} is no column of the models, and the estimator names it in columns, baseline_by, "
                "baseline_time or calibration_groups. Leave it out there."
            )

    def _with_enough(self, sizes: Mapping[str, int]) -> list[str]:
        return [name for name, n_rows in sizes.items() if n_rows >= self.min_rows]

    def _read_training(self, X: Any) -> tuple[pd.DataFrame, Names]:
        """Rows without the column of the groups, and the group of each."""
        frame = as_rows(X)
        if isinstance(frame, pd.DataFrame):
            check_unique(frame)
            validate_data(self, frame, reset=True, skip_check_array=True)
        else:
            frame = self._of_array(frame, fitting=True)
        self.by_ = self.by
        if frame.shape[1] == 1:
            raise DataError(
                f"1 feature(s) (shape={frame.shape}) while a minimum of 2 is required",
                f"{self.by!r} says which group a row is in, and others what is normal there.",
            )
        if self._place_of_groups(frame) is None:
            raise SpecificationError(f"by names column {self.by!r}, and there is none. Give one of the rows.")
        return self._split(frame)

    def _read(self, X: Any) -> tuple[pd.DataFrame, Names]:
        """Rows without the column of the groups, and whose model judges each; None for the pooled one."""
        check_is_fitted(self)
        fitted = as_it_is(self)
        frame = as_rows(X)
        if not isinstance(frame, pd.DataFrame):
            frame = fitted._of_array(frame, fitting=False)
        check_unique(frame)
        rows, names = fitted._split(frame)
        judging = KnownGroups(fitted.models_.keys()).judging(names)
        is_pooled = pd.isna(judging)
        if is_pooled.any():
            unknown = list(dict.fromkeys(name for name in names[is_pooled] if name is not None))
            is_missing = int(pd.isna(names).sum())
            warnings.warn(
                UnknownGroupsWarning(fitted.by_, int(is_pooled.sum()), len(rows), tuple(unknown), is_missing),
                stacklevel=callers_level(),
            )
        return rows, judging

    def _of_array(self, X: Any, *, fitting: bool) -> pd.DataFrame:
        table = read_table(self, X, fitting=fitting)
        if isinstance(table.cells, pd.DataFrame):
            return table.cells.set_axis(list(table.names), axis=1)
        return pd.DataFrame(table.cells, columns=list(table.names))

    def _place_of_groups(self, frame: pd.DataFrame) -> int | None:
        """Where the column of the groups is; case and blanks around its name do not count if only one can be meant."""
        given = list(map(str, frame.columns))
        found = match_names([self.by_], given).get(self.by_)
        return None if found is None else given.index(found)

    def _split(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, Names]:
        """Rows without the column of the groups, and the group of each."""
        place = self._place_of_groups(frame)
        if place is None:
            raise DataError(
                f"column {self.by_!r}, which says which group a row is in, is missing",
                "add it; rows whose cell is empty there are judged by the pooled model.",
                column=self.by_,
            )
        try:
            names = group_names(frame.iloc[:, place])
        except TypeError as error:
            raise DataError(
                f"column {self.by_!r} holds lists, dicts or other objects that name no group",
                "give numbers or text.",
                column=self.by_,
            ) from error
        return frame.iloc[:, [other for other in range(frame.shape[1]) if other != place]], names

    def _learn(self, pooled: pd.DataFrame, groups: Iterable[tuple[str, Any]], sizes: Mapping[str, int]) -> None:
        """Fit all models; the pooled one first, whose errors are those of parameters and columns."""
        estimator = clone(self.estimator).set_params(random_state=new_seed(self.estimator.random_state))
        enough = self._with_enough(sizes)
        bar = open_bar("fitting", len(enough) + 1, clock=True) if self.verbose else None
        with closing(bar) if bar is not None else nullcontext():
            self.pooled_ = clone(estimator).fit(pooled).forget_training_rows()
            _end_if_interrupted(self.pooled_)
            outcomes: dict[str, _Outcome] = {}
            with closing(_fitted(estimator, groups, self.n_jobs)) as found:
                for outcome in found:
                    outcomes[outcome.name] = outcome
                    if bar is not None:
                        bar.update(len(outcomes), f"{len(outcomes)}/{len(enough)} groups")
        fitted = {name: outcome.model for name, outcome in outcomes.items() if outcome.model is not None}
        self.models_ = {name: fitted[name] for name in enough if name in fitted}
        why = {name: f"{FAILED}: {found.problem}" for name, found in outcomes.items() if found.problem is not None}
        lines = {
            name: (n_rows, OWN, "") if name in self.models_ else (n_rows, POOLED, why.get(name, TOO_FEW))
            for name, n_rows in sizes.items()
        }
        self.groups_ = groups_table(lines)
        self.unlisted_groups_ = (0, 0)
        self._warn(outcomes, why)

    def _warn(self, outcomes: Mapping[str, _Outcome], failed: Mapping[str, str]) -> None:
        small = tuple(self.groups_.index[self.groups_["why"] == TOO_FEW])
        if small or failed:
            first = next(iter(self.failures_.values()), "")
            warnings.warn(
                GroupsLeftOutWarning(self.by_, len(self.groups_), small, tuple(failed), int(self.min_rows), first),
                stacklevel=callers_level(),
            )
        similar = alike(self.groups_.index)
        if similar:
            warnings.warn(SimilarGroupsWarning(self.by_, tuple(similar)), stacklevel=callers_level())
        kinds: dict[str, list[str]] = {}
        for name, outcome in outcomes.items():
            for kind in outcome.warnings:
                kinds.setdefault(kind, []).append(name)
        for kind, names in kinds.items():
            warnings.warn(
                FitWarning(
                    f"{len(names):,} of {len(self.models_):,} groups: {kind.replace('_', ' ')} ({first_names(names)}); "
                    "models_[group].fit_report_ has the figures",
                    kind,
                ),
                stacklevel=callers_level(),
            )

    def _model(self, name: str | None) -> VAEDetector:
        return self.pooled_ if name is None else self.models_[name]

    def _replace(self, changed: Mapping[str | None, VAEDetector]) -> None:
        with fitted_at_once(self) as draft:
            draft.pooled_ = changed.get(None, self.pooled_)
            own = {name: model for name, model in changed.items() if name is not None}
            if own:
                draft.models_ = {name: own.get(name, model) for name, model in self.models_.items()}

    def _by_model(self, X: Any, judge: Callable[[VAEDetector, pd.DataFrame], FloatArray]) -> FloatArray:
        rows, judging = self._read(X)
        numbers = np.full(len(rows), np.nan)
        for places, part in self._parts(rows, judging, judge):
            numbers[places] = part
        return numbers

    def _parts(
        self, rows: pd.DataFrame, judging: Names, judge: Callable[[VAEDetector, pd.DataFrame], Any]
    ) -> Iterator[tuple[npt.NDArray[np.intp], Any]]:
        fitted = as_it_is(self)
        for name, places in rows_by_group(judging).items():
            with _rows_of_the_table(places):
                yield places, judge(fitted._model(name), rows.iloc[places])


def groups_table(lines: Mapping[str, tuple[int, str, str]]) -> pd.DataFrame:
    """What became of each group: its rows, the model that judges it, and why.

    Parameters
    ----------
    lines : mapping of str to (int, str, str)
    """
    index = pd.Index(list(lines), dtype=object, name="group")
    frame = pd.DataFrame(list(lines.values()), index=index, columns=["n_rows", "judged_by", "why"])
    return frame.astype({"n_rows": np.int64, "judged_by": object, "why": object})


@contextmanager
def _rows_of_the_table(places: npt.NDArray[np.intp]) -> Iterator[None]:
    """Number the row that an error names by its position in the table, not among the rows of a group."""
    try:
        yield
    except (DataError, NonFiniteScoreError) as error:
        if error.row is None:
            raise
        raise error.with_row(int(places[error.row])) from error


@contextmanager
def _of_group(name: str | None) -> Iterator[None]:
    """Have errors about a calibration that is too small name its group."""
    try:
        yield
    except CalibrationTooSmall as error:
        whose = "the pooled model" if name is None else f"group {name!r}"
        raise SpecificationError(f"{whose}: {error}") from error


@dataclass(frozen=True)
class _Outcome:
    """What became of the fit of a group."""

    name: str
    model: VAEDetector | None
    problem: str | None = None
    warnings: tuple[str, ...] = ()


def _fitted(
    estimator: VAEDetector, groups: Iterable[tuple[str, Any]], n_jobs: int | None
) -> Generator[_Outcome, None, None]:
    """The model of each group, in no order, as it is ready."""
    with warnings.catch_warnings():
        # Of a thousand groups each has its own; the report of a fit has what counts.
        warnings.simplefilter("ignore")
        tasks = (delayed(_outcome)(estimator, name, rows, os.getpid()) for name, rows in groups)
        with computed(tasks, n_jobs) as outcomes:
            for outcome in outcomes:
                if outcome.model is not None:
                    _end_if_interrupted(outcome.model)
                yield outcome


def _outcome(estimator: VAEDetector, name: str, rows: Any, caller: int) -> _Outcome:
    """Fit one group, in the process of the caller or in another."""
    if isinstance(rows, Exception):
        return _Outcome(name, None, _line(rows))
    with nullcontext() if os.getpid() == caller else warnings.catch_warnings():
        if os.getpid() != caller:
            warnings.simplefilter("ignore")
        try:
            model = with_living_threads(lambda: clone(estimator).fit(rows).forget_training_rows())
        except FAILURES as error:
            # Whatever is wrong with one group shall not cost the models of all others.
            return _Outcome(name, None, _line(error))
    return _Outcome(name, model, None, tuple(warning.kind for warning in model.fit_report_.warnings()))


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _end_if_interrupted(model: VAEDetector) -> None:
    """A fit answers Ctrl-C with the best weights so far, which would pass for those of a whole one."""
    if model.fit_report_.interrupted:
        raise KeyboardInterrupt
