"""scikit-learn's own contract for estimators."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimators_pickle,
    check_fit_idempotent,
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
    parametrize_with_checks,
)

from vae_anomaly import GroupedDetector, ImportanceWeighted, VAEDetector

WEIGHTS_ARE_NOT_COPIES = (
    "a row of weight 2 and two copies of it give different mini-batches, so stochastic gradient descent takes another "
    "path to a model of the same loss"
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS_ARE_NOT_COPIES,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS_ARE_NOT_COPIES,
}
COLUMNS_BY_NAME = "columns of a DataFrame are taken by name, in any order and with others beside them"
SHARE_OF_TRAINING_ROWS = "contamination is a share of rows to come, and the check counts that of the training rows"
CONTAMINATION_CHECKS = dict.fromkeys(["check_outliers_train", "check_outliers_fit_predict"], SHARE_OF_TRAINING_ROWS)


def expected_failures(estimator: VAEDetector) -> dict[str, str]:
    return EXPECTED_FAILURES if estimator.calibration is None else EXPECTED_FAILURES | CONTAMINATION_CHECKS


pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

# A different likelihood, prior, score and number of members.
OTHER = VAEDetector(
    n_estimators=1,
    max_samples=1.0,
    likelihood="gaussian",
    prior="standard_normal",
    row_score=ImportanceWeighted(n_draws=8),
    max_iter=8,
    calibration=None,
)


@parametrize_with_checks([VAEDetector(n_estimators=2, max_iter=8)], expected_failed_checks=expected_failures)
def test_estimator_keeps_scikit_learns_contract(estimator: VAEDetector, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "strict_columns",
    [True, pytest.param(False, marks=pytest.mark.xfail(reason=COLUMNS_BY_NAME, strict=True, raises=AssertionError))],
)
def test_names_of_columns_are_those_of_the_fit_where_that_is_asked_for(strict_columns: bool) -> None:
    # Not among the checks that `parametrize_with_checks` yields.
    estimator = VAEDetector(n_estimators=2, max_iter=8, strict_columns=strict_columns)
    check_dataframe_column_names_consistency("VAEDetector", estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [VAEDetector(n_estimators=2, max_iter=8, strict_columns=True)], expected_failed_checks=expected_failures
)
def test_estimator_that_is_strict_about_columns_keeps_the_contract(estimator: VAEDetector, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [VAEDetector(preset="robust", n_estimators=2, max_iter=8)], expected_failed_checks=expected_failures
)
def test_estimator_of_the_robust_preset_keeps_the_contract(estimator: VAEDetector, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([OTHER], expected_failed_checks=expected_failures)
def test_estimator_of_other_parts_keeps_the_contract(estimator: VAEDetector, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        check_estimators_pickle,
        check_fit_idempotent,
        check_methods_sample_order_invariance,
        check_methods_subset_invariance,
    ],
)
def test_scores_of_other_parts_are_invariant(check: Any) -> None:
    check("VAEDetector", OTHER)


GROUPS_EXPECTED = {
    "check_outliers_train": "each model has an offset of its own, and there is none for all",
    "check_classifier_data_not_an_array": "the check names no column of its data frame",
}


@parametrize_with_checks(
    [GroupedDetector(VAEDetector(n_estimators=1, max_iter=2, hidden_layer_sizes=(4,)), by="x0", min_rows=10)],
    expected_failed_checks=lambda _: GROUPS_EXPECTED,
)
def test_estimator_of_groups_keeps_scikit_learns_contract(estimator: GroupedDetector, check: Any) -> None:
    check(estimator)
