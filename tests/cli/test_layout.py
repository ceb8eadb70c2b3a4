"""Delimited text as offices write it: what is no part of the table is left out with a word, or refused."""

import csv
import io
import string
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import NO_HEADER, GivenLayout, open_table
from vae_anomaly_cli.tables import read_table

ROWS = "".join(f"{number},{number * 1.5},w{number % 3}\n" for number in range(30))
FIRST, LAST = "".join(ROWS.splitlines(True)[:20]), "".join(ROWS.splitlines(True)[20:])
CELLS = [line.split(",") for line in ROWS.splitlines()]
TEXT_ROWS = "".join(f"n{number},{number * 1.5},w{number % 3}\n" for number in range(30))
NAMES = ["id", "x", "w"]


def read(path, given=None):
    """The table in a file, and what was said of it."""
    said = []
    return read_table(open_table([str(path)], None, given, said.append)), said


def rows_of(table):
    return [list(row.values()) for row in table.cells.to_pylist()]


# What is written, and what is said of it.
TIDIED = {
    "title": (f"Monthly report\n\nid,x,w\n{ROWS}", "line 1 is above the table and no part of it ('Monthly report')"),
    "padded title": (f"Monthly report,,\nBerlin,,\n,,\nid,x,w\n{ROWS}", "lines 1 to 3 are above the table"),
    "comments": (f"# by ERP, v2, x\n# a, note\nid,x,w\n{ROWS}", "it begins with line 3"),
    "total": (f"id,x,w\n{ROWS}Total,652.5\n", "the last line is below the table and no row: left out ('Total, 652.5')"),
    "padded total": (f"id,x,w\n{ROWS},,\nGrand total:,652.5,\n", "left out ('Grand total:, 652.5')"),
    "German sum": (f"id,x,w\n{ROWS}Summe,652.5,\n", "left out ('Summe, 652.5')"),
    "notes below": (f"id,x,w\n{ROWS}\nSource: ERP\n(30 rows affected)\n", "the last 2 lines are below the table"),
    "title and total": (f"Report 2026\nid,x,w\n{ROWS}Total,652.5\n", "it begins with line 2"),
    "trailing delimiter": ("id,x,w,\n" + ROWS.replace("\n", ",\n"), "the last column has no name and no value"),
    "trailing delimiters": ("id,x,w,,\n" + ROWS.replace("\n", ",,\n"), "the last 2 columns have no name and no value"),
    "trailing in rows": ("id,x,w\n" + ROWS.replace("\n", ",\n"), "the last column has no name and no value"),
    "row index": (
        ",id,x,w\n" + "".join(f"{number},{line}\n" for number, line in enumerate(ROWS.splitlines())),
        "the first column has no name and counts the rows: left out",
    ),
    "row names of R": (
        '"id","x","w"\n' + "".join(f'"{number}",{line}\n' for number, line in enumerate(ROWS.splitlines(), start=1)),
        "counts the rows",
    ),
    "header again": (f"id,x,w\n{FIRST}id,x,w\n{LAST}", "the header stands between the rows once more"),
}


@pytest.mark.parametrize("kind", TIDIED)
def test_what_is_no_part_of_the_table_is_left_out_with_a_word(kind, write):
    content, message = TIDIED[kind]
    table, said = read(write("t.csv", content))
    assert table.names == NAMES
    assert rows_of(table) == CELLS
    assert any(message in line for line in said), said
    assert all(line.startswith(str(table.source.files[0].path)) for line in said)


def test_rows_are_found_by_their_lines_below_titles_and_repeated_headers(write):
    lines = ROWS.splitlines(keepends=True)
    path = write("t.csv", "".join(["Report\n", "\n", "id,x,w\n", *lines[:20], "id,x,w\n", *lines[20:]]))
    table, _ = read(path)
    assert [table.locate(row).where for row in (0, 19, 20, 29)] == ["line 4", "line 23", "line 25", "line 34"]


