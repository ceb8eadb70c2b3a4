"""Rows a second of each recipe of docs/guide/engines.md, beside the command line, on the same mixed rows.

    python reports/benchmarks/scale/recipes.py [--rows 240000] [--only ray spark]

Each runs in a process of its own; seconds count from its start, and again without what starts and imports. Scores are
compared with those of the command line, bit by bit.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly import FitWarning, VAEDetector, save
from vae_anomaly.batches import BatchScorer, scorer

PAGE = Path(__file__).parents[3] / "docs" / "guide" / "engines.md"
RECIPE = re.compile(r"<!-- not run: recipe (\w+), [^>]*-->\n```python\n(.*?)```", re.DOTALL)
N_FILES = 8
# What starts an engine with two workers, before its recipe.
START = {
    "ray": "import ray; ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')",
    "spark": (
        "import pyspark; pyspark.sql.SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')"
        ".config('spark.driver.memory', '1g').getOrCreate()"
    ),
    "dask": "import dask; dask.config.set(scheduler='processes', num_workers=2)",
}
TIMED = """
import time
if __name__ == "__main__":
{start}
    begin = time.perf_counter()
{code}
    print("SECONDS", time.perf_counter() - begin)
"""


def mixed_rows(n_rows: int, seed: int) -> pa.Table:
    """Numbers, levels, whole numbers, dates, true and false, with missing cells."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {"id": pa.array(np.arange(n_rows) + seed * n_rows)}
    for number in range(6):
        columns[f"amount_{number}"] = pa.array(rng.normal(50, 5, n_rows).round(2), mask=rng.random(n_rows) < 0.05)
    for number in range(3):
        columns[f"count_{number}"] = pa.array(rng.poisson(3, n_rows))
        columns[f"level_{number}"] = pa.array(rng.choice(list("abcdefgh"), n_rows), mask=rng.random(n_rows) < 0.05)
    columns["paid"] = pa.array(rng.random(n_rows) < 0.5)
    columns["when"] = pa.array(np.datetime64("2026-01-01", "us") + rng.integers(0, 10**7, n_rows).astype("m8[s]"))
    return pa.table(columns)


def prepare(folder: Path, n_rows: int) -> BatchScorer:
    """Write the rows and a model of others."""
    (folder / "orders").mkdir()
    for number in range(N_FILES):
        pq.write_table(mixed_rows(n_rows // N_FILES, number), folder / "orders" / f"{number}.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        save(VAEDetector(random_state=0).fit(mixed_rows(20_000, 99).drop(["id"])), folder / "model.vae")
    return scorer(folder / "model.vae", columns=["id"])


def seconds_of(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds of a process, and what it printed."""
    environment = os.environ | {
        "PYSPARK_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    }
    begin = time.perf_counter()
    run = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{command}: {run.stderr[-2000:]}")
    return time.perf_counter() - begin, run.stdout


def scores_in(path: Path) -> pa.Table:
    """What was written, by id."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    tables = [pq.read_table(file, partitioning=None).select(["id", "anomaly_score", "p_value"]) for file in files]
    types = pa.schema([("id", pa.int64()), ("anomaly_score", pa.float64()), ("p_value", pa.float64())])
    return pa.concat_tables([table.cast(types) for table in tables]).sort_by("id").combine_chunks()


def main() -> None:
    """Measure, and write a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    recipes = dict(RECIPE.findall(PAGE.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        score = prepare(folder, given.rows)
        table = pq.read_table(folder / "orders")
        score(table.slice(0, 1000))
        begin = time.perf_counter()
        score(table)
        report("scorer alone, one process", time.perf_counter() - begin, None, given.rows)
        command = [sys.executable, "-m", "vae_anomaly_cli", "score", "orders/*.parquet", "-m", "model.vae"]
        seconds, _ = seconds_of([*command, "--id", "id", "-o", "by_command/"], folder)
        report("command line", seconds, None, given.rows)
        expected = scores_in(folder / "by_command")
        for recipe in given.only or recipes:
            # Engines have working folders of their own.
            code = re.sub(r"""(["'])(orders/|scored_)""", rf"\1{folder}/\2", recipes[recipe])
            start = "    " + START.get(recipe, "pass")
            (folder / "program.py").write_text(
                TIMED.format(start=start, code="".join(f"    {line}\n" for line in code.splitlines())), encoding="utf-8"
            )
            seconds, printed = seconds_of([sys.executable, "program.py"], folder)
            own = float(printed.rpartition("SECONDS")[2].split()[0])
            (written,) = folder.glob(f"scored_{recipe}*")
            report(recipe, seconds, own, given.rows, equal=scores_in(written).equals(expected))


def report(name: str, seconds: float, own: float | None, n_rows: int, *, equal: bool = True) -> None:
    """Print a line."""
    line = {"name": name, "seconds": round(seconds, 1), "rows_per_second": round(n_rows / seconds), "equal_bits": equal}
    line |= {} if own is None else {"seconds_without_start": round(own, 1)}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
