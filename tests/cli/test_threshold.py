"""`vae-anomaly threshold`: what a threshold promises, and another one without another fit."""

import json

import numpy as np
import pytest

from vae_anomaly import load
from vae_anomaly.decisions import LabelledCost, largest_rank


def threshold_of(path):
    return load(path).threshold_


@pytest.fixture(scope="module")
def scores(calibrated):
    """Those of the 228 calibration rows, the largest first."""
    pooled = load(calibrated).calibration_.pooled
    return np.repeat(pooled.values, pooled.counts)[::-1]


def test_shows_the_sentence_and_a_table_of_rates(run, calibrated):
    outcome = run("threshold", calibrated)
    assert outcome.code == 0
    assert outcome.err == ""
    lines = outcome.text.splitlines()
    assert lines[0] == threshold_of(calibrated).sentence()
    assert [line.split("%")[0].strip() for line in lines[4:]] == (
        ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"]
    )


def test_table_says_how_many_rows_a_rate_takes(run, calibrated, scores):
    lines = run("threshold", calibrated).text.splitlines()
    assert lines[7].split("%")[1].strip() == "needs 999 calibration rows; there are 228"
    # The largest of 228 scores is exceeded by 1 of 229 rows: 4,367 in a million.
    assert lines[9].split()[:4] == ["0.5", "%", f"{scores[0]:,.2f}", "4,367"]


def test_json_has_numbers_and_nulls(run, calibrated, scores):
    shown = json.loads(run("threshold", calibrated, "--json").text)
    assert shown["model"] == str(calibrated)
    assert shown["threshold"]["n_calibration"] == 228
    assert shown["threshold"]["sentence"] == threshold_of(calibrated).sentence()
    by_rate = {row["rate"]: row for row in shown["table"]}
    assert by_rate[0.0001]["threshold"] is None
    assert by_rate[0.0001]["rows_needed"] == 9999
    assert by_rate[0.1]["threshold"] == scores[largest_rank(228, 0.1) - 1]


def test_extrapolated_rates_are_marked(run, calibrated):
    table = json.loads(run("threshold", calibrated, "--extrapolate", "--json").text)["table"]
    assert [row["model_based"] for row in table] == [True] * 5 + [False] * 5
    assert "tail model, nothing promised" in run("threshold", calibrated, "--extrapolate").text


