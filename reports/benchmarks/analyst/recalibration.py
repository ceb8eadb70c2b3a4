"""p-values after learning from reviewed rows: how often normal rows that nobody has seen are below a level.

python reports/benchmarks/analyst/recalibration.py

A detector is fitted on 1,500 rows, 2 % of them anomalies. In other rows, 1,000 normal ones with up to 5 % anomalies,
fifty are reviewed in ten rounds, and the same rows calibrate what was learned: as `learn(calibration=...)` does it, and
in two ways that look as good and are not: with the reviewed normal rows at their own learned scores, and without them.
Fresh normal rows say what share is at most .01, .05 and .1; fresh rows with anomalies what `select(fdr=.1)` finds.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from benchmarks.harness import DATA, SEEDS, console

from vae_anomaly import VAEDetector

Array = npt.NDArray[np.float64]

TABLES = (
    *("annthyroid", "campaign", "cover", "mammography", "mnist"),
    *("pendigits", "satimage-2", "shuttle", "thyroid", "Waveform"),
)
N_FITTED, N_REVIEWED_FROM, MAX_FRESH = 1500, 1000, 1500
LEVELS = (0.01, 0.05, 0.1)
ROUNDS, PER_ROUND, FDR = 10, 5, 0.1


def parts(table: str, seed: int) -> tuple[Array, tuple[Array, Array], tuple[Array, Array]]:
    """Rows of the fit, rows to review with what they are, fresh rows with what they are."""
    with np.load(DATA / "adbench" / f"{table}.npz") as held:
        X, y = held["X"].astype(np.float64), held["y"].astype(np.int64).ravel()
    rng = np.random.default_rng(seed)
    normal, odd = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    n_odd = min(N_REVIEWED_FROM // 20, len(odd) // 3)
    n_in_fit = min(N_FITTED // 50, len(odd) // 3)
    cuts = np.cumsum([N_FITTED, N_REVIEWED_FROM])
    fitted, reviewed, fresh = np.split(normal, cuts)
    in_fit, in_review, in_fresh = np.split(odd, [n_in_fit, n_in_fit + n_odd])
    sets = [
        rng.permutation(np.concatenate([fitted, in_fit])),
        rng.permutation(np.concatenate([reviewed, in_review])),
        rng.permutation(np.concatenate([fresh[:MAX_FRESH], in_fresh[: MAX_FRESH // 20]])),
    ]
    return X[sets[0]], (X[sets[1]], y[sets[1]]), (X[sets[2]], y[sets[2]])


def reviewed_rows(detector: VAEDetector, X: Array, y: Array) -> npt.NDArray[np.intp]:
    """Fifty rows in ten rounds, each by what was learned of those before."""
    known: list[int] = []
    for _ in range(ROUNDS):
        known += detector.review(X, PER_ROUND)["row"].tolist()
        detector.learn(X[known], y[known])
    return np.array(known)


def measured(detector: VAEDetector, X: Array, y: Array) -> dict[str, float]:
    p_values = detector.p_values(X)
    chosen = detector.selection(X, FDR)[1]
    found = {f"at most {level}": float((p_values[y == 0] <= level).mean()) for level in LEVELS}
    return found | {
        "fdp": float((y[chosen] == 0).mean()) if chosen.any() else 0.0,
        "power": float(chosen[y == 1].mean()),
    }


def measure(table: str, seed: int) -> list[dict[str, object]]:
    fitted, (X, y), (fresh, truth) = parts(table, seed)
    detector = VAEDetector(random_state=seed).fit(fitted)
    detector.forget_training_rows()
    rows: list[dict[str, object]] = []

    def note(way: str) -> None:
        rows.append({"table": table, "seed": seed, "way": way, **measured(detector, fresh, truth)})

    detector.calibrate(X)
    note("before learning")
    known = reviewed_rows(detector, X, y)
    detector.learn(X[known], y[known], calibration=X)
    note("learn(calibration=X)")
    anomalous = known[y[known] == 1]
    detector.calibrate(np.delete(X, anomalous, 0))
    note("reviewed rows at their own scores")
    detector.calibrate(np.delete(X, known, 0))
    note("without the reviewed rows")
    detector.forget_answers().calibrate(np.delete(X, anomalous, 0))
    note("nothing learned, confirmed anomalies left out")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for table in chosen.tables:
        for seed in chosen.seeds:
            rows += measure(table, seed)
        console.log(table)
    frame = pd.DataFrame(rows)
    frame.round(5).to_csv(chosen.out / "analyst" / "recalibration.csv", index=False, lineterminator="\n")
    console.print(frame.groupby("way", sort=False).mean(numeric_only=True).drop(columns="seed").round(4).to_string())


if __name__ == "__main__":
    main()
