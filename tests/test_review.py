"""`review`: which rows a person should look at next."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from vae_anomaly import DataError, SpecificationError, VAEDetector

FAST = {"max_iter": 30, "n_estimators": 2, "early_stopping": False, "random_state": 0}


def table(seed, n=400):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.normal(size=n),
            "kind": rng.choice(["x", "y", "z"], n),
            "n": rng.poisson(4, n),
        }
    )
    frame.loc[::17, "b"] = np.nan
    frame.loc[::25, "a"] += 8
    return frame


@pytest.fixture(scope="module")
def detector():
    return VAEDetector(**FAST).fit(table(0))


@pytest.fixture(scope="module")
def rows():
    return table(1).set_axis([f"r{number}" for number in range(400)])


def test_most_anomalous_rows_come_first_then_those_nearest_to_the_threshold(detector, rows):
    listed = detector.review(rows, k=30)
    scores = detector.anomaly_score(rows)
    assert listed["why"].tolist() == ["most anomalous"] * 27 + ["uncertain"] * 3
    ranked = np.argsort(-scores, kind="stable")
    assert listed["row"].tolist()[:27] == ranked[:27].tolist()
    rest = ranked[27:]
    nearest = rest[np.argsort(np.abs(scores[rest] - detector.threshold_.score), kind="stable")]
    assert listed["row"].tolist()[27:] == nearest[:3].tolist()
    assert listed.index.tolist() == [f"r{row}" for row in listed["row"]]
    assert listed["anomaly_score"].tolist() == scores[listed["row"]].tolist()
    assert listed["p_value"].tolist() == detector.p_values(rows)[listed["row"]].tolist()


def test_reasons_are_those_of_explain(detector, rows):
    listed = detector.review(rows, k=5)
    reasons = detector.explain(rows.iloc[listed["row"]]).reasons(3)
    assert listed["reason"].tolist() == ["; ".join(map(str, of_row)) for of_row in reasons]


def test_review_changes_nothing(detector, rows):
    before = detector.decide(rows)
    detector.review(rows, k=7)
    pd.testing.assert_frame_equal(detector.decide(rows), before)
    assert detector.answers_ is None
    assert detector.learned_ is None


def test_of_equal_rows_the_first_is_proposed(detector, rows):
    top = detector.review(rows, k=1)["row"].iloc[0]
    doubled = pd.concat([rows, rows.iloc[[top, top]]], ignore_index=True)
    listed = detector.review(doubled, k=20)
    assert listed["row"].iloc[0] == top
    assert not {400, 401} & set(listed["row"])


def test_fewer_rows_than_asked_for_are_all_listed(detector, rows):
    listed = detector.review(rows.head(6), k=50)
    assert sorted(listed["row"]) == list(range(6))


def test_order_of_the_rows_does_not_matter(detector, rows):
    order = np.random.default_rng(3).permutation(len(rows))
    assert detector.review(rows.iloc[order], k=40).index.tolist() == detector.review(rows, k=40).index.tolist()


def test_arrays_are_taken(rows):
    X = np.random.default_rng(0).normal(size=(300, 3))
    listed = VAEDetector(**FAST).fit(X).review(X, k=10)
    assert listed.index.tolist() == listed["row"].tolist()


def test_answered_rows_and_rows_equal_to_them_are_left_out(detector, rows):
    detector = copy.deepcopy(detector)
    listed = detector.review(rows, k=20)["row"]
    answered = rows.iloc[listed]
    detector.learn(answered, answered["a"] > 4)
    again = detector.review(pd.concat([rows, answered]), k=400)
    assert not set(again["row"]) & {*listed, *range(400, 420)}
    assert len(again) == 380
    assert detector.review(answered, k=5).empty


def test_columns_in_another_order_are_known_again(detector, rows):
    detector = copy.deepcopy(detector)
    answered = rows.iloc[detector.review(rows, k=20)["row"]]
    detector.learn(answered, answered["a"] > 4)
    assert detector.review(answered[["kind", "n", "b", "a"]], k=5).empty


def test_without_calibration_there_are_no_p_values(rows):
    detector = VAEDetector(calibration=None, **FAST).fit(table(0))
    assert detector.review(rows, k=4)["p_value"].isna().all()


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_number_of_rows_is_a_positive_integer(detector, rows, k):
    with pytest.raises(SpecificationError, match="k is a positive integer"):
        detector.review(rows, k=k)


def test_unfitted_detectors_and_other_tables_are_refused(detector, rows):
    with pytest.raises(NotFittedError):
        VAEDetector().review(rows)
    with pytest.raises(DataError, match="'a'"):
        detector.review(rows.drop(columns="a"))
