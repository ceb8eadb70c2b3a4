"""Inputs and outputs at addresses of stores, by the rules of files; here one in memory."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli.errors import InputChanged, InputError
from vae_anomaly_cli.sources import TableSource, open_table, stored_object
from vae_anomaly_cli.sources.lake import objects_of

ROOT = "memory://lake"
ROWS = pa.table({"id": pa.array(range(30)), "word": pa.array([f"w{index % 7}" for index in range(30)])})


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A folder, of which `copied` makes objects of a store."""
    yield tmp_path / "lake"
    fsspec.filesystem("memory").store.clear()


def parquet(table: pa.Table = ROWS) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=10)
    return content.getvalue()


def put(name: str, content: bytes) -> None:
    system = fsspec.filesystem("memory")
    system.makedirs(f"/lake/{name}".rpartition("/")[0], exist_ok=True)
    with system.open(f"/lake/{name}", "wb") as file:
        file.write(content)


def copied(tree: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        put(name, content)


def open_(*data: str) -> TableSource:
    return open_table(list(data), None, None, lambda _text: None)


def rows(source: TableSource) -> pa.Table:
    return pa.Table.from_batches([batch.cells for batch in source.batches()])


@pytest.mark.parametrize(
    "pattern",
    ["", "/", "/day=*/*.parquet", "/day=1", "/day=[12]/", "/**/*.parquet", "/day=?/b*", "/*", "/day=1/a.parquet"],
)
def test_objects_are_found_by_the_rules_of_files(tree: Path, pattern: str) -> None:
    names = ["day=2/b.parquet", "day=1/a.parquet", "day=1/b.parquet", "day=10/b.parquet"]
    hidden = ["_SUCCESS", "day=1/_tmp.parquet", ".hidden/c.parquet", "day=1/readme.md"]
    copied(tree, {name: parquet() for name in [*names, *hidden[:3]]} | dict.fromkeys(hidden[3:], b""))
    if pattern == "/*":
        # What a pattern of the shell matches is taken, be it a table or not.
        (tree / "_SUCCESS").unlink()
        fsspec.filesystem("memory").rm("/lake/_SUCCESS")
    local, stored = open_(f"{tree}{pattern}"), open_(f"{ROOT}{pattern}")
    assert [file.relative for file in stored.files] == [file.relative for file in local.files]
    assert stored.names == local.names
    assert rows(stored).equals(rows(local))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", ROWS.to_pandas().to_csv(index=False).encode()),
        ("a.csv.gz", gzip.compress(ROWS.to_pandas().to_csv(index=False).encode())),
        ("a.jsonl", ROWS.to_pandas().to_json(orient="records", lines=True).encode()),
        ("umlauts.csv", "größe;wert\n1,5;ä\n2,5;ö\n".encode("utf-16")),
        ("a.parquet", parquet()),
    ],
)
def test_every_format_is_read_as_from_a_file(tree: Path, name: str, content: bytes) -> None:
    copied(tree, {name: content})
    stored, local = open_(f"{ROOT}/{name}"), open_(str(tree / name))
    assert rows(stored).equals(rows(local))
    assert stored.size == local.size
    assert stored.locate(0, 1).where == local.locate(0, 1).where


def test_only_the_columns_and_row_groups_that_are_asked_for_are_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_rows = 20_000
    wide = pa.table({f"x{index}": pa.array(range(index, index + n_rows), pa.float64()) for index in range(20)})
    content = io.BytesIO()
    pq.write_table(wide, content, row_group_size=n_rows // 4, compression="none", use_dictionary=False)
    copied(tree, {"wide.parquet": content.getvalue()})
    source = open_(f"{ROOT}/wide.parquet")
    read: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            block = super().read(size)
            read.append(len(block))
            return block

    monkeypatch.setattr(
        stored_object.StoredObject, "open", lambda _self: pa.PythonFile(Counting(content.getvalue()), "r")
    )
    (batch,) = source.part(0, 1, 2).batches(["x3"])
    assert batch.cells.column(0).to_pylist() == wide["x3"][n_rows // 4 : n_rows // 2].to_pylist()
    # The tail with the footer, and a column of a group, whose cells take eight bytes.
    assert sum(read) < 1.2 * (8 * n_rows / 4) + 2 * (1 << 16)
    assert sum(read) < len(content.getvalue()) / 10


def test_an_object_that_is_written_again_is_noticed(tree: Path) -> None:
    copied(tree, {"a.parquet": parquet(), "b.parquet": parquet()})
    source = open_(f"{ROOT}/")
    rows(source)
    put("b.parquet", parquet(ROWS.slice(0, 20)))
    with pytest.raises(InputChanged, match=r"memory://lake/b.parquet changed while it was read: it had .* bytes"):
        rows(source)
    fsspec.filesystem("memory").rm("/lake/b.parquet")
    with pytest.raises(InputChanged, match="it is not there any more"):
        rows(source)


def test_what_is_wrong_with_one_of_many_objects_names_it(tree: Path) -> None:
    copied(tree, {f"{index}.parquet": parquet() for index in range(8)})
    put("5.parquet", parquet(ROWS.drop_columns("word")))
    with pytest.raises(InputError, match=r"^memory://lake/5.parquet lacks column 'word'; expected the columns of"):
        open_(ROOT)
    put("5.parquet", b"PAR1 and no more")
    with pytest.raises(InputError, match=r"^memory://lake/5.parquet is not a readable Parquet file"):
        open_(ROOT)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://lake/none*.csv", "memory://lake/none*.csv matches no object. Check the pattern"),
        ("memory://lake/none", "memory://lake/none does not exist: there is no such object"),
        (
            "memory://lake/a.png",
            "memory://lake/a.png is an image; those of stores are not read. Copy the folder first.",
        ),
        ("memory://lake/images/", "memory://lake/images holds images; those of stores are not read."),
        ("s3://bucket/a.csv?endpoint=x", "s3://bucket/a.csv cannot be read: its option 'endpoint' is not known"),
        ("sftp://host/a.csv", "sftp://host/a.csv cannot be read: sftp:// takes a driver that is not installed."),
    ],
)
def test_what_cannot_be_read_is_one_line(run, tree: Path, address: str, said: str) -> None:
    copied(tree, {"a.png": b"x", "images/a.png": b"x"})
    assert run("score", address).error().startswith(f"error: {said}")


