"""Several files, patterns and directories are one table in parts."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FEATURES = ("--drop", "order")


@pytest.fixture
def parts(orders, tmp_path):
    """The orders in three files of a directory, one of them deeper."""
    folder = tmp_path / "parts"
    frame = orders.assign(paid=orders["paid"] == "true")

    def write(suffix="csv"):
        for name, rows in (("day=1/a", frame[:20]), ("day=2/a", frame[20:45]), ("last", frame[45:])):
            path = folder / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == "parquet":
                rows.to_parquet(path)
            elif suffix == "jsonl":
                rows.to_json(path, orient="records", lines=True)
            else:
                rows.to_csv(path, index=False)
        return folder

    return write


@pytest.fixture
def error_of(run):
    def error(*arguments, code=2):
        outcome = run(*arguments)
        assert outcome.code == code, outcome.err
        assert outcome.out == b""
        line = outcome.err.splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return error


@pytest.fixture(scope="module")
def scores(run, orders_csv, model):
    return run("score", orders_csv, "-m", model, "--id", "order").frame


def found_in(frame):
    """Results without the place of the row."""
    return frame.drop(columns=["row", "file"], errors="ignore").reset_index(drop=True)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "parquet"])
def test_directory_is_read_in_the_order_of_names(run, parts, model, scores, suffix):
    path = parts(suffix).parent / "o.csv"
    outcome = run("score", parts(suffix), "-m", model, "--id", "order", "-o", path)
    assert outcome.code == 0, outcome.err
    written = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert found_in(written).equals(found_in(scores))
    assert written["row"].astype(int).tolist() == [*range(1, 21), *range(1, 26), *range(1, 16)]
    assert [Path(name).name.split(".")[0] for name in written["file"].unique()] == ["a", "a", "last"]


def test_files_and_patterns_are_read_in_their_order(run, parts, model, scores):
    folder = parts()
    named = run("score", folder / "last.csv", folder / "day=1" / "a.csv", "-m", model, "--id", "order").frame
    assert named["order"].astype(int).tolist() == [*range(45, 60), *range(20)]
    matched = run("score", f"{folder}/day=*/*.csv", "-m", model, "--id", "order").frame
    assert found_in(matched).equals(found_in(scores[:45]))
    deep = run("score", f"{folder}/**/*.csv", "-m", model, "--id", "order").frame
    assert found_in(deep).equals(found_in(scores))


def test_pattern_may_match_directories_and_a_file_counts_once(run, parts, model, scores):
    folder = parts()
    outcome = run("score", f"{folder}/day=*", folder / "day=1" / "a.csv", "-m", model, "--id", "order")
    assert found_in(outcome.frame).equals(found_in(scores[:45]))


def test_fit_on_parts_is_the_fit_on_the_whole(run, parts, orders_csv, fast, tmp_path):
    whole = run("score", orders_csv, "--id", "order", *fast).frame
    in_parts = run("score", parts(), "--id", "order", *fast)
    assert in_parts.frame["anomaly_score"].tolist() == whole["anomaly_score"].tolist()
    assert f"fitted on {tmp_path / 'parts'}: 60 rows" in in_parts.err


def test_hidden_files_and_those_that_are_no_tables_are_left_alone(run, parts, model):
    folder = parts()
    for name in ("_SUCCESS.csv", ".hidden.csv", "notes.txt", "_delta/x.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("nothing")
    assert len(run("score", folder, "-m", model, *FEATURES).frame) == 60


def test_files_may_have_their_columns_in_another_order(run, parts, orders, model, scores):
    folder = parts()
    orders[45:][orders.columns[::-1]].to_csv(folder / "last.csv", index=False)
    outcome = run("score", folder, "-m", model)
    assert list(outcome.frame)[:4] == ["row", "file", "order", "amount"]
    assert outcome.frame["anomaly_score"].tolist() == scores["anomaly_score"].tolist()


def test_directory_as_output_gets_a_file_for_each_file(run, parts, model, scores, tmp_path):
    for suffix, read in (("csv", pd.read_csv), ("csv.gz", pd.read_csv), ("parquet", pd.read_parquet)):
        folder = parts(suffix)
        (folder / f"day=1/a.{suffix}").rename(folder / f"day=1/b.{suffix}")
        outcome = run("score", folder, "-m", model, *FEATURES, "-o", f"{tmp_path / 'out'}/")
        assert outcome.code == 0, outcome.err
        written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
        assert written == [f"day=1/b.{suffix}", f"day=2/a.{suffix}", f"last.{suffix}"]
        table = pd.concat(read(tmp_path / "out" / name) for name in written)
        assert table["anomaly_score"].tolist() == pytest.approx(
            scores["anomaly_score"].astype(float).tolist(), rel=1e-12
        )
        for path in [*(tmp_path / "out").rglob("*.*"), *folder.rglob("*.*")]:
            path.unlink()


def test_directory_as_output_takes_single_files_too(run, orders_csv, model, tmp_path):
    (tmp_path / "out").mkdir()
    assert run("score", orders_csv, "-m", model, *FEATURES, "-o", tmp_path / "out").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["orders.csv"]


def test_files_without_rows_have_results_without_rows(run, parts, model, tmp_path):
    folder = parts()
    header = "order,amount,items,shop,paid\n"
    for name in ("day=1/0.csv", "m.csv", "zero.csv"):
        (folder / name).write_text(header)
    outcome = run("score", folder, "-m", model, *FEATURES, "-o", f"{tmp_path / 'out'}/")
    assert outcome.code == 0, outcome.err
    for name in ("day=1/0.csv", "m.csv", "zero.csv"):
        assert (
            tmp_path / "out" / name
        ).read_text() == f"row,{header.strip()},anomaly_score,p_value,is_anomaly,problem\n"


def test_file_without_a_byte_is_left_out_with_a_warning(run, parts, model):
    folder = parts()
    (folder / "empty.csv").write_bytes(b"")
    outcome = run("score", folder, "-m", model, *FEATURES)
    assert len(outcome.frame) == 60
    assert "warning: " in outcome.err
    assert "empty.csv is empty: left out" in outcome.err


def test_ranked_rows_tell_their_file(run, parts, model):
    ranked = json.loads(run("score", parts(), "-m", model, "--json", "--top", "1", *FEATURES).text)["ranked"]
    assert ranked[0]["file"].endswith("day=2/a.csv")
    assert ranked[0]["row"] == 21


def test_bad_cell_is_found_in_its_file(run, parts, model, tmp_path):
    folder = parts()
    text = (folder / "last.csv").read_text().replace("0050,", "0050,x")
    (folder / "last.csv").write_text(text)
    outcome = run("score", folder, "-m", model, *FEATURES, "-o", tmp_path / "o.csv")
    assert outcome.code == 0, outcome.err
    assert f"warning: 1 of 60 rows without a score; {folder}/last.csv, line 7: 'amount' holds 'x" in outcome.err
    (row,) = pd.read_csv(tmp_path / "o.csv").query("anomaly_score.isna()").itertuples()
    assert (row.row, row.file) == (6, f"{folder}/last.csv")


def test_types_of_parts_are_made_alike(run, tmp_path, orders, model, scores):
    frame = orders.assign(paid=orders["paid"] == "true").astype({"items": "float64"})
    frame[:30].to_parquet(tmp_path / "a.parquet")
    frame[30:].astype({"items": "int64"}).to_parquet(tmp_path / "b.parquet")
    options = ("-m", model, *FEATURES, "-o", tmp_path / "o.parquet")
    assert run("score", tmp_path / "b.parquet", tmp_path / "a.parquet", *options).code == 0
    written = pq.read_table(tmp_path / "o.parquet")
    assert written.schema.field("items").type == pa.float64()
    halves = scores["anomaly_score"].astype(float)
    assert written["anomaly_score"].to_pylist() == [*halves[30:], *halves[:30]]


def test_keys_that_a_file_of_json_lines_lacks_are_missing(run, orders, tmp_path, model):
    frame = orders.assign(paid=orders["paid"] == "true")
    frame[:30].to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame[30:].drop(columns="shop").to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    outcome = run("score", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "-m", model, *FEATURES)
    rows = [json.loads(line) for line in outcome.text.splitlines()]
    assert [row["shop"] is None for row in rows[30:]] == [True] * 30


def test_files_that_are_not_one_table_are_refused(error_of, parts, write, model):
    folder = parts()
    other = write("other.csv", "order,amount,items,shops,paid\n1,2,3,x,true\n")
    line = error_of("score", folder, other, "-m", model)
    assert f"{other} lacks column 'shop' and has column 'shops' besides" in line
    assert "expected the columns of" in line
    semicolons = write("s.csv", "order;amount;items;shop;paid\n1;2;3;x;true\n")
    assert "separates its cells by ';'" in error_of("score", folder, semicolons, "-m", model)
    lines = write("t.jsonl", '{"a": 1}\n')
    assert f"{lines} is jsonl and" in error_of("score", folder / "last.csv", lines, "-m", model)


def test_types_that_cannot_be_made_alike_are_refused(error_of, tmp_path, model):
    pq.write_table(pa.table({"amount": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"amount": ["x"]}), tmp_path / "b.parquet")
    line = error_of("score", tmp_path / "a.parquet", tmp_path / "b.parquet", "-m", model)
    assert "b.parquet: column 'amount' is string, and int64 in files before" in line


def test_inputs_that_are_none_are_refused(error_of, parts, tmp_path, write):
    folder = parts()
    assert "matches no file" in error_of("score", f"{folder}/*.tsv")
    assert "cannot stand beside files" in error_of("score", "-", folder)
    (tmp_path / "bare").mkdir()
    assert "is a directory without tables" in error_of("score", tmp_path / "bare")
    (folder / "t.jsonl").write_text("{}")
    line = error_of("score", folder)
    assert "holds tables of several formats (a.csv, t.jsonl)" in line
    assert f"'{folder}/*.jsonl'" in line
    first, second = write("a.csv", ""), write("b.csv", "")
    assert "and 1 more files are empty" in error_of("score", first, second)


def test_damaged_file_among_others_is_named_before_the_work(error_of, parts, model, tmp_path):
    folder = parts("parquet")
    (folder / "day=2/a.parquet").write_bytes(b"PAR1 and more")
    line = error_of("score", folder, "-m", model, "-o", tmp_path / "o.parquet")
    assert "day=2/a.parquet is not a readable Parquet file" in line
    assert list(tmp_path.iterdir()) == [folder]


def test_file_that_is_cut_in_the_middle_leaves_no_result(error_of, parts, model, tmp_path):
    folder = parts("csv.gz")
    path = folder / "day=2/a.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    line = error_of("score", folder, "-m", model, *FEATURES, "-o", tmp_path / "o.csv")
    assert "day=2/a.csv.gz is a damaged or truncated gzip file" in line
    assert list(tmp_path.iterdir()) == [folder]


def test_output_among_the_inputs_is_refused(error_of, parts, model, tmp_path, orders_csv):
    folder = parts()
    for output in (folder / "scored.csv", f"{folder}/", folder / "deeper" / "out.csv"):
        for data in (folder, tmp_path / f"{folder.name[:-1]}*"):
            assert "lies in the input directory" in error_of("score", data, "-m", model, "-o", output)
    assert "is an input file itself" in error_of("score", orders_csv, "-m", model, "-o", orders_csv.parent)


def test_directory_as_output_needs_names_and_takes_no_ranking(run, error_of, parts, model, tmp_path, orders_csv):
    folder = parts()
    out = f"{tmp_path / 'out'}/"
    same = (folder / "day=1/a.csv", folder / "day=2/a.csv")
    assert "have the same name and would become one file" in error_of("score", *same, "-m", model, "-o", out)
    options = ("--top", "2", "--only-top", "-o", out)
    assert "--only-top ranks the rows of all files" in error_of("score", folder, "-m", model, *options)
    piped = run("score", "-", "-m", model, "-o", out, stdin=orders_csv.read_bytes())
    assert piped.code == 2
    assert "for standard input expected a file name" in piped.err


def test_explain_takes_parts_too(run, parts, model):
    told = json.loads(run("explain", parts(), "-m", model, "--json", "--top", "1", "--id", "order").text)["explained"]
    assert told[0]["row"] == 41
