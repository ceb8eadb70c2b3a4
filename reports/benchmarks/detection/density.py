"""Held-out log-likelihood of ADBench's tables: VAEDetector beside density estimators of scikit-learn.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/detection/density.py

What is finished is in density.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.detection import cells
from benchmarks.detection.density_page import write_page
from benchmarks.detection.protocol import splits, tables
from benchmarks.harness import Array
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity

from vae_anomaly import VAEDetector

SEEDS = (0, 1, 2)
KEYS = ("table", "seed", "model")
FIGURES = ("nats", "median_nats", "fit_s", "score_s", "n_train", "n_test", "n_columns", "repeated", "n_density")
COLUMNS = (*KEYS, *FIGURES, "status", "commit")
MIN_VARIANCE = 1e-3
N_COMPONENTS = range(1, 11)
PCA_COMPONENTS = (1, 2, 4, 8, 16, 32, 64)
BANDWIDTHS = np.geomspace(0.02, 2.0, 13)
N_FOLDS = 3
MAX_SECONDS = 300


class MixtureByBIC:
    """GaussianMixture of 1 to 10 components with full covariances: the one with the lowest BIC on the training rows."""

    def __init__(self, random_state: int) -> None:
        self.random_state = random_state

    def fit(self, X: Array) -> MixtureByBIC:
        fitted = [
            GaussianMixture(n, reg_covar=MIN_VARIANCE, random_state=self.random_state).fit(X)
            for n in N_COMPONENTS
            if n < len(X)
        ]
        self.best = min(fitted, key=lambda mixture: float(mixture.bic(X)))
        return self

    def score_samples(self, X: Array) -> Any:
        return self.best.score_samples(X)


class FlooredPCA(PCA):  # type: ignore[misc]
    """Probabilistic PCA whose noise variance is at least that of the mixtures."""

    def fit(self, X: Array, y: object = None) -> FlooredPCA:
        super().fit(X, y)
        self.noise_variance_: float = max(self.noise_variance_, MIN_VARIANCE)
        return self


def folds(seed: int) -> KFold:
    return KFold(N_FOLDS, shuffle=True, random_state=seed)


def kernels(_: Array, seed: int) -> Any:
    return GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}, cv=folds(seed), error_score="raise")


def principal_components(X: Array, seed: int) -> Any:
    most = min(X.shape[1], len(X) * (N_FOLDS - 1) // N_FOLDS)
    chosen = [n for n in PCA_COMPONENTS if n < most] or [1]
    return GridSearchCV(FlooredPCA(), {"n_components": chosen}, cv=folds(seed), error_score="raise")


def detector(score: Any, *, declared: bool) -> Callable[[Array, int], Any]:
    def make(X: Array, seed: int) -> VAEDetector:
        columns = {f"x{index}": "continuous" for index in range(X.shape[1])} if declared else None
        return VAEDetector(columns=columns, row_score=score, random_state=seed)

    return make


# The names are those of the page: density_page.py tells models of densities from the defaults by them.
MODELS: dict[str, Callable[[Array, int], Any]] = {
    "one Gaussian": lambda _, seed: GaussianMixture(1, reg_covar=MIN_VARIANCE, random_state=seed),
    "probabilistic PCA": principal_components,
    "VAEDetector, ELBO": detector("elbo", declared=True),
    "VAEDetector, importance-weighted": detector("importance_weighted", declared=True),
    "defaults, ELBO": detector("elbo", declared=False),
    "defaults, importance-weighted": detector("importance_weighted", declared=False),
    "mixture by BIC": lambda _, seed: MixtureByBIC(seed),
    "kernels": kernels,
}
PEERS = ("one Gaussian", "probabilistic PCA", "mixture by BIC", "kernels")


def rows_of(table: str, seed: int) -> tuple[Array, Array]:
    """Training rows and the normal ones among the held-out rows, without columns that are constant in training."""
    train, test, y = splits(table, "semi", seed)
    varying = np.ptp(train, axis=0) > 0
    return train[:, varying], test[y == 0][:, varying]


def repeated(train: Array, test: Array) -> float:
    """The share of held-out cells whose exact value some training row has in that column."""
    return float(np.mean([np.isin(there, known).mean() for there, known in zip(test.T, train.T, strict=True)]))


def n_densities(model: Any) -> int:
    """How many columns of a detector have a density as likelihood, not a probability."""
    likelihoods = [column.likelihood for column in model.columns_ if column.likelihood is not None]
    return sum(likelihood.density and not likelihood.rounded for likelihood in likelihoods)


def measure(cell: cells.Cell) -> cells.Row:
    table, seed, name = cell
    train, test = rows_of(table, int(seed))

    def work() -> cells.Row:
        model = MODELS[name](train, int(seed))
        begin = time.perf_counter()
        model.fit(train)
        middle = time.perf_counter()
        nats = model.score_samples(test)
        end = time.perf_counter()
        if not np.isfinite(nats).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(nats))} of {len(nats)} log-densities are not finite")
        figures = {"nats": float(np.mean(nats)), "median_nats": float(np.median(nats))}
        n_density = n_densities(model) if isinstance(model, VAEDetector) else train.shape[1]
        return {**figures, "fit_s": middle - begin, "score_s": end - middle, "n_density": n_density}

    shape = {"n_train": len(train), "n_test": len(test), "n_columns": train.shape[1]}
    row = cells.attempt(work, MAX_SECONDS if name in PEERS else None)
    return {"table": table, "seed": seed, "model": name, "repeated": repeated(train, test), **shape, **row}


def main() -> None:
    names = tables()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--tables", nargs="+", choices=names, default=names, metavar="TABLE")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="MODEL")
    parser.add_argument("--again", nargs="+", choices=list(MODELS), default=[], metavar="MODEL")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes, of one thread each")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ledger = cells.Ledger(chosen.out / "density.csv", COLUMNS, len(KEYS))
    planned = [
        (table, str(seed), name)
        for seed in chosen.seeds
        for name in MODELS
        for table in names
        if table in chosen.tables and name in chosen.models
    ]
    with ledger.alone():
        ledger.forget(lambda row: row["model"] in chosen.again)
        cells.fill(ledger, planned, measure, chosen.jobs)
    write_page(ledger.frame(), chosen.out)


if __name__ == "__main__":
    main()