def test_outputs_in_a_store_are_those_in_files(run, model: Path, orders: pd.DataFrame, tree: Path) -> None:
    table = pa.Table.from_pandas(orders, preserve_index=False)
    parts = {f"in/day={index}/part.parquet": parquet(table.slice(20 * index, 20)) for index in range(3)}
    copied(tree, parts)
    system = fsspec.filesystem("memory")
    assert run("score", tree / "in", "-m", model, "-o", f"{tree / 'out'}/").code == 0
    done = run("score", f"{ROOT}/in/", "-m", model, "-o", f"{ROOT}/out/")
    assert done.code == 0, done.err
    assert f"written to {ROOT}/out/" in done.err
    for path in sorted((tree / "out").rglob("*.parquet")):
        assert system.cat_file(f"/lake/out/{path.relative_to(tree / 'out')}") == path.read_bytes()
    for name in ("one.csv", "one.csv.gz", "one.parquet"):
        assert run("score", f"{ROOT}/in/", "-m", model, "-o", tree / name, "--id", "order").code == 0
        assert run("score", f"{ROOT}/in/", "-m", model, "-o", f"{ROOT}/{name}", "--id", "order").code == 0
        assert system.cat_file(f"/lake/{name}") == (tree / name).read_bytes()
    # From the store to a folder of files.
    assert run("score", f"{ROOT}/in/", "-m", model, "-o", f"{tree / 'again'}/").code == 0
    assert sorted(path.name for path in (tree / "again").rglob("*.parquet")) == ["part.parquet"] * 3


def test_nothing_is_left_in_a_store_where_a_run_fails(run, model: Path, orders: pd.DataFrame, tree: Path) -> None:
    table = pa.Table.from_pandas(orders, preserve_index=False)
    copied(tree, {"in/a.parquet": parquet(table)})
    content = parquet(table)
    put("in/b.parquet", content[:200] + b"\xff" * 200 + content[400:])
    assert run("score", f"{ROOT}/in/", "-m", model, "-o", f"{ROOT}/one.parquet").error(2)
    assert not fsspec.filesystem("memory").exists("/lake/one.parquet")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("memory://lake/in/out/", "lies in the input folder memory://lake/in, where the next run would read it"),
        ("memory://lake/in/a.parquet", "lies in the input folder memory://lake/in"),
        ("memory://lake/m.vae", "--output memory://lake/m.vae is also --model memory://lake/m.vae"),
        ("memory://lake/out", "expected a name that ends in .csv"),
    ],
)
def test_outputs_that_would_replace_inputs_are_refused(run, model: Path, tree: Path, output: str, said: str) -> None:
    copied(tree, {"in/a.parquet": parquet(), "m.vae": model.read_bytes()})
    assert said in run("score", f"{ROOT}/in/", "-m", f"{ROOT}/m.vae", "-o", output).error()


def test_one_object_is_no_output_of_itself_and_nothing_is_resumed_in_a_store(run, model: Path, tree: Path) -> None:
    copied(tree, {"a.parquet": parquet()})
    given = ("score", f"{ROOT}/a.parquet", "-m", model, "-o")
    assert "is the input itself; name another address" in run(*given, f"{ROOT}/a.parquet").error()
    assert "whose objects are neither appended to nor locked" in run(*given, f"{ROOT}/b.parquet", "--resume").error()


def test_a_model_goes_to_a_store_and_comes_from_it(run, fast: tuple[str, ...], orders_csv: Path, tree: Path) -> None:
    tree.mkdir()
    given = ("fit", orders_csv, *fast, "--random-state", "1", "-o")
    assert run(*given, tree / "m.vae").code == 0
    done = run(*given, f"{ROOT}/m.vae")
    assert done.code == 0, done.err
    assert fsspec.filesystem("memory").cat_file("/lake/m.vae") == (tree / "m.vae").read_bytes()
    assert "is named like a table" in run(*given, f"{ROOT}/m.csv").error()
    assert run("threshold", f"{ROOT}/m.vae", "--score", "5", "-o", f"{ROOT}/m.vae").code == 0


def test_addresses_without_end_of_a_pattern_are_the_fixed_part(tree: Path) -> None:
    copied(tree, {"day=1/a.parquet": parquet(), "day=2/[x].parquet": parquet()})
    assert [str(relative) for _, _, relative in objects_of(f"{ROOT}/day=*")] == [
        "day=1/a.parquet",
        "day=2/[x].parquet",
    ]