PLAIN = {
    "plain": "id,x,w\n" + ROWS,
    "carriage returns": ("id,x,w\n" + ROWS).replace("\n", "\r\n"),
    "old Mac": ("id,x,w\n" + ROWS).replace("\n", "\r"),
    "blank lines": "id,x,w\n\n" + ROWS.replace("\n", "\n\n"),
    "mixed ends": ("id,x,w\r\n" + ROWS).replace("2\n", "2\r\n"),
    "no end": "id,x,w\n" + ROWS.rstrip("\n"),
    "semicolons": ("id;x;w\n" + ROWS.replace(",", ";")),
    "bars": ("id|x|w\n" + ROWS.replace(",", "|")),
    "quoted": 'id,"x","w"\n' + "".join(f'"{a}","{b}","{c}"\n' for a, b, c in CELLS),
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_plain_tables_are_read_without_a_word(kind, name, write):
    table, said = read(write(name, PLAIN[kind]))
    assert said == []
    assert table.names == NAMES
    assert rows_of(table) == CELLS


def test_tabs_and_single_spaces_separate_cells_of_txt(write):
    assert rows_of(read(write("t.txt", "id\tx\tw\n" + ROWS.replace(",", "\t")))[0]) == CELLS
    assert rows_of(read(write("s.txt", "id x w\n" + ROWS.replace(",", " ")))[0]) == CELLS
    assert read(write("words.txt", "text\nhello there\nhow are you\n"))[0].names == ["text"]


def test_decimal_commas_do_not_separate_cells(write):
    table, said = read(write("t.csv", "a;b\n1,5;2\n2,5;3\n"))
    assert (table.names, said) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("content", "n_rows"),
    [
        ("".join(f"{20 + i % 7 / 10},{1000 + i % 13},{2.5 + i % 3 / 7:.2f}\n" for i in range(100)), 100),
        ("".join(f"{20 + i % 7 / 10},w{i % 3},2024-01-{1 + i % 28:02d}\n" for i in range(50)), 50),
        ("".join(f"north,yes\nsouth,no\nnorth,{'no' if i else 'yes'}\nsouth,yes\n" for i in range(5)), 20),
        ("1.5\n2.5\n3.5\n", 3),
        ("1,2\n3,4\n", 2),
        ("$1,25;3\n$2,25;4\n$9,00;5\n", 3),
    ],
)
def test_first_row_of_a_file_without_a_header_is_kept_and_said(content, n_rows, write):
    table, said = read(write("t.csv", content))
    assert table.n_rows == n_rows
    assert table.names == [f"x{position}" for position in range(len(table.names))]
    assert "there is no header: line 1" in said[0]
    assert "--header-row" in said[0]
    assert table.locate(0).where == "line 1"
    forced, silent = read(write("t.csv", content), GivenLayout(header_row=NO_HEADER))
    assert (rows_of(forced), silent) == (rows_of(table), [])
    named, _ = read(write("t.csv", content), GivenLayout(header_row=1))
    assert named.names == content.splitlines()[0].split(table.source.delimiter)


@pytest.mark.parametrize(
    "content",
    [
        "store,2022,2023,2024\n" + "".join(f"s{i},{i + 1},{i * 2},{i * 3}\n" for i in range(9)),
        "0,1,2\n" + "".join(f"{i * 0.3},{i * 0.7 - 2},{i * 2.2}\n" for i in range(9)),
        "store,0.5,0.9\n" + "".join(f"s{i},{i + 10.5},{i * 2 + 20.1}\n" for i in range(9)),
        "2019,2020\n" + "".join(f"{i * 3.5},{i}\n" for i in range(9)),
        "id,2024-01,2024-02\n" + "".join(f"{i},{i * 3.5},{i}\n" for i in range(9)),
        "city,name\n" + "".join(f"Berlin,Anna\nRome,Ben{i}\n" for i in range(9)),
    ],
)
def test_names_that_are_numbers_are_names_where_the_rows_differ(content, write):
    table, said = read(write("t.csv", content))
    assert said == []
    assert table.n_rows == content.count("\n") - 1


