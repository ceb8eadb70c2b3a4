"""`vae-anomaly calibrate`: the scores of other normal rows, to decide by."""

import json

import numpy as np
import pytest

from vae_anomaly import load
from vae_anomaly_cli.sources import table_source


@pytest.fixture(scope="module")
def normal(later_orders):
    """The 228 normal orders, as the detector takes them."""
    rows = later_orders[~later_orders["fraud"]].drop(columns=["order", "fraud"]).reset_index(drop=True)
    return rows.assign(paid=rows["paid"] == "true")


def test_command_does_what_the_library_does(model, calibrated, normal):
    detector = load(model).calibrate(normal)
    found, by_hand = load(calibrated).calibration_, detector.calibration_
    assert found.kind == by_hand.kind == "split"
    assert found.n_rows == 228
    assert found.pooled.values == pytest.approx(by_hand.pooled.values)
    assert found.declared_normal == by_hand.declared_normal
    assert found.suspects.ids.tolist() == by_hand.suspects.ids.tolist()
    assert load(calibrated).threshold_.score == pytest.approx(detector.threshold_.score)
    columns, expected = load(calibrated).decisions_.columns, detector.decisions_.columns
    assert [column.name for column in columns] == [column.name for column in expected]
    assert [column.n_rows for column in columns] == [column.n_rows for column in expected]
    assert dict(columns[2].levels) == dict(expected[2].levels)


def test_says_what_it_did_and_leaves_standard_output_empty(run, model, normal_csv, tmp_path):
    path = tmp_path / "c.vae"
    outcome = run("calibrate", normal_csv, "-m", model, "-o", path, "--id", "order")
    assert outcome.code == 0
    assert outcome.out == b""
    first, second = outcome.err.splitlines()
    before, after = load(model).threshold_, load(path).threshold_
    assert first == (
        f"calibrated {model} with {normal_csv}: 228 rows; threshold moved from {before.score:,.2f} to "
        f"{after.score:,.2f} nats; written to {path}"
    )
    assert second == after.sentence()


def test_batches_make_one_calibration(run, model, normal_csv, calibrated, tmp_path, monkeypatch):
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 50)
    path = tmp_path / "c.vae"
    assert run("calibrate", normal_csv, "-m", model, "-o", path).code == 0
    whole, parts = load(calibrated).calibration_, load(path).calibration_
    assert parts.pooled.values == pytest.approx(whole.pooled.values)
    assert parts.suspects.ids.tolist() == whole.suspects.ids.tolist()


def test_rows_that_are_not_labelled_normal_are_left_out(run, model, later_csv, later_orders, tmp_path):
    path = tmp_path / "c.vae"
    outcome = run("calibrate", later_csv, "-m", model, "--label", "fraud", "-o", path, "--json")
    assert "228 rows, 12 not labelled normal left out" in outcome.err
    summary = json.loads(outcome.text)
    assert (summary["n_calibration"], summary["n_left_out"], summary["unusable"]) == (228, 12, 0)
    assert summary["threshold"]["kind"] == "split"
    # Rows keep their numbers in the file.
    frauds = np.flatnonzero(later_orders["fraud"])
    assert not set(frauds) & set(load(path).calibration_.suspects.ids.tolist())
    assert load(path).calibration_.suspects.ids.max() > 228


def test_threshold_keeps_its_rule(run, calibrated, later_csv, tmp_path):
    moved, path = tmp_path / "moved.vae", tmp_path / "c.vae"
    run("threshold", calibrated, "--false-alarm-rate", "0.05", "-o", moved)
    assert run("calibrate", later_csv, "-m", moved, "-o", path).code == 0
    threshold = load(path).threshold_
    assert threshold.rule == "false_alarm_rate"
    assert threshold.n_calibration == 240
    assert threshold.score == load(path).calibration_.pooled.kth_largest(12)


