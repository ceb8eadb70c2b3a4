"""Inputs and outputs in a store that speaks S3, served in this process."""

import gzip
import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli import stores
from vae_anomaly_cli.errors import InputChanged
from vae_anomaly_cli.main import main
from vae_anomaly_cli.output import places
from vae_anomaly_cli.output.places import place_of
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.stores import StoreError

BUCKET = "lake"
FAST = ("--max-iter", "10", "--n-estimators", "2", "--random-state", "1")
UPLOAD = """
from vae_anomaly_cli.output import places
file = places.open_output(places.place_of("s3://lake/killed.bin"))
file.stream.write(b"x" * 60_000_000)
file.finish()
"""
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A client of a store with one bucket, which commands find by the environment."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'moto[s3,server]'")
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[s3,server]'")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
        client.create_bucket(Bucket=BUCKET)
        yield client
    running.stop()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command in this process: its exit code, and what it says."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def lake(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six files in partitions, and the same objects below s3://lake/in/."""
    folder = tmp_path_factory.mktemp("lake")
    generator = np.random.default_rng(0)
    for index in range(6):
        path = folder / f"day={index % 3}" / f"{index}.parquet"
        path.parent.mkdir(exist_ok=True)
        cells: dict[str, Any] = {f"x{column}": generator.normal(size=120) for column in range(4)}
        pq.write_table(pa.table(cells | {"id": pa.array(range(120)).cast(pa.string())}), path, row_group_size=50)
        put(store, f"in/{path.relative_to(folder)}", path.read_bytes())
    return folder


def put(store: Any, key: str, content: bytes) -> None:
    store.put_object(Bucket=BUCKET, Key=key, Body=content)


