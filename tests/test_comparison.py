"""Detectors side by side: what they are shown, what is measured, and what is said of it."""

import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline

from vae_anomaly import (
    DataError,
    FitWarning,
    NumericEncoder,
    SpecificationError,
    VAEAnomalyWarning,
    VAEDetector,
    compare,
    simple_detectors,
)
from vae_anomaly.comparison.simple import MeanDistance
from vae_anomaly.errors import NotAvailable

rng = np.random.default_rng(0)


class ColumnScore(OutlierMixin, BaseEstimator):
    """An anomaly score that is a column; remembers what it was shown."""

    shown: ClassVar[list] = []

    def __init__(self, index=0, random_state=None):
        self.index = index
        self.random_state = random_state

    def fit(self, X, y=None):
        self.shown.append((np.asarray(X)[:, 0].copy(), y, self.random_state))
        self.n_rows_ = len(X)
        return self

    def score_samples(self, X):
        return -np.asarray(X, dtype=float)[:, self.index]


class Judging(ColumnScore):
    """Has scores of its own for the rows of the fit, made when they are first read."""

    seconds: ClassVar = 0.05

    @property
    def training_scores_(self):
        time.sleep(self.seconds)
        return np.arange(self.n_rows_, dtype=float)


class WithoutRows(ColumnScore):
    @property
    def training_scores_(self):
        raise NotAvailable("the rows are not here")


class Failing(ColumnScore):
    def fit(self, X, y=None):
        raise ValueError("it cannot\nbe fitted")


class Unfinite(ColumnScore):
    def score_samples(self, X):
        return np.full(len(X), np.nan)


class Interrupted(ColumnScore):
    fit_report_ = SimpleNamespace(interrupted=True)


def labelled(n_normal=40, n_anomalies=10):
    """Column 0 separates the classes, column 1 does not at all, column 2 the wrong way round."""
    y = np.repeat([0, 1], [n_normal, n_anomalies])
    coin = np.r_[np.arange(n_normal) % 10, np.arange(n_anomalies) % 10]
    index = np.arange(len(y)) / 1000
    return np.column_stack([y + index, coin, -y + index]), y


@pytest.fixture(autouse=True)
def forget():
    ColumnScore.shown.clear()


def test_measures_of_a_known_score_are_those_worked_out_by_hand():
    X = np.array([[1.0], [2.0], [3.0], [4.0], [2.5], [5.0]])
    comparison = compare(X, [0, 0, 0, 0, 1, 1], detectors={"x": ColumnScore()}, settings=["all"], n_splits=1)
    (row,) = comparison.measures.to_dict("records")
    # Anomaly 2.5 is above 2 of 4 normal rows, 5 above all; ranked: anomaly, normal, normal, anomaly.
    assert row["auroc"] == 6 / 8
    assert row["average_precision"] == (1 + 2 / 4) / 2
    assert row["precision_at_n"] == 1 / 2
    assert (row["n_fitted"], row["n_scored"], row["n_anomalies"]) == (6, 6, 2)
    assert row["fit_seconds"] > 0


def test_clean_training_sees_half_of_the_normal_rows_and_never_a_scored_row_or_a_label():
    X, y = labelled(41, 10)
    X[:, 0] = np.arange(51)
    comparison = compare(X, y, detectors={"a": ColumnScore(), "b": ColumnScore(1)}, settings=["clean"])
    assert len(ColumnScore.shown) == 6
    for number, part in comparison.scores.groupby("split"):
        (first, label, _), (second, other_label, _) = ColumnScore.shown[2 * number : 2 * number + 2]
        assert label is other_label is None
        assert first.tolist() == second.tolist()
        assert len(first) == 20
        assert first.max() < 41
        assert sorted([*first, *part["row"]]) == list(range(51))
        assert part["is_anomaly"].tolist() == (part["row"] >= 41).tolist()
    assert {tuple(sorted(first)) for first, _, _ in ColumnScore.shown} != {tuple(sorted(ColumnScore.shown[0][0]))}


def test_training_on_all_rows_has_anomalies_but_no_labels():
    X, y = labelled()
    compare(X, y, detectors={"a": ColumnScore()}, settings=["all"], n_splits=2)
    assert [(len(rows), label) for rows, label, _ in ColumnScore.shown] == [(50, None)] * 2


def test_every_split_has_its_seed_also_behind_an_encoder():
    X, y = labelled()
    detectors = {"a": ColumnScore(random_state=99), "b": make_pipeline(NumericEncoder(), ColumnScore())}
    measures = compare(X, y, detectors=detectors, settings=["all"], n_splits=2, random_state=5).measures
    assert [seed for _, _, seed in ColumnScore.shown] == [5, 5, 6, 6] == measures["seed"].tolist()