@pytest.mark.parametrize(
    ("options", "rank"),
    [
        (("--false-alarm-rate", "0.05"), largest_rank(228, 0.05)),
        (("--false-alarm-rate", "0.05", "--confidence", "0.9"), largest_rank(228, 0.05, 0.9)),
        (("--alerts", "20", "--per", "500"), largest_rank(228, 0.04)),
        (("--contamination", "0.1"), largest_rank(228, 0.1)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_rules_take_the_score_at_their_rank(run, calibrated, scores, tmp_path, options, rank):
    path = tmp_path / "moved.vae"
    outcome = run("threshold", calibrated, *options, "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    moved = threshold_of(path)
    assert moved.score == scores[rank - 1]
    first, second = outcome.err.splitlines()
    assert first == (
        f"threshold moved from {threshold_of(calibrated).score:,.2f} to {moved.score:,.2f} nats; written to {path}"
    )
    assert second == moved.sentence()


def test_score_is_taken_as_it_is_and_scoring_obeys(run, calibrated, later_csv, tmp_path):
    path = tmp_path / "moved.vae"
    assert run("threshold", calibrated, "--score", "20.5", "-o", path, "-q").err == ""
    assert threshold_of(path).score == 20.5
    rows = run("score", later_csv, "-m", path, "--label", "fraud", "-q").frame
    flags = rows["anomaly_score"].astype(float) > 20.5
    assert (rows["is_anomaly"] == flags.map({True: "true", False: "false"})).all()


def test_labels_give_the_threshold_of_lowest_cost(run, calibrated, later_csv, later_orders, tmp_path):
    path = tmp_path / "moved.vae"
    options = ("--labels", later_csv, "--label", "fraud", "--cost", "3", "-o", path)
    outcome = run("threshold", calibrated, *options)
    assert outcome.code == 0, outcome.err
    assert "scored 240 rows of" in outcome.err
    detector = load(calibrated)
    rows = later_orders.drop(columns=["order", "fraud"])
    found = detector.anomaly_score(rows.assign(paid=rows["paid"] == "true"))
    by_hand = LabelledCost(found, later_orders["fraud"].to_numpy(), 3.0).find(detector.calibration_)
    assert threshold_of(path).score == pytest.approx(by_hand.score)
    assert threshold_of(path).parameters["missed_cost"] == 3


def test_labels_of_images_are_folders(run, image_model, inspected, tmp_path):
    path = tmp_path / "moved.vae"
    options = ("--labels", inspected, "--label", "folder", "--normal", "good", "-o", path)
    outcome = run("threshold", image_model, *options)
    assert outcome.code == 0, outcome.err
    assert threshold_of(path).parameters["n_anomalies"] == 3


def test_nothing_is_trained_and_the_model_itself_may_be_named(run, calibrated, tmp_path):
    path = tmp_path / "own.vae"
    path.write_bytes(calibrated.read_bytes())
    assert run("threshold", path, "--score", "7", "-o", path).code == 0
    assert threshold_of(path).score == 7
    assert list(tmp_path.iterdir()) == [path]
    before, after = load(calibrated), load(path)
    assert after.history_ == before.history_
    assert (after.calibration_.pooled.values == before.calibration_.pooled.values).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alerts", "20", "--per", "500"), "--alerts moves the threshold, and --output FILE says where"),
        (("-o", "moved.vae"), "--output is for a model with another threshold; say which with --false-alarm-rate"),
        (("--alerts", "2", "-o", "m.vae"), "--alerts needs --per"),
        (("--alerts", "9", "--per", "9", "-o", "m.vae"), "--alerts 9 is not fewer than --per 9 rows"),
        (("--per", "9", "-o", "m.vae"), "--per belongs to --alerts"),
        (("--score", "9", "--contamination", "0.1", "-o", "m.vae"), "each set the threshold; give one of them"),
        (("--score", "9", "--confidence", "0.9", "-o", "m.vae"), "--confidence belongs to --false-alarm-rate"),
        (("--score", "nan", "-o", "m.vae"), "--score nan: expected a number of nats"),
        (("--score", "inf", "-o", "m.vae"), "--score inf: expected a number of nats"),
        (("--false-alarm-rate", "0", "-o", "m.vae"), "--false-alarm-rate 0: expected a share above 0 and below 1"),
        (("--false-alarm-rate", "nan", "-o", "m.vae"), "--false-alarm-rate nan: expected a share"),
        (("--contamination", "0.6", "-o", "m.vae"), "--contamination 0.6: expected a share above 0 and at most 0.5"),
        (("--labels", "none.csv", "-o", "m.vae"), "none.csv does not exist"),
        (("--label", "fraud"), "--label belongs to --labels"),
        (("--labels", "none.csv", "--label", "fraud", "-o", "m.vae"), "none.csv does not exist"),
        (("--score", "9", "--extrapolate", "-o", "m.vae"), "--extrapolate is for the table"),
        (("--score", "9", "-o", "moved.csv"), "--output moved.csv is named like a table"),
        (("--score", "9", "-o", "-"), "--output -: a model goes to a file"),
    ],
)
def test_misuse_is_refused_in_one_line(run, calibrated, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in run("threshold", calibrated, *options).error()
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_rate_for_which_there_are_too_few_rows_with_numbers(run, calibrated, tmp_path):
    path = tmp_path / "moved.vae"
    error = run("threshold", calibrated, "--false-alarm-rate", "0.001", "-o", path).error()
    assert "a false-alarm rate of 0.1 % needs at least 999 calibration rows" in error
    assert f"{calibrated} has 228" in error
    assert "ask for 0.437 % or more, or give more normal rows: vae-anomaly calibrate" in error
    error = run("threshold", calibrated, "--false-alarm-rate", "0.001", "--confidence", "0.95", "-o", path).error()
    assert "needs at least 2,995 calibration rows" in error
    assert not path.exists()


def test_model_of_an_earlier_version_takes_a_score_and_says_what_else_needs(run, uncalibrated, tmp_path):
    shown = run("threshold", uncalibrated)
    assert shown.code == 0
    assert shown.text.startswith("Rows above 62.5202 nats are flagged")
    assert "has no calibration, and so no table. Give it normal rows" in shown.err
    path = tmp_path / "moved.vae"
    assert "has no calibration" in run("threshold", uncalibrated, "--contamination", "0.1", "-o", path).error()
    assert run("threshold", uncalibrated, "--score", "9", "-o", path).code == 0
    assert threshold_of(path).score == 9


def test_labels_of_one_kind_are_refused(run, calibrated, later_orders, write, tmp_path):
    known = write("known.csv", later_orders.assign(fraud=False).to_csv(index=False))
    options = ("--labels", known, "--label", "fraud", "-o", tmp_path / "m.vae")
    assert "240 rows of" in (error := run("threshold", calibrated, *options).error())
    assert "0 of them anomalous; expected normal ones and anomalies" in error


def test_warns_of_labelled_rows_that_were_trained_on(run, many, tmp_path):
    path, model = many
    outcome = run("threshold", model, "--labels", path, "--label", "fraud", "-o", tmp_path / "m.vae")
    assert f"1,500 rows of {path} were trained on: their scores are lower than those of others" in outcome.err


def test_info_shows_threshold_and_calibration(run, calibrated, uncalibrated, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("info", calibrated).text
    assert "228 rows that the model has not seen" in shown
    assert "of new normal rows expected, at most" in shown
    path = tmp_path / "moved.vae"
    run("threshold", calibrated, "--alerts", "20", "--per", "500", "-o", path)
    assert f"{threshold_of(path).score:.2f} nats (n alerts 20, per 500)" in run("info", path).text
    assert "none: nothing is known of new rows; see vae-anomaly calibrate" in run("info", uncalibrated).text