def get(store: Any, key: str) -> bytes:
    return bytes(store.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def keys(store: Any, prefix: str) -> list[str]:
    found = [each["Key"] for each in store.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    # Where something was deleted, pyarrow leaves an object without a byte for its folder.
    return [key for key in found if not key.endswith("/")]


def test_runs_in_a_store_give_the_bits_of_runs_on_a_disk(store: Any, lake: Path, call: Call, tmp_path: Path) -> None:
    assert call("fit", lake, "-o", tmp_path / "m.vae", "--id", "id", *FAST)[0] == 0
    code, said = call("fit", "s3://lake/in/", "-o", "s3://lake/m.vae", "--id", "id", *FAST)
    assert code == 0, said
    assert get(store, "m.vae") == (tmp_path / "m.vae").read_bytes()

    assert call("score", lake, "-m", tmp_path / "m.vae", "-o", f"{tmp_path}/out/")[0] == 0
    code, said = call("score", "s3://lake/in/day=*/*.parquet", "-m", "s3://lake/m.vae", "-o", "s3://lake/out/")
    assert code == 0, said
    written = sorted((tmp_path / "out").rglob("*.parquet"))
    assert keys(store, "out/") == [f"out/{path.relative_to(tmp_path / 'out')}" for path in written]
    for path in written:
        assert get(store, f"out/{path.relative_to(tmp_path / 'out')}") == path.read_bytes()

    given = ("--fdr", "0.5", "--id", "id")
    assert call("score", lake, "-m", tmp_path / "m.vae", "-o", tmp_path / "one.csv", *given)[0] == 0
    code, said = call("score", "s3://lake/in/", "-m", "s3://lake/m.vae", "-o", "s3://lake/one.csv", *given)
    assert code == 0, said
    local = (tmp_path / "one.csv").read_text().replace(f"{lake}/", "s3://lake/in/")
    assert get(store, "one.csv").decode() == local

    for name, content in (("one.csv", get(store, "one.csv")), ("one.csv.gz", gzip.compress(get(store, "one.csv")))):
        put(store, f"text/{name}", content)
        (tmp_path / f"in-{name}").write_bytes(content)
        source = open_table([f"s3://lake/text/{name}"], None, None, lambda _text: None)
        other = open_table([str(tmp_path / f"in-{name}")], None, None, lambda _text: None)
        assert [batch.cells for batch in source.batches()] == [batch.cells for batch in other.batches()]


def test_shards_in_a_store_give_the_bits_of_one_run(store: Any, lake: Path, call: Call, tmp_path: Path) -> None:
    assert call("fit", lake, "-o", tmp_path / "m.vae", "--id", "id", *FAST)[0] == 0
    given = ("-m", str(tmp_path / "m.vae"), "--part-rows", "60")
    for then in (("--shard", "1/1"), ("--resume",)):
        code, said = call("score", lake, *given, "-o", f"{tmp_path}/parts/", *then)
        assert code == 0, said
    for shard in ("2/2", "1/2"):
        code, said = call("score", "s3://lake/in/", *given, "-o", "s3://lake/parts/", "--shard", shard)
        assert code == 0, said
    code, said = call("score", "s3://lake/in/", *given, "-o", "s3://lake/parts/", "--resume")
    assert code == 0, said
    written = sorted((tmp_path / "parts").rglob("*.parquet"))
    assert keys(store, "parts/") == [f"parts/{path.relative_to(tmp_path / 'parts')}" for path in written]
    for path in written:
        assert get(store, f"parts/{path.relative_to(tmp_path / 'parts')}") == path.read_bytes()


def test_an_object_of_the_same_size_that_took_its_place_is_noticed(store: Any, lake: Path) -> None:
    content = (lake / "day=0" / "0.parquet").read_bytes()
    put(store, "changing/a.parquet", content)
    source = open_table(["s3://lake/changing/"], None, None, lambda _text: None)
    list(source.batches())
    put(store, "changing/a.parquet", content[:-200] + bytes(reversed(content[-200:])))
    with pytest.raises(InputChanged, match=r"s3://lake/changing/a.parquet changed .* another object took its place"):
        list(source.batches())


def test_what_a_store_refuses_is_one_line_within_seconds(store: Any, lake: Path, call: Call, tmp_path: Path) -> None:
    put(store, "lacking/a.parquet", (lake / "day=0" / "0.parquet").read_bytes())
    lacking = io.BytesIO()
    pq.write_table(pa.table({"x0": [1.0]}), lacking)
    put(store, "lacking/b.parquet", lacking.getvalue())
    down = "endpoint_override=127.0.0.1:9&scheme=http&access_key=KEY&secret_key=SECRET"
    for arguments, code, line in (
        (("s3://nobody/in/",), 2, "s3://nobody/in/ cannot be read: there is no such bucket"),
        (("s3://lake/no*/x.csv",), 2, "s3://lake/no*/x.csv matches no object"),
        ((f"s3://lake/a.csv?{down}",), 2, "s3://lake/a.csv cannot be read: the store cannot be reached"),
        (("s3://lake/lacking/",), 2, "s3://lake/lacking/b.parquet lacks columns 'x1', 'x2', 'x3', 'id'"),
        (("s3://lake/in/", "-o", "s3://nobody/x.csv"), 1, "s3://nobody/x.csv cannot be written: there is no such"),
        (("s3://lake/in/", "-m", "s3://lake/none.vae"), 2, "s3://lake/none.vae does not exist; expected a model"),
        (("s3://lake/in/", "-o", "s3://lake/in/a.csv"), 2, "--output s3://lake/in/a.csv lies in the input folder"),
    ):
        begin = time.monotonic()
        found, said = call("score", *arguments)
        assert (found, said.splitlines()[-1][: len(line) + 7]) == (code, f"error: {line}")
        assert "SECRET" not in said
        assert time.monotonic() - begin < 20


def test_an_object_that_is_not_whole_never_appears(store: Any) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 15_000_000:
                raise OSError("a fault of the disk")
            return super().read(size)

    with pytest.raises(StoreError, match="a fault of the disk"):
        stores.write_object(stores.Address.of("s3://lake/broken.bin"), Broken(b"x" * 40_000_000))
    dropped = places.open_output(place_of("s3://lake/dropped.bin"))
    dropped.stream.write(b"x" * 20_000_000)
    dropped.discard()
    assert keys(store, "broken") == keys(store, "dropped") == []


def test_a_kill_in_the_midst_of_an_upload_leaves_no_object_and_ctrl_c_waits_for_it(store: Any) -> None:
    for number in (signal.SIGKILL, signal.SIGINT):
        before = {each["UploadId"] for each in uploads(store)}
        process = subprocess.Popen([sys.executable, "-c", UPLOAD], env=os.environ, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not {each["UploadId"] for each in uploads(store)} - before:
            assert process.poll() is None, "the upload ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert keys(store, "killed") == []
        process.send_signal(number)
        assert process.wait(60) != 0
        if number == signal.SIGKILL:
            assert keys(store, "killed") == []
    assert store.head_object(Bucket=BUCKET, Key="killed.bin")["ContentLength"] == 60_000_000
    assert {each["UploadId"] for each in uploads(store)} == before


def uploads(store: Any) -> list[dict[str, Any]]:
    """Uploads that have begun and not ended."""
    return list(store.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))
