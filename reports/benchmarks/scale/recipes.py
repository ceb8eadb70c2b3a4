"""The recipes of docs/guide/engines.md, as they stand there, as programs for a number of workers."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "engines.md"
RECIPE = re.compile(r"<!-- not run: recipe (\w+), [^>]*-->\n```python\n(.*?)```", re.DOTALL)
OBJECT_STORE_BYTES = 512 << 20
# Before the recipe: an engine with so many workers. Spark tries a task four times, as on a cluster, and takes a file
# for a task; Ray Data reads beside its actors.
START = {
    "spark": """
import pyspark
session = (
    pyspark.sql.SparkSession.builder.master("local[{n_workers},4]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.memory", "1g")
    .config("spark.sql.files.maxPartitionBytes", "{file_bytes}")
    .getOrCreate()
)
session.sparkContext.setLogLevel("ERROR")
""",
    "ray": """
import ray
ray.init(
    num_cpus={n_workers} + 1,
    include_dashboard=False,
    log_to_driver=False,
    logging_level="ERROR",
    object_store_memory={object_store_bytes},
)
""",
    "daft": """
import daft
daft.set_runner_native(num_threads={n_workers})
""",
    "dask": """
import dask
dask.config.set(scheduler="processes", num_workers={n_workers})
""",
}


def program(recipe: str, lake: Path, model: Path, out: Path, n_workers: int) -> str:
    """Python code: the recipe with the paths of the benchmark in place of its own.

    Parameters
    ----------
    recipe : str
        Its name on the page.
    lake, model, out : Path
        Folder of Parquet files, file of a model, folder of results, which is there where the recipe writes one file.
    n_workers : int
    """
    code = dict(RECIPE.findall(PAGE.read_text(encoding="utf-8")))[recipe]
    code = code.replace("concurrency=1", f"concurrency={n_workers}").replace('"model.vae"', repr(str(model)))
    code = re.sub(r"""(["'])orders/""", rf"\1{lake}/", code)
    for written, place in ((f"scored_{recipe}/", f"{out}/"), (f"scored_{recipe}.parquet", f"{out}/0.parquet")):
        code = code.replace(written, place)
    start = START.get(recipe, "").format(
        n_workers=n_workers,
        file_bytes=max(path.stat().st_size for path in lake.iterdir()),
        object_store_bytes=OBJECT_STORE_BYTES,
    )
    lines = (start + code).splitlines()
    return 'if __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in lines)
