"""Small images: the default of VAEDetector, its other scores, and simple peers, on MNIST and Fashion-MNIST.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/images/small.py
python reports/benchmarks/images/small.py --tasks mnist "mnist 8" --seeds 0 --methods VAEDetector kNN --again
python reports/benchmarks/images/small.py --tasks fashion_mnist mnist --seeds 0 \\
    --methods "maps of a network" "vectors of a network" --out reports/benchmarks/images/small_features.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import SEEDS, Array, console, fit_warnings
from benchmarks.images.sets import KINDS, SETS, Grey, Task, names, task
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from vae_anomaly import FeatureMapDetector, ImageFeatures, VAEDetector
from vae_anomaly.scores import ELBO, SCORES, InputComplexity, LikelihoodRatio

HERE = Path(__file__).resolve().parent
OURS = "VAEDetector"
COLUMNS = ("task", "seed", "method", "fit_s", "images_s", *KINDS, "commit")
METHODS = (OURS, "convolutional", "PCA", "kNN", "IsolationForest")
# Of a network that sees images enlarged; they need the extra "features", and are measured where they are asked for.
ENLARGED, MAPS, VECTORS = (64, 64), "maps of a network", "vectors of a network"
OTHERS_OF_A_FIT = (ELBO(n_draws=2), LikelihoodRatio(n_draws=2), InputComplexity(n_draws=2))
OTHER_FITS = ("likelihood_path", "likelihood_regret")
NEIGHBORS, COMPONENTS = 5, 64

Scorer = Callable[[Grey], Array]


def peer(method: str, images: Grey, seed: int) -> Scorer:
    """A function from images to scores, higher for more anomalous ones, of a simple detector on flattened pixels."""
    rows = flat(images)
    if method == "PCA":
        pca = PCA(COMPONENTS, random_state=seed).fit(rows)

        def error(tested: Grey) -> Array:
            given = flat(tested)
            left: Array = ((given - pca.inverse_transform(pca.transform(given))) ** 2).sum(1)
            return left

        return error
    if method == "kNN":
        near = NearestNeighbors(n_neighbors=NEIGHBORS).fit(rows)
        return lambda tested: near.kneighbors(flat(tested))[0].mean(1)
    forest = IsolationForest(random_state=seed).fit(rows)
    return lambda tested: -forest.score_samples(flat(tested))


def flat(images: Grey) -> Array:
    return images.reshape(len(images), -1) / 255


def auroc(normal: Array, anomalies: Array) -> float:
    return float(roc_auc_score(np.repeat([0, 1], [len(normal), len(anomalies)]), np.concatenate([normal, anomalies])))


def scored(scorer: Scorer, given: Task) -> dict[str, float]:
    begin = time.perf_counter()
    normal = scorer(given.normal)
    rate = len(normal) / (time.perf_counter() - begin)
    return {"images_s": rate} | {kind: auroc(normal, scorer(some)) for kind, some in given.anomalies.items()}


def enlarged(method: str, seed: int) -> Any:
    """A detector of features of enlarged images: of maps, or of vectors."""
    if method == MAPS:
        return FeatureMapDetector("efficientnet-lite0", image_shape=ENLARGED, random_state=seed)
    vectors = ImageFeatures("efficientnet-lite0", image_shape=ENLARGED)
    return make_pipeline(vectors, VAEDetector(random_state=seed))


def measured(name: str, seed: int, method: str) -> Iterator[dict[str, Any]]:
    """Rows of one task, seed and method: several where one fit has several scores."""
    given = task(name, seed)
    begin = time.perf_counter()
    if method in (MAPS, VECTORS):
        made = enlarged(method, seed)
        with fit_warnings():
            made.fit(given.training)
        fit_s = time.perf_counter() - begin
        yield {"method": method, "fit_s": fit_s, **scored(lambda some: -made.score_samples(some), given)}
        return
    if method not in (OURS, "convolutional"):
        scorer = peer(method, given.training, seed)
        fit_s = time.perf_counter() - begin
        yield {"method": method, "fit_s": fit_s, **scored(scorer, given)}
        return
    detector = VAEDetector(random_state=seed).set_params(backbone="auto" if method == OURS else method)
    with fit_warnings():
        detector.fit(given.training)
    fit_s = time.perf_counter() - begin
    yield {"method": method, "fit_s": fit_s, **scored(detector.anomaly_score, given)}
    for score in OTHERS_OF_A_FIT:
        detector.model_ = dataclasses.replace(detector.model_, score=score)
        named = next(name for name, kind in SCORES.items() if type(score) is kind)
        yield {"method": f"{method}, {named}", "fit_s": fit_s, **scored(detector.anomaly_score, given)}
    if method != OURS or name not in SETS:
        return
    for named in OTHER_FITS:
        other = VAEDetector(random_state=seed).set_params(row_score=named)
        with fit_warnings():
            other.fit(given.training)
        yield {"method": f"{method}, {named}", "fit_s": fit_s, **scored(other.anomaly_score, given)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=names(), default=names())
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, MAPS, VECTORS], default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--out", type=Path, default=HERE / "small.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ledger = Ledger(chosen.out, COLUMNS, 3)
    with ledger.alone():
        for seed in chosen.seeds:
            for name in chosen.tasks:
                for method in chosen.methods:
                    if (name, str(seed), method) in ledger.rows and not chosen.again:
                        continue
                    for row in measured(name, seed, method):
                        ledger.add({"task": name, "seed": seed, "commit": commit(), **row})
                        kinds = " ".join(f"{kind} {row[kind]:.3f}" for kind in KINDS if kind in row)
                        console.log(f"{name}, {seed}, {row['method']}: {row['fit_s']:.1f} s, {kinds}", highlight=False)


if __name__ == "__main__":
    main()
