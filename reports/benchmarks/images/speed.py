"""Images a second to fit and to score, beside PyOD's autoencoder on flattened pixels and the limit of the machine.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/images/speed.py
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import Array, console, fit_warnings
from benchmarks.images.inspection import inspection
from benchmarks.images.sets import Grey, drawn, images
from benchmarks.images.small import auroc
from pyod.models.auto_encoder import AutoEncoder

from vae_anomaly import PatchDetector, VAEDetector
from vae_anomaly.model import VAE

HERE = Path(__file__).resolve().parent
COLUMNS = ("images", "method", "run", "fit_s", "trained_s", "score_s", "limit_share", "auroc", "commit")
FITTED, SCORED = 12_000, 10_000
SIDE, REPEATS = 1536, 5


def products_a_second() -> float:
    """Multiplications and additions of a large single-precision product, the best of several."""
    left, right = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - begin)
    return 2 * SIDE**3 / best


def operations(vae: VAE) -> int:
    """Multiplications and additions of a pass of one row through encoder and decoder, of all members."""
    return sum(2 * weights.numel() for weights in vae.parameters() if weights.dim() > 2 and weights.shape[1] > 1)


def small(method: str, training: Grey, tested: Grey, other: Grey, rate: float) -> dict[str, Any]:
    scorer: Callable[[Grey], Array]
    begin = time.perf_counter()
    share = seen = None
    if method == "PyOD AutoEncoder":
        detector = AutoEncoder(verbose=0, random_state=0)
        detector.fit(flat(training))
        fit_s = time.perf_counter() - begin
        seen = detector.epoch_num * len(training)
        scorer = lambda some: detector.decision_function(flat(some))  # noqa: E731
    else:
        with fit_warnings():
            ours = VAEDetector().set_params(backbone=method.partition(", ")[2] or "auto").fit(training)
        fit_s = time.perf_counter() - begin
        seen = ours.n_iter_ * 128
        if method == "VAEDetector":
            # Forward and backward are three passes.
            share = 3 * seen * operations(ours.vae_) / fit_s / rate
        scorer = ours.anomaly_score
    scorer(tested[:500])
    begin = time.perf_counter()
    normal = scorer(tested)
    score_s = len(tested) / (time.perf_counter() - begin)
    return {
        "fit_s": fit_s,
        "trained_s": seen / fit_s,
        "score_s": score_s,
        "limit_share": share,
        "auroc": auroc(normal, scorer(other)),
    }


def windows(name: str) -> dict[str, Any]:
    given = inspection(name)
    begin = time.perf_counter()
    with fit_warnings():
        detector = PatchDetector().fit(given.training)
    fit_s, begin = time.perf_counter() - begin, time.perf_counter()
    scores = detector.anomaly_score(given.tested)
    score_s = len(given.tested) / (time.perf_counter() - begin)
    return {"fit_s": fit_s, "score_s": score_s, "auroc": auroc(scores[~given.defective], scores[given.defective])}


def flat(some: Grey) -> Array:
    return some.reshape(len(some), -1) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--convolutional", action="store_true", help="also by convolutions: minutes")
    parser.add_argument("--out", type=Path, default=HERE / "speed.csv")
    chosen = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x_train, _, x_test, _ = images("fashion_mnist")
    training, other = drawn(rng, x_train, FITTED), images("mnist")[2]
    methods = ["VAEDetector", "PyOD AutoEncoder", *["VAEDetector, convolutional"] * chosen.convolutional]
    ledger = Ledger(chosen.out, COLUMNS, 3)
    with ledger.alone():
        for run in range(chosen.runs):
            rate = products_a_second()
            console.log(f"run {run}: {rate / 1e9:.0f} billion operations a second")
            rows = {
                ("fashion 28x28", method): small(method, training, x_test[:SCORED], other, rate) for method in methods
            }
            rows |= {("kolektor 128x320", "PatchDetector"): windows("kolektor")} if run == 0 else {}
            for (name, method), row in rows.items():
                ledger.add({"images": name, "method": method, "run": run, "commit": commit(), **row})
                said = " ".join(f"{key} {value:.3g}" for key, value in row.items() if value is not None)
                console.log(f"{name}, {method}: {said}", highlight=False)


if __name__ == "__main__":
    main()
