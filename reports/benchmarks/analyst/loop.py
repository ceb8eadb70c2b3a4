"""The review loop: ten rounds of five reviews on ADBench's tables, beside IsolationForest with the same offset model.

python reports/benchmarks/analyst/loop.py
python reports/benchmarks/analyst/loop.py --tables wine glass --seeds 0

Every detector is fitted on all rows of a table, anomalies among them, and judges the same rows. A round asks for the
labels of the five most anomalous rows that nobody has looked at, and learns from all answers so far. What is finished
is in analyst/loop.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.detection import cells
from benchmarks.detection.protocol import tables
from benchmarks.harness import DATA, SEEDS, console
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import VAEDetector
from vae_anomaly.fitting import ReviewedRows, fit_offset

Array = npt.NDArray[np.float64]
Rescore = Callable[[npt.NDArray[np.intp]], Array]

ROUNDS, PER_ROUND, MAX_ROWS = 10, 5, 4000
MAX_DEVIATION = 10.0
COLUMNS = (
    *("method", "table", "seed", "n_reviewed", "found", "found_fixed"),
    *("ap_before", "ap_after", "auroc_before", "auroc_after", "learn_ms", "status", "reason"),
)


def rows_of(table: str, seed: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """At most 4,000 rows, drawn by the seed."""
    with np.load(DATA / "adbench" / f"{table}.npz") as held:
        X, y = held["X"].astype(np.float64), held["y"].astype(np.int64).ravel()
    chosen = np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS]
    return X[chosen], y[chosen]


def vae(preset: Any) -> Callable[[Array, npt.NDArray[np.int64], int], tuple[Array, Rescore]]:
    """VAEDetector with one of its presets."""

    def fitted(X: Array, y: npt.NDArray[np.int64], seed: int) -> tuple[Array, Rescore]:
        detector = VAEDetector(preset=preset, random_state=seed).fit(X)
        detector.forget_training_rows()

        def rescore(reviewed: npt.NDArray[np.intp]) -> Array:
            after: Array = detector.learn(X[reviewed], y[reviewed]).anomaly_score(X)
            return after

        return detector.anomaly_score(X), rescore

    return fitted


def forest(X: Array, y: npt.NDArray[np.int64], seed: int) -> tuple[Array, Rescore]:
    """IsolationForest, whose score is in standard deviations, on deviations from medians and their sizes."""
    scores = -IsolationForest(random_state=seed).fit(X).score_samples(X)
    scores = (scores - scores.mean()) / scores.std()
    low, median, high = np.percentile(X, [25, 50, 75], axis=0)
    spread = np.maximum((high - low) / 1.349, X.std(0) / 10 + 1e-12)
    deviations = ((X - median) / spread).clip(-MAX_DEVIATION, MAX_DEVIATION)
    design = np.concatenate([deviations, np.abs(deviations)], 1)

    def rescore(reviewed: npt.NDArray[np.intp]) -> Array:
        found = y[reviewed].astype(bool)
        rows, basis = ReviewedRows(
            scores[reviewed], design[reviewed], found, float(np.quantile(scores, 0.99))
        ).reduced()
        after: Array = scores + design @ (basis.T @ fit_offset(rows).coefficients)
        return after

    return scores, rescore


METHODS = {"VAEDetector": vae("default"), "VAEDetector robust": vae("robust"), "IsolationForest": forest}


def measure(cell: cells.Cell) -> list[cells.Row]:
    method, table, seed = cell
    X, y = rows_of(table, int(seed))
    before, rescore = METHODS[method](X, y, int(seed))
    fixed = np.argsort(-before, kind="stable")
    scores, is_open = before, np.ones(len(y), dtype=bool)
    reviewed: list[int] = []
    rows = []
    for _ in range(ROUNDS):
        ranked = np.argsort(-np.where(is_open, scores, -np.inf), kind="stable")[:PER_ROUND]
        is_open[ranked] = False
        reviewed += ranked.tolist()
        begun = time.process_time()
        scores = rescore(np.array(reviewed))
        seconds = time.process_time() - begun
        rest = y[is_open]
        has_both = 0 < rest.sum() < len(rest)
        row: cells.Row = {
            "method": method,
            "table": table,
            "seed": seed,
            "n_reviewed": len(reviewed),
            "found": int(y[reviewed].sum()),
            "found_fixed": int(y[fixed[: len(reviewed)]].sum()),
            "learn_ms": 1000 * seconds,
            "status": cells.OK,
        }
        for name, known in (("before", before), ("after", scores)):
            row[f"ap_{name}"] = average_precision_score(rest, known[is_open]) if has_both else None
            row[f"auroc_{name}"] = roc_auc_score(rest, known[is_open]) if has_both else None
        rows.append(row)
    return rows


def main() -> None:
    names = tables()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=names, default=names, metavar="TABLE")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ledger = cells.Ledger(chosen.out / "analyst" / "loop.csv", COLUMNS, 4)
    with ledger.alone():
        done = {row[:3] for row in ledger.rows}
        for seed in chosen.seeds:
            for table in chosen.tables:
                for method in chosen.methods:
                    if (method, table, str(seed)) in done:
                        continue
                    for row in measure((method, table, str(seed))):
                        ledger.add(row)
                    console.log(f"{table}, seed {seed}, {method}: {row['found_fixed']} -> {row['found']}")


if __name__ == "__main__":
    main()
