"""What a cell means depends on the model, never on the batch that it happens to stand in."""

import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import VAEDetector, load
from vae_anomaly.arrow_rows import scoring_features, with_nulls
from vae_anomaly_cli.cell_reader import TextCells, TypedCells
from vae_anomaly_cli.stages import run_stages

WORDS = ["a", "1", "1.0", "007", "2", "true", "", "NA", "2026-01-01", "+1", "1e0", "12345678901234567890"]
NUMBERS = ["1", "1.0", "2.5", " 3 ", "+4", "1e3", "", "?", "-.5", "nan", "007"]
COMMAS = ["1", "1,0", "2,5", "2.5", "", "NULL"]
FLAGS = ["true", "FALSE", "1", "0", "", "n/a", "1.0"]
DAYS = ["2026-01-01", "2026-01-02 10:00:00", "2026-01-03T10:30:00.1234567", "2026-01-01T10:00:00+02:00", "", "20260105"]


@pytest.fixture
def in_batches(monkeypatch):
    """Cut every input into batches of so many rows."""

    def cut(n_rows, n_bytes=64):
        monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", n_rows)
        monkeypatch.setattr("vae_anomaly_cli.sources.delimited.BLOCK_BYTES", n_bytes)

    return cut


@pytest.fixture(scope="module")
def mixed():
    """A detector of columns of all kinds, one of them numbers that were declared to be categories."""
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "word": rng.choice(["a", "b", "1", "007"], n),
            "level": rng.choice([1.0, 2.0, 2.5], n),
            "number": rng.normal(size=n) * 3,
            "flag": rng.choice([True, False], n),
            "zero_one": rng.choice([0, 1], n),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90, n), "D"),
        }
    )
    detector = VAEDetector(max_iter=10, n_estimators=2, columns={"level": "categorical"}, early_stopping=False)
    detector.fit(frame)
    assert [column.kind for column in detector.columns_[:2]] == ["categorical", "categorical"]
    assert detector.columns_[1].numeric
    return detector


@settings(max_examples=15)
@given(
    rows=st.lists(
        st.tuples(*map(st.sampled_from, (WORDS, WORDS, NUMBERS, FLAGS, FLAGS, DAYS))), min_size=1, max_size=9
    ),
    decimal_comma=st.booleans(),
    size=st.integers(1, 4),
)
def test_scores_of_text_do_not_depend_on_batches(mixed, rows, decimal_comma, size):
    names = [column.name for column in mixed.columns_]
    table = pa.table([pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)], names)

    def scores(part):
        frame = scoring_features(part, mixed.columns_, TextCells(decimal_comma)).frame
        return mixed.anomaly_score(frame).tolist()

    parts = [scores(table.slice(start, size)) for start in range(0, len(rows), size)]
    assert [score for part in parts for score in part] == scores(table)


@pytest.mark.parametrize(
    ("column", "cells", "comma"),
    [
        ("word", ["007", " 007 "], False),
        ("level", ["1", "1.0"], False),
        ("level", ["1", "1e0"], False),
        ("level", ["2.5", "2,5"], True),
        ("number", ["1.5", "1,5"], True),
        ("number", ["1000", "1e3"], False),
        ("number", ["", "NA"], False),
        ("flag", ["true", "1"], False),
        ("zero_one", ["false", "0"], False),
        ("day", ["2026-01-01", "2026-01-01T00:00:00Z"], False),
    ],
)
@pytest.mark.filterwarnings("ignore::vae_anomaly.EmptyRowWarning")
def test_ways_to_write_the_same_cell_have_the_same_score(mixed, column, cells, comma):
    names = [known.name for known in mixed.columns_]
    rows = [dict.fromkeys(names, "") | {column: cell} for cell in cells]
    frame = scoring_features(pa.Table.from_pylist(rows), mixed.columns_, TextCells(comma)).frame
    first, second = mixed.anomaly_score(frame)
    assert first == second


