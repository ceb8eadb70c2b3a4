"""Opened inputs in other processes, and parts of them that are read alone."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly_cli.errors import InputChanged, InputError
from vae_anomaly_cli.sources import FORMATS, NO_HEADER, GivenLayout, RowBatch, TableSource, open_table

ROWS = pa.table({"id": pa.array(range(50)), "word": pa.array([f"w{index % 7}" for index in range(50)])})


def open_(*data: Path | str, given: GivenLayout | None = None) -> TableSource:
    return open_table([str(one) for one in data], None, given, lambda _text: None)


def write(path: Path, table: pa.Table, rows_per_group: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def elsewhere(source: TableSource) -> TableSource:
    """A source as another process gets it."""
    sent: TableSource = pickle.loads(pickle.dumps(source))
    return sent


def positions(batches: list[RowBatch]) -> list[tuple[int, tuple[int, int]]]:
    return [(batch.first + row, batch.position(row)) for batch in batches for row in range(batch.n_rows)]


def test_an_input_of_any_format_reads_the_same_in_another_process(tmp_path: Path) -> None:
    for name, each in FORMATS.items():
        if not each.writable:
            continue
        path = tmp_path / f"rows{each.extensions[0]}"
        with path.open("wb") as stream:
            writer = each.codec().open_writer(stream, ROWS.schema, each.delimiter)
            for batch in ROWS.to_batches():
                writer.write(batch)
            writer.close()
        source = open_(path)
        sent = elsewhere(source)
        assert sent.format is source.format is FORMATS[name]
        assert [batch.cells for batch in sent.batches()] == [batch.cells for batch in source.batches()]
        assert sent.identity() == source.identity()


def test_layouts_partitions_workbooks_and_data_bases_go_to_another_process(tmp_path: Path) -> None:
    frame = ROWS.to_pandas()
    frame.to_csv(tmp_path / "plain.csv", sep=";", header=False, index=False)
    frame.to_csv(tmp_path / "packed.csv.gz", index=False)
    frame.to_excel(tmp_path / "book.xlsx", index=False)
    write(tmp_path / "day=1" / "a.parquet", ROWS)
    write(tmp_path / "day=2" / "a.parquet", ROWS)
    import sqlite3

    with sqlite3.connect(tmp_path / "base.db") as base:
        frame.to_sql("orders", base, index=False)
    base.close()
    for source in (
        open_(tmp_path / "plain.csv", given=GivenLayout(header_row=NO_HEADER)),
        open_(tmp_path / "packed.csv.gz"),
        open_(tmp_path / "book.xlsx"),
        open_(f"{tmp_path}/day=*/*.parquet"),
        open_(tmp_path / "base.db"),
    ):
        sent = elsewhere(source)
        assert [batch.cells for batch in sent.batches()] == [batch.cells for batch in source.batches()], source.name


def test_a_change_is_noticed_in_another_process(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", ROWS)
    sent = elsewhere(open_(path))
    write(path, ROWS.slice(0, 40))
    with pytest.raises(InputChanged, match="changed while it was read"):
        list(sent.batches())


def test_what_came_through_a_long_pipe_stays_in_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    from vae_anomaly_cli.sources import byte_source

    monkeypatch.setattr(byte_source, "SPOOLED_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"a,b\n" + b"1,2\n" * 200))))
    source = open_("-")
    with pytest.raises(InputError, match="cannot be read in other processes"):
        pickle.dumps(source)


def test_parts_together_are_the_input(tmp_path: Path) -> None:
    for day, n_rows in (("1", 50), ("2", 17)):
        write(tmp_path / f"day={day}" / "a.parquet", ROWS.slice(0, n_rows))
    source = open_(tmp_path)
    assert [source.groups(file) for file in range(2)] == [(8, 8, 8, 8, 8, 8, 2), (8, 8, 1)]
    whole = list(source.batches(["day", "id"]))
    parts = [
        source.part(0, 0, 3), source.part(0, 3), elsewhere(source.part(1, 0, 2)), source.part(1, 2, 3)
    ]  # fmt: skip
    assert [part.size for part in parts] == [24, 26, 16, 1]
    read = [batch for part in parts for batch in part.batches(["day", "id"])]
    assert positions(read) == positions(whole)
    joined = [pa.Table.from_batches([batch.cells for batch in batches]) for batches in (read, whole)]
    assert joined[0].equals(joined[1])
    assert parts[2].n_files == 2
    assert parts[2].names == source.names
    assert parts[3].locate(1, 16) == source.locate(1, 16)
    assert list(source.part(0, 7, 7).batches()) == []


def test_a_file_without_groups_is_one_part(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        pd.DataFrame({"x": np.arange(5)}).to_csv(tmp_path / name, index=False)
    source = open_(tmp_path)
    assert source.groups(0) == ()
    (batch,) = source.part(1, first=5).batches()
    assert (batch.file, batch.first_in_file, batch.first) == (1, 0, 5)
    with pytest.raises(ValueError, match="no groups of rows"):
        source.part(0, 0, 1)
