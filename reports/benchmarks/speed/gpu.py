"""Training and scoring on a CUDA device beside the CPU of the same machine.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/gpu.py

Without a CUDA device it says so and ends.
"""

from __future__ import annotations

import inspect
import time
from typing import Any

import numpy as np
import torch
from benchmarks.detection.cells import Row
from benchmarks.harness import console, fit_warnings
from benchmarks.speed.work import TEST_SEED, table
from benchmarks.speed.workers import ledger, parser

from vae_anomaly import TrainingPlan, VAEDetector

N_COLUMNS, FITTED_ROWS, SCORED_ROWS = 30, 10_000, 200_000
WIDE = {"n_rows": 1_000_000, "n_columns": 100, "n_estimators": 64}
COLUMNS = ("device", "precision", "run", "name", "fit_s", "row_steps_s", "rows_s", "difference")
PRECISION = "matmul_precision"


def variants() -> list[tuple[str, str]]:
    """Device and precision of the products."""
    plain = [("cuda", "float32"), ("cpu", "float32")]
    known = PRECISION in inspect.signature(TrainingPlan).parameters
    return [*plain, ("cuda", "tf32")] if known else plain


def made(device: str, precision: str, **settings: Any) -> VAEDetector:
    if precision == "tf32":
        settings["training"] = TrainingPlan(matmul_precision="high")
    return VAEDetector(device=device, **settings)


def measured(device: str, precision: str, n_rows: int, n_members: int) -> Row:
    X, _ = table(n_rows, WIDE["n_columns"], 0, "float32")
    begin = time.perf_counter()
    detector = made(device, precision, n_estimators=n_members).fit(X)
    taken = time.perf_counter() - begin
    steps = detector.n_iter_ * detector.batch_size * n_members
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": device, "precision": precision, "name": name, "fit_s": taken, "row_steps_s": steps / taken}


def scored(device: str, precision: str) -> tuple[float, np.ndarray[Any, np.dtype[np.float64]]]:
    detector = made(device, precision).fit(table(FITTED_ROWS, N_COLUMNS, 0)[0])
    X, _ = table(SCORED_ROWS, N_COLUMNS, TEST_SEED)
    detector.score_samples(X[:1000])
    begin = time.perf_counter()
    scores = detector.score_samples(X)
    return len(X) / (time.perf_counter() - begin), scores


def main() -> None:
    made_parser = parser(__doc__)
    made_parser.add_argument("--rows", type=int, default=WIDE["n_rows"])
    made_parser.add_argument("--members", type=int, default=WIDE["n_estimators"])
    chosen = made_parser.parse_args()
    if not torch.cuda.is_available():
        console.print("There is no CUDA device on this machine: nothing was measured.")
        return
    with ledger(chosen.out, "gpu", COLUMNS, 3, lambda _: True) as add, fit_warnings():
        # Contexts and kernels are loaded before the clock runs.
        made("cuda", "float32", max_iter=20).fit(table(2_000, N_COLUMNS, 0)[0])
        for run in range(chosen.runs):
            reference = None
            for device, precision in variants():
                row = measured(device, precision, chosen.rows, chosen.members)
                rate, scores = scored(device, precision)
                reference = scores if reference is None else reference
                # Nats between fits on the same rows, which includes what other rounding does to the training.
                difference = float(np.median(np.abs(scores - reference)))
                add({**row, "run": run, "rows_s": rate, "difference": difference})


if __name__ == "__main__":
    main()