def test_too_few_rows_for_the_rule_are_refused_with_numbers(run, calibrated, later_orders, write, tmp_path):
    moved, path = tmp_path / "moved.vae", tmp_path / "c.vae"
    run("threshold", calibrated, "--false-alarm-rate", "0.01", "-o", moved)
    few = write("few.csv", later_orders.head(3).drop(columns="fraud").to_csv(index=False))
    error = run("calibrate", few, "-m", moved, "-o", path).error()
    assert "a false-alarm rate of 1 % needs at least 99 calibration rows" in error
    assert "few.csv has 3; ask for 25 % or more, or give more of them" in error
    assert not path.exists()


def test_rows_that_were_trained_on_are_refused_by_number(run, many, tmp_path):
    path, model = many
    error = run("calibrate", path, "-m", model, "-o", tmp_path / "c.vae").error()
    # Every hundredth row is labelled an anomaly, by the label that the model remembers.
    assert f"{path}: the model was trained on 1,485 of 1,485 rows (rows 2, 3, 4, 5, 6, ..., counted from 1)" in error
    assert list(tmp_path.iterdir()) == []


def test_model_of_an_earlier_version_gets_a_calibration(run, uncalibrated, tmp_path):
    data, path = tmp_path / "normal.csv", tmp_path / "c.vae"
    load(uncalibrated).sample(40, random_state=0).to_csv(data, index=False)
    outcome = run("calibrate", data, "-m", uncalibrated, "-o", path)
    assert outcome.code == 0, outcome.err
    assert load(path).calibration_.n_rows == 40


def test_images_calibrate_and_broken_files_are_left_out(run, image_model, draw, tmp_path):
    for number in range(12):
        draw(tmp_path / "more" / f"{number:02d}.png", 300 + number)
    (tmp_path / "more" / "00.png").write_bytes(b"no image")
    path = tmp_path / "c.vae"
    outcome = run("calibrate", tmp_path / "more", "-m", image_model, "-o", path, "--json")
    assert outcome.code == 0, outcome.err
    assert "left out" in outcome.err
    summary = json.loads(outcome.text)
    assert (summary["n_calibration"], summary["unusable"]) == (11, 1)
    assert load(path).calibration_.suspects.ids.min() == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Missing option '--output'"),
        (("-o", "c.csv"), "--output c.csv is named like a table"),
        (("-o", "-"), "--output -: a model goes to a file"),
        (("-o", "none/c.vae"), "cannot be written: the directory none does not exist"),
    ],
)
def test_misuse_is_refused_in_one_line(run, model, normal_csv, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run("calibrate", normal_csv, "-m", model, *options)
    assert said in outcome.error(outcome.code)
    assert outcome.code in (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_labels_without_a_normal_row_are_refused(run, model, later_orders, write, tmp_path):
    data = write("bad.csv", later_orders.assign(fraud="bad").to_csv(index=False))
    options = ("--label", "fraud", "--anomalous", "bad", "-o", tmp_path / "c.vae")
    assert (
        "no row is labelled normal, and normal ones calibrate" in run("calibrate", data, "-m", model, *options).error()
    )


def test_warns_where_a_model_cannot_tell_which_rows_it_has_seen(run, root, calibrated, later_csv, tmp_path):
    old = root / "tests" / "data" / "version_1"
    outcome = run("calibrate", old / "table.csv", "-m", old / "table.vae", "-o", tmp_path / "c.vae")
    assert outcome.code == 0, outcome.err
    assert "does not hold which rows it was trained on" in outcome.err
    assert "cannot be checked" in outcome.err
    others = run("calibrate", later_csv, "-m", calibrated, "-o", tmp_path / "d.vae")
    assert "cannot be checked" not in others.err


def test_labels_that_are_all_one_are_not_taken_for_normal(run, model, later_orders, write, tmp_path):
    options = ("-m", model, "--label", "fraud", "-o", tmp_path / "c.vae")
    for label, said in (("1", "every label is 1"), ("true", "no row is labelled normal"), ("-1", "no row is labelled")):
        data = write("all.csv", later_orders.assign(fraud=label).to_csv(index=False))
        assert said in run("calibrate", data, *options).error()
    data = write("all.csv", later_orders.assign(fraud="1").to_csv(index=False))
    assert run("calibrate", data, *options, "--normal", "1").code == 0
