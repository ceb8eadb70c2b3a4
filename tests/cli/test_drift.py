"""`vae-anomaly drift`: whether new rows are still like those that a model was calibrated with."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly_cli.sources import table_source


def new_orders(seed, n=150):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": rng.normal(50, 5, n).round(2),
            "items": rng.integers(1, 40, n),
            "shop": rng.choice(["north", "south"], n),
            "paid": rng.choice(["true", "false"], n),
        }
    )


@pytest.fixture(scope="module")
def alike(folder):
    """Orders like those before."""
    path = folder / "alike.csv"
    new_orders(3).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def moved(folder):
    """Orders of higher amounts, from a shop that was not there before."""
    path = folder / "moved.csv"
    frame = new_orders(4)
    frame["amount"] += 10
    frame.loc[::4, "shop"] = "west"
    frame.to_csv(path, index=False)
    return path


def test_says_that_there_is_no_drift(run, calibrated, alike):
    outcome = run("drift", alike, "-m", calibrated)
    assert outcome.code == 0, outcome.err
    first, blank, alerts, stream = outcome.text.splitlines()
    assert first == "No drift in 150 rows, at a false-alarm level of 0.01."
    assert blank == ""
    assert alerts.startswith("Rows above the threshold: ")
    assert stream.startswith("The scores of 150 rows so far are like those of the 228 calibration rows")
    assert outcome.err.splitlines()[-1] == f"checked {alike} with {calibrated}: 150 rows"


def test_shows_the_columns_that_moved_in_their_units(run, calibrated, moved):
    lines = run("drift", moved, "-m", calibrated).text.splitlines()
    assert lines[0].startswith("Drift in 150 rows.")
    heading = lines[2].split()
    assert heading[:4] == ["column", "what", "before", "now"]
    amount, shop = sorted(lines[3:5])
    before, now = amount.split()[2:4]
    assert float(now) - float(before) == pytest.approx(10, abs=1.5)
    assert "level 'west' (38 cells unseen before)" in shop
    assert "25.3 %" in shop


def test_report_is_that_of_the_library(run, calibrated, moved):
    shown = json.loads(run("drift", moved, "-m", calibrated, "--json", "--alpha", "0.05").text)
    frame = pd.read_csv(moved)
    report = load(calibrated).check_drift(frame, 0.05)
    assert shown["drifted"] is report.drifted is True
    assert shown["sentence"] == report.sentence()
    assert shown["alpha"] == 0.05
    assert shown["scores"]["p_value"] == pytest.approx(report.scores.p_value)
    assert [column["column"] for column in shown["columns"]] == report.frame()["column"].tolist()
    assert shown["stream"]["largest_wealth"] == pytest.approx(report.stream.largest_wealth)
    assert shown["output"] is None


@pytest.mark.parametrize("is_given", [True, False])
def test_columns_that_the_model_sets_aside_do_not_drift(run, tmp_path, fast, is_given):
    model, calibrated, path = tmp_path / "m.vae", tmp_path / "c.vae", tmp_path / "new.csv"
    for number, name in enumerate(("fitted", "calibrating", "new")):
        frame = new_orders(number).assign(ticket=[f"t{number}-{row}" for row in range(150)])
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    assert run("fit", tmp_path / "fitted.csv", "-o", model, *fast).code == 0
    assert run("calibrate", tmp_path / "calibrating.csv", "-m", model, "-o", calibrated).code == 0
    if not is_given:
        frame = frame.drop(columns="ticket")
        frame.to_csv(path, index=False)
    for each in (model, calibrated):
        shown = json.loads(run("drift", path, "-m", each, "--json").text)
        assert {column["column"] for column in shown["columns"]} == {"amount", "items", "shop", "paid"}
        assert not shown["drifted"]
        if is_given:
            seen = frame.assign(paid=frame["paid"] == "true")
            assert "ticket" not in set(load(each).check_drift(seen).frame()["column"])


def test_batches_make_no_difference_to_stream_and_scores(run, calibrated, moved, monkeypatch):
    whole = json.loads(run("drift", moved, "-m", calibrated, "--json").text)
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 40)
    parts = json.loads(run("drift", moved, "-m", calibrated, "--json").text)
    for name in ("rows", "scores", "alerts", "drifted", "sentence"):
        assert parts[name] == pytest.approx(whole[name]) if name == "scores" else parts[name] == whole[name]
    assert parts["stream"]["rows"] == 150
    assert parts["stream"]["largest_wealth"] == pytest.approx(whole["stream"]["largest_wealth"])
    # The sample has all rows here.
    assert parts["columns"] == whole["columns"]


def test_output_goes_on_with_the_stream(run, calibrated, alike, moved, tmp_path):
    path = tmp_path / "stream.vae"
    first = run("drift", alike, "-m", calibrated, "-o", path)
    assert f"checked {alike} with {calibrated}: 150 rows, 150 in the stream so far; written to {path}" in first.err
    second = run("drift", moved, "-m", path, "-o", path)
    assert "150 rows, 300 in the stream so far" in second.err
    detector = load(calibrated)
    detector.check_drift(pd.read_csv(alike))
    detector.check_drift(pd.read_csv(moved))
    assert load(path).decisions_.stream.largest_wealth == pytest.approx(detector.decisions_.stream.largest_wealth)
    # Without --output nothing is kept.
    assert load(calibrated).decisions_.stream is None
    assert load(path).threshold_ == load(calibrated).threshold_


def test_exit_code_says_whether_there_is_drift_where_asked(run, calibrated, alike, moved):
    assert run("drift", moved, "-m", calibrated, "-q").code == 0
    outcome = run("drift", moved, "-m", calibrated, "-q", "--fail-on-drift")
    assert (outcome.code, outcome.err) == (3, "")
    assert outcome.text.startswith("Drift in 150 rows.")
    assert run("drift", alike, "-m", calibrated, "-q", "--fail-on-drift").code == 0


def test_images_have_scores_and_a_stream(run, image_model, draw, tmp_path):
    for number in range(20):
        draw(tmp_path / "new" / f"{number:02d}.png", 500 + number)
    calibrated = tmp_path / "c.vae"
    assert run("calibrate", tmp_path / "new", "-m", image_model, "-o", calibrated).code == 0
    for number in range(12):
        draw(tmp_path / "bad" / f"{number:02d}.png", 600 + number, anomalous=True)
    (tmp_path / "bad" / "00.png").write_bytes(b"no image")
    shown = json.loads(run("drift", tmp_path / "bad", "-m", calibrated, "--json").text)
    assert shown["drifted"]
    assert (shown["rows"], shown["stream"]["rows"], shown["columns"]) == (11, 11, [])


def test_warns_of_rows_that_were_trained_on(run, many):
    path, model = many
    assert "the model was trained on 1,500 rows of" in run("drift", path, "-m", model).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alpha", "0"), "--alpha 0: expected a share above 0 and below 1"),
        (("--alpha", "nan"), "--alpha nan: expected a share above 0 and below 1"),
        (("-o", "m.csv"), "--output m.csv is named like a table"),
        (("-o", "-"), "--output -: a model goes to a file"),
        (("--label", "fraud"), "No such option: --label"),
    ],
)
def test_misuse_is_refused_in_one_line(run, calibrated, alike, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in run("drift", alike, "-m", calibrated, *options).error()
    assert list(tmp_path.iterdir()) == []


def test_model_without_calibration_says_what_to_do(run, uncalibrated, tmp_path):
    data = tmp_path / "new.csv"
    load(uncalibrated).sample(5, random_state=0).to_csv(data, index=False)
    assert "has no calibration: it was fitted without one" in run("drift", data, "-m", uncalibrated).error()
