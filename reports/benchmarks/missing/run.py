"""What missing cells do to the scores of rows: detection, the mean, false alarms, by ways to count them.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/missing/run.py --page
python reports/benchmarks/missing/run.py --tables Pima --seeds 0 --again

What is finished is in missing/results.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import DATA, Array, console
from benchmarks.missing.missing_scores import EXPECTED, METHODS
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
MAX_TRAINING, MAX_NORMAL, MAX_ANOMALIES = 2000, 1000, 300
KEYS = ("table", "training", "missing", "method", "seed")
VALUES = ("n_training", "n_test", "n_columns", "auroc", "ap", "shift", "flagged_1", "flagged_5", "score_s")
AFTER = ("fit_s", "commit")

Labels = npt.NDArray[np.int64]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="measure what is there anew")
    parser.add_argument("--page", action="store_true", help="write missing.md")
    return parser.parse_args()


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


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    ledger = Ledger(RESULTS, (*KEYS, *VALUES, *AFTER), len(KEYS))
    planned = [(table, training, seed) for seed in chosen.seeds for table in chosen.tables for training in TRAININGS]

    def is_planned(row: Mapping[str, str]) -> bool:
        return (row["table"], row["training"], int(row["seed"])) in planned

    with ledger.alone():
        if chosen.again:
            ledger.forget(is_planned)
        done = {(row["table"], row["training"], int(row["seed"])) for row in ledger.rows.values()}
        for cell in planned:
            if cell in done:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = list(measured(*cell))
            for row in found:
                ledger.add(row)
            said = {row["missing"]: row["shift"] for row in found if row["method"] == EXPECTED}
            console.log(*cell, f"{found[0]['fit_s']:.1f} s", {name: round(shift, 3) for name, shift in said.items()})
    if chosen.page:
        from benchmarks.missing.page import write_page

        write_page()


if __name__ == "__main__":
    main()
