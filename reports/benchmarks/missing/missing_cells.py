"""Tables some of whose cells are missing, and what is measured of their scores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.detection.cells import commit
from benchmarks.harness import DATA, Array
from benchmarks.missing.missing_scores import METHODS
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import VAEDetector

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.csv"
TABLES = ("breastw", "Pima", "WDBC", "cardio", "annthyroid", "mammography", "satimage-2", "campaign")
SEEDS = (0, 1, 2)
TRAININGS = {"whole": 0.0, "holes": 0.25}
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
EMPTY, MIXED, COLUMN = "empty", "mixed", "one column"
MIXTURE = (0.0, 0.1, 0.25, 0.5)
RATES = (0.01, 0.05)
MAX_TRAINING, MAX_NORMAL, MAX_ANOMALIES = 1000, 500, 200
KEYS = ("table", "training", "missing", "method", "seed")
VALUES = ("n_training", "n_test", "n_columns", "auroc", "ap", "shift", "flagged_1", "flagged_5", "score_s")
AFTER = ("fit_s", "commit")

Labels = npt.NDArray[np.int64]


def hidden(rows: Array, shares: Array | float, rng: np.random.Generator) -> Array:
    """Rows with cells missing completely at random."""
    return np.where(rng.random(rows.shape) < np.reshape(shares, (-1, 1)), np.nan, rows)


def split(table: str, seed: int) -> tuple[Array, Array, Labels]:
    """Half of the normal rows to train on; others, and anomalies, to score."""
    with np.load(DATA / "adbench" / f"{table}.npz") as held:
        rows, labels = held["X"].astype(float), held["y"]
    rng = np.random.default_rng(seed)
    normal, anomalous = (rng.permutation(np.flatnonzero(labels == label)) for label in (0, 1))
    n_training = min(len(normal) // 2, MAX_TRAINING)
    chosen = [normal[n_training : n_training + MAX_NORMAL], anomalous[:MAX_ANOMALIES]]
    return rows[normal[:n_training]], rows[np.concatenate(chosen)], np.repeat([0, 1], [len(part) for part in chosen])


def variants(test: Array, rng: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """The same rows with different cells missing."""
    for share in SHARES:
        yield f"{share:g}", hidden(test, share, rng)
    yield MIXED, hidden(test, rng.choice(MIXTURE, len(test)), rng)
    yield EMPTY, np.full_like(test, np.nan)
    only = test.copy()
    only[np.arange(len(test)), rng.integers(0, test.shape[1], len(test))] = np.nan
    yield COLUMN, only


def measured(table: str, training: str, seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([seed, 1])
    rows, test, labels = split(table, seed)
    begin = time.process_time()
    detector = VAEDetector(random_state=seed).fit(hidden(rows, TRAININGS[training], rng))
    fit_s = time.process_time() - begin
    whole = {name: method(detector, test) for name, method in METHODS.items()}
    for missing, changed in variants(test, rng):
        for name, method in METHODS.items():
            begin = time.process_time()
            scores = method(detector, changed)
            normal, before = scores[labels == 0], whole[name][labels == 0]
            yield {
                **dict(zip(KEYS, (table, training, missing, name, seed), strict=True)),
                "n_training": len(rows),
                "n_test": len(test),
                "n_columns": test.shape[1],
                "auroc": float(roc_auc_score(labels, scores)),
                "ap": float(average_precision_score(labels, scores)),
                "shift": float((normal.mean() - before.mean()) / before.std()),
                **{
                    f"flagged_{rate:.0%}".rstrip("%"): float((normal > np.quantile(before, 1 - rate)).mean())
                    for rate in RATES
                },
                "score_s": time.process_time() - begin,
                "fit_s": fit_s,
                "commit": commit(),
            }
