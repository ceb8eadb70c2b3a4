"""How each engine is asked to score the lake with one or two workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

CLI, SHARDS, RAY, SPARK, DAFT = "command line", "command line, shards", "Ray", "Spark", "Daft"
ENGINES = (CLI, SHARDS, RAY, SPARK, DAFT)
PROGRAM = (sys.executable, "-m", "vae_anomaly_cli")
# Rows of a part, so that even a small lake has several.
PART_ROWS = 131_072


@dataclass(frozen=True)
class Command:
    """What to run, and with which surroundings."""

    arguments: list[str]
    environment: dict[str, str]
    out: Path


def command(engine: str, lake: Path, model: Path, out: Path, n_workers: int, *, resume: bool = False) -> Command:
    """The command of an engine; all its processes compute in one thread each, but for the command line's."""
    one = {"OMP_NUM_THREADS": "1", "PYSPARK_PYTHON": sys.executable, "RAY_USAGE_STATS_ENABLED": "0"}
    score = [*PROGRAM, "score", str(lake), "-m", str(model), "-o", f"{out}/", "-q", *(["--resume"] if resume else [])]
    if engine == CLI:
        return Command(score, one | {"OMP_NUM_THREADS": str(n_workers)}, out)
    if engine == RAY:
        on_ray = [*score, "--engine", "ray", "--part-rows", str(PART_ROWS)]
        return Command([sys.executable, "-m", "benchmarks.scale.on_ray", str(n_workers), *on_ray], one, out)
    if engine == SHARDS:
        shards = [
            " ".join([*map(_quoted, score), "--shard", f"{number}/{n_workers}", "--part-rows", str(PART_ROWS)])
            for number in range(1, n_workers + 1)
        ]
        waits = "; ".join(f"wait $p{number}" for number in range(n_workers))
        starts = " ".join(f"{shard} & p{number}=$!;" for number, shard in enumerate(shards))
        return Command(["bash", "-ec", f"{starts} {waits}"], one, out)
    recipe = [sys.executable, "-W", "ignore", "-m", "benchmarks.scale.recipe", engine.lower()]
    return Command([*recipe, str(lake), str(model), str(out), str(n_workers)], one, out)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
