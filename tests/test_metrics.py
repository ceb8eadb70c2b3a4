"""Scorers: either label convention, the right way round, and refusal of anything else."""

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly.comparison.metrics import anomaly_average_precision, anomaly_labels, anomaly_roc_auc
from vae_anomaly.errors import DataError

SCORERS = pytest.mark.parametrize("scorer", [anomaly_roc_auc, anomaly_average_precision])
CONVENTIONS = {
    "0 and 1": [0, 1, 0, 0, 1],
    "1 and -1": [1, -1, 1, 1, -1],
    "booleans": [False, True, False, False, True],
    "floats": [0.0, 1.0, 0.0, 0.0, 1.0],
    "floats with signs": [1.0, -1.0, 1.0, 1.0, -1.0],
    "array": np.array([1, -1, 1, 1, -1], dtype=np.int8),
    "unsigned": np.array([0, 1, 0, 0, 1], dtype=np.uint8),
    "series": pd.Series([0, 1, 0, 0, 1], index=list("abcde")),
    "column": [[0], [1], [0], [0], [1]],
}
REFUSED = {
    "normal rows only": ([0, 0, 0], "0"),
    "ones only": ([1, 1, 1], "1"),
    "anomalies only": ([-1, -1], "-1"),
    "three labels": ([-1, 0, 1], "-1, 0, 1"),
    "one and two": ([1, 2, 1], "1, 2"),
    "text": (["normal", "fraud"], "fraud, normal"),
    "text of numbers": (["0", "1"], "0, 1"),
    "missing": ([0.0, 1.0, np.nan], "nan"),
    "nothing": ([], "expected both"),
}


class KnownScores:
    """A detector whose score of a row is its first cell."""

    def score_samples(self, X):
        return np.asarray(X, dtype=float)[:, 0]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_either_convention_gives_the_same_mask_of_anomalies(convention):
    mask = anomaly_labels(CONVENTIONS[convention])
    assert mask.dtype == bool
    assert mask.tolist() == [False, True, False, False, True]


@pytest.mark.parametrize("labels", REFUSED)
@pytest.mark.parametrize("check", [anomaly_labels, lambda y: anomaly_roc_auc(KnownScores(), [[0]] * len(y), y)])
def test_labels_of_neither_convention_are_refused_and_shown(labels, check):
    y, shown = REFUSED[labels]
    with pytest.raises(DataError, match=shown) as caught:
        check(y)
    assert "\n" not in str(caught.value)


@SCORERS
@pytest.mark.parametrize("y", [[1, 1, 0, 0], [-1, -1, 1, 1]])
def test_perfect_detector_gets_1_in_either_convention(scorer, y):
    # Lower scores are more abnormal, as everywhere in scikit-learn.
    assert scorer(KnownScores(), [[-9.0], [-8.0], [1.0], [2.0]], y) == 1.0


def test_detector_that_is_always_wrong_gets_0():
    assert anomaly_roc_auc(KnownScores(), [[1.0], [2.0], [-9.0]], [1, 1, 0]) == 0.0


def test_area_by_hand():
    # Anomalies score 1 and 4 among normal rows 2, 3 and 5: 3 + 1 of 6 pairs are in order.
    X = [[1.0], [2.0], [3.0], [4.0], [5.0]]
    assert anomaly_roc_auc(KnownScores(), X, [1, 0, 0, 1, 0]) == pytest.approx(4 / 6)


def test_average_precision_by_hand():
    # From the lowest score: the anomalies stand at ranks 1 and 4, so (1 / 1 + 2 / 4) / 2.
    X = [[1.0], [2.0], [3.0], [4.0], [5.0]]
    assert anomaly_average_precision(KnownScores(), X, [1, 0, 0, 1, 0]) == pytest.approx(0.75)


def test_ties_count_half():
    assert anomaly_roc_auc(KnownScores(), [[1.0]] * 4, [0, 1, 0, 1]) == 0.5


@SCORERS
def test_pipeline_is_scored_through_its_steps(scorer):
    rng = np.random.default_rng(0)
    normal = rng.normal(0, [1, 1000], (60, 2))
    X = np.vstack([normal, [[9.0, 0.0], [0.0, 9000.0]]])
    pipeline = make_pipeline(StandardScaler(), EllipticEnvelope(random_state=0)).fit(normal)
    assert scorer(pipeline, X, [1] * 60 + [-1] * 2) == 1.0


@SCORERS
def test_result_is_a_plain_float(scorer):
    assert type(scorer(KnownScores(), [[0.0], [1.0]], [1, 0])) is float
