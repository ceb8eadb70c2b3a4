"""Real tables and images: shares of new normal rows that are flagged, and false shares of selections."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.detection.cells import Cell, Row
from benchmarks.detection.protocol import splits
from benchmarks.guarantees.peers import INTERPRETER, PEER_SCRIPT, SplitForest, as_numbers
from benchmarks.guarantees.studies import Study, in_sample
from benchmarks.harness import DATA, Array
from benchmarks.images.sets import drawn as drawn_images
from benchmarks.images.sets import images

from vae_anomaly import VAEDetector
from vae_anomaly.decisions import CalibrationTooSmall, FamilyCounts

RATES = (0.01, 0.05, 0.1)
FDR = 0.1
# Anomalies in a family, and families that are drawn of each split.
SHARES = (0.02, 0.1)
N_FAMILIES = 20
N_SPLITS = 5
CONFIDENCE = 0.95
MAX_FITTED, MAX_NEW = 6_000, 4_000
N_IMAGES, IMAGE_STEPS = 1_000, 300

Labels = npt.NDArray[np.int64]
Rows = Any


@dataclass(frozen=True)
class Part:
    """Rows to fit, new normal rows, and anomalies."""

    fitted: Rows
    normal: Rows
    anomalies: Rows


def adbench(name: str, seed: int) -> Part:
    """Half of the normal rows fitted, as the detection benchmark does where training is clean."""
    fitted, new, y = splits(name, "semi", seed)
    return Part(fitted, new[y == 0], new[y == 1])


def adult(_: str, seed: int) -> Part:
    """A table with levels and missing cells as it comes; incomes above 50,000 stand for anomalies."""
    table = pd.read_csv(next((DATA / "adult").glob("*.csv.gz")))
    y = table.pop("label").to_numpy()
    return halves(table.drop(columns=["income", "split"], errors="ignore"), y, seed)


def credit_card(_: str, seed: int) -> Part:
    table = pd.read_csv(next((DATA / "creditcard_sample").glob("*.csv.gz")))
    y = table.pop("label").to_numpy()
    return halves(table.drop(columns=["Class", "Time"], errors="ignore"), y, seed)


def halves(table: pd.DataFrame, y: Labels, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    normal, anomalous = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    half = len(normal) // 2
    rows = normal[:half][:MAX_FITTED], normal[half:][:MAX_NEW], anomalous[:MAX_NEW]
    return Part(*(table.iloc[chosen].reset_index(drop=True) for chosen in rows))


def fashion(_: str, seed: int) -> Part:
    """Ankle boots; the other classes are anomalies."""
    rng = np.random.default_rng(seed)
    x_train, y_train, x_test, y_test = images("fashion_mnist")
    one = 9
    return Part(
        drawn_images(rng, x_train[y_train == one], N_IMAGES),
        x_test[y_test == one],
        drawn_images(rng, x_test[y_test != one], N_IMAGES),
    )


TABLES: dict[str, Callable[[str, int], Part]] = {
    **dict.fromkeys(("wine", "glass", "Ionosphere", "letter", "fault", "cardio"), adbench),
    "creditcard_sample": credit_card,
    "adult": adult,
    "shuttle": adbench,
    "fashion_mnist": fashion,
}
OURS, BEFORE, FOREST, NONCONFORM = "VAEDetector", "calibration=None", "split forest", "nonconform"
METHODS = (OURS, BEFORE, FOREST, NONCONFORM)


@lru_cache(maxsize=2)
def part_of(table: str, seed: int) -> Part:
    return TABLES[table](table, seed)


def measure(cell: Cell) -> Row:
    table, method, seed = cell
    part = part_of(table, int(seed))
    found = {OURS: with_calibration, BEFORE: without, FOREST: with_forest, NONCONFORM: with_nonconform}[method](
        part, int(seed)
    )
    return {"n_fitted": len(part.fitted), "n_new": len(part.normal), "n_anomalies": len(part.anomalies), **found}


def made(part: Part, seed: int, calibration: Any) -> VAEDetector:
    steps = IMAGE_STEPS if np.ndim(part.fitted) == 3 else None
    return VAEDetector(calibration=calibration, max_iter=steps, random_state=seed)


def with_calibration(part: Part, seed: int) -> Row:
    detector = made(part, seed, "auto").fit(part.fitted)
    calibration = detector.calibration_
    normal, anomalous = detector.decide(part.normal), detector.decide(part.anomalies)
    found: Row = {
        "kind": calibration.kind,
        "n_calibration": calibration.n_rows,
        "flagged_auto": float(normal["is_anomaly"].mean()),
        "expected_auto": detector.threshold_.expected_rate,
        "recall_auto": float(anomalous["is_anomaly"].mean()),
        **small_shares(normal["p_value"].to_numpy()),
        **families(normal["p_value"].to_numpy(), anomalous["p_value"].to_numpy(), seed),
    }
    scores = normal["anomaly_score"].to_numpy()
    for rate in RATES:
        threshold = detector.set_threshold(contamination=rate).threshold_
        found[f"flagged_{100 * rate:g}"] = float((scores > threshold.score).mean())
        found[f"expected_{100 * rate:g}"] = threshold.expected_rate
        try:
            threshold = detector.set_threshold(false_alarm_rate=rate, confidence=CONFIDENCE).threshold_
        except CalibrationTooSmall:
            continue
        found[f"sure_{100 * rate:g}"] = float((scores > threshold.score).mean())
    return found


def without(part: Part, seed: int) -> Row:
    detector = made(part, seed, None).fit(part.fitted)
    fitted, normal, anomalous = (detector.anomaly_score(rows) for rows in (part.fitted, part.normal, part.anomalies))
    p, flagged = in_sample(fitted, normal, RATES)
    return {
        "kind": "training",
        "n_calibration": 0,
        "flagged_auto": float((normal > detector.threshold_.score).mean()),
        "recall_auto": float((anomalous > detector.threshold_.score).mean()),
        **small_shares(p),
        **families(p, in_sample(fitted, anomalous, ())[0], seed),
        **{f"flagged_{100 * rate:g}": share for rate, share in zip(RATES, flagged, strict=True)},
    }


def with_forest(part: Part, seed: int) -> Row:
    fitted, normal, anomalous = as_numbers(part.fitted, part.normal, part.anomalies)
    forest = SplitForest(seed).fit(fitted)
    return of_p_values(forest.p_values(normal), forest.p_values(anomalous), forest.n_calibration, seed)


def with_nonconform(part: Part, seed: int) -> Row:
    fitted, normal, anomalous = as_numbers(part.fitted, part.normal, part.anomalies)
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "rows.npz", Path(folder) / "p.npz"
        np.savez(given, fitted=fitted, normal=normal, anomalous=anomalous, seed=seed)
        ran = subprocess.run(
            [INTERPRETER, str(PEER_SCRIPT), str(given), str(found)], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise RuntimeError((ran.stderr.strip().splitlines() or ["no message"])[-1])
        with np.load(found) as p:
            return of_p_values(p["normal"], p["anomalous"], int(p["n_calibration"]), seed)


def of_p_values(normal: Array, anomalous: Array, n_calibration: int, seed: int) -> Row:
    shares = small_shares(normal)
    flagged = {name.replace("p_", "flagged_"): share for name, share in shares.items()}
    return {
        "kind": "split",
        "n_calibration": n_calibration,
        **shares,
        **flagged,
        **families(normal, anomalous, seed),
    }


def small_shares(p: Array) -> Row:
    return {f"p_{100 * rate:g}": float((p <= rate).mean()) for rate in RATES}


def families(normal: Array, anomalous: Array, seed: int) -> Row:
    """Mean false share and power of selections from all new normal rows with a few anomalies among them."""
    rng = np.random.default_rng(seed)
    found: Row = {}
    for share in SHARES:
        n_mixed = min(max(round(share * len(normal) / (1 - share)), 1), len(anomalous))
        false, power = [], []
        for _ in range(N_FAMILIES):
            mixed = rng.choice(anomalous, n_mixed, replace=False)
            cutoff = FamilyCounts.of(np.concatenate([normal, mixed])).cutoff(FDR)
            n_false, n_true = int((normal <= cutoff).sum()), int((mixed <= cutoff).sum())
            false.append(n_false / max(n_false + n_true, 1))
            power.append(n_true / n_mixed)
        name = f"{100 * share:g}"
        found |= {f"mixed_{name}": n_mixed, f"fdp_{name}": np.mean(false), f"power_{name}": np.mean(power)}
        smallest = min(float(normal.min()), float(anomalous.min()))
        found[f"possible_{name}"] = int(smallest * (len(normal) + n_mixed) <= FDR * n_mixed)
    return {name: float(value) for name, value in found.items()}


_OF_RATES = ("flagged", "p", "expected", "sure")
_OF_SHARES = ("mixed", "possible", "fdp", "power")
REAL = Study(
    ("table", "method", "seed"),
    (
        "n_fitted",
        "n_new",
        "n_anomalies",
        "kind",
        "n_calibration",
        *(f"{what}_{100 * rate:g}" for what in _OF_RATES for rate in RATES),
        "flagged_auto",
        "expected_auto",
        "recall_auto",
        *(f"{what}_{100 * share:g}" for what in _OF_SHARES for share in SHARES),
    ),
    tuple((table, method, str(seed)) for seed in range(N_SPLITS) for table in TABLES for method in METHODS),
    measure,
)