def test_same_seed_gives_the_same_scores_and_another_seed_others():
    X, y = labelled()
    forest = {"forest": IsolationForest(n_estimators=5)}
    first, again, other = (compare(X, y, detectors=forest, n_splits=1, random_state=seed).scores for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first["forest"].equals(other["forest"])


def test_detectors_are_not_fitted_themselves():
    X, y = labelled()
    forest = IsolationForest(n_estimators=5)
    compare(X, y, detectors={"forest": forest}, settings=["all"], n_splits=1)
    assert not hasattr(forest, "estimators_")
    assert forest.random_state is None


def test_training_row_is_not_its_own_neighbour():
    X = np.array([[0.0], [1.0], [3.0], [7.0], [100.0], [300.0]])
    y = [0, 0, 0, 0, 1, 1]
    factor = LocalOutlierFactor(n_neighbors=2, novelty=True)
    detectors = {"kNN": make_pipeline(NumericEncoder(), MeanDistance(2)), "plain": MeanDistance(2), "LOF": factor}
    scores = compare(X, y, detectors=detectors, settings=["all"], n_splits=1).scores
    assert scores["plain"].tolist() == [2, 1.5, 2.5, 5, 95, 246.5]
    assert scores["kNN"].to_numpy() * X.std() == pytest.approx(scores["plain"])
    own = LocalOutlierFactor(n_neighbors=2).fit(X)
    assert scores["LOF"].tolist() == (-own.negative_outlier_factor_).tolist()
    assert scores["LOF"].tolist() != (-factor.fit(X).score_samples(X)).tolist()


def test_rows_of_the_fit_are_scored_by_what_a_detector_has_for_these_and_others_by_score_samples():
    X, y = labelled()
    detectors = {"own": Judging(), "behind": make_pipeline(NumericEncoder(), Judging()), "none": WithoutRows()}
    comparison = compare(X, y, detectors=detectors, n_splits=1)
    by = {"own": "training_scores_", "behind": "training_scores_", "none": "score_samples"}
    measures, summary = (frame.set_index(["setting", "method"]) for frame in (comparison.measures, comparison.summary))
    for method, scored_by in by.items():
        assert measures.loc[("all", method), "scored_by"] == summary.loc[("all", method), "scored_by"] == scored_by
        assert measures.loc[("clean", method), "scored_by"] == "score_samples"
    scores = comparison.scores.set_index("setting")
    assert scores.loc["all", "own"].tolist() == scores.loc["all", "behind"].tolist() == (-np.arange(50)).tolist()
    assert scores.loc["all", "none"].tolist() == X[:, 0].tolist()
    assert measures.loc[("all", "own"), "score_seconds"] >= Judging.seconds


def test_rows_of_the_fit_are_judged_by_the_robust_view_of_a_vae_detector():
    X, (_, y) = np.random.default_rng(1).normal(size=(50, 3)), labelled()
    ours = VAEDetector(max_iter=3, n_estimators=2, random_state=4)
    comparison = compare(X, y, detectors={"ours": ours}, n_splits=1, random_state=4)
    scores = comparison.scores.set_index("setting")
    assert scores.loc["all", "ours"].tolist() == (-clone(ours).fit(X).training_scores_).tolist()
    robust = clone(ours).set_params(preset="robust").fit(X)
    assert scores.loc["all", "ours"].tolist() == (-robust.score_samples(X)).tolist()
    half, held_out = np.random.default_rng(4).permutation(40)[:20], scores.loc["clean", "row"]
    assert not np.isin(held_out, half).any()
    assert scores.loc["clean", "ours"].tolist() == clone(ours).fit(X[half]).anomaly_score(X[held_out]).tolist()


def test_rows_that_training_did_not_see_may_have_any_neighbour():
    X = np.array([[0.0], [0.0], [0.0], [0.0], [9.0], [9.0]])
    scores = compare(X, [0, 0, 0, 0, 1, 1], detectors={"kNN": MeanDistance(1)}, settings=["clean"], n_splits=1).scores
    assert scores["kNN"].tolist() == [0, 0, 9, 9]


def test_detector_that_fails_is_left_out_of_the_setting_with_a_warning():
    X, y = labelled()
    detectors = {"good": ColumnScore(), "bad": Failing(), "nan": Unfinite()}
    with pytest.warns(FitWarning) as caught:
        comparison = compare(X, y, detectors=detectors, settings=["all"])
    assert [str(warning.message) for warning in caught] == [
        "bad is left out of 'all': it cannot be fitted",
        "nan is left out of 'all': 50 of its 50 scores are not finite",
    ]
    assert comparison.summary["method"].tolist() == ["good"]


def test_failure_of_the_first_detector_is_an_error():
    X, y = labelled()
    with pytest.raises(ValueError, match="it cannot"):
        compare(X, y, detectors={"bad": Failing(), "good": ColumnScore()})


def test_interrupted_fit_ends_the_comparison():
    X, y = labelled()
    with pytest.raises(KeyboardInterrupt):
        compare(X, y, detectors={"a": Interrupted()})


def comparable(comparison):
    measures = comparison.measures.drop(columns=["fit_seconds", "score_seconds"])
    return measures.reset_index(drop=True), comparison.scores


@pytest.mark.slow
def test_fits_in_other_processes_give_the_same_comparison_and_warnings():
    X, y = labelled()
    frame = pd.DataFrame(X).add_prefix("c").assign(nothing=np.nan)
    detectors = {
        "ours": VAEDetector(max_iter=2, n_estimators=1),
        "forest": make_pipeline(NumericEncoder(), IsolationForest(n_estimators=5)),
        "failing": make_pipeline(NumericEncoder(), IsolationForest(n_estimators=-1)),
    }
    found = []
    for n_jobs in (1, 2):
        with pytest.warns(VAEAnomalyWarning) as caught:
            comparison = compare(frame, y, detectors=detectors, n_splits=2, n_jobs=n_jobs)
        said = {(type(warning.message).__name__, str(warning.message)) for warning in caught}
        found.append((*comparable(comparison), said))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    pd.testing.assert_frame_equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]
    assert {"ColumnSetAsideWarning", "DetectorLeftOutWarning"} <= {name for name, _ in found[0][2]}
    frame.loc[3, "c0"] = np.inf
    with pytest.raises(DataError, match=r"'c0' holds inf \(index 3\)") as raised:
        compare(frame, y, detectors=detectors, settings=["all"], n_splits=2, n_jobs=2)
    assert (raised.value.row, raised.value.column) == (3, "c0")


