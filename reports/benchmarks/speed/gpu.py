"""Training and scoring on a CUDA device beside the CPU of the same machine.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/gpu.py

What is timed has been done once before: contexts and kernels are loaded.  Peak memory is what PyTorch has reserved.
Without a CUDA device it says so and ends.
"""

from __future__ import annotations

import inspect
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from benchmarks.detection.cells import Row
from benchmarks.harness import console, fit_warnings
from benchmarks.speed.figures import processor
from benchmarks.speed.work import TEST_SEED, table
from benchmarks.speed.workers import ledger, parser

from vae_anomaly import TrainingPlan, VAEDetector
from vae_anomaly.detectors import fit_config

N_COLUMNS, FITTED_ROWS, SCORED_ROWS = 30, 10_000, 200_000
WIDE = {"n_rows": 1_000_000, "n_columns": 100, "n_estimators": 64}
COLUMNS = (
    *("device", "precision", "run", "name", "torch", "fitted_rows", "members", "fit_s", "row_steps_s", "fit_mib"),
    *("default_fit_s", "rows_s", "row_ms", "score_mib", "difference"),
)
ONE_ROW_CALLS = 50
PRECISION = "matmul_precision"


def variants() -> list[tuple[str, str]]:
    """Device and precision of the products."""
    plain = [("cuda", "float32"), ("cpu", "float32")]
    known = PRECISION in inspect.signature(TrainingPlan).parameters
    return [*plain, ("cuda", "tf32")] if known else plain


def made(device: str, precision: str, **settings: Any) -> VAEDetector:
    if precision == "tf32":
        settings["training"] = TrainingPlan(matmul_precision="high")
    return VAEDetector(**settings | {"device": device})


def measured(device: str, precision: str, n_rows: int, n_members: int) -> Row:
    X, _ = table(n_rows, WIDE["n_columns"], 0, "float32")
    begin = time.perf_counter()
    detector = made(device, precision, n_estimators=n_members).fit(X)
    taken = time.perf_counter() - begin
    batch_size = fit_config(detector, detector.encoder_, "none", n_rows).training.batch_size
    steps = detector.n_iter_ * batch_size * n_members
    on_cpu = f"{processor()}, {torch.get_num_threads()} threads"
    return {
        "device": device,
        "precision": precision,
        "name": torch.cuda.get_device_name() if device == "cuda" else on_cpu,
        "torch": torch.__version__,
        "fitted_rows": n_rows,
        "members": n_members,
        "fit_s": taken,
        "row_steps_s": steps / taken,
        "fit_mib": reserved_mib(device),
    }


def scored(device: str, precision: str) -> tuple[Row, np.ndarray[Any, np.dtype[np.float64]]]:
    begin = time.perf_counter()
    detector = made(device, precision).fit(table(FITTED_ROWS, N_COLUMNS, 0)[0])
    fitted = time.perf_counter() - begin
    X, _ = table(SCORED_ROWS, N_COLUMNS, TEST_SEED)
    detector.score_samples(X[:1000])
    reserved_mib(device)
    begin = time.perf_counter()
    scores = detector.score_samples(X)
    rate = len(X) / (time.perf_counter() - begin)
    peak, taken = reserved_mib(device), []
    for index in range(ONE_ROW_CALLS):
        begin = time.perf_counter()
        detector.score_samples(X[index : index + 1])
        taken.append(time.perf_counter() - begin)
    return {"default_fit_s": fitted, "rows_s": rate, "row_ms": 1e3 * median(taken), "score_mib": peak}, scores


def reserved_mib(device: str) -> float:
    """The most memory of the device since the last call; NaN for the CPU."""
    if device != "cuda":
        return float("nan")
    peak = torch.cuda.max_memory_reserved() / 2**20
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def main() -> None:
    made_parser = parser(__doc__)
    made_parser.add_argument("--rows", type=int, default=WIDE["n_rows"])
    made_parser.add_argument("--members", type=int, default=WIDE["n_estimators"])
    chosen = made_parser.parse_args()
    if not torch.cuda.is_available():
        console.print("There is no CUDA device on this machine: nothing was measured.")
        return
    with ledger(chosen.out, "gpu", COLUMNS, 3, lambda _: True) as add, fit_warnings():
        few, _ = table(2_000, N_COLUMNS, 0)
        for device, precision in variants():
            made(device, precision, max_iter=20).fit(few).score_samples(few)
        reserved_mib("cuda")
        for run in range(chosen.runs):
            reference = None
            for device, precision in variants():
                row = measured(device, precision, chosen.rows, chosen.members)
                rates, scores = scored(device, precision)
                reference = scores if reference is None else reference
                # Nats between fits on the same rows: a CUDA device draws other random numbers than a CPU, and rounds
                # otherwise.
                difference = float(np.median(np.abs(scores - reference)))
                add({**row, **rates, "run": run, "difference": difference})


if __name__ == "__main__":
    main()
