"""The contract of every format of tables: what its entry in the table of formats promises."""

import gzip
import io
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import load, read_manifest
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import training_frame
from vae_anomaly_cli.sources import EXTENSIONS, FORMATS, Format, GivenLayout, TableSource, format_of_name, open_table
from vae_anomaly_cli.tables import read_table

# Four rows of every type, and what each format gives back of them.
MIXED = pa.table(
    {
        "whole": pa.array([1, 2**53 + 1, None, -3]),
        "number": pa.array([1.5, None, 1e300, -0.25]),
        "word": pa.array(["größe", 'say "hi", \n twice', None, "名"]),
        "flag": pa.array([True, None, False, True]),
        "day": pa.array([date(2026, 1, 31), None, date(1969, 2, 28), date(2026, 3, 1)]),
    }
)
WORDS = {**MIXED.to_pydict(), "day": ["2026-01-31", None, "1969-02-28", "2026-03-01"]}
CELLS_OF_TEXT = {
    "whole": ["1", "9007199254740993", "", "-3"],
    "number": ["1.5", "", "1e+300", "-0.25"],
    "word": ["größe", 'say "hi", \n twice', "", "名"],
    "flag": ["true", "", "false", "true"],
    "day": ["2026-01-31", "", "1969-02-28", "2026-03-01"],
}
READ_BACK = {
    "csv": CELLS_OF_TEXT,
    "tsv": CELLS_OF_TEXT,
    "jsonl": WORDS,
    "json": WORDS,
    "parquet": MIXED.to_pydict(),
    "arrow": MIXED.to_pydict(),
}
# How a person finds the last of the rows, and what is said of a file that ends in the middle.
LAST_ROW = {
    "csv": "line 6",
    "tsv": "line 6",
    "jsonl": "line 4",
    "json": "record 4",
    "parquet": "row 4",
    "arrow": "row 4",
}
CUT_OFF = {
    "csv": "a quote is opened and never closed",
    "tsv": "a quote is opened and never closed",
    "jsonl": "expected one object a line",
    "json": "is not JSON",
    "parquet": "Copy it again, or say what it is with --format",
    "arrow": "Copy it again, or say what it is with --format",
}
WRITABLE = {name: entry for name, entry in FORMATS.items() if entry.writable}
EVERY = pytest.mark.parametrize("entry", WRITABLE.values(), ids=list(WRITABLE))


def bytes_of(entry: Format, table: pa.Table) -> bytes:
    stream = io.BytesIO()
    writer = entry.codec().open_writer(stream, table.schema, entry.delimiter)
    for batch in table.to_batches():
        writer.write(batch)
    writer.close()
    return stream.getvalue()


def opened(*paths: Path) -> TableSource:
    return open_table([str(path) for path in paths], None, None, pytest.fail)


