"""VAEDetector and its peers: what makes each, and how it scores."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.detection.protocol import CLEAN, CONTAMINATED, HISTORY, SETTINGS, stop
from benchmarks.foundation_page import OURS
from benchmarks.harness import Array
from sklearn.neighbors import NearestNeighbors

from vae_anomaly import VAEDetector

ACCURATE, ROBUST = f"{OURS} accurate", f"{OURS} robust"
# Slow peers are not run with a dirty history.
WITHOUT_HISTORY = (CLEAN, CONTAMINATED)
N_SLOW_SEEDS = 1
MAX_PEER_SECONDS = 180
QUICK, OWN, SLOW, SLOWEST = range(4)

Score = Callable[[Any, Array, bool], Any]


def pyod_score(model: Any, X: Array, seen: bool) -> Any:
    return model.decision_scores_ if seen else model.decision_function(X)


def own_score(model: VAEDetector, X: Array, seen: bool) -> Any:
    """New rows by `score_samples`, rows of the fit by `training_scores_`, which are made here."""
    return -model.training_scores_ if seen else model.anomaly_score(X)


def subsample_score(model: Any, X: Array, seen: bool) -> Any:
    return model.anomaly_score(X, seen)


@dataclass(frozen=True)
class Method:
    """How to make a detector, and how to run it.

    Attributes
    ----------
    make : callable
        A detector from training rows and a seed; not timed.
    score : callable
        Anomaly scores from the fitted detector, rows, and whether these are the training rows; timed.
    about : str
        What a reader must know beside the name.
    cost : int
        QUICK, OWN, SLOW or SLOWEST: dear ones run last, slow ones with fewer seeds.
    settings : tuple of str
        Where it runs.
    max_seconds : int or None
        Time to give up after.
    """

    make: Callable[[Array, int], Any]
    score: Score = pyod_score
    about: str = ""
    cost: int = QUICK
    settings: tuple[str, ...] = SETTINGS
    max_seconds: int | None = MAX_PEER_SECONDS

    def seeds(self, asked: list[int]) -> list[int]:
        """The asked seeds that it runs with."""
        return [seed for seed in asked if self.cost in (QUICK, OWN) or seed < N_SLOW_SEEDS]


class NearestInSubsamples:
    """LeSiNN: the distance to the nearest of 256 random training rows, averaged over 32 draws of them."""

    def __init__(self, n_subsamples: int = 32, max_samples: int = 256, random_state: int = 0) -> None:
        self.n_subsamples, self.max_samples, self.random_state = n_subsamples, max_samples, random_state

    def fit(self, X: Array) -> NearestInSubsamples:
        rng = np.random.default_rng(self.random_state)
        n = len(X)
        draws = [rng.choice(n, min(self.max_samples, n), replace=False) for _ in range(self.n_subsamples)]
        self.members = [(rows, NearestNeighbors(n_neighbors=2).fit(X[rows])) for rows in draws]
        return self

    def anomaly_score(self, X: Array, seen: bool) -> Array:
        total = np.zeros(len(X))
        for rows, neighbors in self.members:
            distances = neighbors.kneighbors(X)[0]
            is_itself = seen & np.isin(np.arange(len(X)), rows)
            total += np.where(is_itself, distances[:, 1], distances[:, 0])
        return total / self.n_subsamples


def pyod(module: str, name: str, *, seeded: bool = True, n_features: bool = False, **settings: Any) -> Any:
    """What makes a PyOD detector at its defaults but for `settings`."""

    def make(X: Array, seed: int) -> Any:
        arguments = dict(settings)
        if seeded:
            arguments["random_state"] = seed
        if n_features:
            arguments["n_features"] = X.shape[1]
        return getattr(imported(module), name)(**arguments)

    return make


def slow(module: str, name: str, about: str = "", **settings: Any) -> Method:
    return Method(pyod(module, name, **settings), about=about, cost=SLOW, settings=WITHOUT_HISTORY)


def imported(module: str) -> Any:
    try:
        return importlib.import_module(f"pyod.models.{module}")
    except ModuleNotFoundError:
        stop('this benchmark needs PyOD: python -m pip install -c constraints.txt -e ".[benchmark]"')


def own(preset: Any, about: str = "", settings: tuple[str, ...] = SETTINGS) -> Method:
    """VAEDetector with a preset; no time limit, and as many seeds as are asked for."""

    def make(_: Array, seed: int) -> VAEDetector:
        return VAEDetector(preset=preset, random_state=seed)

    return Method(make, own_score, about, OWN, settings, max_seconds=None)


OURS_METHODS: dict[str, Method] = {
    OURS: own("default"),
    # Rows of the fit are judged by the same robust view, whatever the preset: what VAEDetector has holds for it, too.
    ACCURATE: own("accurate", '`preset="accurate"`: training rows are normal', (CLEAN, HISTORY)),
    ROBUST: own("robust", '`preset="robust"`: training rows hold anomalies'),
}

PEERS: dict[str, Method] = {
    "IForest": Method(pyod("iforest", "IForest"), about="100 trees of 256 rows"),
    "KNN": Method(pyod("knn", "KNN", seeded=False), about="distance to the 5th neighbour"),
    "KNN mean": Method(pyod("knn", "KNN", seeded=False, method="mean"), about="mean distance to 5 neighbours"),
    "LeSiNN": Method(
        lambda _, seed: NearestInSubsamples(random_state=seed),
        subsample_score,
        about="mean distance to the nearest row in 32 subsamples of 256 rows, not PyOD's",
    ),
    "LOF": Method(pyod("lof", "LOF", seeded=False), about="20 neighbours"),
    "PCA": Method(pyod("pca", "PCA"), about="all components, weighted"),
    "GMM": Method(pyod("gmm", "GMM"), about="one component: a Gaussian"),
    "CBLOF": Method(pyod("cblof", "CBLOF"), about="8 clusters"),
    "COPOD": Method(pyod("copod", "COPOD", seeded=False)),
    "ECOD": Method(pyod("ecod", "ECOD", seeded=False)),
    "HBOS": Method(pyod("hbos", "HBOS", seeded=False), about="10 bins"),
    "INNE": Method(pyod("inne", "INNE"), about="200 members"),
    "MCD": slow("mcd", "MCD"),
    "OCSVM": slow("ocsvm", "OCSVM", "RBF kernel", seeded=False),
    "AutoEncoder": slow("auto_encoder", "AutoEncoder", "10 epochs", verbose=0),
    "DeepSVDD": slow("deep_svdd", "DeepSVDD", "100 epochs", n_features=True, verbose=0),
    "VAE (PyOD)": slow("vae", "VAE", "30 epochs", verbose=0),
    "LUNAR": Method(pyod("lunar", "LUNAR"), cost=SLOWEST, settings=(CLEAN,), about="5 neighbours, 200 epochs"),
}
METHODS: dict[str, Method] = {**OURS_METHODS, **PEERS}
PRESETS = [name for name in OURS_METHODS if name != OURS]
