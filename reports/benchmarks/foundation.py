"""Detection, density and contract figures of VAEDetector beside its peers, on the tables that ship.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/foundation.py --seeds 5
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.foundation_page import OURS, page, surroundings
from pyod.models import vae as pyod_vae
from rich.console import Console
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from vae_anomaly import ELBO, FitWarning, Gaussian, ImportanceWeighted, TrainingPlan, VAEDetector
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick, load_wine

Array = npt.NDArray[np.float64]

TABLES = {"thyroid_sick": load_thyroid_sick, "cardiotocography": load_cardiotocography, "wine": load_wine}
SETTINGS = ("contaminated", "clean")
UNITS = np.array([1.0, 100.0])
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "a weight of 2 and two copies of a row give different mini-batches"
}

console = Console()


# Detection


class Peer:
    """What a careful user does before a detector of numbers: fitted on training rows, timed with the detector."""

    def __init__(self, model: Any, score: Callable[[Any, Array, bool], Any]) -> None:
        self.model, self.score = model, score
        numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        categorical = make_pipeline(
            SimpleImputer(strategy="constant", fill_value="missing"),
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        )
        self.prepare = make_column_transformer(
            (numeric, make_column_selector(dtype_include="number")),
            (categorical, make_column_selector(dtype_exclude="number")),
        )

    def fit(self, X: pd.DataFrame) -> Peer:
        self.kept = X.columns[X.notna().any()]
        self.model.fit(self.prepare.fit_transform(X[self.kept]))
        return self

    def anomaly_score(self, X: pd.DataFrame, *, seen: bool) -> Array:
        scores: Array = self.score(self.model, self.prepare.transform(X[self.kept]), seen)
        return scores


def knn_score(model: Any, X: Array, seen: bool) -> Any:
    return model.kneighbors(None if seen else X)[0].mean(1)  # None: a training row is not its own neighbour


def lof_score(model: Any, X: Array, seen: bool) -> Any:
    return -(model.negative_outlier_factor_ if seen else model.score_samples(X))


def minus_score(model: Any, X: Array, _: bool) -> Any:
    return -model.score_samples(X)


def pyod_score(model: Any, X: Array, _: bool) -> Any:
    return model.decision_function(X)


PEERS: dict[str, Callable[[int], Peer]] = {
    "IsolationForest": lambda seed: Peer(IsolationForest(random_state=seed), minus_score),
    "PyOD VAE": lambda seed: Peer(pyod_vae.VAE(random_state=seed, verbose=0), pyod_score),
    "LOF": lambda _: Peer(LocalOutlierFactor(novelty=True), lof_score),
    "kNN mean distance": lambda _: Peer(NearestNeighbors(n_neighbors=5), knn_score),
    "Gaussian": lambda seed: Peer(GaussianMixture(1, random_state=seed), minus_score),
}
METHODS = (OURS, *PEERS)


def measure(method: str, train: pd.DataFrame, test: pd.DataFrame, seed: int, seen: bool) -> tuple[Array, float, float]:
    begin = time.perf_counter()
    if method == OURS:
        detector = VAEDetector(random_state=seed).fit(train)
        middle = time.perf_counter()
        scores = -detector.training_scores_ if seen else detector.anomaly_score(test)
    else:
        peer = PEERS[method](seed).fit(train)
        middle = time.perf_counter()
        scores = peer.anomaly_score(test, seen=seen)
    return scores, middle - begin, time.perf_counter() - middle


def detection(seeds: int) -> pd.DataFrame:
    warm_up = load_wine()[0]
    for method in METHODS:
        measure(method, warm_up, warm_up, 0, seen=True)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for table, load in TABLES.items():
            X, y = load()
            normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
            half = normal[: len(normal) // 2]
            everything, rest = np.arange(len(y)), np.setdiff1d(np.arange(len(y)), half)
            for setting in SETTINGS:
                fitted, scored = (everything, everything) if setting == "contaminated" else (half, rest)
                train, test, truth = X.iloc[fitted], X.iloc[scored], y.iloc[scored]
                for method in METHODS:
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        scores, fit_s, score_s = measure(method, train, test, seed, setting == "contaminated")
                    ours = [w for w in caught if issubclass(w.category, FitWarning)]
                    row = {"table": table, "setting": setting, "seed": seed, "method": method}
                    row |= {"auroc": roc_auc_score(truth, scores), "ap": average_precision_score(truth, scores)}
                    row |= {"fit_s": fit_s, "score_s": score_s, "rows_fit": len(train), "rows_scored": len(test)}
                    rows.append(row | {"fit_warnings": len(ours)})
        console.log(f"detection, seed {seed}")
    return pd.DataFrame(rows)


# Density


def pca_gap(seed: int) -> dict[str, float]:
    """A linear VAE with shared noise is probabilistic PCA, whose density is known."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(2000, 6))
    X = rows * [1.0, 10.0, 0.1, 3.0, 5.0, 2.0] + 7.0
    train, held_out = X[:1000], X[1000:]
    scaler = StandardScaler().fit(train)
    pca, units = PCA(2).fit(scaler.transform(train)), np.log(scaler.scale_).sum()
    detector = VAEDetector(
        n_estimators=1,
        max_samples=1.0,
        latent_dim=2,
        hidden_layer_sizes=(),
        likelihood=Gaussian(noise="shared", floor=1e-3),
        prior="standard_normal",
        row_score=ELBO(n_draws=1024),
        training=TrainingPlan(hidden_fraction=0.0),
        early_stopping=False,
        learning_rate_init=1e-2,
        max_iter=1_500,
        random_state=seed,
    ).fit(train)
    result: dict[str, float] = {}
    for name, part in (("training rows", train), ("held-out rows", held_out)):
        closed, bound = float(pca.score(scaler.transform(part)) - units), detector.score(part)
        result |= {f"{name}: closed form": closed, f"{name}: linear VAE, ELBO": bound, f"{name}: gap": bound - closed}
    return result