def piped(content: bytes) -> TableSource:
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content))):
        return open_table(["-"], None, None, pytest.fail)


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Write a table under a name with the extension of a format."""

    def write(entry: Format, table: pa.Table = MIXED, name: str = "t") -> Path:
        path = tmp_path / f"{name}{entry.extensions[0]}"
        path.write_bytes(bytes_of(entry, table))
        return path

    return write


@pytest.mark.parametrize("table", ["READ_BACK", "LAST_ROW", "CUT_OFF"])
def test_every_format_has_its_reference_values(table):
    missing = [name for name in WRITABLE if name not in globals()[table]]
    assert not missing, f"add {', '.join(missing)} to {table} in tests/cli/test_formats.py"
    assert not set(globals()[table]) - set(WRITABLE)


def test_no_two_formats_have_the_same_extension_or_beginning():
    extensions = [extension for entry in FORMATS.values() for extension in entry.extensions]
    beginnings = [magic for entry in FORMATS.values() for magic in entry.magic]
    assert len(set(extensions)) == len(extensions)
    assert len(set(beginnings)) == len(beginnings)
    assert EXTENSIONS.startswith(".csv, .tsv, .jsonl, .json (each also .gz, .bz2, .zst, .xz, .zip), .parquet")


@EVERY
def test_entry_keeps_what_it_promises(entry):
    assert all(extension == extension.lower() and extension.startswith(".") for extension in entry.extensions)
    assert entry.text or entry.magic, "what is no text is known by its first bytes"
    assert entry.text or entry.typed
    assert entry.piped.text
    assert all(callable(getattr(entry.codec(), name)) for name in ("open_file", "open_writer"))


@EVERY
def test_table_is_read_back_as_it_was_written(entry, file_of):
    source = opened(file_of(entry))
    assert source.format is entry
    assert source.names == MIXED.column_names
    assert read_table(source).cells.to_pydict() == READ_BACK[entry.name]
    assert sum(batch.size for batch in source.batches()) == pytest.approx(source.size, rel=0.01) or not entry.text
    if not entry.typed:
        assert {name: str(type_.type) for name, type_ in source.infer_types(source.names, lambda _: None).items()} == {
            "whole": "int64",
            "number": "double",
            "word": "string",
            "flag": "bool",
            "day": "string",
        }


@EVERY
def test_writing_what_was_read_gives_the_same_bytes(entry, file_of):
    path = file_of(entry)
    assert bytes_of(entry, read_table(opened(path)).cells) == path.read_bytes()


@EVERY
def test_table_without_rows_keeps_its_columns(entry, file_of):
    empty = file_of(entry, MIXED[:0])
    if entry.optional_columns:
        # Keys stand in the rows.
        with pytest.raises(InputError, match="is empty; expected a table in"):
            opened(empty)
        return
    source = opened(empty)
    assert source.names == MIXED.column_names
    with pytest.raises(InputError, match="has column names but no rows"):
        list(source.batches())


@EVERY
def test_format_is_known_by_extension(entry):
    for extension in entry.extensions:
        assert format_of_name(Path(f"A{extension.upper()}")) == (entry, False)
        assert format_of_name(Path(f"a{extension}.gz")) == (entry if entry.text else None, True)
        assert extension in EXTENSIONS or extension != entry.extensions[0]


@EVERY
def test_format_is_known_by_its_first_bytes(entry, file_of):
    found = piped(file_of(entry).read_bytes())
    # TSV is CSV with tabs, once it has no name.
    assert found.format is (entry if entry.magic else FORMATS["csv"])
    assert found.delimiter == entry.delimiter
    assert read_table(found).cells.to_pydict() == READ_BACK[entry.name]


@EVERY
def test_binary_content_under_another_extension_is_named(entry, file_of, tmp_path):
    content = file_of(entry).read_bytes()
    for other in WRITABLE.values():
        if entry.text or other is entry:
            continue
        wrong = tmp_path / f"wrong{other.extensions[0]}"
        wrong.write_bytes(content)
        with pytest.raises(InputError, match=rf"wrong.* by its content\. Use --format {entry.name}\."):
            opened(wrong)
        assert read_table(open_table([str(wrong)], entry.name, None, pytest.fail)).n_rows == 4


@EVERY
@pytest.mark.parametrize("n_rows", [1, 3, 1000])
def test_batches_of_any_size_have_the_same_rows(entry, file_of, monkeypatch, n_rows):
    many = pa.concat_tables([MIXED] * 5)
    path = file_of(entry, many)
    whole = read_table(opened(path)).cells
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", n_rows)
    batches = list(opened(path).batches())
    assert all(batch.n_rows <= n_rows for batch in batches)
    assert [batch.first for batch in batches] == np.cumsum([0, *(batch.n_rows for batch in batches)])[:-1].tolist()
    assert pa.Table.from_batches([batch.cells for batch in batches]).equals(whole)
    some = list(opened(path).batches(["day", "whole"]))
    assert pa.Table.from_batches([batch.cells for batch in some]).equals(whole.select(["day", "whole"]))


@EVERY
def test_groups_of_rows_are_read_in_their_order(entry, file_of, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.row_groups.ROWS_PER_GROUP", 3)
    batches = pa.Table.from_batches([MIXED.to_batches()[0].slice(row % 4, 1) for row in range(10)])
    rows = read_table(opened(file_of(entry, batches))).cells["day"].to_pylist()
    assert rows == [READ_BACK[entry.name]["day"][row % 4] for row in range(10)]


@EVERY
def test_files_of_the_format_are_one_table(entry, file_of):
    source = opened(file_of(entry, MIXED[:3], "a"), file_of(entry, MIXED[3:].select(MIXED.column_names[::-1]), "b"))
    batches = list(source.batches())
    assert [(batch.file, batch.first_in_file, batch.first) for batch in batches] == [(0, 0, 0), (1, 0, 3)]
    assert source.n_files == 2
    assert read_table(source).cells["word"].to_pylist() == READ_BACK[entry.name]["word"]


@EVERY
def test_row_is_located_where_a_person_finds_it(entry, file_of):
    path = file_of(entry)
    (batch,) = opened(path).batches()
    location = opened(path).locate(*batch.position(3))
    assert (location.file, location.where) == (str(path), LAST_ROW[entry.name])


@EVERY
def test_bad_cell_is_reported_with_its_location(entry, run, orders, model, tmp_path):
    frame = orders[:4].assign(paid=True, amount=["1.5", "2.5", None, "x"], shop=MIXED["word"].to_pylist())
    path = tmp_path / f"bad{entry.extensions[0]}"
    path.write_bytes(bytes_of(entry, pa.Table.from_pandas(frame, preserve_index=False)))
    outcome = run("score", path, "-m", model, "--drop", "order")
    assert outcome.code == 0, outcome.err
    assert f"1 of 4 rows without a score; {path}, {LAST_ROW[entry.name]}: 'amount' holds 'x', which is" in outcome.err


@EVERY
def test_empty_file_is_refused_with_its_name(entry, run, tmp_path):
    path = tmp_path / f"empty{entry.extensions[0]}"
    path.write_bytes(b"")
    assert f"error: {path} is empty; expected a table in {entry.name}." == run("score", path).error()


@EVERY
def test_file_that_ends_in_the_middle_is_refused_with_a_remedy(entry, run, tmp_path, file_of):
    content = file_of(entry, MIXED.select(["number", "word"])).read_bytes()
    path = tmp_path / f"cut{entry.extensions[0]}"
    # In the cell with quotes, or in the middle of what is no text.
    path.write_bytes(content[: content.index(b"twice")] if entry.text else content[: len(content) // 2])
    line = run("score", path).error()
    assert str(path) in line
    assert CUT_OFF[entry.name] in line


@EVERY
def test_damaged_file_is_refused_or_read_but_no_accident(entry, file_of, tmp_path):
    content = bytearray(file_of(entry, pa.concat_tables([MIXED] * 50)).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / f"damaged{entry.extensions[0]}"
    said = []
    for _ in range(60):
        start = int(rng.integers(8, len(content) - 16))
        damaged = content.copy()
        damaged[start : start + 16] = rng.bytes(16)
        path.write_bytes(damaged)
        try:
            read_table(opened(path))
        except InputError as error:
            said.append(str(error))
    assert len(said) > 5
    assert all(str(path) in text for text in said)


@EVERY
def test_gzip_is_read_whatever_the_name_says(entry, file_of, tmp_path):
    path = file_of(entry)
    zipped = tmp_path / f"zipped{entry.extensions[0]}{'.gz' if entry.text else ''}"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    source = opened(zipped)
    assert read_table(source).cells.to_pydict() == READ_BACK[entry.name]
    assert sum(batch.size for batch in source.batches()) <= source.size
    zipped.write_bytes(zipped.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"zipped.*damaged or truncated gzip file.*Copy it again"):
        read_table(opened(zipped))


@EVERY
def test_delimiter_is_for_formats_that_have_some(entry, run, file_of):
    path = file_of(entry)
    if entry.delimiters:
        warnings = []
        names = open_table([str(path)], None, GivenLayout("\x1f"), warnings.append).names
        assert names == [entry.delimiter.join(MIXED.column_names)]
        assert [f"where {entry.delimiter!r} separates cells" in line for line in warnings] == [True]
    else:
        line = run("score", path, "--delimiter", ";").error()
        assert line.startswith("error: --delimiter is for CSV")
        assert line.endswith(f"; {path} is {entry.name}.")


@EVERY
def test_input_and_output_of_the_format_go_through_the_command(entry, run, orders, model, tmp_path, file_of):
    table = pa.Table.from_pandas(orders.assign(paid=orders["paid"] == "true"), preserve_index=False)
    path = file_of(entry, table)
    scored = tmp_path / f"scored{entry.extensions[-1]}"
    outcome = run("score", path, "-m", model, "--id", "order", "-o", scored)
    assert outcome.code == 0, outcome.err
    frame = orders.drop(columns="order").assign(paid=orders["paid"] == "true")
    cells = read_table(opened(scored)).cells
    assert np.array_equal([float(cell.as_py()) for cell in cells["anomaly_score"]], load(model).anomaly_score(frame))
    # On standard output: the format of the input, and CSV for what is no text.
    shown = run("score", path, "-m", model, "--id", "order").out
    assert piped(shown).format is (entry if entry.text and entry.magic else FORMATS["csv"])
    assert piped(shown).delimiter == entry.piped.delimiter


@EVERY
@pytest.mark.parametrize("text", ["2026-01-{:02d}", "2026-01-{:02d}T10:30:00.5Z", "2026-01-{:02d} 10:30:00+02:00"])
def test_dates_as_text_are_dates_in_every_format(entry, file_of, text):
    table = pa.table({"day": [text.format(1 + row % 28) for row in range(40)], "x": pa.array(range(40))})
    frame = training_frame(read_table(opened(file_of(entry, table))), ["day", "x"], {})
    assert str(frame["day"].dtype) == "datetime64[us]"
    expected = pd.to_datetime(pd.Series(table["day"].to_pylist(), name="day"), utc=True).dt.tz_localize(None)
    assert frame["day"].equals(expected.astype("datetime64[us]"))


def test_format_that_is_none_is_refused_with_those_that_are(run, tmp_path):
    line = run("score", tmp_path, "--format", "xml").error()
    assert "Invalid value for '--format': " in line
    assert f"'xml' is not one of {', '.join(map(repr, FORMATS))}" in line
    (tmp_path / "t.xml").write_text("a")
    assert f"--format {'|'.join(FORMATS)}" in run("score", tmp_path / "t.xml").error()
    assert EXTENSIONS in run("score", tmp_path / "t.xml").error()


def test_same_rows_have_the_same_columns_and_scores_in_every_format(run, tmp_path, file_of, fast):
    rng = np.random.default_rng(3)
    n = 80
    table = pa.table(
        {
            "day": [f"2026-{1 + row % 12:02d}-{1 + row % 28:02d}" for row in range(n)],
            "moment": [f"2026-01-{1 + row % 28:02d}T{row % 24:02d}:15:00Z" for row in range(n)],
            "x": rng.normal(size=n).round(3),
            "count": rng.poisson(5, n),
            "word": rng.choice(["north", "south"], n),
            "flag": rng.choice([True, False], n),
        }
    )
    found = {}
    for entry in WRITABLE.values():
        path, model = file_of(entry, table), tmp_path / f"{entry.name}.vae"
        fitted = run("fit", path, "-o", model, *fast)
        assert fitted.code == 0, fitted.err
        kinds = [column["kind"] for column in read_manifest(model)["columns"]]
        assert kinds == ["datetime", "datetime", "continuous", "integer", "binary", "boolean"]
        scored = tmp_path / f"{entry.name}-scored.parquet"
        assert run("score", path, "-m", tmp_path / "csv.vae", "-o", scored).code == 0
        found[entry.name] = pd.read_parquet(scored)["anomaly_score"].tolist()
        assert run("score", path, "-m", model, "-o", scored).code == 0
        assert pd.read_parquet(scored)["anomaly_score"].tolist() == found[entry.name]
    assert all(scores == found["csv"] for scores in found.values())


def test_arrow_streams_are_read_too(tmp_path, run, orders, model):
    table = pa.Table.from_pandas(orders.assign(paid=orders["paid"] == "true"), preserve_index=False)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, 7)
    path = tmp_path / "t.arrows"
    path.write_bytes(stream.getvalue())
    source = opened(path)
    assert read_table(source).cells.equals(table.replace_schema_metadata())
    assert [batch.first for batch in source.batches()] == list(range(0, 60, 7))
    named = run("score", path, "-m", model, "--id", "order")
    assert run("score", "-", "-m", model, "--id", "order", stdin=stream.getvalue()).out == named.out


def test_categories_of_arrow_become_their_values_in_files(tmp_path, file_of):
    batches = [pa.record_batch({"k": pa.array(cells).dictionary_encode()}) for cells in (["a", "b"], ["c", None])]
    path = file_of(FORMATS["arrow"], pa.Table.from_batches(batches))
    assert read_table(opened(path)).cells.to_pydict() == {"k": ["a", "b", "c", None]}
