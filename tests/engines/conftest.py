"""One local Ray of two CPUs and one Spark session for all tests of engines, which run by `pytest -n 0 -m engines`."""

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
JAVA = "Spark needs Java 17"
OBJECT_STORE_BYTES, N_STARTS = 256 << 20, 3


def pytest_configure(config: pytest.Config) -> None:
    """Engines leave processes to end by themselves, which Python says when the tests are over."""
    if "engines" in config.option.markexpr.replace("not engines", ""):
        warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder; engines warn of themselves, which is no error of ours."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.engines)
            # That of an engine that begins on a busy machine counts, too.
            item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.filterwarnings("default"), append=False)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """The module `ray`, with a local cluster of two CPUs that ends with the tests."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data,train,tune]'")
    for n_left in reversed(range(N_STARTS)):
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level="ERROR",
            )
            break
        except Exception:
            # It gives itself half a minute, which beside other work may be too little.
            ray.shutdown()
            if not n_left:
                raise
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def spark_session() -> Iterator[Any]:
    """A Spark session of two threads in this process, whose workers have this Python."""
    sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed: pip install pyspark")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip(JAVA)
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
