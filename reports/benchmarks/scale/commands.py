"""How each engine is asked to score the lake with one or two workers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale.lake import ID
from benchmarks.scale.recipes import program

CLI, SHARDS, RAY, RAY_DATA, SPARK, DAFT = "command line", "shards", "ray", "ray-data", "spark", "daft"
DASK, DUCKDB, POLARS = "dask", "duckdb", "polars"
ENGINES = (CLI, SHARDS, RAY, RAY_DATA, SPARK, DAFT)
OTHERS = (DASK, DUCKDB, POLARS)
# They have no workers: whatever is not their own work is done in one thread.
ALONE = (DUCKDB, POLARS)
RECIPES = {RAY_DATA: "ray", **{engine: engine for engine in (SPARK, DAFT, DASK, DUCKDB, POLARS)}}
# By what the command line of a process that scores is known.
WORKERS = {RAY: "ray::Scorer", RAY_DATA: "ray::MapWorker", SPARK: "pyspark.daemon", DASK: "multiprocessing"}
RESUMES = (CLI, RAY)
MEANING = {
    CLI: "threads of one process",
    SHARDS: "processes, `--shard 1/2` and `--shard 2/2` at once",
    RAY: "actors of `--engine ray`, each with one CPU of the cluster; they read and write by themselves",
    RAY_DATA: "actors of the recipe; the cluster has a CPU more, on the same cores, which reads and writes",
    SPARK: "task slots, `local[N]`: a Python process for each, beside the JVM, which reads and writes",
    DAFT: "threads of Daft's own runner, in one process",
    DASK: "processes",
    DUCKDB: "one process",
    POLARS: "one process",
}
PROGRAM = (sys.executable, "-m", "vae_anomaly_cli")
# Rows of a part, so that even a small lake has several.
PART_ROWS = 131_072


@dataclass(frozen=True)
class Command:
    """What to run, with which surroundings, and by what a process that scores is known."""

    arguments: list[str]
    environment: dict[str, str]
    worker: str


def command(engine: str, lake: Path, model: Path, out: Path, n_workers: int, *, resume: bool = False) -> Command:
    """The command of an engine; its processes compute in one thread each, but for the command line's."""
    environment = {
        "OMP_NUM_THREADS": str(n_workers) if engine == CLI else "1",
        "PYSPARK_PYTHON": sys.executable,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "DAFT_PROGRESS_BAR": "0",
    }
    if engine in RECIPES:
        code = program(RECIPES[engine], lake, model, out, n_workers)
        file = out.with_name(f"recipe_{engine}.py")
        if engine in ALONE:
            out.mkdir(exist_ok=True)
        file.write_text(code, encoding="utf-8")
        return Command([sys.executable, "-W", "ignore", str(file)], environment, WORKERS.get(engine, file.name))
    score = [*PROGRAM, "score", str(lake), "-m", str(model), "--id", ID, "-o", f"{out}/", "-q"]
    score += ["--resume"] if resume else []
    if engine == CLI:
        return Command(score, environment, "vae_anomaly_cli")
    score += ["--part-rows", str(PART_ROWS)]
    if engine == RAY:
        cluster = [sys.executable, "-m", "benchmarks.scale.on_ray", str(n_workers)]
        return Command([*cluster, *score, "--engine", "ray"], environment, WORKERS[RAY])
    starts, waits = "", ""
    for number in range(1, n_workers + 1):
        starts += f"{shlex.join([*score, '--shard', f'{number}/{n_workers}'])} & p{number}=$!; "
        waits += f"wait $p{number}; "
    return Command(["bash", "-ec", starts + waits], environment, f"{sys.executable} -m vae_anomaly_cli")
