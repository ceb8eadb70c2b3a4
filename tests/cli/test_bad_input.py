"""Every bad input is one line: what, where, what was expected and what to do."""

import gzip
import json
import os

import numpy as np
import pytest

ROWS = "".join(f"{i % 9}.5,{i}\n" for i in range(30))


def error_of(outcome, code=2):
    assert outcome.code == code, outcome.err
    assert outcome.out == b""
    *before, line = outcome.err.splitlines()
    assert all(earlier.startswith("warning: ") for earlier in before)
    assert line.startswith("error: ")
    assert "Traceback" not in outcome.err
    return line


LONG = gzip.compress(("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(20_000))).encode())

FILES = [
    ("empty.csv", "", "is empty; expected a table in csv"),
    ("blank.csv", "\n\n", "is empty"),
    ("header.csv", "a,b\n", "has column names but no rows"),
    ("header.tsv", "a\tb\n", "has column names but no rows"),
    ("few.csv", "a,b\n1,2\n3\n4,5\n", "line 3 has 1 field; the header has 2"),
    ("many.csv", "a,b\n1,2\n3,4,5\n", "line 3 has 3 fields; the header has 2"),
    ("quoted.csv", 'a,b\n1,"x\ny"\n\n3,4,5\n', "line 5 has 3 fields"),
    ("tabs.tsv", "a\tb\n1\n", "missing or extra tab"),
    ("open.csv", 'a,b\n1,2\n3,"x\n4,5\n', "line 3: a quote is opened and never closed"),
    ("twice.csv", "a,b,a\n1,2,3\n", "the column name 'a' occurs 2 times"),
    ("one_indexed.csv", ",a\n1,2\n", "has 1 row; fitting needs at least 2"),
    ("one.csv", "a,b\n1,2\n", "has 1 row; fitting needs at least 2"),
    ("infinite.csv", "a,b\n1,2\ninf,3\n4,5\n", "column 'a' holds inf (line 3)"),
    ("missing values.csv", "a,b\n,NA\n?,\n", "no column is left to model"),
    ("russian.csv", "имя,b\n1,2\n".encode("cp1251"), "byte 0xe8 on line 1 (offset 0). Name its encoding"),
    ("cut_character.csv", "a,b\né,2\n".encode() + b"x\xe9,3\n", "byte 0xe9 on line 3 (offset 10)"),
    ("cut_wide.csv", "a,b\n1,2\n".encode("utf-16")[:-1], "is not UTF-16: byte 0x0a on line 2"),
    ("binary.csv", bytes(range(256)), "is not text: byte 0 is NUL"),
    ("noise.csv", np.random.default_rng(0).bytes(500).replace(b"\0", b""), "is not UTF-8: byte 0x"),
    ("book.csv", b"PK\x03\x04 sheet", "damaged or truncated zip file"),
    ("parquet.csv", b"PAR1 and more", "Use --format parquet"),
    ("broken.parquet", b"PAR1 and more", "is not a readable Parquet file"),
    ("cut.csv.gz", LONG[:-20], "damaged or truncated gzip file"),
    ("cut_early.csv.gz", LONG[:15], "damaged or truncated gzip file"),
    ("list.jsonl", '{"a": 1}\n\n[1]\n', "line 3 holds list, not a JSON object"),
    ("cut.jsonl", '{"a": 1}\n{"a":\n', "line 2 is not a JSON object"),
    ("twice.jsonl", '{"a": 1, "a": 2}\n', "a key occurs twice"),
    ("none.jsonl", "{}\n{}\n", "has no columns"),
    ("undefined.jsonl", b'{"a": "\x81"}\n', "byte 0x81 on line 1"),
    ("nested.jsonl", '{"b": [1]}\n{"b": []}\n', "no column is left to model ('b': it holds lists; give"),
    ("sheet.xlsx", b"PK\x03\x04", "is a damaged or truncated zip file"),
    ("old.xls", b"\xd0\xcf\x11\xe0", "has an extension that is not known (.xls). Save it as .xlsx"),
    ("plain", "a,b\n1,2\n", "Say what it is with --format"),
    ("t.parquet.gz", b"", "has an extension that is not known"),
]


@pytest.mark.parametrize(("name", "content", "said"), FILES, ids=[name for name, _, _ in FILES])
def test_unusable_table(run, write, fast, name, content, said):
    path = write(name, content)
    line = error_of(run("score", path, *fast))
    assert said in line
    assert str(path) in line


OPTIONS = [
    (["--label", "amuont"], "--label amuont", "Did you mean 'amount'?"),
    (["--id", "ordre"], "--id ordre", "Did you mean 'order'?"),
    (["--drop", "shop,payd"], "--drop payd", "Did you mean 'paid'?"),
    (["--drop", "zzz"], "--drop zzz", "It has columns 'order', 'amount'"),
    (["--drop", "order,amount,items,shop,paid"], "no column left to learn from", "name fewer"),
    (["--label", "shop"], "holds 'south', 'north'", "expected 0 and 1"),
    (["--label", "items"], "--label items: the column holds 1, ", "Recode the column"),
    (["--label", "paid", "--id", "paid"], "--label paid is also named by --id", "one or the other"),
    (["--contamination", "0"], "--contamination 0", "above 0 and up to 0.5"),
    (["--contamination", "0.6"], "--contamination 0.6", "above 0 and up to 0.5"),
    (["--contamination", "nan"], "--contamination nan", "above 0 and up to 0.5"),
    (["--contamination", "some"], "--contamination some", "expected 'auto'"),
    (["--top", "0"], "'--top'", "1"),
    (["--random-state", "-1"], "'--random-state'", "0"),
    (["--device", "tpu"], "'--device'", "cuda"),
    (["--format", "xml"], "'--format'", "parquet"),
    (["--delimiter", "::"], "--delimiter ::", "one ASCII character"),
    (["--format", "jsonl", "--delimiter", ";"], "--delimiter is for CSV", "is jsonl"),
    (["--bogus"], "--bogus", "See vae-anomaly score --help"),
    (["-o", "out.xls"], "--output out.xls", "ends in .csv"),
    (["--json", "-o", "-"], "both write to standard output", "choose one"),
]


@pytest.mark.parametrize(("options", "what", "remedy"), OPTIONS, ids=[" ".join(row[0]) for row in OPTIONS])
def test_unusable_option(run, orders_csv, options, what, remedy):
    line = error_of(run("score", orders_csv, *options))
    assert what in line
    assert remedy in line


def test_unknown_command_and_missing_argument(run):
    assert "bogus" in error_of(run("bogus"))
    assert "DATA" in error_of(run("score"))


def test_file_that_is_not_there_or_a_folder(run, tmp_path):
    assert "does not exist" in error_of(run("score", tmp_path / "no.csv"))
    assert "is a directory" in error_of(run("score", tmp_path))
    assert "does not exist" in error_of(run("info", tmp_path / "no.vae"))
    assert "is a directory" in error_of(run("info", tmp_path))


def test_file_without_permission(run, write):
    path = write("t.csv", "a\n1\n2\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "cannot be read: Permission denied" in error_of(run("score", path))


def test_text_in_a_numeric_column_is_found_by_line(run, write, model):
    path = write("t.csv", 'order,amount,items,shop,paid\n1,2.5,3,"a\nb",true\n\n2,much,4,x,false\n')
    outcome = run("score", path, "-m", model, "--id", "order")
    assert outcome.frame["problem"].tolist() == ["", "'amount' holds 'much', which is no number"]
    assert f"warning: 1 of 2 rows without a score; {path}, line 5: 'amount' holds 'much'" in outcome.err


def test_text_in_a_numeric_column_is_found_among_decimal_commas(run, write, model):
    path = write("t.csv", "amount;items;shop;paid\n2,5;3;x;true\n2,k;3;x;true\n")
    assert f"{path}, line 3: 'amount' holds '2,k', which is no plain number" in run("score", path, "-m", model).err


def test_text_in_a_numeric_column_of_jsonl_and_parquet(run, orders, tmp_path, model):
    frame = orders.astype({"amount": object, "paid": bool})
    frame.loc[9, "amount"] = "much"
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.astype({"amount": "str"}).to_parquet(tmp_path / "t.parquet")
    for name, where in (("t.jsonl", "line 10"), ("t.parquet", "row 10")):
        outcome = run("score", tmp_path / name, "-m", model, "--drop", "order", "--json")
        assert f"{tmp_path / name}, {where}: 'amount' holds 'much', which is no number" in outcome.err
        summary = json.loads(outcome.text)
        assert (summary["rows"], summary["rows_scored"], summary["unusable"]) == (60, 59, 1)


def test_missing_columns_are_named(run, orders, write, model):
    path = write("t.csv", orders.drop(columns=["items", "paid"]).to_csv(index=False))
    assert "lacks columns 'items', 'paid' of the 4 columns" in error_of(run("score", path, "-m", model))


def test_table_without_any_column_of_the_model(run, write, model):
    assert "None of the model's columns is there" in error_of(run("score", write("t.csv", "q\n1\n"), "-m", model))


@pytest.mark.parametrize("option", ["--label", "--drop"])
def test_column_that_the_model_uses_cannot_be_left_out(run, orders_csv, model, option):
    line = error_of(run("score", orders_csv, "-m", model, option, "paid"))
    assert f"{option} paid: the model uses this column" in line


def test_options_of_the_fit_do_not_go_with_a_model(run, orders_csv, model):
    line = error_of(run("score", orders_csv, "-m", model, "--random-state", "1", "--max-iter", "5"))
    assert "--random-state, --max-iter cannot go with --model" in line


@pytest.mark.parametrize("command", ["score", "info"])
@pytest.mark.parametrize("kind", ["truncated", "foreign", "text", "empty"])
def test_file_that_is_not_a_model(run, write, orders_csv, model, command, kind):
    content = {
        "truncated": model.read_bytes()[:-100],
        "foreign": (2).to_bytes(8, "little") + b"{}",
        "text": b"a,b\n1,2\n",
        "empty": b"",
    }[kind]
    path = write("t.vae", content)
    arguments = (path,) if command == "info" else (orders_csv, "-m", path)
    line = error_of(run(command, *arguments))
    assert str(path) in line
    assert "model" in line


def test_header_with_another_delimiter_is_warned_of(run, write, model):
    outcome = run("score", write("t.csv", "a;b\n1;2\n3;4\n"), "-m", model, "--delimiter", ",")
    assert outcome.err.startswith("warning: ")
    assert "has one column, 'a;b'; where ';' separates cells, say so with --delimiter." in outcome.err


def test_all_missing_column_is_set_aside_with_a_warning(run, write, fast):
    path = write("t.csv", "a,b,c\n" + "".join(f"{i},{i % 7}.5,\n" for i in range(30)))
    outcome = run("score", path, *fast)
    assert outcome.code == 0
    assert "warning: column 'c' is set aside: it holds no value" in outcome.err


def test_constant_column_is_used_and_a_new_value_there_is_strange(run, write, fast, tmp_path):
    path = write("t.csv", "a,b\n" + "".join(f"{i % 7}.5,5\n" for i in range(30)))
    outcome = run("fit", path, "-o", tmp_path / "t.vae", *fast)
    assert "1 constant" in outcome.err
    same = run("score", write("same.csv", "a,b\n3.5,5\n"), "-m", tmp_path / "t.vae")
    other = run("score", write("other.csv", "a,b\n3.5,6\n"), "-m", tmp_path / "t.vae")
    assert float(other.frame["anomaly_score"][0]) > float(same.frame["anomaly_score"][0])


def test_output_that_cannot_be_written_fails_before_the_work(run, orders_csv, tmp_path, write):
    line = error_of(run("score", orders_csv, "-o", tmp_path / "no" / "out.csv"), code=1)
    assert "cannot be written: the directory" in line
    assert "is a directory" in error_of(run("explain", orders_csv, "-o", tmp_path))
    assert "is a directory" in error_of(run("fit", orders_csv, "-o", tmp_path))
    line = error_of(run("fit", orders_csv, "-o", tmp_path / "no" / "out.vae"), code=1)
    assert "cannot be written" in line
    inside_a_file = write("file", "") / "out.csv"
    assert "does not exist" in error_of(run("score", orders_csv, "-o", inside_a_file), code=1)


def test_input_is_never_overwritten(run, write, tmp_path):
    path = write("t.csv", "a\n1\n2\n")
    (tmp_path / "link.csv").symlink_to(path)
    for output in (path, tmp_path / "link.csv"):
        assert "is the input file itself" in error_of(run("score", path, "-o", output))
    assert "is named like a table" in error_of(run("fit", path, "-o", tmp_path / "m.csv"))
    assert "a model goes to a file" in error_of(run("fit", path, "-o", "-"))
    assert path.read_text() == "a\n1\n2\n"


def test_control_characters_of_a_file_do_not_reach_the_terminal(run, write):
    line = error_of(run("score", write("t.csv", "a,b\n1,2\n"), "--drop", "\x1b[31mred"))
    assert "\x1b" not in line
    assert "\\x1b[31mred" in line


def test_divergence_is_a_failure_of_the_work(run, orders_csv, fast, monkeypatch):
    from vae_anomaly import TrainingDiverged, VAEDetector

    def diverge(self, frame):
        raise TrainingDiverged(7, 2, 1.5)

    monkeypatch.setattr(VAEDetector, "fit", diverge)
    assert "training diverged at iteration 7" in error_of(run("score", orders_csv, *fast), code=1)


def test_memory_that_does_not_suffice_is_said(run, orders_csv, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("vae_anomaly_cli.table_data.open_table", fail)
    assert "the memory does not suffice" in error_of(run("score", orders_csv), code=1)


def test_a_fault_of_ours_is_one_line_with_a_hint(run, orders_csv, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("vae_anomaly_cli.table_data.open_table", fail)
    line = error_of(run("score", orders_csv), code=1)
    assert line == "error: RuntimeError: first second (VAE_ANOMALY_DEBUG=1 shows where.)"
    monkeypatch.setenv("VAE_ANOMALY_DEBUG", "1")
    with pytest.raises(RuntimeError, match="first"):
        run("score", orders_csv)


def test_interruption_has_its_own_code(run, orders_csv, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vae_anomaly_cli.table_data.open_table", interrupt)
    assert error_of(run("score", orders_csv), code=130) == "error: interrupted."
