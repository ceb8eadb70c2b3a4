"""`vae-anomaly audit`: the calibration rows that a person should look at, and what was found."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load


@pytest.fixture(scope="module")
def contaminated(run, model, later_csv, folder):
    """A model that is calibrated with 240 orders of which 12 are fraud."""
    path = folder / "contaminated.vae"
    assert run("calibrate", later_csv, "-m", model, "-o", path).code == 0
    return path


@pytest.fixture
def review(run, contaminated, tmp_path):
    """Its twenty most anomalous calibration rows, as a frame to fill in and to write."""
    text = run("audit", contaminated, "-n", "20", "-o", "-").out
    frame = pd.read_csv(io.BytesIO(text), dtype={"is_anomaly": object})

    def write(answers):
        path = tmp_path / "review.csv"
        frame.assign(is_anomaly=answers).to_csv(path, index=False)
        return path

    return frame, write


def answers_by_label(frame, later_orders):
    return ["1" if later_orders["fraud"][row - 1] else "0" for row in frame["row"]]


def test_lists_the_most_anomalous_rows_with_rank_and_room_for_an_answer(run, contaminated, later_orders):
    outcome = run("audit", contaminated, "-n", "12")
    frame = outcome.frame
    assert frame.columns.tolist() == ["row", "anomaly_score", "p_value", "is_anomaly"]
    assert set(frame["row"].astype(int) - 1) == set(np.flatnonzero(later_orders["fraud"]))
    assert (frame["is_anomaly"] == "").all()
    assert frame["p_value"].astype(float).tolist() == pytest.approx([(rank + 1) / 240 for rank in range(12)])
    assert frame["anomaly_score"].astype(float).is_monotonic_decreasing
    assert "12 calibration rows to look at of 240; 0 looked at before, 0 dropped" in outcome.err


def test_listing_is_that_of_the_library(run, contaminated):
    frame = run("audit", contaminated, "-n", "7").frame.astype({"row": int, "anomaly_score": float, "p_value": float})
    listed = load(contaminated).audit(7)
    assert (frame["row"] - 1).tolist() == listed["id"].tolist()
    assert frame["anomaly_score"].tolist() == pytest.approx(listed["anomaly_score"].tolist())
    assert frame["p_value"].tolist() == pytest.approx(listed["p_value"].tolist())


def test_data_adds_reasons_and_the_cells_of_the_row(run, contaminated, later_csv, later_orders, tmp_path):
    path = tmp_path / "review.parquet"
    outcome = run("audit", contaminated, later_csv, "-n", "3", "-o", path)
    assert outcome.code == 0, outcome.err
    frame = pd.read_parquet(path)
    assert frame.columns.tolist() == (
        ["row", "anomaly_score", "p_value", "reasons", *later_orders.columns, "is_anomaly"]
    )
    rows = later_orders.iloc[frame["row"] - 1]
    assert frame["order"].tolist() == rows["order"].tolist()
    assert frame["amount"].astype(float).tolist() == rows["amount"].tolist()
    assert frame["reasons"].str.contains("amount is ").all()
    assert frame["is_anomaly"].isna().all()
    assert f"fill in is_anomaly with 1 or 0, then: vae-anomaly audit {contaminated} --answers {path}" in outcome.err


def test_ids_are_the_only_cells_where_they_are_named(run, contaminated, later_csv):
    frame = run("audit", contaminated, later_csv, "-n", "2", "--id", "order", "-q").frame
    assert frame.columns.tolist() == ["row", "anomaly_score", "p_value", "reasons", "order", "is_anomaly"]


def test_rows_of_a_cross_calibration_are_found_in_the_training_table(run, model, orders_csv, orders):
    outcome = run("audit", model, orders_csv, "-n", "5", "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.text)
    assert shown["n_calibration"] == load(model).calibration_.n_rows
    first = shown["rows"][0]
    assert first["order"] == orders["order"][first["row"] - 1]


def test_other_data_than_the_calibration_rows_are_refused(run, contaminated, orders_csv, normal_csv):
    error = run("audit", contaminated, orders_csv).error()
    assert "orders.csv has 60 rows, and the calibration row 240; expected what the model was fitted on" in error
    shifted = run("audit", contaminated, normal_csv, "-n", "1").error()
    assert "normal.csv" in shifted


def test_column_names_of_the_review_are_refused(run, contaminated, later_orders, write):
    data = write("named.csv", later_orders.rename(columns={"order": "row"}).to_csv(index=False))
    assert "has a column 'row', and the review has one of its own" in run("audit", contaminated, data).error()
    assert run("audit", contaminated, data, "--id", "shop").code == 0


def test_confirmed_anomalies_go_and_the_threshold_moves(run, contaminated, review, later_orders, tmp_path):
    frame, write = review
    path = tmp_path / "audited.vae"
    outcome = run("audit", contaminated, "--answers", write(answers_by_label(frame, later_orders)), "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    before, after = load(contaminated), load(path)
    assert after.calibration_.n_rows == 228
    assert after.calibration_.suspects.n_audited == 20
    first, second = outcome.err.splitlines()
    assert first == (
        f"20 calibration rows looked at; 12 anomalous and dropped, 228 left; threshold moved from "
        f"{before.threshold_.score:,.2f} to {after.threshold_.score:,.2f} nats; written to {path}"
    )
    assert second == after.threshold_.sentence()
    again = run("audit", path, "-n", "5")
    assert "5 calibration rows to look at of 228; 20 looked at before, 12 dropped" in again.err
    assert not set(again.frame["row"].astype(int)) & set(frame["row"])


def test_answers_may_be_written_in_several_ways_and_left_open(run, contaminated, review, tmp_path):
    frame, write = review
    given = ["1", "true", "Yes", "1.0", "0", "FALSE", "no", "0.0", "", " ", "NA", None] + [None] * 8
    path = tmp_path / "audited.vae"
    outcome = run("audit", contaminated, "--answers", write(given), "-o", path, "--json")
    assert outcome.code == 0, outcome.err
    assert (
        "8 calibration rows looked at, 12 not looked at (is_anomaly is empty); 4 anomalous and dropped" in outcome.err
    )
    summary = json.loads(outcome.text)
    assert (summary["n_looked_at"], summary["n_open"], summary["n_dropped"], summary["n_calibration"]) == (
        8,
        12,
        4,
        236,
    )
    gone = set(frame["row"][:4] - 1)
    assert not gone & set(load(path).calibration_.suspects.ids.tolist())


def test_typed_answers_are_read(run, contaminated, review, tmp_path):
    frame, _ = review
    path, model = tmp_path / "review.parquet", tmp_path / "audited.vae"
    frame.assign(is_anomaly=pd.array([True, False, *[None] * 18], dtype="boolean")).to_parquet(path)
    assert run("audit", contaminated, "--answers", path, "-o", model).code == 0
    assert load(model).calibration_.suspects.n_audited == 2
    assert load(model).calibration_.n_rows == 239


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("is_anomaly", "maybe", "line 4: is_anomaly holds 'maybe'; expected 1 or 0, true or false, yes or no"),
        ("row", "x", "line 4: row holds 'x'; expected the number of a row"),
        ("row", "0", "line 4: row holds '0'; expected the number of a row"),
        ("row", "99999", "line 4: row 99,999 with this score is none of the calibration rows"),
        ("anomaly_score", "3.5", "with this score is none of the calibration rows"),
        ("anomaly_score", "3,5", "with this score is none of the calibration rows"),
        ("anomaly_score", "high", "line 4: anomaly_score holds 'high'; expected the score of the row"),
    ],
)
def test_answers_that_cannot_be_read_are_refused_with_their_line(
    run, contaminated, review, tmp_path, column, value, said
):
    _, write = review
    path = write("0")
    changed = pd.read_csv(path, dtype=str)
    changed.loc[2, column] = value
    changed.to_csv(path, index=False)
    assert said in run("audit", contaminated, "--answers", path, "-o", tmp_path / "m.vae").error()
    assert not (tmp_path / "m.vae").exists()


def test_review_of_a_spreadsheet_with_decimal_commas_is_known_by_its_scores(run, contaminated, review, model, tmp_path):
    frame, _ = review
    path = tmp_path / "review.csv"
    edited = frame.assign(is_anomaly="0", comment='fine, "really"')
    edited.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    outcome = run("audit", contaminated, "--answers", path, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert "20 calibration rows looked at; 0 anomalous" in outcome.err
    assert "warning" not in outcome.err
    edited.assign(row=range(1, 21)).to_csv(path, index=False, sep=";", decimal=",")
    line = run("audit", model, "--answers", path, "-o", tmp_path / "other.vae").error()
    assert "is none of the calibration rows" in line
    assert not (tmp_path / "other.vae").exists()


def test_warns_where_no_score_says_which_model_the_rows_are_of(run, contaminated, review, tmp_path):
    frame, _ = review
    path = tmp_path / "review.csv"
    frame[["row"]].assign(is_anomaly="0").to_csv(path, index=False)
    outcome = run("audit", contaminated, "--answers", path, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert f"warning: {path} has no anomaly_score for 20 answers: whether the rows are those of" in outcome.err


def test_row_that_is_answered_twice_is_refused(run, contaminated, review, tmp_path):
    _, write = review
    path = write("0")
    frame = pd.read_csv(path)
    pd.concat([frame, frame.head(1)]).to_csv(path, index=False)
    assert "line 22: row" in (error := run("audit", contaminated, "--answers", path, "-o", tmp_path / "m.vae").error())
    assert "is answered twice" in error


def test_review_without_answers_changes_nothing(run, contaminated, review, tmp_path):
    _, write = review
    error = run("audit", contaminated, "--answers", write(None), "-o", tmp_path / "m.vae").error()
    assert "is_anomaly is empty in all 20 rows, and nothing changes" in error


def test_other_tables_are_no_reviews(run, contaminated, later_csv, tmp_path):
    error = run("audit", contaminated, "--answers", later_csv, "-o", tmp_path / "m.vae").error()
    assert "has no column 'row'; expected a review, as vae-anomaly audit -o writes it" in error


def test_images_are_named_by_path(run, image_model, draw, tmp_path):
    for number in range(8):
        draw(tmp_path / "more" / f"{number}.png", 400 + number, anomalous=number == 5)
    path = tmp_path / "c.vae"
    assert run("calibrate", tmp_path / "more", "-m", image_model, "-o", path).code == 0
    frame = run("audit", path, tmp_path / "more", "-n", "2").frame
    assert frame.columns.tolist() == ["row", "anomaly_score", "p_value", "path", "folder", "is_anomaly"]
    assert frame["path"][0] == "5.png"
    assert frame["row"][0] == "6"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--answers", "review.csv"), "--answers changes the calibration, and --output FILE says where"),
        (("--answers", "review.csv", "-o", "-"), "--answers changes the calibration, and --output FILE says where"),
        (("data.csv", "--answers", "review.csv", "-o", "m.vae"), "DATA is for the review, and --answers takes one in"),
        (("--answers", "review.csv", "-n", "3", "-o", "m.vae"), "--rows is for the review"),
        (("--answers", "none.csv", "-o", "m.vae"), "none.csv does not exist"),
        (("--id", "order"), "--id names columns of DATA, which is not given"),
        (("-o", "review.vae"), "--output review.vae: expected a name that ends in"),
        (("--json", "-o", "-"), "--json and --output - both write to standard output"),
        (("none.csv",), "none.csv does not exist"),
    ],
)
def test_misuse_is_refused_in_one_line(run, contaminated, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in run("audit", contaminated, *options).error()
    assert list(tmp_path.iterdir()) == []


def test_model_without_calibration_says_what_to_do(run, uncalibrated):
    error = run("audit", uncalibrated).error()
    assert "has no calibration: it was fitted without one" in error
    assert "vae-anomaly calibrate normal.csv -m" in error
