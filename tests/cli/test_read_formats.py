"""What is read besides: compressed files, JSON in any shape, workbooks, data bases, addresses, folders."""

import bz2
import datetime as dt
import functools
import gzip
import http.server
import io
import json
import lzma
import re
import sqlite3
import sys
import threading
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import FORMATS, GivenLayout, jsonl, open_table
from vae_anomaly_cli.tables import read_table

CSV = b"a,b\n1,x\n2,y\n"
RECORDS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def read(data, layout=None):
    """The rows of a table, and what was said of it."""
    said = []
    return read_table(open_table([str(data)], None, layout, said.append)).cells.to_pylist(), said


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    ".zip": lambda content: zipped({"folder/t.csv": content, "__MACOSX/._t.csv": b"?"}),
}


@pytest.mark.parametrize("extension", COMPRESS)
@pytest.mark.parametrize("name", ["t.csv", "t.csv{}"])
def test_compressed_text_is_read_whatever_the_name_says(extension, name, write):
    content = b"a,b\n" + b"".join(b"%d,w%d\n" % (i, i * 7919 % 10_007) for i in range(20_000))
    path = write(name.format(extension), COMPRESS[extension](content))
    source = open_table([str(path)], None, None, pytest.fail)
    assert read_table(source).cells["a"].to_pylist() == [str(i) for i in range(20_000)]
    assert 0 < sum(batch.size for batch in source.batches()) <= source.size
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged or truncated"):
        read_table(open_table([str(path)], None, None, pytest.fail))


def test_zip_archive_has_the_format_of_its_one_file(write):
    assert read(write("t.zip", zipped({"t.jsonl": b'{"a": 1}\n'}))) == ([{"a": 1}], [])
    with pytest.raises(InputError, match=r"zip archive with 2 files \(x.csv, y.csv\); expected one"):
        read(write("two.zip", zipped({"x.csv": CSV, "y.csv": CSV})))
    with pytest.raises(InputError, match="empty zip archive"):
        read(write("none.zip", zipped({})))
    with pytest.raises(InputError, match=r"extension that is not known \(.doc\)"):
        read(write("other.zip", zipped({"t.doc": b"?"})))


def test_results_of_compressed_files_take_names_that_are_written(run, tmp_path, orders, model):
    folder = tmp_path / "in"
    folder.mkdir()
    text = orders.to_csv(index=False).encode()
    (folder / "a.csv.bz2").write_bytes(bz2.compress(text))
    (folder / "b.csv.gz").write_bytes(gzip.compress(text))
    outcome = run("score", folder, "-m", model, "--id", "order", "-o", f"{tmp_path / 'out'}/")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "b.csv.gz"]
    assert (tmp_path / "out" / "a.csv").read_bytes() == gzip.decompress((tmp_path / "out" / "b.csv.gz").read_bytes())


JSON = {
    "records": (json.dumps(RECORDS), None),
    "records over lines": (json.dumps(RECORDS, indent=2), None),
    "one array": (json.dumps({"n": 2, "data": RECORDS}), "the rows are the array 'data' of the document"),
    "columns of pandas": ('{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": null}}', None),
    "columns": ('{"a": [1, 2], "b": ["x", null]}', None),
    "split": ('{"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, null]]}', None),
    "lines": ('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n', "is read as JSON Lines, which it is by its content"),
}


@pytest.mark.parametrize("kind", JSON)
def test_json_is_read_in_every_usual_shape(kind, write):
    content, message = JSON[kind]
    rows, said = read(write("t.json", content))
    assert rows == RECORDS
    assert [message in line for line in said] == [True] * (message is not None)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.json", "t.jsonl"])
@pytest.mark.parametrize("kind", ["lines", "records"])
def test_json_is_recognised_under_any_name(name, kind, write):
    rows, said = read(write(name, JSON[kind][0]))
    assert rows == RECORDS
    assert len(said) == (name != {"lines": "t.jsonl", "records": "t.json"}[kind])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "is no JSON: it begins with 'a,b'. Say what it is with --format csv|"),
        ("[[1, 2], [3, 4]]", "record 1 holds an array, not an object"),
        ('[{"a": 1}, 7]', "record 2 holds a number, not an object"),
        ('[{"a": 1},\n {"a": ]', "line 2 is not JSON"),
        ('{"x": [{"a": 1}], "y": [{"a": 1}]}', "several arrays of objects ('x', 'y')"),
        ('{"x": {"y": [1]}}', "an object without an array of objects"),
        ("[]", "is empty; expected a table in json"),
        ('[{"a": 1, "a": 2}]', "a key occurs twice"),
        ('[{"a": "\\ud83d"}]', "\\ud83d is half of a character"),
        ("[" * 100_000 + "{", "is not a table in JSON"),
    ],
)
def test_json_that_is_no_table_is_refused(content, message, write):
    with pytest.raises(InputError) as caught:
        read(write("t.json", content))
    assert message in str(caught.value)
    assert "Error" not in str(caught.value)


