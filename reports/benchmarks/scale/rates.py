"""Rows a second of one core by the width of a table: CPU seconds of `score_samples` and of reading Parquet."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from benchmarks.scale.lake import ID, block
from benchmarks.speed.work import table

from vae_anomaly import VAEDetector

FITTED, SCORED, TURNS = 10_000, 40_000, 3
MIXED = "28 mixed columns"
READ, READ_BYTES = "100 numbers, read from Parquet", "100 numbers, bytes a row in Parquet"


def rates(widths: tuple[int, ...] = (30, 100)) -> dict[str, float]:
    """The best of a few turns: other work on the machine only takes away."""
    torch.set_num_threads(1)
    frames = {f"{width} numbers": table(FITTED + SCORED, width, 0)[0] for width in widths}
    frames[MIXED] = block(0, FITTED + SCORED).drop_columns([ID]).to_pandas()
    found = {}
    for name, rows in frames.items():
        detector = VAEDetector().fit(rows[:FITTED])
        taken = []
        for _ in range(TURNS):
            begin = time.process_time()
            detector.score_samples(rows[FITTED:])
            taken.append(time.process_time() - begin)
        found[name] = SCORED / min(taken)
    return found | _reading(frames[f"{widths[-1]} numbers"])


def _reading(rows: Any) -> dict[str, float]:
    columns = {f"x{place}": pa.array(rows[:, place]) for place in range(rows.shape[1])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(pa.table(columns), path)
        taken = []
        for _ in range(TURNS):
            begin = time.process_time()
            pq.read_table(path, use_threads=False)
            taken.append(time.process_time() - begin)
        return {READ: len(rows) / min(taken), READ_BYTES: path.stat().st_size / len(rows)}
