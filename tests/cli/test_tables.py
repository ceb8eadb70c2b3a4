import csv
import io
import json
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly_cli.output.partial_file import write_table
from vae_anomaly_cli.output.targets import choose_target
from vae_anomaly_cli.sources import GivenLayout, Location, open_table
from vae_anomaly_cli.tables import read_table
from vae_anomaly_cli.types import InferredType, values_of


def read(content, format_name="csv", delimiter=None):
    piped = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    with mock.patch("sys.stdin", io.TextIOWrapper(piped)):
        return read_table(open_table(["-"], format_name, GivenLayout(delimiter), pytest.fail))


def written(table):
    stream = io.BytesIO()
    write_table(table.cells, choose_target(None, table.source), stream)
    return stream.getvalue().decode()


def typed(*cells, decimal_comma=False):
    values = values_of(pa.chunked_array([pa.array(cells, pa.string())]), decimal_comma)
    return str(values.type), values.to_pylist()


@pytest.mark.parametrize(
    "content",
    [
        "id,x\n0012,1.50\n0013,1e3\n",
        "id,x\n12345678901234567890,1\n9007199254740993,2\n",
        'a,b\n"x\ny","say ""hi"", twice"\nNA,\n',
        "day,x\n2026-01-31,+1\n31/01/2026,-0\n",
        "a,b\n?,NULL\n true , x\n",
        "größe,名\n1,ü\n",
    ],
)
def test_cells_are_written_as_they_came(content):
    assert written(read(content)) == content


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)] * 2),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_survives(rows):
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *rows])
    table = read(stream.getvalue())
    assert [tuple(row.values()) for row in table.cells.to_pylist()] == rows
    again = list(csv.reader(io.StringIO(written(table), newline="")))
    assert [tuple(row) for row in again] == [("a", "b"), *rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_in_the_header(delimiter):
    table = read(f"a{delimiter}b\n1{delimiter}2\n")
    assert table.names == ["a", "b"]
    assert written(table) == f"a{delimiter}b\n1{delimiter}2\n"


def test_delimiter_can_be_stated():
    assert read("a:b,c\n1:2,3\n", delimiter=":").names == ["a", "b,c"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark_do_not_matter(end, mark):
    table = read(f"{mark}a,b{end}1,x{end}2,y{end}")
    assert table.cells.to_pylist() == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]


def test_quoted_header_may_hold_delimiters_and_line_ends():
    assert read('"a,1","b\n2"\n1,2\n').names == ["a,1", "b\n2"]


def test_single_column_needs_no_delimiter():
    assert read("a\n1\n2\n").names == ["a"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("1", " 2", ""), "int64"),
        (("1", "2.5", "NA"), "double"),
        (("1e5", "-.5", "?"), "double"),
        (("inf", "1"), "double"),
        (("true", "FALSE", ""), "bool"),
        (("true", "1"), "string"),
        (("1", "n/k"), "string"),
        (("0012", "13"), "string"),
        (("0", "10"), "int64"),
        (("007.5", "1"), "double"),
        (("12345678901234567890", "1"), "string"),
        (("2026-01-01", ""), "string"),
        (("", "NA"), "double"),
    ],
)
def test_whole_column_decides_its_type(cells, kind):
    assert typed(*cells)[0] == kind


CELLS = ["1", "-2", "0", "007", "0x1F", "1.5", "+1", "1e5", "true", "FALSE", "x", "2026-01-01", "9" * 20, None]


@given(st.lists(st.sampled_from(CELLS), max_size=6), st.integers(1, 3), st.booleans())
def test_type_does_not_depend_on_the_chunks_that_cells_come_in(cells, size, decimal_comma):
    text = pa.array(cells, pa.string())
    whole, chunked = InferredType(decimal_comma), InferredType(decimal_comma)
    whole.update(text)
    for start in range(0, len(cells), size):
        chunked.update(text.slice(start, size))
    assert chunked.type == whole.type
    assert chunked.cast(text).equals(whole.cast(text))


def test_late_text_makes_a_column_text_however_long_it_is():
    rows = "".join(f"{i}\n" for i in range(200_000))
    assert str(read(f"a\n{rows}oops\n").values("a").type) == "string"


def test_decimal_commas_are_numbers_between_semicolons():
    assert typed("1,5", "2", "-,25", decimal_comma=True) == ("double", [1.5, 2.0, -0.25])
    assert typed("1,5", "2")[0] == "string"
    assert str(read("a;b\n1,5;2\n2,5;3\n").values("a").type) == "double"


def test_integers_beyond_53_bits_stay_exact():
    assert typed("9007199254740993", "1") == ("int64", [9007199254740993, 1])


def test_jsonl_keeps_what_lines_hold():
    lines = '{"id": "0012", "n": 9007199254740993, "x": 1.5, "ok": true, "tags": ["a"]}\n'
    assert json.loads(written(read(lines, "jsonl"))) == json.loads(lines)


def test_jsonl_key_that_a_line_lacks_is_missing():
    table = read('{"a": 1}\n{"b": "x", "a": NaN}\n', "jsonl")
    assert [json.loads(line) for line in written(table).splitlines()] == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_jsonl_with_numbers_and_text_in_one_column_is_text():
    assert read('{"a": 1}\n{"a": "x"}\n', "jsonl").cells["a"].to_pylist() == ["1", "x"]


@pytest.mark.parametrize(
    ("content", "format_name", "row", "where"),
    [
        ('a,b\n"x\ny",1\n\n2,3\n', "csv", 1, "line 5"),
        ('{"a": 1}\n\n{"a": 2}\n', "jsonl", 1, "line 3"),
    ],
)
def test_row_is_found_by_its_line(content, format_name, row, where):
    assert read(content, format_name).locate(row) == Location("standard input", where)
