"""Errors planted in known cells: who finds them, and how well they are repaired.

    python reports/benchmarks/planted_cells.py

Every detector is fitted on the corrupted table itself and sees no clean one.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.planted_baselines import (
    column_mean,
    ecod,
    is_numeric,
    isolation_forest,
    marginal_tail,
    nearest_neighbours,
)
from benchmarks.planted_errors import DATA, TABLES, Planted, plant
from benchmarks.planted_page import write_page
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import VAEDetector

FloatArray = npt.NDArray[np.float64]
HERE = Path(__file__).resolve().parent


def cell_scores(planted: Planted, detector: VAEDetector, seed: int) -> dict[str, FloatArray]:
    """How anomalous each cell is, by every road; higher is more anomalous."""
    explanation = detector.explain(planted.dirty)
    contributions = explanation.contributions.to_numpy()
    usual = explanation.typical.to_numpy()[:-1]
    return {
        "VAEDetector, cell_scores": explanation.cell_scores.fillna(0.0).to_numpy(),
        "VAEDetector, given the others": -np.log(explanation.tail_probability.fillna(1.0).to_numpy()),
        "VAEDetector, log p(cell given others)": -explanation.log_likelihood.to_numpy(),
        "VAEDetector, contribution": contributions,
        "VAEDetector, contribution above typical": contributions - usual,
        "marginal tail": marginal_tail(planted.dirty),
        "ECOD, by column": ecod(planted.dirty),
        "IsolationForest, occlusion": isolation_forest(planted.dirty, seed),
    }


def measure_detection(planted: Planted, scores: dict[str, FloatArray]) -> list[dict[str, object]]:
    observed = planted.dirty.notna().to_numpy()
    lines: list[dict[str, object]] = []
    for method, anomalous in scores.items():
        lines += [
            {
                "method": method,
                "measure": "cell AP",
                "value": average_precision_score(planted.cells[observed], anomalous[observed]),
            },
            {"method": method, "measure": "row AUROC", "value": roc_auc_score(planted.rows, anomalous.max(1))},
        ]
        for kind in sorted(set(planted.errors.ravel()) - {""}):
            counted = observed & ((planted.errors == kind) | ~planted.cells)
            value = average_precision_score((planted.errors == kind)[counted], anomalous[counted])
            lines.append({"method": method, "measure": f"cell AP, {kind}", "value": value})
    return lines


def repair_errors(planted: Planted, repaired: pd.DataFrame, cells: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """RMSE of numbers, in standard deviations of the clean column, and the share of wrong levels."""
    squares, wrong = [], []
    for index, name in enumerate(planted.clean.columns):
        rows = cells[:, index]
        truth, proposed = planted.clean[name][rows], repaired[name][rows]
        if is_numeric(planted.clean[name]):
            squares += (((proposed.astype(float) - truth) / planted.clean[name].std()) ** 2).tolist()
        else:
            wrong += (proposed.astype(str) != truth.astype(str)).tolist()
    return float(np.sqrt(np.mean(squares))) if squares else np.nan, float(np.mean(wrong)) if wrong else np.nan


def measure_repair(planted: Planted, detector: VAEDetector) -> list[dict[str, object]]:
    """Repairs where the wrong cells are known, and by the detector on its own."""
    missing = planted.dirty.mask(planted.cells)
    lines: list[dict[str, object]] = []
    roads = {"VAEDetector": detector.impute, "column mean or mode": column_mean, "5 nearest rows": nearest_neighbours}
    for method, fill in roads.items():
        numbers, levels = repair_errors(planted, fill(missing), planted.cells)
        lines += [
            {"method": method, "measure": "repair RMSE", "value": numbers},
            {"method": method, "measure": "repair, wrong levels", "value": levels},
        ]
    repaired = detector.repair(planted.dirty)
    changed = ((repaired != planted.dirty) & planted.dirty.notna()).to_numpy()
    before = repair_errors(planted, planted.dirty, planted.cells)
    after = repair_errors(planted, repaired, planted.cells)
    own = {
        "share of changed cells that were wrong": planted.cells[changed].mean(),
        "share of wrong cells changed": changed[planted.cells].mean(),
        "RMSE of wrong cells before": before[0],
        "RMSE of wrong cells after": after[0],
        "wrong levels before": before[1],
        "wrong levels after": after[1],
    }
    return lines + [{"method": "VAEDetector.repair", "measure": name, "value": value} for name, value in own.items()]


def run(tables: list[str], seeds: list[int]) -> pd.DataFrame:
    lines = []
    for name in tables:
        for seed in seeds:
            start = time.perf_counter()
            planted = plant(name, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detector = VAEDetector(random_state=seed).fit(planted.dirty)
                scores = cell_scores(planted, detector, seed)
                measured = measure_detection(planted, scores) + measure_repair(planted, detector)
            lines += [{"table": name, "seed": seed, **line} for line in measured]
            best = {line["method"]: line["value"] for line in measured if line["measure"] == "cell AP"}
            shown = ", ".join(f"{method} {value:.3f}" for method, value in best.items())
            print(f"{name} {seed} ({time.perf_counter() - start:.0f} s): {shown}", flush=True)  # noqa: T201
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not on this machine; this benchmark needs the tables in it.")
    results = run(options.tables, options.seeds)
    results.to_csv(HERE / "planted_cells.csv", index=False, float_format="%.5f")
    write_page(results, HERE / "planted_cells.md")


if __name__ == "__main__":
    main()
