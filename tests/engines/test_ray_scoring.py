"""`score --engine ray` and `fit --engine ray` give what one process gives, whatever becomes of workers and driver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli.distributed.ray_engine import Scorer, versions
from vae_anomaly_cli.distributed.run_folder import NAME
from vae_anomaly_cli.main import main

N_ROWS = (1_000, 300, 9_000)
LINES_OF_WAITING = ("explaining ", "waiting for the workers ")
Command = Callable[..., str]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of mixed rows."""
    folder, rng = tmp_path_factory.mktemp("lake"), np.random.default_rng(3)
    for number, n_rows in enumerate(N_ROWS):
        values = rng.normal(size=(n_rows, 2)) @ rng.normal(size=(2, 4)) + rng.normal(size=(n_rows, 4)) / 3
        frame = pd.DataFrame(values, columns=list("abcd")).assign(kind=rng.choice(["x", "y"], n_rows))
        frame["id"] = [f"{number}-{row}" for row in range(n_rows)]
        frame.loc[rng.choice(n_rows, n_rows // 50), "a"] = np.nan
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{number}.parquet", 250)
    return folder


@pytest.fixture(scope="module")
def model(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.vae"
    given = ("fit", lake / "0.parquet", "-o", path, "--id", "id", "--max-iter", "20", "--n-estimators", "2")
    assert main([str(argument) for argument in given]) == 0
    return path


@pytest.fixture(scope="module")
def whole(lake: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """Scores of one process."""
    out = tmp_path_factory.mktemp("whole")
    assert main(["score", str(lake), "-m", str(model), "-o", f"{out}/"]) == 0
    return written(out)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process, which has the cluster; returns what it said."""

    def run(*arguments: Any, code: int = 0) -> str:
        capsys.readouterr()
        found, said = main([str(argument) for argument in arguments]), capsys.readouterr()
        assert found == code, said.err
        return said.err + said.out

    return run


@pytest.fixture(scope="module")
def address(ray_cluster: Any) -> str:
    return str(ray_cluster.get_runtime_context().gcs_address)


def written(folder: Path) -> dict[str, pa.Table]:
    found: dict[str, list[pa.Table]] = {}
    for path in sorted(folder.glob("*.parquet")):
        found.setdefault(path.name[0], []).append(pq.read_table(path))
    return {name: pa.concat_tables(tables) for name, tables in found.items()}


def workers(title: bytes = b"ray::Scorer.do") -> Iterator[int]:
    """Processes of workers that have a part."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(title):
                yield int(path.parent.name)
        except OSError:
            continue


def without_waiting(said: str) -> str:
    """What was said but for how far it is, which a command that takes long says."""
    return "".join(line for line in said.splitlines(keepends=True) if not line.startswith(LINES_OF_WAITING))


def test_scores_of_a_cluster_are_those_of_one_process(lake, model, ray_cluster, command, tmp_path) -> None:
    common = ("score", lake, "-m", model, "--fdr", "0.2", "--explain", "--json", "--top", "20")
    in_one = command(*common, "-o", f"{tmp_path}/whole/")
    out = tmp_path / "parts"
    on_ray = command(*common, "-o", f"{out}/", "--engine", "ray", "--part-rows", "3000")
    found, expected = without_waiting(on_ray), without_waiting(in_one)
    assert found.replace(str(out), "OUT") == expected.replace(str(tmp_path / "whole"), "OUT")
    assert json.loads(on_ray[on_ray.index("{\n") :])["rows"] == sum(N_ROWS)
    assert written(out) == written(tmp_path / "whole")
    assert len(list(out.glob("2-*-of-00003.parquet"))) == 3
    assert not (out / NAME).exists()


def test_a_killed_worker_costs_its_part_alone(lake, model, ray_cluster, command, whole, tmp_path) -> None:
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        while not killed and not ended.wait(0.005):
            for worker in islice(workers(), 1):
                # Stopped, it cannot end its part before it is killed.
                os.kill(worker, signal.SIGSTOP)
                is_busy = worker in workers()
                os.kill(worker, signal.SIGKILL if is_busy else signal.SIGCONT)
                killed.extend([worker] * is_busy)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        said = command("score", lake, "-m", model, "-o", f"{tmp_path}/", "--engine", "ray", "--part-rows", "1000")
    finally:
        ended.set()
        killer.join()
    assert len(killed) == 1
    assert "a worker was lost at" in said
    assert written(tmp_path) == whole
    assert not [path.name for path in tmp_path.glob(".*")]


def test_a_killed_driver_loses_no_part(lake, model, address, command, whole, tmp_path) -> None:
    out = tmp_path / "parts"
    arguments = [str(argument) for argument in ("score", lake, "-m", model, "-o", f"{out}/", "--engine", "ray")]
    arguments += ["--part-rows", "500"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vae_anomaly_cli", *arguments, "--address", address], stderr=subprocess.DEVNULL
    )
    while len(list(out.glob(f"{NAME}/*.written"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    # Workers end by themselves when their driver is gone.
    deadline = time.monotonic() + 60
    while any(workers(b"ray::Scorer")) and time.monotonic() < deadline:
        time.sleep(0.05)
    noted = {path.name: path.stat().st_mtime_ns for path in out.glob(f"{NAME}/*.written")}
    assert 2 <= len(noted) < 21
    refused = command(*arguments, code=2)
    assert "holds a run in parts that is not ended" in refused
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    again = command(*arguments, "--resume")
    assert f"{len(noted)} of 21 parts are done: left alone." in again
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert sum(after[name] == done[name] for name in done) >= len(noted)
    assert written(out) == whole


def test_a_fit_on_a_cluster_is_that_of_one_process(lake, ray_cluster, command, tmp_path) -> None:
    common = ("fit", lake, "--id", "id", "--max-iter", "2", "--n-estimators", "2", "--sample-rows", "900")
    command(*common, "-o", tmp_path / "whole.vae", "--passes", "2")
    said = command(*common, "-o", tmp_path / "ray.vae", "--passes", "2", "--engine", "ray")
    assert f"a sample of 900 of {sum(N_ROWS):,} rows" in said
    assert (tmp_path / "ray.vae").read_bytes() == (tmp_path / "whole.vae").read_bytes()


def test_a_run_for_which_no_cluster_answers_is_said_and_in_nobodys_way(
    lake, model, command, tmp_path, monkeypatch
) -> None:
    ray = pytest.importorskip("ray", reason="the engine is not installed")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    found = command(
        *("score", lake, "-m", model, "-o", f"{tmp_path}/", "--engine", "ray", "--address", "127.0.0.1:1"), code=1
    )
    assert "no Ray cluster answers there" in found.splitlines()[-1]
    assert not (tmp_path / NAME).exists()
    command("score", lake, "-m", model, "-o", f"{tmp_path}/")


def test_a_worker_of_another_version_is_refused() -> None:
    worker = Scorer(versions() | {"vae-anomaly": "0.0.1"}, b"never read", "cpu")
    what, said = worker.do("written", None)  # type: ignore[arg-type]
    assert what == "failed"
    assert "and the command 0.0.1. Install the same versions on all nodes" in said
