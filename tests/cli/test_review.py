"""`vae-anomaly review`: the rows that a person should look at next."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly_cli.sources import table_source

OWN = ["row", "anomaly_score", "p_value", "why", "reasons"]


def test_review_has_scores_why_reasons_all_cells_and_room_for_an_answer(run, model, later_csv, later_orders, tmp_path):
    path = tmp_path / "todo.csv"
    outcome = run("review", later_csv, "-m", model, "-n", "20", "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert frame.columns.tolist() == [*OWN, *later_orders.columns, "is_anomaly"]
    rows = later_orders.iloc[frame["row"].astype(int) - 1]
    assert frame["order"].tolist() == rows["order"].tolist()
    assert frame["amount"].astype(float).tolist() == rows["amount"].tolist()
    assert (frame["is_anomaly"] == "").all()
    assert set(np.flatnonzero(later_orders["fraud"])) <= set(rows.index)
    assert frame.loc[rows["fraud"].to_numpy(), "reasons"].str.contains("amount is ").all()
    assert "20 rows to look at of 240" in outcome.err
    assert f"fill in is_anomaly with 1 or 0, then: vae-anomaly learn {model} {path} -o {model}" in outcome.err


def test_rows_are_those_of_the_library(run, model, later_csv):
    frame = run("review", later_csv, "-m", model, "-n", "12", "-q").frame
    listed = load(model).review(pd.read_csv(later_csv).drop(columns="fraud"), k=12)
    assert (frame["row"].astype(int) - 1).tolist() == listed["row"].tolist()
    assert frame["why"].tolist() == listed["why"].tolist()
    assert frame["anomaly_score"].astype(float).tolist() == pytest.approx(listed["anomaly_score"].tolist())
    assert frame["p_value"].astype(float).tolist() == pytest.approx(listed["p_value"].tolist())
    assert frame["reasons"].tolist() == listed["reason"].tolist()


def test_rows_do_not_depend_on_how_the_file_is_cut(run, model, later_csv, monkeypatch):
    whole = run("review", later_csv, "-m", model, "-n", "10", "-q")
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 17)
    assert run("review", later_csv, "-m", model, "-n", "10", "-q").out == whole.out


def test_default_is_twenty_rows_on_standard_output_in_the_format_of_the_input(run, model, later_orders, write):
    path = write("later.jsonl", later_orders.to_json(orient="records", lines=True))
    lines = run("review", path, "-m", model, "-q").text.splitlines()
    assert len(lines) == 20
    assert list(json.loads(lines[0])) == [*OWN, *later_orders.columns, "is_anomaly"]
    assert json.loads(lines[0])["is_anomaly"] is None


def test_several_files_have_rows_of_their_own(run, model, later_orders, tmp_path):
    for name, part in (("a.csv", later_orders[:100]), ("b.csv", later_orders[100:])):
        part.to_csv(tmp_path / name, index=False)
    outcome = run("review", tmp_path / "a.csv", tmp_path / "b.csv", "-m", model, "-n", "12")
    frame = outcome.frame
    assert frame.columns.tolist() == ["row", "file", *OWN[1:], *later_orders.columns, "is_anomaly"]
    first = np.array([0 if name.endswith("a.csv") else 100 for name in frame["file"]])
    expected = later_orders["order"].iloc[frame["row"].astype(int) - 1 + first]
    assert frame["order"].tolist() == expected.tolist()


def test_json_has_the_rows_and_counts(run, model, later_csv, tmp_path):
    outcome = run("review", later_csv, "-m", model, "-n", "5", "-o", tmp_path / "todo.parquet", "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.text)
    assert (shown["n_scored"], shown["n_listed"], shown["n_answered"]) == (240, 5, 0)
    assert shown["n_uncertain"] == sum(row["why"] == "uncertain" for row in shown["rows"])
    frame = pd.read_parquet(tmp_path / "todo.parquet")
    assert frame["order"].tolist() == [row["order"] for row in shown["rows"]]
    assert frame["is_anomaly"].isna().all()


def test_more_rows_than_there_are_lists_all(run, model, later_orders, write):
    path = write("few.csv", later_orders.head(6).to_csv(index=False))
    assert sorted(run("review", path, "-m", model, "-n", "50").frame["row"].astype(int)) == [1, 2, 3, 4, 5, 6]


def test_rows_that_cannot_be_scored_are_left_out_and_said(run, model, later_orders, write):
    odd = later_orders.head(6).astype({"amount": object})
    odd.loc[3, "amount"] = "much"
    outcome = run("review", write("odd.csv", odd.to_csv(index=False)), "-m", model)
    assert "1 of 6 rows without a score; " in outcome.err
    assert sorted(outcome.frame["row"].astype(int)) == [1, 2, 3, 5, 6]


def test_names_that_the_input_has_are_spared_or_refused(run, model, later_orders, write):
    numbered = later_orders.head(6).rename(columns={"order": "row"})
    frame = run("review", write("numbered.csv", numbered.to_csv(index=False)), "-m", model).frame
    assert frame.columns[0] == "row_number"
    assert frame["row"].tolist() == numbered["row"].iloc[frame["row_number"].astype(int) - 1].tolist()
    named = write("named.csv", later_orders.rename(columns={"order": "why"}).to_csv(index=False))
    assert "has a column 'why', and the review has one of its own" in run("review", named, "-m", model).error()


def test_model_without_calibration_has_no_p_values(run, uncalibrated, write):
    data = pd.read_csv(uncalibrated.parent / "mixed.csv")
    outcome = run("review", write("mixed.csv", data.to_csv(index=False)), "-m", uncalibrated, "-n", "3")
    assert outcome.code == 0, outcome.err
    assert (outcome.frame["p_value"] == "").all()


def test_images_are_named_by_path(run, image_model, inspected, tmp_path):
    outcome = run("review", inspected, "-m", image_model, "-n", "4", "-o", tmp_path / "todo.csv")
    assert outcome.code == 0, outcome.err
    frame = pd.read_csv(tmp_path / "todo.csv")
    assert frame.columns.tolist() == ["row", "anomaly_score", "p_value", "why", "path", "folder", "is_anomaly"]
    assert {f"scratch/deep/{number}.png" for number in range(3)} <= set(frame["path"])
    assert f"--images {inspected}" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-n", "0"), "Input should be greater than or equal to 1"),
        (("--id", "order"), "No such option"),
        (("-o", "todo.vae"), "--output todo.vae: expected a name that ends in"),
        (("--json", "-o", "-"), "--json and --output - both write to standard output"),
    ],
)
def test_misuse_is_refused_in_one_line(run, model, later_csv, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run("review", later_csv, "-m", model, *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_model_is_needed_and_not_replaced(run, model, later_csv):
    assert "--model" in (run("review", later_csv).err)
    before = model.read_bytes()
    assert "is also --model" in run("review", later_csv, "-m", model, "-o", model).error()
    assert model.read_bytes() == before


def test_review_that_is_scored_or_fitted_again_gives_no_features_of_ours(run, model, fast, later_csv, tmp_path):
    path = tmp_path / "todo.csv"
    assert run("review", later_csv, "-m", model, "-n", "60", "-o", path).code == 0
    outcome = run("score", path, "-m", model, "--drop", "fraud")
    assert "does not know" not in outcome.err
    scores = pd.read_csv(io.BytesIO(outcome.out))
    assert scores["anomaly_score"].tolist() == pytest.approx(pd.read_csv(path)["anomaly_score"].tolist())
    fitted = run("fit", path, "-o", tmp_path / "again.vae", "--drop", "order,fraud", *fast)
    assert fitted.code == 0, fitted.err
    assert [column.name for column in load(tmp_path / "again.vae").columns_] == ["amount", "items", "shop", "paid"]