@pytest.mark.parametrize("chunked", [False, True])
def test_nulls_in_a_slice_leave_its_other_cells(chunked):
    cells = [f"{row}.5" for row in range(40)]
    for start, size in [(0, 7), (7, 7), (33, 7), (5, 20)]:
        part = pa.array(cells, pa.string()).slice(start, size)
        for row in range(size):
            where = pa.array(np.arange(size) == row)
            expected = [None if place == row else cell for place, cell in enumerate(cells[start : start + size])]
            result = with_nulls(pa.chunked_array([part]) if chunked else part, where)
            result.validate(full=True)
            assert result.to_pylist() == expected


def test_code_is_no_number_for_a_column_of_text(mixed):
    names = [known.name for known in mixed.columns_]
    rows = [dict.fromkeys(names, "") | {"word": cell} for cell in ("007", "7")]
    frame = scoring_features(pa.Table.from_pylist(rows), mixed.columns_, TextCells()).frame
    known, unknown = mixed.anomaly_score(frame)
    assert unknown > known


@pytest.mark.parametrize(
    ("size", "name", "out"),
    # Every size with every format in, and every format in with every format out.
    [
        (size, name, f"o.{('csv', 'jsonl', 'parquet')[(order + place) % 3]}")
        for order, size in enumerate([1, 7, 59])
        for place, name in enumerate(["t.csv", "t.csv.gz", "t.jsonl", "t.parquet"])
    ],
)
def test_result_is_the_same_for_any_size_of_batches(run, orders, tmp_path, model, in_batches, size, name, out):
    # Rows one by one take long.
    frame = orders.assign(paid=orders["paid"] == "true").tail(20 if size == 1 else 60)
    path = tmp_path / name
    if ".csv" in name:
        frame.to_csv(path, index=False)
    elif "jsonl" in name:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path, row_group_size=10)
    options = ("-m", model, "--drop", "order", *(() if size == 1 else ("--explain",)))
    assert run("score", path, *options, "-o", tmp_path / out).code == 0
    at_once = (tmp_path / out).read_bytes()
    in_batches(size)
    outcome = run("score", path, *options, "-o", tmp_path / out)
    assert outcome.code == 0, outcome.err
    if out == "o.parquet":
        whole = pq.read_table(io.BytesIO(at_once))
        assert pq.read_table(tmp_path / out).equals(whole)
    else:
        assert (tmp_path / out).read_bytes() == at_once


@pytest.mark.parametrize("options", [("--top", "7", "--only-top"), ("--json", "--top", "3", "--explain"), ()])
def test_ranking_and_pipe_are_the_same_for_any_size_of_batches(run, orders_csv, model, in_batches, options):
    at_once = run("score", orders_csv, "-m", model, *options)
    in_batches(4)
    assert run("score", orders_csv, "-m", model, *options).out == at_once.out


def test_equal_scores_are_ranked_in_the_order_of_the_file(run, orders, write, model, in_batches):
    path = write("t.csv", orders.assign(order="x").iloc[[40] * 20].assign(order=range(20)).to_csv(index=False))
    in_batches(3)
    ranked = run("score", path, "-m", model, "--id", "order", "--top", "7", "--only-top").frame
    assert ranked["order"].tolist() == [str(number) for number in range(7)]


def test_types_of_the_result_are_those_of_all_rows(run, write, tmp_path, fast, in_batches):
    rows = "".join(f"{i % 7}.5,{i},{'x' if i == 39 else i}\n" for i in range(40))
    path = write("t.csv", "x,n,late\n" + rows)
    in_batches(5)
    outcome = run("score", path, "-o", tmp_path / "o.parquet", "--drop", "late", *fast)
    assert outcome.code == 0, outcome.err
    assert [str(field.type) for field in pq.read_schema(tmp_path / "o.parquet")][1:4] == ["double", "int64", "string"]


def test_measures_of_a_label_are_those_of_all_rows(run, orders, write, model, in_batches):
    path = write("t.csv", orders.assign(fraud=(orders.index == 40).astype(int)).to_csv(index=False))
    arguments = ("score", path, "-m", model, "--drop", "order", "--label", "fraud", "-q")
    at_once = run(*arguments)
    in_batches(6)
    assert run(*arguments).err == at_once.err


