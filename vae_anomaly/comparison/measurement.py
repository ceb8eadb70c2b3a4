"""Fit detectors on the same random splits of a labelled table, and keep what they score."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import delayed
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.pipeline import Pipeline

from vae_anomaly.comparison.intervals import auroc
from vae_anomaly.comparison.metrics import anomaly_labels
from vae_anomaly.comparison.progress import comparison_progress
from vae_anomaly.comparison.results import Comparison
from vae_anomaly.comparison.simple import simple_detectors
from vae_anomaly.data import FloatArray
from vae_anomaly.detectors import VAEDetector, as_rows, new_seed
from vae_anomaly.errors import DataError, DetectorLeftOutWarning, SpecificationError, callers_level
from vae_anomaly.forks import with_living_threads
from vae_anomaly.version import __version__
from vae_anomaly.workers import check_version, computed

Setting = Literal["clean", "all"]
SETTINGS: tuple[Setting, ...] = ("clean", "all")
MIN_ANOMALIES, MIN_NORMAL = 2, 4
# What scores the rows of the fit, where a detector has more to say of these than of others.
OF_TRAINING_ROWS = ("training_scores_", "score_training_rows", "negative_outlier_factor_")

Rows = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Split:
    """Rows to fit on and rows to score, once."""

    setting: Setting
    number: int
    seed: int
    fitted: Rows
    scored: Rows


@dataclass(frozen=True)
class _Caller:
    """Who asks for a fit.

    Parameters
    ----------
    process : tuple of str and int
        Name of the machine and number of the process.
    version : str
        Of this library.
    """

    process: tuple[str, int]
    version: str

    @classmethod
    def here(cls) -> _Caller:
        return cls((platform.node(), os.getpid()), __version__)


@dataclass(frozen=True)
class _Outcome:
    """What one detector made of one split.

    Parameters
    ----------
    split : int
        Position of the split.
    method : str
        Name of the detector.
    result : tuple of ndarray and dict, or Exception
        Scores, and by what and in how many seconds; or why there are none.
    warnings : tuple of Warning
        Warnings that were issued in another process.
    """

    split: int
    method: str
    result: tuple[FloatArray, dict[str, Any]] | Exception
    warnings: tuple[Warning, ...]


def compare(
    X: Any,
    y: Any,
    *,
    detectors: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = SETTINGS,
    n_splits: int = 3,
    random_state: Any = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Comparison:
    """Compare detectors on a table with known anomalies.

    In the setting "clean" a detector is fitted on a random half of the normal rows, another one in each split, and
    scores the other half and all anomalies. In "all" it is fitted on all rows, anomalies among them, and scores the
    same rows; splits then differ by the seed alone. No detector is given labels, and all see the same rows.

    Held-out rows are scored by `score_samples`. The rows of the fit are scored by what a detector has for these:
    VAEDetector by `training_scores_`, which come from its robust preset whatever preset it has, and whose making counts
    as scoring; in LOF and in kNN a training row is not its own neighbour.

    Parameters
    ----------
    X : array-like or DataFrame of shape (rows, columns)
        Rows, as VAEDetector takes them.
    y : array-like of shape (rows,)
        {0, 1} with 1 for anomalies, or {-1, 1} with -1 for anomalies.
    detectors : mapping of str to estimator, optional
        Detectors by name; the first is compared with each of the others. Each is cloned, takes `X` as it is, and has
        `score_samples`, higher for more normal rows; detectors of numbers come in a pipeline behind a
        `NumericEncoder`. By default a VAEDetector and `simple_detectors()`.
    settings : sequence of {"clean", "all"}, default=("clean", "all")
        Which rows to fit on.
    n_splits : int, default=3
        Splits, and seeds, of each setting.
    random_state : int, RandomState, Generator or None, default=0
        The first seed; split and detectors of split k have the k-th from there on, whatever `random_state` they have.
    n_jobs : int, optional
        Fits at a time, as joblib counts them: None is 1 unless `joblib.parallel_config` says otherwise, which may name
        a cluster ("dask", "ray"), and -1 all processors. Measures and scores are the same; fits that share processors
        take more seconds.
    verbose : bool, default=False
        Whether to draw a progress bar on stderr.

    Returns
    -------
    Comparison
        Measures by detector, setting and split, and a verdict.

    Raises
    ------
    DataError
        If there are fewer than 2 anomalies or 4 normal rows, or the first detector cannot use the data.
    SpecificationError
        If a setting is unknown, the number of splits is not positive, or a detector has no `score_samples`.
    WorkerError
        If a process that fits for this one ended, has no vae_anomaly, or another version of it.

    Warns
    -----
    DetectorLeftOutWarning
        If a detector other than the first fails: it is left out of the setting.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.svm import OneClassSVM
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(100, 2)), rng.normal(6.0, 1.0, size=(10, 2))])
    >>> detectors = {"forest": IsolationForest(n_estimators=20), "one-class SVM": OneClassSVM()}
    >>> comparison = compare(X, [0] * 100 + [1] * 10, detectors=detectors, settings=["clean"])
    >>> comparison.measures[["method", "split", "auroc"]].head(2).round(2)
              method  split  auroc
    0         forest      0    1.0
    1  one-class SVM      0    1.0
    >>> comparison.verdict("clean").outcome
    'level'
    """
    if detectors is None:
        detectors = {"VAEDetector": VAEDetector(), **simple_detectors()}
    X = as_rows(X)
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    is_anomaly = _checked(X, y, detectors, settings, n_splits)
    splits = _splits(is_anomaly, settings, n_splits, new_seed(random_state))
    first = next(iter(detectors))
    measures: list[dict[str, Any]] = []
    scored: list[dict[str, FloatArray]] = [{} for _ in splits]
    failed: set[tuple[Setting, str]] = set()
    with comparison_progress(len(splits) * len(detectors), enabled=verbose) as begin:

        def tasks() -> Iterator[Any]:
            """Fits, without those that are known to fail: asked for one by one, while results come in."""
            caller = _Caller.here()
            for number, split in enumerate(splits):
                for name, detector in detectors.items():
                    begin(f"{split.setting}, split {split.number + 1} of {n_splits}, {name}")
                    if (split.setting, name) not in failed:
                        yield delayed(_outcome)(number, name, detector, X, split, caller, may_fail=name != first)

        with computed(tasks(), n_jobs) as outcomes:
            for outcome in outcomes:
                split, name = splits[outcome.split], outcome.method
                for warning in outcome.warnings:
                    warnings.warn(warning, stacklevel=callers_level())
                if (split.setting, name) in failed:
                    continue
                if isinstance(outcome.result, Exception):
                    failed.add((split.setting, name))
                    line = " ".join(str(outcome.result).split())
                    warnings.warn(DetectorLeftOutWarning(name, split.setting, line), stacklevel=callers_level())
                    continue
                scored[outcome.split][name], how = outcome.result
                measures.append(_measures(split, name, is_anomaly[split.scored], scored[outcome.split][name]) | how)
    kept = [row for row in measures if (row["setting"], row["method"]) not in failed]
    scores = [_scored_rows(split, is_anomaly, of_split) for split, of_split in zip(splits, scored, strict=True)]
    return Comparison(tuple(detectors), pd.DataFrame(kept), pd.concat(scores, ignore_index=True))


def _checked(
    X: Any, y: Any, detectors: Mapping[str, Any], settings: Sequence[Setting], n_splits: int
) -> npt.NDArray[np.bool_]:
    """Which rows are anomalies, once everything given has been found usable."""
    unknown = [setting for setting in settings if setting not in SETTINGS]
    if unknown or not settings:
        raise SpecificationError(f"settings are of {list(SETTINGS)}, not {unknown or 'none'}")
    if n_splits < 1:
        raise SpecificationError(f"n_splits is at least 1, not {n_splits}")
    if not detectors:
        raise SpecificationError("detectors is empty; name at least one.")
    for name, detector in detectors.items():
        if not hasattr(detector, "score_samples"):
            raise SpecificationError(
                f"detectors[{name!r}] has no score_samples; expected an outlier detector of scikit-learn's kind "
                "(LocalOutlierFactor needs novelty=True)."
            )
    is_anomaly = anomaly_labels(y)
    if len(is_anomaly) != len(X):
        raise DataError(f"X has {len(X)} rows and y {len(is_anomaly)} labels; expected as many labels as rows.")
    n_anomalies = int(is_anomaly.sum())
    n_normal = len(is_anomaly) - n_anomalies
    if n_anomalies < MIN_ANOMALIES or n_normal < MIN_NORMAL:
        raise DataError(
            f"y holds {n_anomalies} anomalies and {n_normal} normal rows; a comparison needs at least "
            f"{MIN_ANOMALIES} and {MIN_NORMAL}. Label more rows."
        )
    return is_anomaly


def _splits(is_anomaly: BoolArray, settings: Sequence[Setting], n_splits: int, seed: int) -> list[_Split]:
    everything = np.arange(len(is_anomaly))
    splits = []
    for setting in dict.fromkeys(settings):
        for number in range(n_splits):
            fitted = everything
            scored = everything
            if setting == "clean":
                normal = np.random.default_rng(seed + number).permutation(np.flatnonzero(~is_anomaly))
                fitted = normal[: len(normal) // 2]
                scored = np.setdiff1d(everything, fitted)
            splits.append(_Split(setting, number, seed + number, fitted, scored))
    return splits


def _outcome(
    number: int, name: str, detector: Any, X: Any, split: _Split, caller: _Caller, *, may_fail: bool
) -> _Outcome:
    """Fit and score one detector on one split, in the process of the caller or in another."""
    result: tuple[FloatArray, dict[str, Any]] | Exception
    check_version(caller.version)
    elsewhere = caller.process != _Caller.here().process
    with warnings.catch_warnings(record=True) if elsewhere else nullcontext(()) as caught:
        if elsewhere:
            warnings.simplefilter("always")
        try:
            result = with_living_threads(lambda: _scores(detector, X, split))
        except (ValueError, ArithmeticError) as error:
            if not may_fail:
                raise
            result = error
    messages = [warning.message for warning in caught or ()]
    return _Outcome(number, name, result, tuple(message for message in messages if isinstance(message, Warning)))


def _scores(detector: Any, X: Any, split: _Split) -> tuple[FloatArray, dict[str, Any]]:
    """Anomaly scores, higher is more anomalous; what made them, and the seconds that they took."""
    model = clone(detector)
    seeds = [name for name in model.get_params() if name == "random_state" or name.endswith("__random_state")]
    model.set_params(**dict.fromkeys(seeds, split.seed))
    training, rows = _taken(X, split.fitted), _taken(X, split.scored)
    start = time.perf_counter()
    with _rows_of_the_table(split.fitted):
        model.fit(training)
    report = getattr(model, "fit_report_", None)
    if report is not None and report.interrupted:
        # VAEDetector answers Ctrl-C with the best weights so far, which would be compared as if it had finished.
        raise KeyboardInterrupt
    fitted = time.perf_counter()
    with _rows_of_the_table(split.scored):
        scored_by = _of_training_rows(model) if split.setting == "all" else None
        scores = -np.asarray(model.score_samples(rows) if scored_by is None else _own_scores(model, scored_by))
    seconds = {"fit_seconds": fitted - start, "score_seconds": time.perf_counter() - fitted}
    if not np.isfinite(scores).all():
        raise ArithmeticError(f"{np.count_nonzero(~np.isfinite(scores))} of its {len(scores)} scores are not finite")
    return scores, {"scored_by": scored_by or "score_samples"} | seconds


@contextmanager
def _rows_of_the_table(rows: Rows) -> Iterator[None]:
    """Number the row that an error names by its position in the table, not among the rows of a split."""
    try:
        yield
    except DataError as error:
        if error.row is None:
            raise
        raise error.with_row(int(rows[error.row])) from error


def _of_training_rows(model: Any) -> str | None:
    """What of a fitted model, or of the last step of a pipeline, scores the rows of the fit; None for score_samples."""
    return next((name for name in OF_TRAINING_ROWS if hasattr(_last(model), name)), None)


def _own_scores(model: Any, name: str) -> FloatArray:
    own = getattr(_last(model), name)
    scores: FloatArray = own() if callable(own) else own
    return scores


def _last(model: Any) -> Any:
    return model[-1] if isinstance(model, Pipeline) else model


def _taken(X: Any, rows: Rows) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _scored_rows(split: _Split, is_anomaly: BoolArray, scores: Mapping[str, FloatArray]) -> pd.DataFrame:
    known = {"setting": split.setting, "split": split.number, "row": split.scored}
    return pd.DataFrame(known | {"is_anomaly": is_anomaly[split.scored]} | dict(scores))


def _measures(split: _Split, name: str, is_anomaly: BoolArray, scores: FloatArray) -> dict[str, Any]:
    return {
        "method": name,
        "setting": split.setting,
        "split": split.number,
        "seed": split.seed,
        "n_fitted": len(split.fitted),
        "n_scored": len(split.scored),
        "n_anomalies": int(is_anomaly.sum()),
        "auroc": auroc(is_anomaly, scores),
        "average_precision": float(average_precision_score(is_anomaly, scores)),
        "precision_at_n": precision_at_n(is_anomaly, scores),
    }


def precision_at_n(is_anomaly: BoolArray, scores: FloatArray) -> float:
    """Share of anomalies among as many of the most anomalous rows as there are anomalies.

    Of rows with equal scores at the border, those above it are taken at random: their expected share counts.

    Parameters
    ----------
    is_anomaly : ndarray of bool, shape (rows,)
        At least one of them true.
    scores : ndarray of shape (rows,)
        Higher is more anomalous.

    Returns
    -------
    float

    Examples
    --------
    >>> precision_at_n(np.array([True, True, False, False]), np.array([4.0, 2.0, 3.0, 1.0]))
    0.5
    >>> precision_at_n(np.array([True, True, False, False]), np.array([4.0, 2.0, 2.0, 1.0]))
    0.75
    """
    n = int(is_anomaly.sum())
    border = np.sort(scores)[-n]
    above, at = scores > border, scores == border
    found = is_anomaly[above].sum() + is_anomaly[at].mean() * (n - above.sum())
    return float(found / n)