def test_document_that_does_not_fit_is_refused(write, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.json_array.MAX_BYTES", 10)
    with pytest.raises(InputError, match="expected JSON Lines"):
        read(write("t.json", JSON["records"][0]))


def test_half_a_character_is_refused_with_its_line(write):
    with pytest.raises(InputError) as caught:
        read(write("t.jsonl", '{"a": "x"}\n{"a": "\\ud83d"}\n'))
    assert "line 2 is not a JSON object (\\ud83d is half of a character" in str(caught.value)
    assert read(write("t.jsonl", '{"a": "\\ud83d\\ude00"}\n'))[0] == [{"a": "\U0001f600"}]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        ["2026-01-31", "x", "", "1", "\U0001f600", "a\nb", "2026-01-31T10:00:00Z", [1], {"k": "v"}, 1e16, 2**53 + 1]
    ),
)
LINES = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"]))
def test_json_lines_are_the_same_through_arrow_and_through_python(tmp_path_factory, lines, end):
    path = tmp_path_factory.mktemp("lines") / "t.jsonl"
    path.write_text(end.join(map(json.dumps, lines)), newline="")
    fast = read_table(open_table([str(path)], None, None, pytest.fail)).cells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_parse_by_arrow", lambda *_: None)
        slow = read_table(open_table([str(path)], None, None, pytest.fail)).cells
    assert fast.schema.equals(slow.schema)
    # NaN is not itself.
    assert str(fast.to_pylist()) == str(slow.to_pylist())
    assert fast.num_rows == len(lines)


def test_json_lines_that_arrow_would_read_otherwise_are_refused(write):
    for content, line in (('{"a": 1}{"a": 2}\n', 1), ('{"a": 1}\n{"a":\n2}\n', 2), ('{"a": 1, "a": 2}\n', 1)):
        with pytest.raises(InputError, match=f"line {line} is not a JSON object"):
            read(write("t.jsonl", content))


def workbook(*sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


DAYS = [dt.datetime.fromisoformat(f"2026-01-0{1 + day}") for day in range(5)]
SHEET = [
    ["day", "n", "x", "ok", "word"],
    *([day, i, i * 0.5, i > 2, f"w{i}" if i else None] for i, day in enumerate(DAYS)),
]
SHEET_ROWS = [
    {"day": day, "n": i, "x": i * 0.5, "ok": i > 2, "word": f"w{i}" if i else None} for i, day in enumerate(DAYS)
]


def test_sheet_is_read_with_its_types(write):
    assert read(write("t.xlsx", workbook(("one", SHEET)))) == (SHEET_ROWS, [])


def test_workbook_may_be_piped(run, fast):
    rows = [["n", "x"], *([i % 5, i * 0.5] for i in range(30))]
    outcome = run("score", "-", *fast, stdin=workbook(("one", rows)))
    assert outcome.code == 0, outcome.err
    assert outcome.frame["x"].astype(float).tolist() == [i * 0.5 for i in range(30)]


def test_titles_and_totals_of_a_sheet_are_left_out_with_a_word(write):
    rows = [["Report"], [], *SHEET, [], ["Total", 10, 5.0]]
    path = write("t.xlsx", workbook(("one", rows), ("two", [["q"], [1]])))
    found, said = read(path)
    assert found == SHEET_ROWS
    assert "has the sheets 'one', 'two': the first is read; --sheet-name names another" in said[0]
    assert "row 1 is above the table and no part of it ('Report'); it begins with row 3" in said[1]
    assert "the last row is below the table and no row of it: left out ('Total, 10, 5')" in said[2]
    source = open_table([str(path)], None, GivenLayout(sheet_name="one"), said.append)
    assert source.locate(0, 4).where == "row 8"
    assert read(path, GivenLayout(sheet_name="two")) == ([{"q": 1}], [])
    with pytest.raises(InputError, match=r"--sheet-name tow: .* has the sheets 'one', 'two'"):
        read(path, GivenLayout(sheet_name="tow"))


def test_values_of_a_sheet_that_are_mixed_are_text(write):
    rows = [["n", "x", "y"], [1, "a", dt.time(10, 30)], ["n/a", None, dt.time(11, 0)], [2.5, "b", None]]
    found, _ = read(write("t.xlsx", workbook(("one", rows))))
    assert [row["n"] for row in found] == ["1", "n/a", "2.5"]
    assert [row["y"] for row in found] == ["10:30:00", "11:00:00", None]


def test_styles_that_openpyxl_refuses_are_mended(write):
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(("one", SHEET)))) as archive, zipfile.ZipFile(stream, "w") as other:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename == "xl/styles.xml":
                content = re.sub(rb"<fill><patternFill ?/></fill>", b"<fill/>", content)
                assert b"<fill/>" in content
            other.writestr(member, content)
    assert read(write("t.xlsx", stream.getvalue())) == (SHEET_ROWS, [])


