"""Searches and comparisons on engines of others: equal bits, and what is said of workers that end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from vae_anomaly import VAEDetector, compare

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how_to" / "search.md"
# In place of the page's data and defaults, which take minutes.
SMALL = {
    "VAEDetector()": "VAEDetector(max_iter=20, n_estimators=2)",
    "VAEDetector(latent": "VAEDetector(max_iter=20, n_estimators=2, latent",
    "from vae_anomaly_datasets import load_thyroid_sick": "",
    "load_thyroid_sick()": "rows_and_labels()",
    "tune.grid_search([2, 8])": "tune.grid_search([2])",
}
SEARCHED = {"latent_dim": [2, 4]}


def rows_and_labels() -> tuple[pd.DataFrame, np.ndarray]:
    y = np.repeat([0, 1], [180, 20])
    rows = np.random.default_rng(0).normal(size=(200, 3)) + 3 * y[:, None]
    return pd.DataFrame(rows, columns=list("abc")), y


def little(**parameters: Any) -> VAEDetector:
    return VAEDetector(max_iter=20, n_estimators=2, **parameters)


def search_of(X: Any) -> GridSearchCV:
    return GridSearchCV(little(), SEARCHED, cv=2).fit(X)


def blocks() -> Iterator[str]:
    for part in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]:
        yield part.partition("```")[0]


@pytest.fixture(scope="module")
def alone() -> Any:
    """What one process finds."""
    X, y = rows_and_labels()
    detectors = {"two": little(latent_dim=2), "four": little(latent_dim=4)}
    return X, search_of(X), compare(X, y, detectors=detectors, n_splits=2)


def assert_same_search(found: GridSearchCV, expected: GridSearchCV, X: Any) -> None:
    for split in ("split0_test_score", "split1_test_score"):
        assert found.cv_results_[split].tobytes() == expected.cv_results_[split].tobytes()
    scores = [each.best_estimator_.score_samples(X).tobytes() for each in (found, expected)]
    assert scores[0] == scores[1]


def test_searches_and_comparisons_of_the_page_have_the_bits_of_one_process(ray_cluster, alone):
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'dask[distributed]'")
    if not PAGE.exists():
        pytest.skip("the documentation is no part of a source distribution")
    X, expected, compared = alone
    names: dict[str, Any] = {"rows_and_labels": rows_and_labels}
    for code in blocks():
        for written, shorter in SMALL.items():
            code = code.replace(written, shorter)
        exec(compile(code, str(PAGE), "exec"), names)
        assert_same_search(names["search"], expected, X)
    found = names["comparison"]
    pd.testing.assert_frame_equal(found.scores, compared.scores, check_exact=True)
    seconds = ["fit_seconds", "score_seconds"]
    pd.testing.assert_frame_equal(found.measures.drop(columns=seconds), compared.measures.drop(columns=seconds))
    assert names["best"].config["learning_rate_init"] == 1e-2
    assert names["detector"].n_features_in_ == 3
