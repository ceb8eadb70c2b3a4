"""Inspection images by pretrained features: the detector beside three simple ones on the same features, one default.

pip install -c constraints.txt -e ".[benchmark,features]"
python reports/benchmarks/images/features.py
python reports/benchmarks/images/features.py --sets kolektor --methods FeatureMapDetector --seeds 0 --again
python reports/benchmarks/images/features_page.py

KolektorSDD and MVTec screw are not in the repository (see harness.py); the others are made by surfaces.py.  The
simple methods have no threshold; that of the detector comes from images that it learns from afterwards.
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import SEEDS, Array, console, fit_warnings
from benchmarks.images.inspection import Inspection, inspection
from benchmarks.images.surfaces import SURFACES, surface
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

from vae_anomaly import FeatureMapDetector, PatchDetector
from vae_anomaly.detectors import top_mean
from vae_anomaly.networks import named_network

HERE = Path(__file__).resolve().parent
COLUMNS = ("set", "seed", "method", "image_auroc", "pixel_auroc", "pixel_ap", "fit_s", "images_s", "commit")
REAL = ("kolektor", "screw 256")
NETWORK = "efficientnet-lite0"
# Of the network's maps, those that the simple methods see, at the size of the second: blocks 2, 4 and 10.
MAPS = (0, 1, 2)
BANK, GAUSSIAN_FEATURES, SMOOTHING, TOP = 8000, 100, 4.0, 0.005
SIMPLE = ("nearest neighbours", "Gaussian by position", "Mahalanobis")
METHODS = ("FeatureMapDetector", *SIMPLE, "PatchDetector")


def given(name: str) -> Inspection:
    if name in REAL:
        found = inspection(name)
        return Inspection(np.clip(found.training, 0, 255), np.clip(found.tested, 0, 255), found.defective, found.masks)
    training, tested, kinds, masks = surface(name)
    return Inspection(training, tested, np.array([kind != "good" for kind in kinds]), masks)


def features(images: Array) -> Tensor:
    """(images, features, height, width): maps averaged over 3 x 3 positions, at the size of the second."""
    network = named_network(NETWORK)
    found = []
    for some in torch.from_numpy(images).float().div(255).sub(network.mean).div(network.std).split(8):
        maps = network(some[:, None].expand(-1, 3, -1, -1))
        size = maps[1].shape[2:]
        pooled = [functional.avg_pool2d(maps[number], 3, 1, 1, count_include_pad=False) for number in MAPS]
        fine = functional.adaptive_avg_pool2d(pooled[0], size)
        found.append(torch.cat([fine, pooled[1], functional.interpolate(pooled[2], size, mode="bilinear")], 1))
    return torch.cat(found)


@cache
def features_of(name: str) -> tuple[Tensor, Tensor, float, float]:
    """Of training and test images, and the seconds for each."""
    one = given(name)
    begin = time.perf_counter()
    training = features(one.training)
    between = time.perf_counter()
    return training, features(one.tested), between - begin, time.perf_counter() - between


def rows(maps: Tensor) -> Tensor:
    return maps.movedim(1, 3).flatten(0, 2)


def nearest(training: Tensor, tested: Tensor, rng: np.random.Generator) -> Tensor:
    """Distance to the nearest of a sample of positions, features standardised."""
    known = rows(training)
    mean, deviation = known.mean(0), known.std(0)
    chosen = torch.from_numpy(rng.permutation(len(known))[:BANK].copy())
    bank = (known[chosen] - mean) / deviation
    asked = (rows(tested) - mean) / deviation
    return torch.cat([torch.cdist(some, bank).min(1).values for some in asked.split(4096)])


def mahalanobis(training: Tensor, tested: Tensor, rng: np.random.Generator) -> Tensor:
    """Distance from the mean of all positions."""
    known = rows(training)
    chosen = torch.from_numpy(rng.permutation(len(known))[:60_000].copy())
    mean = known[chosen].mean(0)
    centred = (known[chosen] - mean).double()
    covariance = centred.T @ centred / len(chosen)
    covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    white = torch.linalg.cholesky(torch.linalg.inv(covariance)).float()
    distances: Tensor = ((rows(tested) - mean) @ white).square().sum(1)
    return distances


def by_position(training: Tensor, tested: Tensor, rng: np.random.Generator) -> Tensor:
    """A Gaussian at each position, of features drawn at random, as PaDiM has it."""
    n_tested, n_features, height, width = tested.shape
    chosen = torch.from_numpy(np.sort(rng.permutation(n_features)[:GAUSSIAN_FEATURES]))
    known, asked = (part[:, chosen].flatten(2).movedim(2, 0) for part in (training, tested))
    found = []
    for own, new in zip(known.split(64), asked.split(64), strict=True):
        mean = own.mean(1, keepdim=True)
        centred = own - mean
        covariance = centred.transpose(1, 2) @ centred / (centred.shape[1] - 1)
        covariance += 0.01 * torch.eye(len(chosen))
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, (new - mean).transpose(1, 2), upper=False)
        found.append(white.square().sum(1))
    return torch.cat(found).T.reshape(n_tested, height, width).flatten()


SIMPLE_METHODS = dict(zip(SIMPLE, (nearest, by_position, mahalanobis), strict=True))


def measured(name: str, seed: int, method: str) -> dict[str, Any]:
    one = given(name)
    begin = time.perf_counter()
    if method in SIMPLE_METHODS:
        training, tested, fit_s, feature_s = features_of(name)
        begin = time.perf_counter() - feature_s
        found = SIMPLE_METHODS[method](training, tested, np.random.default_rng(seed))
        small = found.view(len(tested), 1, *tested.shape[2:])
        large = functional.interpolate(small, size=one.tested.shape[1:], mode="bilinear")[:, 0].numpy()
        maps = np.stack([gaussian_filter(image, SMOOTHING) for image in large])
        scores = np.array([top_mean(image, round(TOP * image.size)) for image in maps])
    else:
        made = (
            FeatureMapDetector(NETWORK, random_state=seed) if method == METHODS[0] else PatchDetector(random_state=seed)
        )
        with fit_warnings():
            detector = made.fit(one.training / 255 if method == METHODS[0] else one.training)
        fit_s, begin = time.perf_counter() - begin, time.perf_counter()
        explained = detector.explain(one.tested / 255 if method == METHODS[0] else one.tested)
        scores, maps = explained.score, explained.excess
    taken = time.perf_counter() - begin
    return {
        "image_auroc": float(roc_auc_score(one.defective, scores)),
        "pixel_auroc": float(roc_auc_score(one.masks.ravel(), maps.ravel())),
        "pixel_ap": float(average_precision_score(one.masks.ravel(), maps.ravel())),
        "fit_s": fit_s,
        "images_s": len(one.tested) / taken,
    }


def main() -> None:
    sets = [*REAL, *SURFACES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS[:-1]))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "features.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    ledger = Ledger(chosen.out, COLUMNS, 3)
    with ledger.alone(), torch.inference_mode():
        for name in chosen.sets:
            features_of.cache_clear()
            for seed in chosen.seeds:
                for method in chosen.methods:
                    if (name, str(seed), method) in ledger.rows and not chosen.again:
                        continue
                    row = measured(name, seed, method)
                    ledger.add({"set": name, "seed": seed, "method": method, "commit": commit(), **row})
                    said = " ".join(f"{key} {value:.3f}" for key, value in row.items())
                    console.log(f"{name}, {seed}, {method}: {said}", highlight=False)


if __name__ == "__main__":
    main()
