"""p-values of nonconform around IsolationForest, for rows in a file; run by real.py with NONCONFORM_PYTHON."""

from __future__ import annotations

import importlib
import sys

import numpy as np
from sklearn.ensemble import IsolationForest


def main() -> None:
    given, found = sys.argv[1:]
    # Of another interpreter: no dependency of this project.
    nonconform = importlib.import_module("nonconform")
    with np.load(given) as rows:
        seed = int(rows["seed"])
        detector = nonconform.ConformalDetector(
            IsolationForest(random_state=seed),
            nonconform.Split(n_calib=max(round(0.2 * len(rows["fitted"])), 1)),
            seed=seed,
            score_polarity="higher_is_normal",
        )
        detector.fit(rows["fitted"])
        normal, anomalous = (np.asarray(detector.compute_p_values(rows[name])) for name in ("normal", "anomalous"))
        np.savez(found, n_calibration=len(detector.calibration_set), normal=normal, anomalous=anomalous)


if __name__ == "__main__":
    main()
