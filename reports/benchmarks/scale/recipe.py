"""The recipes of docs/guide/engines.md as programs: python -m benchmarks.scale.recipe ENGINE LAKE MODEL OUT WORKERS."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.scale.lake import ID

from vae_anomaly.batches import scorer


def spark(lake: Path, model: Path, out: Path, n_workers: int) -> None:
    import pyspark

    session = (
        pyspark.sql.SparkSession.builder.master(f"local[{n_workers},4]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.files.maxPartitionBytes", str(32 << 20))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    score = scorer(str(model), columns=[ID])
    columns = f"{ID} long, anomaly_score double, p_value double, is_anomaly boolean, problem string"
    scored = session.read.parquet(str(lake)).mapInArrow(score.iterate, columns)
    scored.write.mode("overwrite").parquet(str(out))
    session.stop()


def daft(lake: Path, model: Path, out: Path, n_workers: int) -> None:
    import daft
    import pyarrow as pa

    engine: Any = daft

    engine.set_runner_native(num_threads=n_workers)
    rows = engine.read_parquet(str(lake / "*.parquet"))
    names = rows.column_names
    score = scorer(str(model), columns=[])
    result = pa.struct(list(score.schema(rows.schema().to_pyarrow_schema())))

    def scored_columns(*columns: Any) -> Any:
        return score(pa.table([column.to_arrow() for column in columns], names)).to_struct_array()

    scored = engine.func.batch(return_dtype=engine.DataType.from_arrow_type(result))(scored_columns)
    found = rows.select(ID, scored(*map(engine.col, names)).alias("scored"))
    found.select(ID, engine.col("scored").unnest()).write_parquet(str(out), write_mode="overwrite")


RECIPES: dict[str, Callable[..., None]] = {"spark": spark, "daft": daft}

if __name__ == "__main__":
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    RECIPES[sys.argv[1]](*map(Path, sys.argv[2:5]), int(sys.argv[5]))
