"""What the user says columns are reaches the model, or is refused in one line."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load, read_manifest


def column_of(path, name):
    (column,) = [column for column in read_manifest(path)["columns"] if column["name"] == name]
    return column


@pytest.fixture
def codes(write):
    """Forty rows with codes that are numbers by their looks, most of them once."""
    rows = "".join(f"{20000 + i},{i % 7}.5\n" for i in range(38))
    return write("codes.csv", "zip,x\n" + rows + "1234,1\n01234,2\n")


def test_declared_categories_keep_their_text_with_leading_zeros(run, codes, write, tmp_path, fast):
    path = tmp_path / "codes.vae"
    outcome = run("fit", codes, "-o", path, "--column", "zip=categorical", "--calibration", "none", *fast)
    assert outcome.code == 0, outcome.err
    column = column_of(path, "zip")
    assert column["kind"] == "categorical"
    assert column["reason"] == "declared so"
    assert column["levels"] == [None] * 40  # each in one row, so that the file has their hashes alone
    assert read_manifest(path)["parameters"]["columns"] == {"mapping": {"zip": "categorical"}}
    known, unknown = (
        float(run("score", write("one.csv", f"zip,x\n{code},1.5\n"), "-m", path).frame["anomaly_score"][0])
        for code in ("20000", "020000")
    )
    assert known < unknown


def test_numbers_that_are_declared_categories_stay_as_written(run, write, tmp_path, fast):
    path = write("t.csv", "grade,x\n" + "".join(f"{1 + i % 3}.0,{i % 7}.5\n" for i in range(40)))
    fitting = ("--column", "grade=categorical", "--calibration", "none", "--preset", "default", *fast)
    assert run("fit", path, "-o", tmp_path / "t.vae", *fitting).code == 0
    assert set(column_of(tmp_path / "t.vae", "grade")["levels"]) == {"1.0", "2.0", "3.0"}
    later = run("score", path, "-m", tmp_path / "t.vae")
    at_once = run("score", path, *fitting)
    assert later.frame["anomaly_score"].equals(at_once.frame["anomaly_score"])


def test_levels_that_were_numbers_in_training_are_found_by_value(run, write, tmp_path, fast):
    rows = "".join(f'{{"x": {i % 7}.5, "grade": {1 + i % 3}}}\n' for i in range(40))
    path = tmp_path / "t.vae"
    assert run("fit", write("t.jsonl", rows), "-o", path, "--column", "grade=categorical", *fast).code == 0
    one, other = (
        run("score", write("t.csv", f"x,grade\n1.5,{grade}\n"), "-m", path).frame["anomaly_score"][0]
        for grade in ("2", "2.0")
    )
    assert one == other


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("continuous", "1 2 3"),
        ("positive", "0 1 40"),
        ("bounded", "0.5 1 0.25"),
        ("integer", "007 008 011"),
        ("count", "0 3 1"),
        ("binary", "0 1 1"),
        ("boolean", "0 1 1"),
        ("categorical", "1 2 3"),
        ("ordinal", "01 02 03"),
        ("datetime", "2026-01-01 2026-01-02 2026-02-28"),
        ("datetime", "2026-01-01T10:00:00Z 2026-01-02T11:00:00Z 2026-02-28T10:30:00Z"),
        ("identifier", "1 2 3"),
    ],
)
def test_every_kind_can_be_declared_for_csv(run, write, tmp_path, fast, kind, cells):
    chosen = cells.split()
    rows = "".join(f"{chosen[i % 3]},{i % 7}.5\n" for i in range(40))
    path = write("t.csv", "a=b,x\n" + rows)
    outcome = run("fit", path, "-o", tmp_path / "t.vae", "--column", f"a=b={kind}", *fast)
    assert outcome.code == 0, outcome.err
    column = column_of(tmp_path / "t.vae", "a=b")
    assert column["kind"] in (kind, "binary", "boolean")
    if kind not in ("identifier", "datetime"):
        assert column["reason"] == "declared so"
    assert run("score", path, "-m", tmp_path / "t.vae").code == 0


def test_declared_numbers_may_have_decimal_commas(run, write, tmp_path, fast):
    path = write("t.csv", "a;x\n" + "".join(f"0{i % 5},5;{i % 7}\n" for i in range(40)))
    assert run("fit", path, "-o", tmp_path / "t.vae", "--column", "a=positive", *fast).code == 0
    assert column_of(tmp_path / "t.vae", "a")["kind"] == "positive"


def test_model_missing_counts_holes(run, orders, orders_csv, write, tmp_path, fast):
    path = tmp_path / "m.vae"
    fitting = ("--drop", "order", "--model-missing", "--calibration", "none", "--preset", "default", *fast)
    assert run("fit", orders_csv, "-o", path, *fitting).code == 0
    assert [part["kind"] for part in column_of(path, "items")["parts"]] == ["missing"]
    row = orders[:1].copy()
    row.loc[0, "paid"] = None
    outcome = run("score", write("missing value.csv", row.to_csv(index=False)), "-m", path)
    frame = row.drop(columns="order").assign(paid=[np.nan])
    assert float(outcome.frame["anomaly_score"][0]) == pytest.approx(load(path).anomaly_score(frame)[0])
    shown = run("info", path).text
    assert "+ missing" in shown
    at_once = run("score", orders_csv, *fitting).frame
    later = run("score", orders_csv, "--drop", "order", "-m", path).frame
    assert at_once["anomaly_score"].equals(later["anomaly_score"])


def test_info_tells_what_was_declared(run, codes, tmp_path, fast):
    path = tmp_path / "codes.vae"
    run("fit", codes, "-o", path, "--column", "zip=categorical", "--column", "x=continuous", *fast)
    shown = run("info", path).text
    assert shown.count("declared so") == 2
    assert "categorical" in shown


def test_info_folds_long_reasons_and_shows_parts_of_dates(run, write, tmp_path, fast):
    rows = "".join(f"2026-01-{i % 28 + 1:02d} {8 + i % 9:02d}:30:00,{i % 7}.5,{i:04d}\n" for i in range(250))
    path = tmp_path / "d.vae"
    assert run("fit", write("t.csv", "moment,x,key\n" + rows), "-o", path, "--calibration", "none", *fast).code == 0
    lines = run("info", path).text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [part["kind"] for part in column_of(path, "moment")["parts"]] == ["hour"]
    assert any("+ hour " in line for line in lines)
    assert any("key" in line and "set aside" in line for line in lines)


def test_summary_of_a_fit_names_a_few_kinds(run, write, tmp_path, fast):
    header = "a,b,c,d,e,f,g\n"
    days = pd.date_range("2026-01-01", periods=200, freq="2D").strftime("%Y-%m-%d")
    rows = "".join(
        f"{i / 7:.3f},{i % 40},{'xyz'[i % 3]},{'uv'[i % 2]},{'true' if i % 5 else 'false'},{day},5\n"
        for i, day in enumerate(days)
    )
    outcome = run("fit", write("t.csv", header + rows), "-o", tmp_path / "m.vae", "--json", *fast)
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("fitted on")]
    assert "7 columns (" in line
    assert "3 of other kinds)" in line
    assert sum(json.loads(outcome.text)["columns"].values()) == 7


MISUSES = [
    (["--column", "amuont=count"], "has no column 'amuont'", "Did you mean 'amount'?"),
    (["--column", "zzz=count"], "has no column 'zzz'", "It has columns 'order', 'amount'"),
    (["--column", "items=cuont"], "'cuont' is no kind", "bounded, integer, count"),
    (["--column", "items=hour"], "'hour' is no kind", "expected one of continuous"),
    (["--column", "items"], "--column items", "expected NAME=KIND"),
    (["--column", "=count"], "--column =count", "expected NAME=KIND"),
    (["--column", "items="], "'' is no kind", "expected one of"),
    (["--column", "items=count", "--column", "items=integer"], "already declared count", "say it once"),
    (["--column", "order=count", "--id", "order"], "--id says", "no feature"),
    (["--column", "paid=binary", "--label", "paid"], "--label says", "no feature"),
    (["--column", "shop=binary", "--drop", "shop"], "--drop says", "no feature"),
    (["--column", "shop=count"], "column 'shop' holds 'south' (line 2)", "take numbers"),
    (["--column", "items=datetime"], "--column items=datetime: the column holds '", "expected dates"),
    (["--column", "shop=ordinal"], "column 'shop' is declared ordinal", "ordered"),
    (["--column", "items=binary"], "column 'items' is declared binary", "expected two"),
]


@pytest.mark.parametrize(("options", "what", "remedy"), MISUSES, ids=[" ".join(row[0]) for row in MISUSES])
def test_unusable_declaration_is_one_line(run, orders_csv, tmp_path, options, what, remedy):
    for arguments in (("score", orders_csv), ("fit", orders_csv, "-o", tmp_path / "m.vae")):
        outcome = run(*arguments, *options)
        assert outcome.code == 2
        assert outcome.out == b""
        *before, line = outcome.err.splitlines()
        assert all(earlier.startswith("warning: ") for earlier in before)
        assert line.startswith("error: ")
        assert what in line
        assert remedy in line
    assert list(tmp_path.iterdir()) == []


def test_score_of_an_earlier_run_cannot_be_declared(run, orders, write):
    path = write("t.csv", orders.assign(anomaly_score=1.0).to_csv(index=False))
    outcome = run("score", path, "--column", "anomaly_score=positive")
    assert outcome.code == 2
    assert "is of an earlier run" in outcome.err


@pytest.mark.parametrize("options", [["--column", "items=count"], ["--model-missing"]])
@pytest.mark.parametrize("command", ["score", "explain"])
def test_declarations_do_not_go_with_a_model(run, orders_csv, model, command, options):
    outcome = run(command, orders_csv, "-m", model, *options)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {options[0]} cannot go with --model")
