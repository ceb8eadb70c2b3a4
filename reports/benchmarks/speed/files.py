"""`vae-anomaly score` on files that are larger than its memory, beside pyarrow that reads and writes them again.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/files.py
python reports/benchmarks/speed/files.py --formats csv --csv-rows 100000 --runs 1

Makes files of gigabytes in the folder of temporary files (TMPDIR says which) and removes them.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from benchmarks.detection.cells import Row
from benchmarks.speed.work import peak_mib, table
from benchmarks.speed.workers import FOLDER, OURS, ledger, parser, working

FITTED_ROWS, N_COLUMNS = 10_000, 30
BLOCK = 100_000
LOOK_EVERY = 0.02
COLUMNS = ("format", "method", "run", "rows", "mib", "seconds", "cpu_s", "peak_mib")
SCORE, REWRITE = "vae-anomaly score", "pyarrow, read and written again"
# Room for the input and both outputs, and some to spare.
BYTES_A_ROW, FILES = {"parquet": 250, "csv": 320}, 3.2


def block(begin: int, n: int, decimals: int | None) -> pa.RecordBatch:
    """Rows that differ from block to block, for the price of one table: its rows in another order, a little moved."""
    rows, _ = table(BLOCK, N_COLUMNS, 0)
    rng = np.random.default_rng(begin)
    moved = rows[rng.permutation(BLOCK)[:n]] + 0.01 * rng.normal(size=(n, N_COLUMNS))
    moved = moved if decimals is None else moved.round(decimals)
    return pa.RecordBatch.from_arrays(list(map(pa.array, moved.T)), [f"x{index}" for index in range(N_COLUMNS)])


def write(path: Path, n_rows: int) -> None:
    parquet = path.suffix == ".parquet"
    first = block(0, 1, None)
    with pq.ParquetWriter(path, first.schema) if parquet else pc.CSVWriter(path, first.schema) as writer:
        for begin in range(0, n_rows, BLOCK):
            writer.write_batch(block(begin, min(BLOCK, n_rows - begin), None if parquet else 6))


def run(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds by the clock, CPU seconds and MiB of a program from start to end."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak = 0.0
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(arguments, stdout=said, stderr=said)
        while program.poll() is None:
            peak = max(peak, peak_mib(program.pid))
            time.sleep(LOOK_EVERY)
        taken, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        if program.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(arguments)} ended with {program.returncode}: {said.read().decode()[-600:]}")
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def main() -> None:
    made = parser(__doc__, runs=1)
    made.add_argument("--formats", nargs="+", choices=list(BYTES_A_ROW), default=list(BYTES_A_ROW))
    made.add_argument("--parquet-rows", type=int, default=10_000_000)
    made.add_argument("--csv-rows", type=int, default=2_000_000)
    chosen = made.parse_args()
    sizes = {"parquet": chosen.parquet_rows, "csv": chosen.csv_rows}
    with (
        ledger(chosen.out, "files", COLUMNS, 3, lambda row: row["format"] in chosen.formats) as add,
        tempfile.TemporaryDirectory() as folder,
    ):
        index = Path(folder)
        model = index / "m.vae"
        with working(OURS) as worker:
            worker.ask("fit", rows=FITTED_ROWS, columns=N_COLUMNS, settings={}, named=True)
            worker.ask("save", path=str(model))
        for kind in chosen.formats:
            room, wanted = shutil.disk_usage(index).free, FILES * BYTES_A_ROW[kind] * sizes[kind]
            if room < wanted:
                raise SystemExit(
                    f"{index} has {room / 2**30:.0f} GiB left, {wanted / 2**30:.0f} are needed: fewer rows"
                )
            source, target = index / f"in.{kind}", index / f"out.{kind}"
            write(source, sizes[kind])
            programs = {
                REWRITE: [sys.executable, str(FOLDER / "rewrite.py"), str(source), str(target)],
                SCORE: [
                    *(sys.executable, "-m", "vae_anomaly_cli", "score", str(source)),
                    *("-o", str(target), "--model", str(model), "--quiet"),
                ],
            }
            for turn in range(chosen.runs):
                for method, arguments in programs.items():
                    taken, cpu, peak = run(arguments)
                    target.unlink()
                    mib = source.stat().st_size / 2**20
                    row: Row = {"format": kind, "method": method, "run": turn, "rows": sizes[kind], "mib": mib}
                    add({**row, "seconds": taken, "cpu_s": cpu, "peak_mib": peak})
            source.unlink()


if __name__ == "__main__":
    main()
