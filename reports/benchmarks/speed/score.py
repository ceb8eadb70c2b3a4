"""Rows scored a CPU second, the CPU time of one row, and rows of several threads at once, beside peers.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/score.py
python reports/benchmarks/speed/score.py --before ../checkout-of-an-earlier-commit --runs 3
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from benchmarks.detection.cells import Row
from benchmarks.harness import fit_warnings
from benchmarks.speed.work import TEST_SEED, table
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD, all_working, ledger, parser, with_before

from vae_anomaly import VAEDetector

FITTED_ROWS, N_COLUMNS = 10_000, 30
COLUMNS = ("method", "run", "rows_s", "row_ms")
AT_ONCE_COLUMNS = ("threads", "run", "rows_s", "identical")
AT_ONCE, AT_ONCE_ROWS = (1, 2, 4), 10_000
# How long PyOD's VAE is trained changes nothing of how fast it scores.
SETTINGS = {PYOD: {"epoch_num": 1}}


def at_once(detector: VAEDetector, n_threads: int) -> Row:
    """Every thread scores all rows, with products of one thread; seconds by the clock."""
    X, _ = table(AT_ONCE_ROWS, N_COLUMNS, TEST_SEED)
    alone = detector.score_samples(X)
    with ThreadPoolExecutor(n_threads) as pool:
        begin = time.perf_counter()
        found = list(pool.map(lambda _: detector.score_samples(X), range(n_threads)))
        taken = time.perf_counter() - begin
    same = all(np.array_equal(scores, alone) for scores in found)
    return {"threads": n_threads, "rows_s": n_threads * len(X) / taken, "identical": same}


def main() -> None:
    made = with_before(parser(__doc__))
    made.add_argument("--rows", type=int, default=50_000, help="rows that are scored")
    chosen = made.parse_args()
    methods = [OURS, FOREST, PYOD, *([BEFORE] if chosen.before else [])]
    with (
        ledger(chosen.out, "score", COLUMNS, 2, lambda row: row["method"] in methods) as add,
        all_working([(method, 1) for method in methods], chosen.before) as workers,
    ):
        for (method, _), worker in workers.items():
            worker.ask("fit", rows=FITTED_ROWS, columns=N_COLUMNS, settings=SETTINGS.get(method, {}))
        for run in range(chosen.runs):
            for (method, _), worker in workers.items():
                rate = worker.ask("score", rows=chosen.rows, columns=N_COLUMNS)["rows_s"]
                wait = worker.ask("one_row", columns=N_COLUMNS)["row_ms"]
                add({"method": method, "run": run, "rows_s": rate, "row_ms": wait})
    torch.set_num_threads(1)
    with fit_warnings():
        detector = VAEDetector().fit(table(FITTED_ROWS, N_COLUMNS, 0)[0])
    with ledger(chosen.out, "at_once", AT_ONCE_COLUMNS, 2, lambda _: True) as add:
        for run in range(chosen.runs):
            for n_threads in AT_ONCE:
                add({**at_once(detector, n_threads), "run": run})


if __name__ == "__main__":
    main()
