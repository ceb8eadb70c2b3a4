"""With the rest of scikit-learn, on real data."""

from pathlib import Path

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import VAEDetector, anomaly_average_precision, anomaly_roc_auc
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick, load_wine

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")


@pytest.fixture(scope="module")
def heart() -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    X, y = load_cardiotocography()
    return X.iloc[:600], y.iloc[:600].to_numpy()


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=20).set_params(**parameters)


def test_pipeline_scores_like_its_parts(heart: tuple[pd.DataFrame, npt.NDArray[np.int64]]) -> None:
    X, y = heart
    pipeline = Pipeline([("scale", StandardScaler()), ("vae", small())]).fit(X)
    by_hand = small().fit(StandardScaler().fit_transform(X))
    np.testing.assert_array_equal(pipeline.score_samples(X), by_hand.score_samples(StandardScaler().fit_transform(X)))
    assert set(pipeline.predict(X)) <= {-1, 1}
    assert anomaly_roc_auc(pipeline, X, y) == pytest.approx(
        anomaly_roc_auc(by_hand, StandardScaler().fit_transform(X), y)
    )


@pytest.mark.slow
def test_grid_search_without_labels_uses_two_processes_of_one_thread(
    heart: tuple[pd.DataFrame, npt.NDArray[np.int64]],
) -> None:
    X, _ = heart
    search = GridSearchCV(small(), {"latent_dim": [1, 6]}, cv=2, n_jobs=2).fit(X)
    assert search.best_params_ == {"latent_dim": 6}
    threads = joblib.Parallel(n_jobs=2)(joblib.delayed(torch.get_num_threads)() for _ in range(2))
    assert max(threads) <= max(1, joblib.cpu_count() // 2)


def test_grid_search_without_labels_chooses_the_latent_size(heart: tuple[pd.DataFrame, npt.NDArray[np.int64]]) -> None:
    X, _ = heart
    assert GridSearchCV(small(), {"latent_dim": [1, 6]}, cv=2).fit(X).best_params_ == {"latent_dim": 6}


def test_grid_search_with_labels_ranks_by_the_anomaly_scorers() -> None:
    X, y = load_wine()
    halves = StratifiedKFold(2, shuffle=True, random_state=0)
    scoring = {"auc": anomaly_roc_auc, "ap": anomaly_average_precision}
    search = GridSearchCV(small(), {"latent_dim": [2, 4]}, cv=halves, scoring=scoring, refit="auc").fit(X, y)
    assert (search.cv_results_["mean_test_auc"] > 0.5).all()
    assert (search.cv_results_["mean_test_ap"] > y.mean()).all()


def test_cross_val_score_is_the_mean_elbo(heart: tuple[pd.DataFrame, npt.NDArray[np.int64]]) -> None:
    X, _ = heart
    folds = cross_val_score(small(), X, cv=2)
    first, second = X.iloc[:300], X.iloc[300:]
    assert folds[0] == pytest.approx(small().fit(second).score_samples(first).mean())


def test_set_output_gives_named_latents(heart: tuple[pd.DataFrame, npt.NDArray[np.int64]]) -> None:
    X, _ = heart
    detector = small(latent_dim=3).set_output(transform="pandas")
    latents = detector.fit_transform(X)
    assert list(latents.columns) == [f"member{m}_latent{i}" for m in range(2) for i in range(3)]
    assert latents.index.equals(X.index)
    np.testing.assert_array_equal(detector.set_output(transform="default").transform(X), latents.to_numpy())


def test_clone_refits_to_identical_scores() -> None:
    X, _ = load_thyroid_sick()
    X = X.iloc[:500]
    detector = small().fit(X)
    np.testing.assert_array_equal(clone(detector).fit(X).score_samples(X), detector.score_samples(X))


def test_joblib_round_trip_keeps_scores(tmp_path: Path) -> None:
    X, _ = load_thyroid_sick()
    X = X.iloc[:500]
    detector = small().fit(X)
    joblib.dump(detector, tmp_path / "detector.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "detector.joblib").score_samples(X), detector.score_samples(X))


def test_global_random_state_is_left_alone(heart: tuple[pd.DataFrame, npt.NDArray[np.int64]]) -> None:
    X, _ = heart
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    detector = small(random_state=None).fit(X)
    detector.sample(5)
    detector.score_samples(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