def test_label_that_cannot_be_used_leaves_no_file(run, orders_csv, model, tmp_path, write):
    outcome = run("score", orders_csv, "-m", model, "--label", "order", "-o", tmp_path / "o.csv")
    assert outcome.code == 2
    assert "--label order: the column holds" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_bad_cell_is_found_by_its_line_in_a_late_batch(run, orders, write, model, in_batches, tmp_path):
    frame = orders.astype({"amount": object})
    frame.loc[50, "amount"] = "much"
    path = write("t.csv", frame.to_csv(index=False))
    in_batches(4)
    outcome = run("score", path, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    assert outcome.code == 0
    assert f"1 of 60 rows without a score; {path}, line 52: 'amount' holds 'much', which is no number." in outcome.err
    assert pd.read_csv(tmp_path / "o.csv")["problem"].first_valid_index() == 50


def test_wrong_line_in_a_late_block_leaves_no_file(run, orders, write, model, in_batches, tmp_path):
    path = write("t.csv", orders.to_csv(index=False) + "61,2\n")
    in_batches(8)
    outcome = run("score", path, "-m", model, "--drop", "order", "-o", tmp_path / "o.csv")
    assert outcome.code == 2
    assert "line 62 has 2 fields" in outcome.err
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_small_table_leaves_nothing_in_a_pipe(run, write, model):
    path = write("t.csv", 'order,amount,items,shop,paid\n1,2.5,3,x,true\n2,2.5,3,x,"true\n3,2\n')
    outcome = run("score", path, "-m", model, "--drop", "order")
    assert outcome.code == 2
    assert outcome.out == b""
    assert "line 3: a quote is opened and never closed" in outcome.err


def test_open_quote_is_found_in_a_column_that_nobody_wants(run, orders, write, model):
    text = orders.assign(note="x").to_csv(index=False)
    path = write("t.csv", text + '60,50.0,3,north,true,"open\n61,50.0,3,north,true,x\n')
    outcome = run("score", path, "-m", model, "--id", "order")
    assert outcome.code == 2
    assert "line 62: a quote is opened and never closed" in outcome.err
    assert outcome.out == b""


def test_row_longer_than_a_block_is_read(run, orders, write, model, in_batches):
    frame = orders.assign(note=["x" * (5000 if row == 30 else 1) for row in range(60)])
    path = write("t.csv", frame.to_csv(index=False))
    at_once = run("score", path, "-m", model, "--id", "order").out
    in_batches(16, n_bytes=512)
    assert run("score", path, "-m", model, "--id", "order").out == at_once


def test_large_standard_input_is_kept_in_a_file(run, orders_csv, model, monkeypatch, tmp_path):
    direct = run("score", orders_csv, "-m", model, "--id", "order")
    monkeypatch.setattr("vae_anomaly_cli.sources.byte_source.SPOOLED_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for content in (orders_csv.read_bytes(), gzip.compress(orders_csv.read_bytes())):
        piped = run("score", "-", "-m", model, "--id", "order", stdin=content)
        assert piped.out == direct.out, piped.err
    assert list(tmp_path.iterdir()) == []


def test_standard_input_beyond_the_disk_is_one_line(run, orders_csv, monkeypatch, tmp_path):
    monkeypatch.setattr("vae_anomaly_cli.sources.byte_source.SPOOLED_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    outcome = run("score", "-", stdin=orders_csv.read_bytes())
    assert outcome.code == 1
    assert "standard input does not fit into" in outcome.err
    assert "TMPDIR" in outcome.err


def test_keys_and_types_of_late_lines_count_for_all(run, write, model, in_batches, orders):
    frame = orders.assign(paid=orders["paid"] == "true").astype({"items": float})
    lines = frame.to_json(orient="records", lines=True).splitlines()
    lines.append('{"amount": 3, "items": 4, "shop": "north", "paid": false, "late": [1]}')
    path = write("t.jsonl", "\n".join(lines))
    in_batches(5)
    outcome = run("score", path, "-m", model, "--drop", "order,late")
    rows = [json.loads(line) for line in outcome.text.splitlines()]
    assert rows[0]["late"] is None
    assert rows[-1]["late"] == [1]
    assert rows[-1]["order"] is None
    assert len(rows) == 61


def test_reader_work_and_writer_take_every_item_in_order():
    written = []
    run_stages((number for number in range(20)), lambda number: number * 2, written.append)
    assert written == [number * 2 for number in range(20)]


@pytest.mark.parametrize("where", ["read", "work", "write"])
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failure_anywhere_ends_all_three_and_closes_the_reader(where, failure):
    ended = []

    def check(place, number):
        if (place, number) == (where, 5):
            raise failure("five")
        return number

    def read():
        try:
            for number in range(100):
                yield check("read", number)
        finally:
            ended.append(True)

    with pytest.raises(failure, match="five"):
        run_stages(read(), lambda number: check("work", number), lambda number: check("write", number))
    assert ended == [True]


def test_parquet_groups_are_put_together_from_small_batches(run, orders_csv, model, tmp_path, in_batches):
    in_batches(5)
    assert run("score", orders_csv, "-m", model, "-o", tmp_path / "o.parquet").code == 0
    assert pq.ParquetFile(tmp_path / "o.parquet").num_row_groups == 1


def test_scores_are_those_of_the_library_in_one_call(run, orders, orders_csv, model, tmp_path, in_batches):
    in_batches(9)
    run("score", orders_csv, "-m", model, "-o", tmp_path / "o.parquet")
    frame = orders.drop(columns="order").assign(paid=orders["paid"] == "true")
    scores = pq.read_table(tmp_path / "o.parquet")["anomaly_score"].to_numpy()
    np.testing.assert_array_equal(scores, load(model).anomaly_score(frame))


TYPED = {
    "word": st.sampled_from(["a", "007", None, "b"]),
    "level": st.sampled_from([1, 2, 3, None]),
    "number": st.sampled_from([1.5, float("nan"), None, -3.0]),
    "flag": st.sampled_from([True, False, None]),
    "zero_one": st.sampled_from([0, 1, None]),
    "day": st.sampled_from([None, pd.Timestamp("2026-01-01"), pd.Timestamp("2026-02-02 10:30")]),
}


@settings(max_examples=15)
@given(
    rows=st.lists(st.fixed_dictionaries(TYPED), min_size=1, max_size=9), size=st.integers(1, 4), encoded=st.booleans()
)
def test_scores_of_typed_cells_do_not_depend_on_batches(mixed, rows, size, encoded):
    kinds = [pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.decimal128(10, 2), pa.timestamp("us")]
    table = pa.Table.from_pylist(rows, pa.schema(list(zip(TYPED, kinds, strict=True))))
    if encoded:
        table = table.set_column(0, "word", table["word"].dictionary_encode())

    def scores(part):
        return mixed.anomaly_score(scoring_features(part, mixed.columns_, TypedCells()).frame).tolist()

    parts = [scores(table.slice(start, size)) for start in range(0, len(rows), size)]
    assert [score for part in parts for score in part] == scores(table)


def test_text_and_types_say_the_same(mixed):
    names = [known.name for known in mixed.columns_]
    text = pa.Table.from_pylist([dict(zip(names, ["007", "1.0", "2.5", "true", "0", "2026-01-05"], strict=True))])
    day = pd.Timestamp("2026-01-05")
    typed = pa.Table.from_pylist([dict(zip(names, ["007", 1.0, 2.5, True, 0, day], strict=True))])
    first = mixed.anomaly_score(scoring_features(text, mixed.columns_, TextCells()).frame)
    second = mixed.anomaly_score(scoring_features(typed, mixed.columns_, TypedCells()).frame)
    assert first.tolist() == second.tolist()


def test_views_of_text_are_ranked_and_sampled(run, orders, model, tmp_path, fast):
    table = pa.Table.from_pandas(orders.assign(paid=orders["paid"] == "true"), preserve_index=False)
    place = table.column_names.index("shop")
    pq.write_table(table, tmp_path / "plain.parquet")
    views_of_text = table.set_column(place, "shop", table["shop"].cast(pa.string_view()))
    try:
        pq.write_table(views_of_text, tmp_path / "views.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this Arrow writes no views of text to Parquet")
    for arguments in (
        ("-m", model, "--drop", "order", "--top", "3", "--only-top"),
        ("--id", "order", "--sample-rows", "30", *fast),
    ):
        plain, views = (run("score", tmp_path / name, *arguments) for name in ("plain.parquet", "views.parquet"))
        assert views.code == 0, views.err
        assert views.out == plain.out
