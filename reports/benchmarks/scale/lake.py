"""The rows of the benchmark: 28 mixed columns with holes, and an identifier, in Parquet files."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.speed.work import table

BLOCK = 100_000
N_NUMBERS, N_COUNTS, N_LEVELS = 20, 3, 4
MISSING = 0.02
ID = "id"
SCHEMA = pa.schema([(ID, pa.int64()), ("anomaly_score", pa.float64()), ("p_value", pa.float64())])
LEVELS = np.array([f"level {number}" for number in range(12)])


def block(begin: int, n_rows: int) -> pa.Table:
    """Rows from a position on; a block of them is another one at each position."""
    rows, _ = table(BLOCK, N_NUMBERS, 0)
    rng = np.random.default_rng(begin)
    numbers = rows[rng.permutation(BLOCK)[:n_rows]] + 0.01 * rng.normal(size=(n_rows, N_NUMBERS))
    columns: dict[str, pa.Array] = {ID: pa.array(np.arange(begin, begin + n_rows))}
    for place in range(N_NUMBERS):
        columns[f"x{place}"] = pa.array(numbers[:, place].round(4), mask=rng.random(n_rows) < MISSING)
    for place in range(N_COUNTS):
        columns[f"n{place}"] = pa.array(rng.poisson(np.exp(numbers[:, place].clip(-3, 3))))
    for place in range(N_LEVELS):
        codes = np.digitize(numbers[:, place + 4] + rng.normal(size=n_rows), np.linspace(-2, 2, len(LEVELS) - 1))
        columns[f"c{place}"] = pa.array(LEVELS[codes], mask=rng.random(n_rows) < MISSING)
    columns["flag"] = pa.array(numbers[:, 8] > 0)
    return pa.table(columns)


def write_lake(folder: Path, n_rows: int, n_files: int) -> int:
    """Write the files; returns their bytes."""
    folder.mkdir(parents=True)
    bounds = np.linspace(0, n_rows, n_files + 1).astype(int).tolist()
    for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
        with pq.ParquetWriter(folder / f"part-{number:04}.parquet", block(0, 1).schema) as writer:
            for first in range(begin, end, BLOCK):
                writer.write_table(block(first, min(BLOCK, end - first)))
    return sum(path.stat().st_size for path in folder.iterdir())


def files_in(place: Path) -> list[Path]:
    """Files of results that a reader of the folder takes, or the one file."""
    if not place.is_dir():
        return [place] if place.exists() else []
    return [
        path
        for path in sorted(place.rglob("*.parquet"))
        if not any(part.startswith((".", "_")) for part in path.relative_to(place).parts)
    ]


def results(place: Path) -> pa.Table:
    """Identifier, score and p-value of all result files, in the order of the identifiers."""
    tables = [pq.read_table(path, columns=SCHEMA.names, partitioning=None).cast(SCHEMA) for path in files_in(place)]
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by(ID)


def digest(found: pa.Table) -> str:
    """The same for the same identifiers and the same bits of scores and p-values."""
    content = b"".join(found[name].to_numpy().tobytes() for name in SCHEMA.names)
    return hashlib.sha256(content).hexdigest()[:16]


def difference(found: pa.Table, expected: pa.Table) -> str:
    """What is lost, doubled or changed, in words; empty where nothing is."""
    ids, wanted = found[ID].to_numpy(), expected[ID].to_numpy()
    lost, doubled = len(np.setdiff1d(wanted, ids)), len(ids) - len(np.unique(ids))
    if lost or doubled:
        return f"{lost:,} rows lost, {doubled:,} doubled"
    return "" if digest(found) == digest(expected) else "other scores"