def two_groups(n: int, seed: int) -> tuple[Array, float]:
    """Rows of a known mixture of two Gaussians in columns of different units, and their mean log-density."""
    rng = np.random.default_rng(seed)
    near, far = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * [0.7, 1.2] + [5.0, 2.0]
    rows = np.where(rng.random((n, 1)) < 0.6, near, far)
    first = np.log(0.6 / (2 * np.pi)) - 0.5 * (rows**2).sum(1)
    second = np.log(0.4 / (2 * np.pi * 0.7 * 1.2)) - 0.5 * (((rows - [5.0, 2.0]) / [0.7, 1.2]) ** 2).sum(1)
    return rows * UNITS, float(np.logaddexp(first, second).mean() - np.log(UNITS.prod()))


def integral(detector: VAEDetector, X: Array) -> float:
    """Of exp(score) over a rectangle that holds the rows, in the units of the data."""
    low, high = X.min(0) - 2.5 * UNITS, X.max(0) + 2.5 * UNITS
    a, b = np.linspace(low[0], high[0], 100), np.linspace(low[1], high[1], 100)
    grid = np.stack(np.meshgrid(a, b), -1).reshape(-1, 2)
    return float(np.exp(detector.score_samples(grid)).sum() * (a[1] - a[0]) * (b[1] - b[0]))


def mixture_figures(seed: int) -> tuple[dict[str, float], dict[str, float]]:
    (X, _), (held_out, true) = two_groups(1500, seed), two_groups(3000, seed + 1_000)
    shift = np.log(UNITS.prod())
    mixture = GaussianMixture(2, random_state=seed).fit(X / UNITS)
    search = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.05, 1.0, 10)}).fit(X / UNITS)
    density = {"true density": true}
    density["GaussianMixture, 2 components"] = float(mixture.score(held_out / UNITS) - shift)
    density["KernelDensity, CV bandwidth"] = float(search.score_samples(held_out / UNITS).mean() - shift)
    mass = {}
    gaussian = {"n_estimators": 4, "max_samples": 1.0, "likelihood": "gaussian", "prior": "standard_normal"}
    gaussian |= {"training": TrainingPlan(hidden_fraction=0.0), "max_iter": 1_000}
    for name, settings in (("density settings", gaussian), ("defaults", {})):
        for score in (ImportanceWeighted(n_draws=32), ELBO()):
            detector = VAEDetector(random_state=seed, row_score=score).set_params(**settings).fit(X)
            label = f"VAEDetector, {name}, {'ELBO' if isinstance(score, ELBO) else 'importance-weighted, 32 draws'}"
            density[label], mass[label] = detector.score(held_out), integral(detector, X)
    return density, mass


# Contract


def contract() -> tuple[str, list[str]]:
    """Counts of scikit-learn's estimator checks at full defaults, and a line for each that did not pass."""
    begin = time.perf_counter()
    results = check_estimator(VAEDetector(), expected_failed_checks=EXPECTED_FAILURES, on_fail=None, on_skip=None)
    seconds = time.perf_counter() - begin
    count = Counter(result["status"] for result in results)
    words = {"passed": "passed", "xfail": "failed as expected", "failed": "failed", "skipped": "skipped"}
    summary = ", ".join(f"{count[status]} {word}" for status, word in words.items())
    lines = []
    for result in (result for result in results if result["status"] != "passed"):
        error = " ".join(str(result["exception"]).split())[:400]
        reason = result["expected_to_fail_reason"] if result["expected_to_fail"] else error
        lines.append(f"* `{result['check_name']}`, {words[result['status']]}: {reason}.")
    return f"{len(results)} checks in {seconds:.0f} s: {summary}.", lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    options = parser.parse_args()
    started, seeds, where = time.perf_counter(), range(options.seeds), surroundings()

    found = detection(options.seeds)
    options.out.mkdir(parents=True, exist_ok=True)
    found.round(6).to_csv(options.out / "foundation.csv", index=False, lineterminator="\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gaps = pd.DataFrame([pca_gap(seed) for seed in seeds])
        measured = [mixture_figures(seed) for seed in seeds]
        console.log("density")
        summary, not_passed = contract()
    density, mass = (pd.DataFrame(list(part)) for part in zip(*measured, strict=True))
    minutes = (time.perf_counter() - started) / 60
    text = page(found, gaps, density, mass, (summary, not_passed), where, minutes)
    (options.out / "foundation.md").write_text(text, encoding="utf-8")
    console.log(f"wrote {options.out / 'foundation.md'}")


if __name__ == "__main__":
    main()