def test_index_that_does_not_count_stays_in_the_output_and_is_no_feature(run, write, fast):
    cells = "".join(f"{number * 7 % 40},{number % 5}.5,{number % 4}\n" for number in range(1, 40))
    outcome = run("score", write("t.csv", ",x,y\n" + cells), *fast)
    assert "the first column has no name: called 'index'; it numbers rows, and is no feature" in outcome.err
    assert {"index", "x", "y"} <= set(outcome.frame)
    assert "fitted on" in outcome.err
    assert "39 rows, 2 columns" in outcome.err


def test_texts_without_a_name_are_a_column_with_one(write):
    table, said = read(write("t.csv", ",x\n" + "".join(f"n{i},{i}\n" for i in range(9))))
    assert table.names == ["index", "x"]
    assert said == [f"{table.name}: the first column has no name: called 'index'."]
    table, said = read(write("t.csv", "a,,x\n" + "".join(f"n{i},{i}.5,{i}\n" for i in range(9))))
    assert table.names == ["a", "column 2", "x"]


def test_cell_below_a_blank_name_is_not_lost(write):
    path = write("t.csv", "a,b,\n" + "1,2,\n" * 500 + "3,4,5\n")
    with pytest.raises(InputError, match="column 3 has no name, and a cell holds '5'"):
        read(path)


