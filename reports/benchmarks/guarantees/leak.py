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
# Rows of the table, and how many fits of each calibration.
TABLES = {
    "gaussian": (60, {"cross": 60, "split": 20, "none": 10}),
    "heavy tails": (60, {"cross": 30, "split": 10, "none": 5}),
    "mixed": (60, {"cross": 30, "split": 10, "none": 5}),
    "mixed, 300 rows": (300, {"cross": 20, "split": 10, "none": 5}),
}


def drawn(table: str, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of a law without structure to learn, so that what is remembered of single rows shows."""
    if table == "gaussian":
        return pd.DataFrame(rng.normal(size=(n_rows, 20)), columns=[f"x{i}" for i in range(20)])
    if table == "heavy tails":
        return pd.DataFrame(rng.standard_t(1.5, size=(n_rows, 10)), columns=[f"x{i}" for i in range(10)])
    columns: dict[str, object] = {f"x{i}": rng.normal(size=n_rows) for i in range(3)}
    columns["amount"] = np.round(rng.lognormal(0, 2, n_rows), 2)
    columns["count"] = rng.negative_binomial(1, 0.05, n_rows)
    for i in range(3):
        common = rng.choice(["a", "b", "c"], n_rows, p=[0.6, 0.3, 0.1])
        once = np.char.add("r", rng.integers(0, 10**6, n_rows).astype(str))
        columns[f"level{i}"] = np.where(rng.random(n_rows) < 0.03, once, common).astype(object)
    columns["law"] = np.char.add("v", rng.zipf(1.6, n_rows).clip(max=10**6).astype(str)).astype(object)
    gaps = rng.normal(size=n_rows)
    gaps[rng.random(n_rows) < 0.1] = np.nan
    columns["gaps"] = gaps
    return pd.DataFrame(columns)


def measure(cell: Cell) -> Row:
    table, calibration, seed = cell
    rng = np.random.default_rng([int(seed), list(TABLES).index(table)])
    fitted, new = drawn(table, TABLES[table][0], rng), drawn(table, N_NEW, rng)
    detector = VAEDetector(calibration=CALIBRATIONS[calibration], random_state=int(seed)).fit(fitted)
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


LEAK = Study(
    ("table", "calibration", "seed"),
    ("n_rows", "n_calibration", "p_2", "p_5", "p_10", "flagged_2", "flagged_5", "flagged_10", "flagged_auto"),
    tuple(
        (table, calibration, str(seed))
        for seed in range(60)
        for table, (_, n_fits) in TABLES.items()
        for calibration in CALIBRATIONS
        if seed < n_fits[calibration]
    ),
    measure,
)