class Threaded(ColumnScore):
    """Remembers in which threads it was fitted, which two fits reach at the same time."""

    threads: ClassVar[set] = set()
    both: ClassVar = threading.Barrier(2)

    def fit(self, X, y=None):
        self.both.wait(timeout=60)
        self.threads.add(threading.get_ident())
        return super().fit(X, y)


def test_backend_and_number_of_jobs_come_from_joblib():
    X, y = labelled()
    detectors = {"a": Threaded(), "b": Threaded(1)}
    with parallel_config(backend="threading", n_jobs=2):
        found = comparable(compare(X, y, detectors=detectors, n_splits=1))
    assert len(Threaded.threads - {threading.get_ident()}) == 2
    plain = {"a": ColumnScore(), "b": ColumnScore(1)}
    for one, other in zip(found, comparable(compare(X, y, detectors=plain, n_splits=1)), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("row", [3, 41])
def test_error_names_the_row_of_the_table(row):
    X, y = labelled()
    frame = pd.DataFrame(X).add_prefix("c")
    frame.loc[row, "c0"] = np.inf
    with pytest.raises(DataError, match=rf"'c0' holds inf \(index {row}\)") as caught:
        compare(frame, y, detectors={"ours": VAEDetector(max_iter=2, n_estimators=1)}, settings=["clean"], n_splits=4)
    assert caught.value.row == row
    assert caught.value.column == "c0"


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"y": [0] * 50}, DataError, "expected both of"),
        ({"y": ["a", "b"] * 25}, DataError, "expected both of"),
        ({"y": [0] * 49 + [1]}, DataError, "1 anomalies and 49 normal rows; a comparison needs at least 2 and 4"),
        ({"y": [1] * 47 + [0] * 3}, DataError, "47 anomalies and 3 normal rows"),
        ({"y": [0, 1]}, DataError, "X has 50 rows and y 2 labels"),
        ({"settings": ["dirty"]}, SpecificationError, "not \\['dirty'\\]"),
        ({"settings": []}, SpecificationError, "not none"),
        ({"n_splits": 0}, SpecificationError, "n_splits is at least 1"),
        ({"detectors": {}}, SpecificationError, "name at least one"),
        ({"detectors": {"LOF": LocalOutlierFactor()}}, SpecificationError, "'LOF'.*novelty=True"),
    ],
)
def test_unusable_arguments_are_refused_before_the_work(changed, error, said):
    X, y = labelled()
    with pytest.raises(error, match=said):
        compare(X, **({"y": y, "detectors": {"a": ColumnScore()}} | changed))
    assert not ColumnScore.shown


def test_labels_of_either_convention_give_the_same():
    X, y = labelled()
    one, other = (compare(X, labels, detectors={"a": ColumnScore()}).scores for labels in (y, 1 - 2 * y))
    assert one.equals(other)


def test_mixed_table_with_missing_cells_is_compared_as_it_is():
    n = 70
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50, 5, n),
            "shop": rng.choice(["north", "south"], n),
            "paid": rng.choice([True, False], n),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
            "code": rng.integers(0, 5, n),
        }
    )
    frame.loc[::7, "amount"] = np.nan
    frame.loc[::9, "shop"] = None
    frame.loc[::11, "day"] = pd.NaT
    frame.loc[60:, "amount"] = 500.0
    columns = {"code": "categorical", "day": "datetime+trend"}
    detectors = {"VAEDetector": VAEDetector(max_iter=20, n_estimators=2, columns=columns), **simple_detectors(columns)}
    comparison = compare(frame, [0] * 60 + [1] * 10, detectors=detectors, n_splits=1)
    assert comparison.settings == ("clean", "all")
    assert comparison.measures["method"].tolist() == list(detectors) * 2
    clean = comparison.summary[comparison.summary["setting"] == "clean"].set_index("method")
    assert (clean["auroc"] == 1).sum() >= 4
    assert np.isnan(clean["auroc_sd"]).all()
    assert np.isfinite(comparison.scores[list(detectors)].to_numpy()).all()
