"""Cells that nobody touches are written back byte for byte, wherever a block of the reader ends."""

import bz2
import csv
import gzip
import io

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.table_source import open_table

BLOCK = 64
PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_anomaly_cli.sources.delimited.BLOCK_BYTES", BLOCK)
        yield


def read(data, given=None):
    source = open_table([str(data)], None, given, lambda _: None)
    return [row for batch in source.batches() for row in batch.cells.to_pylist()]


def written(rows, delimiter=",", end="\n", quoting=csv.QUOTE_ALL):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def rows_with(cell, n_before):
    return [
        {"a": "1", "note": "y" * n_before, "b": "2"},
        {"a": "3", "note": cell, "b": "4"},
        {"a": "5", "note": "last", "b": "6"},
    ]


@pytest.mark.parametrize("inner", ["\r\n", "\r", "\n", "\r\r\n", "\n\r", "\r\n\r\n", '"\r\n"', ",\r\n,"])
def test_line_ends_in_a_cell_are_kept_at_every_offset_of_a_block(tmp_path, inner):
    path = tmp_path / "t.csv"
    for n_before in range(BLOCK + 2):
        rows = rows_with(f"z{inner}TAIL", n_before)
        path.write_bytes(written(rows).encode())
        assert read(path) == rows


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "options"),
    [
        ("t.csv", ",", "utf-8", {}),
        ("t.csv", ";", "utf-8", {}),
        ("t.tsv", "\t", "utf-8", {}),
        ("t.csv", "^", "utf-8", {"delimiter": "^"}),
        ("t.csv", ",", "utf-8-sig", {}),
        ("t.csv", ",", "utf-16", {}),
        ("t.csv", ",", "utf-32", {}),
        ("t.csv", ",", "cp1252", {"encoding": "cp1252"}),
    ],
)
def test_line_ends_in_a_cell_are_kept_on_every_way_in(tmp_path, suffix, name, delimiter, encoding, options):
    path = tmp_path / f"{name}{suffix}"
    for n_before in range(BLOCK - 8, BLOCK + 60, 3):
        rows = rows_with("é\r\nTAIL", n_before)
        path.write_bytes(PACKED[suffix](written(rows, delimiter, "\r\n").encode(encoding)))
        assert read(path, GivenLayout(**options)) == rows


def test_line_ends_in_a_cell_are_kept_through_standard_input_and_folders(run, orders, model, tmp_path):
    notes = [f"{'x' * (row % 37)}\r\nTAIL {row}" for row in range(60)]
    frame = orders.drop(columns="order").assign(note=notes)
    content = frame.to_csv(index=False).encode()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_bytes(content)
    arguments = ("-m", model, "--drop", "note")
    outcome = run("score", "-", *arguments, stdin=content)
    assert [row["note"] for row in csv.DictReader(io.StringIO(outcome.text, newline=""))] == notes
    assert run("score", tmp_path / "in", *arguments, "-o", f"{tmp_path / 'out'}/").code == 0
    with (tmp_path / "out" / "t.csv").open(newline="") as stream:
        assert [row["note"] for row in csv.DictReader(stream)] == notes


CELLS = st.text(st.sampled_from('ab ,;"\r\n\té€'), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    notes=st.lists(CELLS, min_size=3, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
def test_any_cell_is_kept(tmp_path, notes, end, delimiter):
    # Lines of a cell that look like rows are refused as what two stray quotes hide.
    assume(not any(line.count(delimiter) == 2 for note in notes for line in note.split("\n")))
    rows = [{"a": str(row), "note": note, "b": f"{row}.5"} for row, note in enumerate(notes)]
    path = tmp_path / "t.csv"
    path.write_bytes(written(rows, delimiter, end).encode())
    assert read(path, GivenLayout(delimiter=delimiter, header_row=1)) == rows
