"""The encoding of mixed tables and the simple detectors behind it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from vae_anomaly import DataError, NumericEncoder
from vae_anomaly.comparison.simple import GaussianMixtureByBIC, ProbabilisticPCA

rng = np.random.default_rng(0)


def test_missing_cells_get_the_median_and_numbers_the_standard_scale():
    encoder = NumericEncoder().fit(pd.DataFrame({"x": [0.0, 4.0, np.nan, 2.0, 2.0]}))
    deviation = np.sqrt(8 / 5)
    found = encoder.transform(pd.DataFrame({"x": [4.0, np.nan]}))
    assert found.ravel().tolist() == pytest.approx([2 / deviation, 0])


def test_rare_levels_share_a_column_and_unknown_ones_have_none():
    shops = ["z"] * 3 + [None] * 3 + ["b"] + ["c"]
    encoder = NumericEncoder(min_frequency=3).fit(pd.DataFrame({"shop": shops}))
    new = pd.DataFrame({"shop": ["missing", None, "z", "b", "c", "new"]})
    assert encoder.transform(new).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_dates_are_days_and_flags_are_levels():
    frame = pd.DataFrame({"day": pd.to_datetime(["2026-01-01", "2026-01-03"]), "flag": [True, False]})
    encoded = NumericEncoder(min_frequency=1).fit_transform(frame)
    assert encoded.tolist() == [[-1, 0, 1], [1, 1, 0]]


def test_column_without_a_training_value_is_left_out():
    frame = pd.DataFrame({"x": [1.0, 2.0], "empty": [None, None]})
    encoder = NumericEncoder().fit(frame)
    assert encoder.readings_ == {"x": "numbers", "empty": "aside"}
    assert encoder.transform(frame.assign(empty="new")).shape == (2, 1)


def test_declared_columns_are_read_as_the_user_says():
    frame = pd.DataFrame({"zip": [7, 8], "key": ["a", "b"], "day": ["2026-01-01", "2026-01-03"], "n": ["1", "2"]})
    kinds = {"zip": "categorical", "key": "identifier", "day": "datetime", "n": "count"}
    encoder = NumericEncoder(kinds, min_frequency=1).fit(frame)
    assert list(encoder.readings_.values()) == ["levels", "aside", "days", "numbers"]
    assert encoder.transform(frame).tolist() == [[-1, -1, 1, 0], [1, 1, 0, 1]]


def test_columns_are_found_by_name():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [5.0, 9.0]})
    encoder = NumericEncoder().fit(frame)
    assert encoder.transform(frame[["y", "x"]]).tolist() == encoder.transform(frame).tolist()
    with pytest.raises(DataError, match="column 'y' is missing"):
        encoder.transform(frame[["x"]])


def test_arrays_of_numbers_and_of_objects_are_taken():
    numbers = NumericEncoder().fit_transform([[1.0, 5.0], [2.0, np.nan]])
    assert numbers.tolist() == [[-1, 0], [1, 0]]
    mixed = NumericEncoder(min_frequency=1).fit_transform(np.array([[1, "a"], [2, "b"]], dtype=object))
    assert mixed.tolist() == [[-1, 1, 0], [1, 0, 1]]


def test_infinite_cell_is_refused_by_name():
    with pytest.raises(DataError, match=r"'x' holds inf \(index 1\)"):
        NumericEncoder().fit(pd.DataFrame({"x": [1.0, np.inf]}))


def test_likelihood_of_pca_is_that_of_scikit_learn_where_it_has_noise():
    X = rng.normal(size=(50, 4)) * [3, 2, 1, 1]
    ours = ProbabilisticPCA(n_components=0.9).fit(X)
    theirs = PCA(n_components=0.9).fit(X)
    assert ours.n_components_ == theirs.n_components_ < 4
    assert ours.score_samples(X).tolist() == theirs.score_samples(X).tolist()


def test_likelihood_of_pca_is_finite_where_columns_depend_on_each_other():
    flag = rng.integers(0, 2, 40).astype(float)
    detector = ProbabilisticPCA(n_components=0.9).fit(np.column_stack([flag, 1 - flag]))
    inside, outside = detector.score_samples([[1.0, 0.0], [1.0, 1.0]])
    assert np.isfinite([inside, outside]).all()
    assert outside < inside - 1000


@pytest.mark.parametrize("n_blobs", [1, 3])
def test_mixture_has_as_many_components_as_there_are(n_blobs):
    X = np.concatenate([rng.normal(20 * blob, 1, size=(60, 2)) for blob in range(n_blobs)])
    detector = GaussianMixtureByBIC(random_state=0).fit(X)
    assert detector.mixture_.n_components == n_blobs


def test_mixture_of_one_is_the_gaussian_density():
    X = rng.normal(size=(80, 2))
    detector = GaussianMixtureByBIC(reg_covar=0.01).fit(X)
    density = stats.multivariate_normal(X.mean(axis=0), np.cov(X.T, bias=True) + 0.01 * np.eye(2))
    assert detector.score_samples(X) == pytest.approx(density.logpdf(X))
