"""The ridge logistic regression that learns from reviewed rows."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from vae_anomaly.fitting.offset_fit import ReviewedRows, chosen_shrinkage, fit_offset


def reviewed(n=60, n_features=4, seed=0, effect=2.0, scale=1.0):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, n_features))
    scores = rng.normal(size=n) * scale
    log_odds = scores + effect * design[:, 0]
    return ReviewedRows(scores, design, rng.random(n) < expit(log_odds), 0.0)


@pytest.mark.parametrize("shrinkage", [0.5, 1.0, 10.0])
def test_without_scores_it_is_the_balanced_ridge_of_scikit_learn(shrinkage):
    rows = reviewed(scale=0.0)
    expected = LogisticRegression(C=1 / shrinkage, class_weight="balanced", tol=1e-10, max_iter=10_000)
    expected.fit(rows.design, rows.is_anomaly)
    found = fit_offset(rows, shrinkage)
    np.testing.assert_allclose(found.coefficients, expected.coef_[0], atol=1e-5)
    assert found.boundary == pytest.approx(-expected.intercept_[0], abs=1e-5)


def test_at_the_optimum_the_slope_of_the_penalised_loss_is_zero():
    rows = reviewed(effect=1.0)
    found = fit_offset(rows, 2.0)
    log_odds = rows.scores + rows.design @ found.coefficients - found.boundary
    residuals = rows.weights * (expit(log_odds) - rows.is_anomaly)
    np.testing.assert_allclose(rows.design.T @ residuals + 2.0 * found.coefficients, 0, atol=1e-6)
    assert residuals.sum() == pytest.approx(0, abs=1e-6)


def test_one_normal_row_is_moved_below_the_threshold_by_hand():
    # log(1 + exp(4 + b)) + b ** 2 / 2 is least where b = -sigmoid(4 + b).
    rows = ReviewedRows(np.array([9.0]), np.array([[1.0]]), np.array([False]), 5.0)
    found = fit_offset(rows, 1.0)
    assert found.coefficients[0] == pytest.approx(-expit(4 + found.coefficients[0]), abs=1e-7)
    assert found.boundary == 5.0


def test_infinite_shrinkage_learns_nothing_but_the_boundary():
    rows = reviewed()
    found = fit_offset(rows, np.inf)
    assert not found.coefficients.any()
    weighted = rows.weights * (expit(rows.scores - found.boundary) - rows.is_anomaly)
    assert weighted.sum() == pytest.approx(0, abs=1e-6)


def test_coordinates_say_all_of_many_features():
    rows = reviewed(n=20, n_features=100)
    reduced, basis = rows.reduced()
    assert reduced.design.shape[1] == 20
    np.testing.assert_allclose(
        basis.T @ fit_offset(reduced, 1.0).coefficients, fit_offset(rows, 1.0).coefficients, atol=1e-5
    )


def test_scores_far_apart_are_no_obstacle():
    rows = reviewed()
    far = ReviewedRows(rows.scores * 1e4, rows.design * 1e3, rows.is_anomaly, 0.0)
    assert np.isfinite(fit_offset(far).coefficients).all()


def test_answers_are_taken_where_they_teach_and_not_where_they_are_noise():
    assert chosen_shrinkage(reviewed(n=200, effect=4.0)) == 1.0
    refused = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = 50 * rng.normal(size=60)
        rows = ReviewedRows(scores, 3 * rng.normal(size=(60, 40)), rng.random(60) < 0.5, 0.0)
        refused += np.isinf(chosen_shrinkage(rows))
    assert refused >= 12


def test_few_answers_are_taken():
    assert chosen_shrinkage(reviewed(n=19)) == 1.0


def test_shrinkage_and_offset_do_not_depend_on_the_order_of_the_rows():
    rows = reviewed()
    order = np.random.default_rng(1).permutation(len(rows))
    other = rows.take(order)
    assert chosen_shrinkage(rows) == chosen_shrinkage(other)
    np.testing.assert_allclose(fit_offset(rows).coefficients, fit_offset(other).coefficients, atol=1e-6)


def test_rows_that_are_all_anomalous_teach_nothing():
    rows = reviewed()
    some = rows.take(np.flatnonzero(rows.is_anomaly))
    found = fit_offset(some)
    assert not found.coefficients.any()
    assert (found.shrinkage, found.boundary) == (np.inf, some.threshold)
