"""`score --engine ray` and `fit --engine ray` give what one process gives, whatever becomes of workers and driver."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli.distributed.ray_engine import Scorer, versions
from vae_anomaly_cli.distributed.run_folder import NAME

COMMAND = [sys.executable, "-m", "vae_anomaly_cli"]
N_ROWS = (4_000, 700, 30_000)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of mixed rows."""
    folder, rng = tmp_path_factory.mktemp("lake"), np.random.default_rng(3)
    for number, n_rows in enumerate(N_ROWS):
        values = rng.normal(size=(n_rows, 2)) @ rng.normal(size=(2, 4)) + rng.normal(size=(n_rows, 4)) / 3
        frame = pd.DataFrame(values, columns=list("abcd")).assign(kind=rng.choice(["x", "y"], n_rows))
        frame["id"] = [f"{number}-{row}" for row in range(n_rows)]
        frame.loc[rng.choice(n_rows, n_rows // 50), "a"] = np.nan
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{number}.parquet", 1_000)
    return folder


@pytest.fixture(scope="module")
def model(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.vae"
    command("fit", lake / "0.parquet", "-o", path, "--id", "id", "--max-iter", "20", "--n-estimators", "2")
    return path


def command(*arguments: Any, code: int = 0) -> str:
    """Run the command in a process of its own; returns what it said."""
    found = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == code, found.stderr
    return found.stderr + found.stdout


@pytest.fixture(scope="module")
def address(ray_cluster: Any) -> str:
    return str(ray_cluster.get_runtime_context().gcs_address)


def written(folder: Path) -> dict[str, pa.Table]:
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(folder.glob("*.parquet")):
        found.setdefault(path.name[0], []).append(pq.read_table(path))
    return {name: pa.concat_tables(tables) for name, tables in found.items()}


def workers() -> Iterator[int]:
    """Processes of workers that have a part."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Scorer.do"):
                yield int(path.parent.name)
        except OSError:
            continue


def test_scores_of_a_cluster_are_those_of_one_process(lake, model, address, tmp_path) -> None:
    common = ("score", lake, "-m", model, "--fdr", "0.2", "--explain", "--json", "--top", "20")
    whole = command(*common, "-o", f"{tmp_path}/whole/")
    out = tmp_path / "parts"
    on_ray = command(*common, "-o", f"{out}/", "--engine", "ray", "--address", address, "--part-rows", "5000")
    # How far it is, a command that takes long says for itself.
    whole = "".join(line for line in whole.splitlines(keepends=True) if not line.startswith("explaining "))
    assert on_ray.replace(str(out), "OUT") == whole.replace(str(tmp_path / "whole"), "OUT")
    assert json.loads(on_ray[on_ray.index("{\n") :])["rows"] == sum(N_ROWS)
    assert written(out) == written(tmp_path / "whole")
    assert len(list(out.glob("2-*-of-00006.parquet"))) == 6
    assert not (out / NAME).exists()


def test_a_killed_worker_costs_its_part_alone(lake, model, address, tmp_path) -> None:
    command("score", lake, "-m", model, "-o", f"{tmp_path}/whole/")
    out = tmp_path / "parts"
    arguments = ["score", lake, "-m", model, "-o", f"{out}/", "--engine", "ray", "--address", address]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--part-rows", "2000"], stderr=subprocess.PIPE, text=True
    )
    killed = None
    while killed is None and process.poll() is None:
        killed = next(workers(), None)
        time.sleep(0.01)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert "a worker was lost at" in said
    assert written(out) == written(tmp_path / "whole")
    assert not [path.name for path in out.glob(".*")]


def test_a_killed_driver_loses_no_part(lake, model, address, tmp_path) -> None:
    command("score", lake, "-m", model, "-o", f"{tmp_path}/whole/")
    out = tmp_path / "parts"
    arguments = ["score", lake, "-m", model, "-o", f"{out}/", "--engine", "ray", "--address", address]
    arguments += ["--part-rows", "2000"]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.DEVNULL)
    while len(list(out.glob(f"{NAME}/*.written"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    # Workers end by themselves when their driver is gone.
    time.sleep(2)
    noted = {path.name: path.stat().st_mtime_ns for path in out.glob(f"{NAME}/*.written")}
    assert 2 <= len(noted) < 18
    refused = command(*arguments, code=2)
    assert "holds a run in parts that is not ended" in refused
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    again = command(*arguments, "--resume")
    assert f"{len(noted)} of 18 parts are done: left alone." in again
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert sum(after[name] == done[name] for name in done) >= len(noted)
    assert written(out) == written(tmp_path / "whole")


def test_a_fit_on_a_cluster_is_that_of_one_process(lake, address, tmp_path) -> None:
    common = ("fit", lake, "--id", "id", "--max-iter", "5", "--n-estimators", "2", "--sample-rows", "3000")
    command(*common, "-o", tmp_path / "whole.vae", "--passes", "2")
    said = command(*common, "-o", tmp_path / "ray.vae", "--passes", "2", "--engine", "ray", "--address", address)
    assert f"a sample of 3,000 of {sum(N_ROWS):,} rows" in said
    assert (tmp_path / "ray.vae").read_bytes() == (tmp_path / "whole.vae").read_bytes()


def test_no_cluster_at_an_address_is_said(lake, model, tmp_path) -> None:
    found = command(
        *("score", lake, "-m", model, "-o", f"{tmp_path}/o/", "--engine", "ray", "--address", "127.0.0.1:1"),
        code=1,
    )
    assert "no Ray cluster answers there" in found.splitlines()[-1]


def test_a_worker_of_another_version_is_refused() -> None:
    worker = Scorer(versions() | {"vae-anomaly": "0.0.1"}, b"never read", "cpu")
    what, said = worker.do("written", None)  # type: ignore[arg-type]
    assert what == "failed"
    assert "and the command 0.0.1. Install the same versions on all nodes" in said
