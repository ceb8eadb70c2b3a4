"""Figures, searches and inspections of scikit-learn take a detector, or there is another way that docs/guide names."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import DecisionBoundaryDisplay, permutation_importance
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    get_scorer,
    roc_auc_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    LearningCurveDisplay,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    ValidationCurveDisplay,
    cross_val_score,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import AnomalyClassifier, DataError, VAEDetector, anomaly_roc_auc

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

N, N_ANOMALIES = 160, 20
CONVENTIONS = {"1 is an anomaly": (0, 1), "-1 is an anomaly": (1, -1)}
QUICK = VAEDetector(max_iter=30, early_stopping=False, n_estimators=1, latent_dim=1)
FOLDS = StratifiedKFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    # Only the first column tells anomalies; they overlap a little.
    return rng.normal(size=(N + N_ANOMALIES, 2)) + np.outer(np.arange(N + N_ANOMALIES) >= N, [4, 0])


@pytest.fixture(scope="module")
def is_anomaly():
    return np.arange(N + N_ANOMALIES) >= N


@pytest.fixture(scope="module")
def fitted(rows):
    return clone(QUICK).fit(rows[:N])


@pytest.fixture(params=CONVENTIONS)
def y(request, is_anomaly):
    normal, anomalous = CONVENTIONS[request.param]
    return np.where(is_anomaly, anomalous, normal)


@pytest.fixture
def classifier(fitted, rows, y):
    return AnomalyClassifier(FrozenEstimator(fitted)).fit(rows, y)


@pytest.fixture(scope="module")
def auroc(fitted, rows, is_anomaly):
    return roc_auc_score(is_anomaly, fitted.anomaly_score(rows))


@pytest.mark.parametrize("display", [RocCurveDisplay, PrecisionRecallDisplay, DetCurveDisplay, ConfusionMatrixDisplay])
def test_figures_of_classifiers_refuse_a_detector_and_take_the_classifier(display, fitted, classifier, rows, y):
    with pytest.raises(ValueError, match=r"binary classifier|only supports classifiers"):
        display.from_estimator(fitted, rows, y)
    assert display.from_estimator(classifier, rows, y).figure_


def test_roc_curve_is_the_right_way_round_in_both_conventions(classifier, rows, y, auroc):
    assert 0.9 < auroc < 1
    assert RocCurveDisplay.from_estimator(classifier, rows, y).roc_auc == pytest.approx(auroc)


def test_curves_of_scores_are_the_right_way_round(fitted, rows, is_anomaly, auroc):
    scores = fitted.anomaly_score(rows)
    assert RocCurveDisplay.from_predictions(is_anomaly, scores).roc_auc == pytest.approx(auroc)
    assert PrecisionRecallDisplay.from_predictions(is_anomaly, scores).average_precision > 0.8


def test_scorer_by_name_is_the_wrong_way_round_for_a_detector_and_the_right_one_here(
    fitted, rows, is_anomaly, classifier, y, auroc
):
    """What docs/guide/figures.md warns of: this is how scikit-learn scores any detector with labels 0 and 1."""
    scorer = get_scorer("roc_auc")
    assert scorer(fitted, rows, is_anomaly.astype(int)) == pytest.approx(1 - auroc)
    assert scorer(fitted, rows, np.where(is_anomaly, -1, 1)) == pytest.approx(auroc)
    assert scorer(classifier, rows, y) == pytest.approx(auroc)
    assert anomaly_roc_auc(fitted, rows, y) == pytest.approx(auroc)


def test_confusions_are_those_of_the_detector(classifier, fitted, rows, y, is_anomaly):
    predicted = classifier.predict(rows)
    assert set(predicted) <= set(y)
    assert ((predicted == y) == ((fitted.predict(rows) == -1) == is_anomaly)).all()
    assert ((classifier.decision_function(rows) > 0) == (predicted == classifier.classes_[1])).all()


def test_threshold_is_tuned_by_labels(fitted, rows, y):
    unfitted = AnomalyClassifier(FrozenEstimator(fitted))
    positive = -1 if -1 in y else 1
    scoring = "balanced_accuracy"
    tuned = TunedThresholdClassifierCV(unfitted, scoring=scoring, cv=FOLDS).fit(rows, y)
    assert get_scorer(scoring)(tuned, rows, y) > 0.9
    assert (tuned.predict(rows[-N_ANOMALIES:]) == positive).mean() > 0.8


def test_search_and_cross_validation_are_the_right_way_round(rows, y):
    pipeline = make_pipeline(StandardScaler(), AnomalyClassifier(QUICK))
    assert cross_val_score(pipeline, rows, y, scoring="roc_auc", cv=FOLDS).min() > 0.8
    parameters = {"detector__latent_dim": [1]}
    search = GridSearchCV(AnomalyClassifier(QUICK), parameters, scoring="roc_auc", cv=FOLDS)
    assert search.fit(rows, y).best_score_ > 0.8


def test_probabilities_are_calibrated_by_labels(fitted, rows, y):
    calibrated = CalibratedClassifierCV(AnomalyClassifier(FrozenEstimator(fitted)), cv=FOLDS).fit(rows, y)
    place = 0 if -1 in y else 1
    assert calibrated.predict_proba(rows)[-N_ANOMALIES:, place].mean() > 0.5
    assert calibrated.predict_proba(rows)[:N, place].mean() < 0.2


def test_importance_is_that_of_the_column_that_tells(fitted, classifier, rows, y):
    of_detector = permutation_importance(fitted, rows, y, scoring=anomaly_roc_auc, n_repeats=3, random_state=0)
    of_classifier = permutation_importance(classifier, rows, y, scoring="roc_auc", n_repeats=3, random_state=0)
    for found in (of_detector, of_classifier):
        assert found.importances_mean[0] > 0.2 > abs(found.importances_mean[1])


def test_importance_without_labels_is_what_shuffling_costs_in_nats(fitted, rows):
    correlated = np.column_stack([rows[:N, 0], rows[:N, 0]])
    detector = clone(QUICK).set_params(max_iter=150).fit(correlated)
    found = permutation_importance(detector, correlated, None, n_repeats=2, random_state=0)
    assert (found.importances_mean > 0.5).all()


@pytest.mark.parametrize("response", ["auto", "predict", "decision_function"])
def test_boundary_is_where_decisions_change(fitted, rows, response):
    _, ax = plt.subplots()
    drawn = DecisionBoundaryDisplay.from_estimator(fitted, rows, response_method=response, grid_resolution=8, ax=ax)
    points = np.column_stack([drawn.xx0.ravel(), drawn.xx1.ravel()])
    expected = fitted.predict(points) if response == "predict" else fitted.decision_function(points)
    assert np.asarray(drawn.response).ravel() == pytest.approx(expected)


def test_curves_over_rows_and_parameters_need_no_labels(rows):
    assert LearningCurveDisplay.from_estimator(QUICK, rows, None, train_sizes=[0.5, 0.9], cv=2).figure_
    drawn = ValidationCurveDisplay.from_estimator(QUICK, rows, None, param_name="latent_dim", param_range=[1, 2], cv=2)
    assert drawn.figure_


def test_learning_curve_by_labels(rows, y):
    *_, scores = learning_curve(QUICK, rows, y, scoring=anomaly_roc_auc, train_sizes=[0.9], cv=FOLDS)
    assert scores.min() > 0.8


@pytest.mark.parametrize("labels", [[0, 2], ["ok", "bad"], [0, 0]])
def test_labels_of_neither_convention_are_refused(labels):
    with pytest.raises(DataError, match="Recode the labels"):
        AnomalyClassifier(QUICK).fit([[0.0], [1.0]], labels)


def test_other_detectors_are_classifiers_too(rows, y):
    from sklearn.ensemble import IsolationForest

    forest = AnomalyClassifier(IsolationForest(n_estimators=10, random_state=0)).fit(rows, y)
    assert get_scorer("roc_auc")(forest, rows, y) > 0.8
    assert forest.n_features_in_ == 2
