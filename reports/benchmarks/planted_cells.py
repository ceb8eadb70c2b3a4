"""Errors planted in known cells: who finds them, and how well they are repaired.

    python reports/benchmarks/planted_cells.py

    python reports/benchmarks/planted_cells.py --methods "VAEDetector robust" VAEDetector

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
from benchmarks import runs
from benchmarks.harness import SEEDS, add_methods, console
from benchmarks.planted_baselines import (
    column_mean,
    ecod,
    is_numeric,
    isolation_forest,
    marginal_tail,
    nearest_neighbours,
)
from benchmarks.planted_errors import DATA, TABLES, Planted, plant
from benchmarks.planted_page import BASELINES, FILLS, OWN, write_page
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import VAEDetector

FloatArray = npt.NDArray[np.float64]
HERE = Path(__file__).resolve().parent


def own_cell_scores(planted: Planted, detector: VAEDetector) -> dict[str, FloatArray]:
    """How anomalous each cell is to our detector, by every road; higher is more anomalous."""
    explanation = detector.explain(planted.dirty)
    contributions = explanation.contributions.to_numpy()
    usual = explanation.typical.to_numpy()[:-1]
    return {
        "cell_scores": explanation.cell_scores.fillna(0.0).to_numpy(),
        "given the others": -np.log(explanation.tail_probability.fillna(1.0).to_numpy()),
        "log p(cell given others)": -explanation.log_likelihood.to_numpy(),
        "contribution": contributions,
        "contribution above typical": contributions - usual,
    }


def baseline_cell_scores(planted: Planted, seed: int) -> dict[str, FloatArray]:
    """How anomalous each cell is to the detectors of others."""
    scores = (marginal_tail(planted.dirty), ecod(planted.dirty), isolation_forest(planted.dirty, seed))
    return dict(zip(BASELINES, scores, strict=True))


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


def measure_fill(planted: Planted, method: str, filled: pd.DataFrame) -> list[dict[str, object]]:
    """Repairs where the wrong cells are known."""
    numbers, levels = repair_errors(planted, filled, planted.cells)
    return [
        {"method": method, "measure": "repair RMSE", "value": numbers},
        {"method": method, "measure": "repair, wrong levels", "value": levels},
    ]


def measure_repair(planted: Planted, method: str, detector: VAEDetector) -> list[dict[str, object]]:
    """Repairs by the detector on its own."""
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
    return [{"method": f"{method}.repair", "measure": name, "value": value} for name, value in own.items()]


def measure_own(planted: Planted, method: str, seed: int) -> list[dict[str, object]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(random_state=seed).set_params(preset=OWN[method]).fit(planted.dirty)
        scores = {f"{method}, {road}": of for road, of in own_cell_scores(planted, detector).items()}
        filled = detector.impute(planted.dirty.mask(planted.cells))
        found = measure_detection(planted, scores) + measure_fill(planted, method, filled)
        return found + measure_repair(planted, method, detector)


def measure_others(planted: Planted, seed: int) -> list[dict[str, object]]:
    missing = planted.dirty.mask(planted.cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = measure_detection(planted, baseline_cell_scores(planted, seed))
        for method, fill in zip(FILLS, (column_mean, nearest_neighbours), strict=True):
            found += measure_fill(planted, method, fill(missing))
    return found


def run(tables: list[str], seeds: list[int], methods: list[str], path: Path) -> None:
    """Measure, and write each seed of a table to the file when it is done."""
    for seed in seeds:
        for name in tables:
            planted = plant(name, seed)
            for method in methods:
                start = time.perf_counter()
                own = method in OWN
                measured = measure_own(planted, method, seed) if own else measure_others(planted, seed)
                found = pd.DataFrame([{"table": name, "seed": seed, **line} for line in measured])
                runs.add(found, path, ("table", "seed", "method", "measure"))
                best = found[found["measure"] == "cell AP"].set_index("method")["value"]
                shown = ", ".join(f"{road} {value:.3f}" for road, value in best.items())
                console.log(f"{name} {seed} ({time.perf_counter() - start:.0f} s): {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    add_methods(parser, [*OWN, "others"])
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not on this machine; this benchmark needs the tables in it.")
    path = HERE / "planted_cells.csv"
    run(options.tables, options.seeds, options.methods, path)
    write_page(pd.read_csv(path), HERE / "planted_cells.md")


if __name__ == "__main__":
    main()
