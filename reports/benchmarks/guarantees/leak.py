"""Whether rows that calibrate influenced the model: shares of new rows of the same law with small p-values."""

from __future__ import annotations

import numpy as np
import pandas as pd
from benchmarks.detection.cells import Cell, Row
from benchmarks.guarantees.studies import Study, in_sample

from vae_anomaly import VAEDetector

RATES = (0.02, 0.05, 0.1)
N_NEW = 500
CALIBRATIONS = {"cross": "cross", "split": "split", "none": None}
BY_FOLD = "by fold"
N_FOLDS = 4
# Rows of the table, and how many fits of each calibration.
TABLES = {
    "gaussian": (60, {"cross": 60, "split": 60, "none": 10}),
    "heavy tails": (60, {"cross": 60, "split": 10, "none": 5, BY_FOLD: 30}),
    "mixed": (60, {"cross": 30, "split": 10, "none": 5}),
    "mixed, 300 rows": (300, {"cross": 20, "split": 10, "none": 5}),
    "amounts, 30 columns": (60, {"cross": 20, "split": 10, BY_FOLD: 10}),
    "every row twice": (60, {"cross": 20}),
}

# Seeds of a table are those of its place.
ORDER = ("gaussian", "heavy tails", "mixed", "mixed, 300 rows", "every row twice", "amounts, 30 columns")


def drawn(table: str, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of a law without structure to learn, so that what is remembered of single rows shows."""
    if table == "every row twice":
        once = drawn("gaussian", n_rows // 2, rng)
        return pd.concat([once, once], ignore_index=True)
    if table == "amounts, 30 columns":
        return pd.DataFrame(rng.lognormal(0, 2, (n_rows, 30)), columns=[f"x{i}" for i in range(30)])
    if table == "gaussian":
        return pd.DataFrame(rng.normal(size=(n_rows, 20)), columns=[f"x{i}" for i in range(20)])
    if table == "heavy tails":
        return pd.DataFrame(rng.standard_t(1.5, size=(n_rows, 10)), columns=[f"x{i}" for i in range(10)])
    columns: dict[str, object] = {f"x{i}": rng.normal(size=n_rows) for i in range(3)}
    columns["amount"] = np.round(rng.lognormal(0, 2, n_rows), 2)
    columns["count"] = rng.negative_binomial(1, 0.05, n_rows)
    for i in range(3):
        common = rng.choice(["a", "b", "c"], n_rows, p=[0.6, 0.3, 0.1])
        rare = np.char.add("r", rng.integers(0, 10**6, n_rows).astype(str))
        columns[f"level{i}"] = np.where(rng.random(n_rows) < 0.03, rare, common).astype(object)
    columns["law"] = np.char.add("v", rng.zipf(1.6, n_rows).clip(max=10**6).astype(str)).astype(object)
    gaps = rng.normal(size=n_rows)
    gaps[rng.random(n_rows) < 0.1] = np.nan
    columns["gaps"] = gaps
    return pd.DataFrame(columns)


def measure(cell: Cell) -> Row:
    table, calibration, seed = cell
    rng = np.random.default_rng([int(seed), ORDER.index(table)])
    fitted, new = drawn(table, TABLES[table][0], rng), drawn(table, N_NEW, rng)
    if calibration == BY_FOLD:
        return by_fold(fitted, new, int(seed), rng)
    detector = VAEDetector(random_state=int(seed)).set_params(calibration=CALIBRATIONS[calibration]).fit(fitted)
    automatic = float((detector.predict(new) == -1).mean())
    if calibration == "none":
        p, flagged = in_sample(detector.anomaly_score(fitted), detector.anomaly_score(new), RATES)
        n_calibration = 0
    else:
        p, n_calibration = detector.p_values(new), detector.calibration_.n_rows
        flagged = [float((detector.set_threshold(contamination=rate).predict(new) == -1).mean()) for rate in RATES]
    small = {f"p_{100 * rate:g}": float((p <= rate).mean()) for rate in RATES}
    return {
        "n_rows": len(fitted),
        "n_calibration": n_calibration,
        **small,
        **{f"flagged_{100 * rate:g}": share for rate, share in zip(RATES, flagged, strict=True)},
        "flagged_auto": automatic,
    }


def by_fold(fitted: pd.DataFrame, new: pd.DataFrame, seed: int, rng: np.random.Generator) -> Row:
    """Cross-conformal p-values from detectors of one member, each of which learns everything without its fold."""
    n_at_least = np.zeros(len(new))
    for fold in np.array_split(rng.permutation(len(fitted)), N_FOLDS):
        detector = VAEDetector(n_estimators=1, calibration=None, random_state=seed).fit(
            fitted.iloc[np.setdiff1d(np.arange(len(fitted)), fold)]
        )
        scores = detector.anomaly_score(fitted.iloc[fold])
        n_at_least += (scores >= detector.anomaly_score(new)[:, None]).sum(axis=1)
    p = (1 + n_at_least) / (1 + len(fitted))
    small = {f"p_{100 * rate:g}": float((p <= rate).mean()) for rate in RATES}
    return {"n_rows": len(fitted), "n_calibration": len(fitted), **small}


LEAK = Study(
    ("table", "calibration", "seed"),
    ("n_rows", "n_calibration", "p_2", "p_5", "p_10", "flagged_2", "flagged_5", "flagged_10", "flagged_auto"),
    tuple(
        (table, calibration, str(seed))
        for seed in range(60)
        for table, (_, n_fits) in TABLES.items()
        for calibration, n_of_it in n_fits.items()
        if seed < n_of_it
    ),
    measure,
)