def test_errors_of_excel_are_missing_and_formulas_without_values_are_refused(write):
    rows = [["n", "x"], [1, 0.5], ["#DIV/0!", 1.5], [3, "#N/A"]]
    found, said = read(write("t.xlsx", workbook(("one", rows))))
    assert found == [{"n": 1, "x": 0.5}, {"n": None, "x": 1.5}, {"n": 3, "x": None}]
    assert "2 cells hold errors of Excel (the first is #DIV/0! in row 3): missing." in said[0]
    with pytest.raises(InputError, match=r"row 2 holds the formula =A2\*2 in column 2, without a value"):
        read(write("f.xlsx", workbook(("one", [["n", "twice"], [1, "=A2*2"], [2, "=A3*2"]]))))


def test_sheet_is_scored_and_written_as_csv(run, orders, model, tmp_path):
    path = tmp_path / "orders.xlsx"
    orders.assign(paid=orders["paid"] == "true").to_excel(path, index=False)
    outcome = run("score", path, "-m", model, "--id", "order")
    assert outcome.code == 0, outcome.err
    assert outcome.frame["order"].tolist() == orders["order"].tolist()
    assert run("score", path, "-m", model, "-o", f"{tmp_path / 'out'}/").code == 0
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["orders.csv"]
    line = run("score", path, "-m", model, "-o", tmp_path / "out.xlsx").error()
    assert "expected a name that ends in .csv, .tsv, .jsonl, .json (each also .gz), .parquet or .arrow" in line


def test_workbook_under_another_name_and_what_is_none_are_named(write, monkeypatch):
    with pytest.raises(InputError, match=r"is a file of Excel by its content. Use --format xlsx"):
        read(write("t.csv", workbook(("one", SHEET))))
    with pytest.raises(InputError, match="is not a readable workbook of Excel"):
        read(write("t.xlsx", zipped({"[Content_Types].xml": b"?"})))
    with pytest.raises(InputError, match="is empty"):
        read(write("t.xlsx", workbook(("one", []))))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        InputError, match=r'takes openpyxl to read. Install it: python -m pip install "vae-anomaly\[excel\]"'
    ):
        read(write("t.xlsx", workbook(("one", SHEET))))


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text('create table "my orders" (id integer, x real, word text, "day" date)'))
        rows = [{"i": i, "x": i * 0.5, "w": f"w{i}" if i else None, "d": f"2026-01-{1 + i:02d}"} for i in range(5)]
        connection.execute(sqlalchemy.text('insert into "my orders" values (:i, :x, :w, :d)'), rows)
    engine.dispose()
    return path


DATABASE_ROWS = [
    {"id": i, "x": i * 0.5, "word": f"w{i}" if i else None, "day": f"2026-01-{1 + i:02d}"} for i in range(5)
]


def test_table_of_a_database_is_read_in_blocks(database, monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.sources.database.ROWS_PER_BLOCK", 2)
    before = database.read_bytes()
    assert read(f"sqlite:///{database}?table=my%20orders") == (DATABASE_ROWS, [])
    assert read(f"sqlite:///{database}", GivenLayout(table="my orders"))[0] == DATABASE_ROWS
    query = "select id, 'a:b' as t from \"my orders\" where id > 2"
    assert read(f"sqlite:///{database}", GivenLayout(query=query))[0] == [{"id": i, "t": "a:b"} for i in (3, 4)]
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("address", "layout", "message"),
    [
        ("sqlite:///{}?table=a", GivenLayout(query="select 1"), "expected one table, as in"),
        ("sqlite:///{}?table=a", GivenLayout(table="b"), "expected one table, as in"),
        ("sqlite:///{}?table=nope", GivenLayout(), "cannot be read: no such table: nope"),
        ("sqlite:///{}", GivenLayout(query="drop table x"), "expected one that only reads"),
        (
            "sqlite:///{}",
            GivenLayout(query='with t as (select 1) insert into "my orders" (id) select 1'),
            "cannot be read",
        ),
        ("sqlite:///{}.no?table=a", GivenLayout(), "there is no file"),
        ("sqlite:///{}?table=a", GivenLayout(skip_rows=2), "--skip-rows is for files"),
        ("gopher://host/t.csv", GivenLayout(), "'gopher' is no kind of address that is read"),
        ("snowflake://me:secret@host/db?table=a", GivenLayout(), "snowflake://me:***@host/db"),
    ],
)
def test_database_that_cannot_be_read_is_refused(address, layout, message, database):
    with pytest.raises(InputError) as caught:
        read(address.format(database), layout)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_database_goes_through_the_command(run, database, fast, write):
    outcome = run("score", f"sqlite:///{database}", "--table", "my orders", *fast)
    assert outcome.code == 0, outcome.err
    assert outcome.frame["id"].tolist() == ["0", "1", "2", "3", "4"]
    named = run("score", database, *fast)
    assert "its only table, 'my orders', is read" in named.err
    assert named.out == outcome.out
    with sqlite3.connect(database) as connection:
        connection.execute("create table other (x)")
    assert "has the tables 'my orders', 'other'; expected one" in run("score", database).error()


