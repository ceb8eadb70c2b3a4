"""What a core does in a second with 100 columns of numbers: the whole command, its arithmetic alone, reading alone."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from benchmarks.scale.commands import CLI, command
from benchmarks.scale.lake import ID
from benchmarks.scale.watching import watch
from benchmarks.speed.work import table

from vae_anomaly import VAEDetector, save

COLUMNS = 100
FITTED, SCORED, TURNS, N_FILES, START_ROWS = 10_000, 50_000, 3, 6, 1_000


def rates(folder: Path) -> dict[str, float]:
    """Rows a second of one core, and bytes a row.

    Parameters
    ----------
    folder : Path
        Made, and left to be removed.
    """
    torch.set_num_threads(1)
    rows, _ = table(FITTED + SCORED, COLUMNS, 0)
    names = [f"x{place}" for place in range(COLUMNS)]
    (folder / "lake").mkdir(parents=True)
    (folder / "start").mkdir()
    for number in range(N_FILES):
        ids = pa.array(np.arange(SCORED) + number * SCORED)
        pq.write_table(pa.table([ids, *rows[FITTED:].T], [ID, *names]), folder / "lake" / f"{number}.parquet")
    pq.write_table(pa.table([ids, *rows[FITTED:].T], [ID, *names])[:START_ROWS], folder / "start" / "0.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(random_state=0).fit(pa.table(list(rows[:FITTED].T), names))
    save(detector, folder / "m.vae")
    scored = _best(lambda: detector.score_samples(rows[FITTED:]))
    read = _best(lambda: pq.read_table(folder / "lake" / "0.parquet", use_threads=False))
    return {"arithmetic": SCORED / scored, "reading": SCORED / read, **_command(folder)}


def _best(call: Any) -> float:
    """CPU seconds; other work on the machine only adds to them."""
    taken = []
    for _ in range(TURNS):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return min(taken)


def _command(folder: Path) -> dict[str, float]:
    seconds, n_rows = {}, SCORED * N_FILES
    for name in ("start", "lake"):
        asked = command(CLI, folder / name, folder / "m.vae", folder / f"{name}-out", 1)
        found = watch(asked.arguments, asked.environment, 1, asked.worker)
        if found.code:
            raise RuntimeError(found.said)
        seconds[name] = found.cpu_seconds
    n_bytes = {
        name: sum(path.stat().st_size for path in (folder / name).rglob("*.parquet")) for name in ("lake", "lake-out")
    }
    return {
        "command": (n_rows - START_ROWS) / (seconds["lake"] - seconds["start"]),
        "bytes_read": n_bytes["lake"] / n_rows,
        "bytes_written": n_bytes["lake-out"] / n_rows,
    }
