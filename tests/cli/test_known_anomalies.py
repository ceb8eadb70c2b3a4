"""`vae-anomaly fit --reviewed`: rows that a person found anomalous do not train."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import load
from vae_anomaly_cli.known_anomalies import KnownAnomalies


@pytest.fixture
def frauds(later_orders):
    """A review of the twelve frauds and of four normal orders, of which the last was not looked at."""
    rows = [*np.flatnonzero(later_orders["fraud"]).tolist(), 0, 1, 2, 3]
    review = later_orders.drop(columns="fraud").iloc[rows]
    answers = ["1"] * 12 + ["0", "no", "0", ""]
    return review.assign(row=np.array(rows) + 1, anomaly_score=1.5, why="most anomalous", is_anomaly=answers)


def fit(run, fast, data, path, *options):
    return run("fit", data, "-o", path, "--drop", "order,fraud", *fast, *options)


def test_confirmed_anomalies_are_left_out_and_said(run, fast, frauds, later_csv, tmp_path, write):
    review = write("todo.csv", frauds.to_csv(index=False))
    outcome = fit(run, fast, later_csv, tmp_path / "m.vae", "--reviewed", review)
    assert outcome.code == 0, outcome.err
    assert "later.csv: 228 rows, 12 known to be anomalous left out, 4 columns" in outcome.err
    assert load(tmp_path / "m.vae").fit_report_.n_rows == 228


def test_model_is_that_of_a_file_without_them(run, fast, frauds, later_csv, later_orders, tmp_path, write):
    review = write("todo.csv", frauds.to_csv(index=False))
    normal = write("normal.csv", later_orders[~later_orders["fraud"]].to_csv(index=False))
    assert fit(run, fast, later_csv, tmp_path / "left.vae", "--reviewed", review).code == 0
    assert fit(run, fast, normal, tmp_path / "normal.vae").code == 0
    scores = [run("score", later_csv, "-m", tmp_path / name).frame for name in ("left.vae", "normal.vae")]
    assert scores[0]["anomaly_score"].tolist() == scores[1]["anomaly_score"].tolist()


def test_rows_keep_their_numbers_for_an_audit(run, fast, frauds, later_csv, tmp_path, write):
    review = write("todo.csv", frauds.to_csv(index=False))
    assert fit(run, fast, later_csv, tmp_path / "m.vae", "--reviewed", review).code == 0
    outcome = run("audit", tmp_path / "m.vae", later_csv, "-n", "5")
    assert outcome.code == 0, outcome.err
    assert not set(outcome.frame["row"].astype(int)) & set(frauds["row"][:12])


def test_rows_are_known_across_formats(run, fast, frauds, later_orders, tmp_path, write):
    later_orders.assign(day=pd.Timestamp("2026-02-28")).to_parquet(tmp_path / "later.parquet")
    review = write("todo.csv", frauds.assign(day="2026-02-28 00:00:00.000").to_csv(index=False, sep=";"))
    outcome = fit(run, fast, tmp_path / "later.parquet", tmp_path / "m.vae", "--reviewed", review)
    assert outcome.code == 0, outcome.err
    assert "12 known to be anomalous left out" in outcome.err


def test_review_without_an_anomaly_leaves_all_rows(run, fast, frauds, later_csv, tmp_path, write):
    review = write("todo.csv", frauds.tail(4).to_csv(index=False))
    outcome = fit(run, fast, later_csv, tmp_path / "m.vae", "--reviewed", review, "--json")
    assert outcome.code == 0, outcome.err
    assert "left out" not in outcome.err
    assert json.loads(outcome.text)["fitted_rows"] == 240


def test_missing_cells_are_equal_and_every_column_counts():
    known = KnownAnomalies("todo.csv", pa.table({"a": ["1.0", "", "3"], "b": ["x", "NA", "z"]}))
    rows = pa.table({"a": [1, None, 3, 1, None], "b": ["x", None, "y", "z", "x"]})
    assert known.among(rows, ["a", "b"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="is_anomaly"), "has no column 'is_anomaly'; expected a review"),
        (lambda frame: frame.assign(is_anomaly=""), "is_anomaly is empty in all 16 rows"),
        (lambda frame: frame.drop(columns="shop"), "lacks column 'shop', and a row is known by all columns"),
        (lambda frame: frame.assign(is_anomaly="maybe"), "line 2: is_anomaly holds 'maybe'; expected 1 or 0"),
    ],
)
def test_reviews_that_cannot_be_used_are_refused(run, fast, frauds, later_csv, tmp_path, write, change, said):
    review = write("todo.csv", change(frauds).to_csv(index=False))
    assert said in fit(run, fast, later_csv, tmp_path / "m.vae", "--reviewed", review).error()
    assert not (tmp_path / "m.vae").exists()