def test_database_without_its_library_says_what_to_install(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(InputError, match=r"takes SQLAlchemy to read. Install it: .*vae-anomaly\[sql\]"):
        read(f"sqlite:///{database}?table=a")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_file_is_fetched_over_http(server, run, orders, model):
    folder, address = server
    orders.to_csv(folder / "orders.csv", index=False)
    (folder / "t.csv.gz").write_bytes(gzip.compress(CSV))
    assert read(f"{address}/t.csv.gz?version=2")[0] == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
    outcome = run("score", f"{address}/orders.csv", "-m", model, "--id", "order")
    assert outcome.code == 0, outcome.err
    assert len(outcome.frame) == 60
    with pytest.raises(InputError, match="the server says 404"):
        read(f"{address}/no.csv")


def test_address_that_cannot_be_reached_is_refused():
    with pytest.raises(InputError, match=r"http://127.0.0.1:9/t.csv cannot be read: .*refused"):
        read("http://127.0.0.1:9/t.csv")
    with pytest.raises(InputError, match=r"abfs://x/y.parquet cannot be read: "):
        read("abfs://x/y.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_folders_that_name_values_are_columns(suffix, tmp_path):
    for year, month, place in ((2025, "11", "a%20b"), (2025, "12", "c"), (2026, "01", "__HIVE_DEFAULT_PARTITION__")):
        path = tmp_path / "t" / f"year={year}" / f"month={month}" / f"place={place}" / f"part.{suffix}"
        path.parent.mkdir(parents=True)
        table = pa.table({"x": [1.5, 2.5]})
        pq.write_table(table, path) if suffix == "parquet" else path.write_text("x\n1.5\n2.5\n")
    expected = {"year": [2025, 2025, 2026], "month": [11, 12, 1], "place": ["a b", "c", None]}
    if suffix == "csv":
        expected = {"year": ["2025", "2025", "2026"], "month": ["11", "12", "1"], "place": ["a b", "c", ""]}
    for data in (tmp_path / "t", f"{tmp_path}/t/year=*/*/*/*.{suffix}"):
        source = open_table([str(data)], None, None, pytest.fail)
        assert source.names == ["x", *expected]
        cells = read_table(source).cells
        assert {name: cells[name].to_pylist()[::2] for name in expected} == expected
        (only,) = {tuple(batch.cells.schema.names) for batch in source.batches(["month", "x"])}
        assert only == ("month", "x")


def test_folders_name_no_column_where_one_of_them_does_not(tmp_path):
    for name in ("day=1/a.csv", "b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CSV)
    assert open_table([str(tmp_path)], None, None, pytest.fail).names == ["a", "b"]
    (tmp_path / "b.csv").unlink()
    (tmp_path / "day=1/a.csv").write_bytes(b"day,b\n7,x\n")
    assert read(tmp_path)[0] == [{"day": "7", "b": "x"}]


def test_notes_beside_tables_and_images_are_left_alone(tmp_path):
    (tmp_path / "t.csv").write_bytes(CSV)
    for name in ("notes.txt", "about.json", "list.xlsx", "old.zip"):
        (tmp_path / name).write_text("?")
    assert open_table([str(tmp_path)], None, None, pytest.fail).n_files == 1
    (tmp_path / "t.csv").unlink()
    with pytest.raises(InputError, match="holds tables of several formats"):
        read(tmp_path)


def test_formats_that_are_only_read_say_so():
    only_read = [entry for entry in FORMATS.values() if not entry.writable]
    assert [entry.name for entry in only_read] == ["xlsx"]
    for entry in only_read:
        assert entry.written is FORMATS["csv"]
        with pytest.raises(InputError, match="only read"):
            entry.codec().open_writer(io.BytesIO(), pa.schema([]), ",")


@pytest.mark.parametrize("name", ["t.xls", "t.ods"])
def test_old_workbooks_are_refused_with_a_remedy(name, write):
    with pytest.raises(InputError, match=r"Save it as .xlsx, or as CSV \(UTF-8\)"):
        read(write(name, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))


def test_sqlite_file_is_not_made_by_a_wrong_path(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read(f"sqlite:///{tmp_path / 'no.db'}?table=t")
    assert not Path(tmp_path / "no.db").exists()
    sqlite3.connect(tmp_path / "empty.db").close()
