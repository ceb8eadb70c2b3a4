"""Exported models beside the library: time and memory to the first score, a row, many rows; and how near scores are.

pip install -c constraints.txt -e ".[benchmark,onnx]"
python reports/benchmarks/speed/exported.py

Seconds are those of one processor, so that other work on the machine counts little; memory is the largest resident size
of the process up to its first score.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.detection.cells import Row
from benchmarks.harness import fit_warnings
from benchmarks.speed.work import TEST_ROWS, TEST_SEED, table
from benchmarks.speed.workers import FOLDER, THREAD_VARIABLES, ledger, parser

from vae_anomaly import OnnxModel, VAEAnomalyWarning, VAEDetector, export_onnx, save
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick, load_wine

N_ROWS, N_COLUMNS = 10_000, 30
SUFFIXES = {"library": ".vae", "exported": ".onnx"}
COLUMNS = ("method", "run", "start_s", "start_mib", "row_ms", "rows_s")
NEARNESS = ("table", "missing", "rows", "difference_nats", "largest_score")
SHARES = (0.0, 0.2, 0.6)


def measured(model: Path, rows: Path) -> Row:
    """What a process of its own says, on one thread."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [sys.executable, str(FOLDER / "scoring_process.py"), str(model), str(rows)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    answer: Row = json.loads(said)
    return answer


def nearness(folder: Path) -> Iterator[Row]:
    """How far scores of the exported model are from the detector's, at most, on the tables that ship."""
    for load_table in (load_wine, load_cardiotocography, load_thyroid_sick):
        X: pd.DataFrame = load_table()[0]
        detector = VAEDetector().fit(X)
        export_onnx(detector, folder / "table.onnx")
        exported = OnnxModel(folder / "table.onnx")
        for share in SHARES:
            rows = X.mask(np.random.default_rng(0).random(X.shape) < share)
            scores = detector.score_samples(rows)
            difference = np.abs(exported.score_samples(rows) - scores).max()
            name = load_table.__name__.removeprefix("load_")
            fixed: Row = {"table": name, "missing": share, "rows": len(X)}
            yield fixed | {"difference_nats": float(difference), "largest_score": float(np.abs(scores).max())}


def main() -> None:
    chosen = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name, fit_warnings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", VAEAnomalyWarning)
        folder = Path(name)
        detector = VAEDetector().fit(table(N_ROWS, N_COLUMNS, 0)[0])
        save(detector, folder / "model.vae")
        export_onnx(detector, folder / "model.onnx")
        np.save(folder / "rows.npy", table(TEST_ROWS, N_COLUMNS, TEST_SEED)[0])
        with ledger(chosen.out, "exported", COLUMNS, 2, lambda _: True) as add:
            for run in range(chosen.runs):
                for method, suffix in SUFFIXES.items():
                    add({"method": method, "run": run, **measured(folder / f"model{suffix}", folder / "rows.npy")})
        with ledger(chosen.out, "nearness", NEARNESS, 2, lambda _: True) as add:
            for row in nearness(folder):
                add(row)


if __name__ == "__main__":
    main()
