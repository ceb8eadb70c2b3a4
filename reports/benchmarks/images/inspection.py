"""Inspection images: who finds the defective ones, and where; good images only in training, one default.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/images/inspection.py
python reports/benchmarks/images/inspection.py --sets kolektor --methods PatchDetector --seeds 0 --again

The data are not in the repository (see harness.py).  MVTec screw is measured with every image scaled to equal mean:
raw brightness alone separates its test images.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import DATA, SEEDS, Array, console, fit_warnings
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import PatchDetector, VAEDetector
from vae_anomaly.detectors import top_mean

HERE = Path(__file__).resolve().parent
COLUMNS = ("set", "seed", "method", "image_auroc", "pixel_auroc", "pixel_ap", "fit_s", "image_s", "commit")
FOLDERS = {
    "screw 128": ("mvtec_screw/screw_128", True),
    "screw 256": ("mvtec_screw/screw_256", True),
    "screw 128, raw brightness": ("mvtec_screw/screw_128", False),
    "kolektor": ("kolektor_sdd/kolektor", False),
}
METHODS: dict[str, dict[str, Any]] = {
    "PatchDetector": {},
    "PatchDetector, window 8": {"window": 8},
    "PatchDetector, window 16": {"window": 16},
    "PatchDetector, whole": {"model": "whole"},
}
OTHERS = ("VAEDetector", "PCA", "brightness")
SMOOTHING, COMPONENTS, TOP = 2.0, 30, 50


@dataclass(frozen=True)
class Inspection:
    """Good images to learn from, test images, which of them are defective and where."""

    training: Array
    tested: Array
    defective: npt.NDArray[np.bool_]
    masks: npt.NDArray[np.bool_]


@cache
def inspection(name: str) -> Inspection:
    folder, equal = DATA / FOLDERS[name][0], FOLDERS[name][1]
    training = np.stack([grey(path) for path in sorted((folder / "train").rglob("*.png"))])
    paths = sorted((folder / "test").rglob("*.png"))
    tested = np.stack([grey(path) for path in paths])
    masks = []
    for path, image in zip(paths, tested, strict=True):
        found = sorted((folder / "ground_truth" / path.parent.name).glob(f"{path.stem}*"))
        masks.append(grey(found[0]) > 0 if found else np.zeros(image.shape, dtype=bool))
    if equal:
        level = training.mean()
        training, tested = (level * some / some.mean((1, 2), keepdims=True) for some in (training, tested))
    return Inspection(training, tested, np.array([path.parent.name != "good" for path in paths]), np.stack(masks))


def grey(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float64)


def maps(method: str, given: Inspection, seed: int) -> tuple[Array, Array, float, float]:
    """Scores and maps of the test images, seconds to fit and seconds an image."""
    begin = time.perf_counter()
    if method in METHODS:
        with fit_warnings():
            detector = PatchDetector(random_state=seed, **METHODS[method]).fit(given.training)
        fit_s, begin = time.perf_counter() - begin, time.perf_counter()
        found = detector.explain(given.tested)
        return found.score, found.excess, fit_s, (time.perf_counter() - begin) / len(given.tested)
    if method == "VAEDetector":
        with fit_warnings():
            whole = VAEDetector(random_state=seed).fit(given.training)
        fit_s, begin = time.perf_counter() - begin, time.perf_counter()
        explained = whole.explain(given.tested)
        raw = explained.excess
        scores: Array = explained.score
    else:
        flat = given.training.reshape(len(given.training), -1)
        pca = PCA(COMPONENTS, random_state=seed).fit(flat)
        fit_s, begin = time.perf_counter() - begin, time.perf_counter()
        rows = given.tested.reshape(len(given.tested), -1)
        raw = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).reshape(given.tested.shape)
        scores = np.array([])
    smooth = np.stack([gaussian_filter(one, SMOOTHING) for one in raw])
    taken = (time.perf_counter() - begin) / len(given.tested)
    if not len(scores):
        scores = np.array([top_mean(one, TOP) for one in smooth])
    return scores, smooth, fit_s, taken


def measured(name: str, seed: int, method: str) -> dict[str, Any]:
    given = inspection(name)
    if method == "brightness":
        return {"image_auroc": float(roc_auc_score(given.defective, given.tested.mean((1, 2))))}
    scores, found, fit_s, image_s = maps(method, given, seed)
    return {
        "image_auroc": float(roc_auc_score(given.defective, scores)),
        "pixel_auroc": float(roc_auc_score(given.masks.ravel(), found.ravel())),
        "pixel_ap": float(average_precision_score(given.masks.ravel(), found.ravel())),
        "fit_s": fit_s,
        "image_s": image_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *OTHERS], default=[*METHODS, *OTHERS])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--out", type=Path, default=HERE / "inspection.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ledger = Ledger(chosen.out, COLUMNS, 3)
    with ledger.alone():
        for seed in chosen.seeds:
            for name in chosen.sets:
                for method in chosen.methods:
                    if (name, str(seed), method) in ledger.rows and not chosen.again:
                        continue
                    row = measured(name, seed, method)
                    ledger.add({"set": name, "seed": seed, "method": method, "commit": commit(), **row})
                    said = " ".join(f"{key} {value:.3f}" for key, value in row.items())
                    console.log(f"{name}, {seed}, {method}: {said}", highlight=False)


if __name__ == "__main__":
    main()