REFUSED = {
    "cut in the middle": (f"id,x,w\n{ROWS}30,45", "line 32 has 2 fields; the header has 3"),
    "cut in a text": (f"id,x,w\n{TEXT_ROWS}Berlin Mi", "line 32 has 1 field; the header has 3"),
    "short row": ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 field; the header has 2"),
    "more cells than names": ("a,b\n1,2,3\n4,5,6\n", "line 2 has 3 fields; the header has 2"),
    "a name too few": ("name,city\nJohn,Paris,FR\nMary,London,UK\n", "line 2 has 3 fields; the header has 2"),
    "stray quotes": (
        f'id,x,w\n{FIRST}7,"8,w1\n{ROWS}9,2",w2\n{ROWS}',
        "line 22: a quote is opened there and closed on line 53, so that 30 rows between would be one cell",
    ),
    "stray quotes side by side": (f'id,x,w\n{ROWS}7,"8,w1\n9,"2,w2\n', "parts of two rows would be one cell"),
    "open quote": (f'id,x,w\n{ROWS}7,"8,w1\n{ROWS}', "a quote is opened and never closed"),
    "NUL byte": ("a,b\n" + "1,2\n" * 40_000 + "5,\0\n", "line 40002 holds a NUL byte"),
    "page of HTML": ("<html><table><tr>", "is a page of HTML or XML by its content"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_may_be_read_wrongly_is_refused_with_its_line(kind, write):
    content, message = REFUSED[kind]
    with pytest.raises(InputError) as caught:
        read(write("t.csv", content))
    assert message in str(caught.value)


def test_row_below_a_header_with_few_names_is_no_header(write):
    table, said = read(write("t.csv", "a,b,,,\n" + "".join(f"n{i},o{i % 7},p,q{i},r\n" for i in range(20))))
    assert table.names == ["a", "b", "column 3", "column 4", "column 5"]
    assert table.n_rows == 20
    assert len(said) == 3


def test_cut_row_among_blank_lines_is_no_note(write):
    with pytest.raises(InputError, match="line 6 has 1 field; the header has 3"):
        read(write("t.csv", "a,b,c\n\n1,2,3\n\n\n30\n"))


def test_messages_of_many_files_are_few(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02d}.csv").write_text("Report\n\nid,x,w\n" + ROWS)
    said = []
    assert open_table([str(tmp_path)], None, None, said.append).n_files == 20
    assert len(said) == 13
    assert said[-1] == "8 more such messages of these files are not shown."


def test_text_of_several_lines_is_no_stray_quote(write):
    cells = [["1", "a\nb, c\nd"], ["2", 'say "x"\n\n, or'], ["3", "hello, dear\nI am, well\nbye, now"]]
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([["id", "text"], *cells])
    assert rows_of(read(write("t.csv", stream.getvalue()))[0]) == cells


def test_row_that_fits_no_block_is_refused_with_its_line(write):
    path = write("t.csv", 'a,b\n1,2\n3,"' + ("x" * 300 + "\n") * 100 + '"\n')
    limits = {"BLOCK_BYTES": 512, "MAX_BLOCK_BYTES": 1024}
    with mock.patch.multiple("vae_anomaly_cli.sources.delimited", **limits), pytest.raises(InputError) as caught:
        read(path)
    assert "line 3 begins a row of more than" in str(caught.value)


def test_line_feed_at_the_end_of_a_block_stays_in_its_cell(write):
    cell = "z" * 500 + "\r\nTAIL"
    path = write("t.csv", f'a,b\n1,"{cell}"\n2,y\n')
    for block in range(500, 520):
        with mock.patch("vae_anomaly_cli.sources.delimited.BLOCK_BYTES", block):
            assert rows_of(read(path)[0]) == [["1", cell], ["2", "y"]]


@pytest.mark.parametrize(
    ("options", "names", "n_rows"),
    [
        (("--skip-rows", "2"), ["a", "b"], 30),
        (("--header-row", "3"), ["a", "b"], 30),
        (("--skip-rows", "3", "--header-row", "none"), ["x0", "x1"], 30),
    ],
)
def test_options_say_where_the_table_begins(options, names, n_rows, run, write, fast):
    rows = "".join(f"{number % 7}.5,{number}\n" for number in range(30))
    outcome = run("score", write("t.csv", f"junk,junk\nx,y\na,b\n{rows}"), *options, *fast)
    assert outcome.code == 0, outcome.err
    assert set(names) <= set(outcome.frame)
    assert len(outcome.frame) == n_rows


def test_options_of_lines_are_checked(run, write):
    path = write("t.csv", "a,b\n1,2\n3,4\n")
    assert "expected the number of a line, from 1, or 'none'" in run("score", path, "--header-row", "no").error()
    assert "lies in the lines" in run("score", path, "--skip-rows", "3", "--header-row", "2").error()
    lines = write("t.jsonl", '{"a": 1}\n')
    assert "--skip-rows is for CSV and TSV and Excel" in run("score", lines, "--skip-rows", "3").error()
    assert "--query is for data bases" in run("score", path, "--query", "select 1").error()


def test_untouched_cells_are_written_as_they_came(run, write, fast):
    cells = [f'"{number:03d}"," {number % 5}.50 ",w{number % 3}' for number in range(30)]
    path = write("t.csv", "\n".join(["Report", "", "id,x,w", *cells, "Total,30"]) + "\n")
    outcome = run("score", path, "--id", "id,x", *fast)
    assert outcome.frame["id"].tolist() == [f"{number:03d}" for number in range(30)]
    assert outcome.frame["x"].tolist() == [f" {number % 5}.50 " for number in range(30)]


NAME = st.text(string.ascii_letters, min_size=2, max_size=8)
CELL_KINDS = [
    st.integers(-999, 9999).map(str),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: f"{number:.3f}"),
    st.text(string.ascii_letters + " .", min_size=1, max_size=12),
    st.dates().map(str),
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tables_with_names_are_read_whole_and_without_a_word(tmp_path_factory, data):
    names = data.draw(st.lists(NAME, min_size=2, max_size=5, unique_by=str.lower))
    kinds = [data.draw(st.sampled_from(CELL_KINDS)) for _ in names]
    kinds[0] = CELL_KINDS[0]
    rows = data.draw(st.lists(st.tuples(*kinds), min_size=1, max_size=12))
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([names, *rows])
    path = tmp_path_factory.mktemp("plain") / "t.csv"
    path.write_text(stream.getvalue())
    table, said = read(path)
    assert (table.names, said) == (names, [])
    assert rows_of(table) == [list(row) for row in rows]
